//! A WAV, FLAC, MP3 or Ogg Vorbis file, decoded to 48 kHz mono.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

use super::Repeat;
use crate::audio::resample::{CHANNELS_MAX, MonoResampler, downmix};
use crate::audio::{AudioError, FRAME_SAMPLES, PcmFrame, SAMPLE_RATE_HZ};

/// Packets in a row that may be malformed before the file is given up: more than a scratch, less
/// than a wrong format.
const BROKEN_PACKETS_MAX: u32 = 50;

/// From this length on, in bytes, a header states what was written before the length was known:
/// usually 2³¹ or 2³² less a few bytes.
const STREAMED_BYTES: u64 = 0x7fff_0000;

/// A file that is decoded while it is read.
pub struct PcmFile {
    path: PathBuf,
    repeat: Repeat,
    is_length_exact: bool,
    /// `None` once the file has ended.
    pass: Option<Pass>,
    resampler: MonoResampler,
    rate_hz: u32,
    /// 48 kHz mono, ready to be delivered.
    ready: VecDeque<f32>,
    /// The error to report once `ready` has been delivered.
    failure: Option<AudioError>,
    interleaved: Vec<f32>,
    mono: Vec<f32>,
}

/// One time through the file.
struct Pass {
    format: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track_id: u32,
    /// Samples per channel that the header promises, where it is to be believed.
    promised: Option<u64>,
    decoded: u64,
    rate_hz: u32,
    broken_in_row: u32,
}

impl std::fmt::Debug for PcmFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PcmFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl PcmFile {
    /// Opens a file whose header states its length exactly (`is_length_exact`), or at best
    /// estimates it.
    pub(super) fn open(
        path: &Path,
        file: File,
        repeat: Repeat,
        is_length_exact: bool,
    ) -> Result<Self, AudioError> {
        let pass = Pass::open(path, file, is_length_exact)?;
        let mut opened = Self {
            path: path.to_owned(),
            repeat,
            is_length_exact,
            pass: Some(pass),
            resampler: MonoResampler::new(SAMPLE_RATE_HZ, SAMPLE_RATE_HZ)?,
            rate_hz: SAMPLE_RATE_HZ,
            ready: VecDeque::new(),
            failure: None,
            interleaved: Vec::new(),
            mono: Vec::new(),
        };
        // So that a file without audio is refused before anything is announced in a room.
        opened.fill();
        match (opened.ready.is_empty(), opened.failure.take()) {
            (true, Some(failure)) => Err(failure),
            (true, None) => Err(AudioError::Empty { path: opened.path }),
            (false, failure) => Ok(Self { failure, ..opened }),
        }
    }

    /// The next frame; the last one is filled up with silence.
    pub(super) fn next_frame(&mut self) -> Result<Option<PcmFrame>, AudioError> {
        self.fill();
        if self.ready.is_empty() {
            return self.failure.take().map_or(Ok(None), Err);
        }
        let mut pcm = [0.0; FRAME_SAMPLES];
        let len = self.ready.len().min(FRAME_SAMPLES);
        for (sample, ready) in pcm.iter_mut().zip(self.ready.drain(..len)) {
            *sample = ready;
        }
        Ok(Some(pcm))
    }

    /// Decodes until a frame is ready or the file is over.
    fn fill(&mut self) {
        while self.ready.len() < FRAME_SAMPLES {
            let Some(pass) = &mut self.pass else { return };
            match pass.decode_packet(&self.path, &mut self.interleaved) {
                Ok(Some(spec)) => {
                    if let Err(error) = self.convert(spec) {
                        self.end_pass(Some(error));
                    }
                }
                Ok(None) => {
                    let decoded = pass.decoded;
                    self.end_pass(None);
                    if self.repeat == Repeat::Forever && decoded > 0 {
                        self.reopen();
                    }
                }
                Err(error) => self.end_pass(Some(error)),
            }
        }
    }

    fn convert(&mut self, spec: Spec) -> Result<(), AudioError> {
        if spec.channels == 0 || spec.channels > CHANNELS_MAX {
            return Err(AudioError::Resample { rate_hz: spec.rate_hz, channels: spec.channels });
        }
        if spec.rate_hz != self.rate_hz {
            self.resampler.finish(&mut self.ready);
            self.resampler = MonoResampler::new(spec.rate_hz, SAMPLE_RATE_HZ)?;
            self.rate_hz = spec.rate_hz;
        }
        self.mono.clear();
        downmix(&self.interleaved, spec.channels, &mut self.mono);
        self.resampler.push(&self.mono, &mut self.ready);
        Ok(())
    }

    fn end_pass(&mut self, failure: Option<AudioError>) {
        self.resampler.finish(&mut self.ready);
        self.failure = failure;
        self.pass = None;
    }

    fn reopen(&mut self) {
        let opened = File::open(&self.path)
            .map_err(|source| AudioError::File { action: "open", path: self.path.clone(), source })
            .and_then(|file| Pass::open(&self.path, file, self.is_length_exact));
        match opened {
            Ok(pass) => self.pass = Some(pass),
            Err(error) => self.failure = Some(error),
        }
    }
}

/// How decoded samples are to be understood.
#[derive(Debug, Clone, Copy)]
struct Spec {
    rate_hz: u32,
    channels: usize,
}

impl Pass {
    fn open(path: &Path, file: File, is_length_exact: bool) -> Result<Self, AudioError> {
        let undecodable =
            |reason: String| AudioError::Undecodable { path: path.to_owned(), reason };
        let stream = MediaSourceStream::new(Box::new(file), Default::default());
        let format = symphonia::default::get_probe()
            .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
            .map_err(|error| undecodable(error.to_string()))?;
        let track = format
            .default_track(TrackType::Audio)
            .ok_or_else(|| undecodable("it has no audio track".into()))?;
        let parameters = track
            .codec_params
            .as_ref()
            .and_then(|parameters| parameters.audio())
            .ok_or_else(|| undecodable("its audio track has no parameters".into()))?;
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(parameters, &AudioDecoderOptions::default())
            .map_err(|error| undecodable(error.to_string()))?;
        let track_id = track.id;
        let promised = track.num_frames.filter(|_| is_length_exact).filter(|&samples| {
            let bits = parameters.bits_per_coded_sample.or(parameters.bits_per_sample);
            let channels = parameters.channels.as_ref().map_or(1, |channels| channels.count());
            samples * u64::from(bits.unwrap_or(8)) / 8 * (channels as u64) < STREAMED_BYTES
        });
        let rate_hz = parameters.sample_rate.unwrap_or(SAMPLE_RATE_HZ);
        Ok(Self { format, decoder, track_id, promised, decoded: 0, rate_hz, broken_in_row: 0 })
    }

    /// Decodes the next packet of the track into `interleaved`; `None` at the file's end.
    fn decode_packet(
        &mut self,
        path: &Path,
        interleaved: &mut Vec<f32>,
    ) -> Result<Option<Spec>, AudioError> {
        loop {
            let packet = match self.format.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => return self.end(path),
                Err(error) => return self.end_with(path, error),
            };
            if packet.track_id != self.track_id {
                continue;
            }
            match self.decoder.decode(&packet) {
                Ok(buffer) => {
                    self.broken_in_row = 0;
                    self.decoded += buffer.frames() as u64;
                    buffer.copy_to_vec_interleaved(interleaved);
                    let spec = buffer.spec();
                    return Ok(Some(Spec {
                        rate_hz: spec.rate(),
                        channels: spec.channels().count(),
                    }));
                }
                Err(error) => {
                    self.broken_in_row += 1;
                    if self.broken_in_row > BROKEN_PACKETS_MAX {
                        let reason = error.to_string();
                        return Err(AudioError::Undecodable { path: path.to_owned(), reason });
                    }
                }
            }
        }
    }

    fn end_with(&self, path: &Path, error: SymphoniaError) -> Result<Option<Spec>, AudioError> {
        #[allow(clippy::wildcard_enum_match_arm, reason = "symphonia's list of errors is open")]
        match error {
            SymphoniaError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.end(path)
            }
            SymphoniaError::IoError(source) => {
                Err(AudioError::File { action: "read", path: path.to_owned(), source })
            }
            other => {
                let reason = other.to_string();
                Err(AudioError::Undecodable { path: path.to_owned(), reason })
            }
        }
    }

    fn end(&self, path: &Path) -> Result<Option<Spec>, AudioError> {
        match self.promised {
            Some(promised) if self.decoded > 0 && self.decoded < promised => {
                let seconds = self.decoded as f64 / f64::from(self.rate_hz);
                Err(AudioError::Truncated { path: path.to_owned(), seconds })
            }
            Some(_) | None => Ok(None),
        }
    }
}
