//! An Ogg Opus file (RFC 7845).
//!
//! Where every packet is one 20 ms frame that fits the wire, and no gain is to be applied, packets
//! pass as they are: no second encoding, no loss. That is decided for the whole file when it is
//! opened. Everything else is decoded, for the speaker's encoder to encode anew.
//!
//! Passed through, the few milliseconds of pre-skip at the beginning and of padding at the end are
//! sent too, because only a decoder could cut them off. They are silent in practice.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ogg::{OggReadError, PacketReader};

use super::{Repeat, SourceFrame};
use crate::audio::decode::check_one_frame;
use crate::audio::opus_head::{HEAD_MAGIC, OpusHead, TAGS_MAGIC};
use crate::audio::{AudioError, FRAME_SAMPLES, SAMPLE_RATE_HZ};

/// Samples of the longest Opus packet: 120 ms at 48 kHz (RFC 6716, 3.2.5).
const PACKET_SAMPLES_MAX: usize = 5_760;

/// An Ogg Opus file that is being played.
pub struct OggOpusFile {
    path: PathBuf,
    repeat: Repeat,
    packets: OpusPackets,
    mode: Mode,
    is_over: bool,
}

enum Mode {
    PassThrough,
    Decode(Box<Decode>),
}

/// Decodes packets of any length to frames.
struct Decode {
    decoder: opus::Decoder,
    /// Samples still to be thrown away.
    skip: usize,
    /// Samples decoded since the stream's beginning, pre-skip included.
    position: u64,
    ready: VecDeque<f32>,
    /// The error to report once `ready` has been delivered.
    failure: Option<AudioError>,
}

impl std::fmt::Debug for OggOpusFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OggOpusFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl OggOpusFile {
    pub(super) fn open(path: &Path, file: File, repeat: Repeat) -> Result<Self, AudioError> {
        let survey = survey(path, file)?;
        let packets = OpusPackets::reopen(path)?;
        let mode = if survey.is_passable {
            Mode::PassThrough
        } else {
            Mode::Decode(Box::new(Decode::new()?))
        };
        Ok(Self { path: path.to_owned(), repeat, packets, mode, is_over: false })
    }

    pub(super) fn is_passed_through(&self) -> bool {
        matches!(self.mode, Mode::PassThrough)
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<SourceFrame>, AudioError> {
        loop {
            if let Some(frame) = self.take_ready() {
                return Ok(Some(frame));
            }
            if self.is_over {
                return self.finish();
            }
            match self.packets.next() {
                Ok(Some(Item::Audio { opus, .. })) if self.is_passed_through() => {
                    return Ok(Some(SourceFrame::Opus(opus)));
                }
                Ok(Some(item)) => self.decode(item),
                Ok(None) if self.repeat == Repeat::Forever => {
                    self.packets = OpusPackets::reopen(&self.path)?;
                }
                Ok(None) => self.is_over = true,
                Err(error) => {
                    self.is_over = true;
                    match &mut self.mode {
                        Mode::PassThrough => return Err(error),
                        Mode::Decode(decode) => decode.failure = Some(error),
                    }
                }
            }
        }
    }

    fn decode(&mut self, item: Item) {
        let Mode::Decode(decode) = &mut self.mode else { return };
        if let Err(reason) = decode.handle(item) {
            decode.failure = Some(AudioError::Undecodable { path: self.path.clone(), reason });
            self.is_over = true;
        }
    }

    fn take_ready(&mut self) -> Option<SourceFrame> {
        let Mode::Decode(decode) = &mut self.mode else { return None };
        let is_enough =
            decode.ready.len() >= FRAME_SAMPLES || (self.is_over && !decode.ready.is_empty());
        is_enough.then(|| {
            let mut pcm = [0.0; FRAME_SAMPLES];
            let len = decode.ready.len().min(FRAME_SAMPLES);
            for (sample, ready) in pcm.iter_mut().zip(decode.ready.drain(..len)) {
                *sample = ready;
            }
            SourceFrame::Pcm(pcm)
        })
    }

    fn finish(&mut self) -> Result<Option<SourceFrame>, AudioError> {
        match &mut self.mode {
            Mode::PassThrough => Ok(None),
            Mode::Decode(decode) => decode.failure.take().map_or(Ok(None), Err),
        }
    }
}

impl Decode {
    fn new() -> Result<Self, AudioError> {
        let decoder = opus::Decoder::new(SAMPLE_RATE_HZ, opus::Channels::Mono).map_err(
            |error: opus::Error| AudioError::Opus {
                action: "set up a decoder",
                reason: error.description(),
            },
        )?;
        Ok(Self { decoder, skip: 0, position: 0, ready: VecDeque::new(), failure: None })
    }

    /// Decodes what comes next in the file; otherwise says why it cannot, as a clause.
    fn handle(&mut self, item: Item) -> Result<(), String> {
        match item {
            Item::Head(head) => {
                self.decoder.reset_state().map_err(|error| error.to_string())?;
                self.decoder
                    .set_gain(i32::from(head.gain_q8_db))
                    .map_err(|error| error.to_string())?;
                self.skip = usize::from(head.pre_skip);
                self.position = 0;
            }
            Item::Audio { opus, end_granule } => {
                let mut pcm = [0.0; PACKET_SAMPLES_MAX];
                let samples = self
                    .decoder
                    .decode_float(&opus, &mut pcm, false)
                    .map_err(|error| error.to_string())?;
                // RFC 7845, 4.5: the last page's granule position cuts the padding off.
                let kept = end_granule.map_or(samples, |end| {
                    samples
                        .min(usize::try_from(end.saturating_sub(self.position)).unwrap_or(samples))
                });
                self.position += samples as u64;
                let skip = self.skip.min(kept);
                self.skip -= skip;
                self.ready.extend(&pcm[skip..kept]);
            }
        }
        Ok(())
    }
}

/// Findings of a scan of the whole file.
struct Survey {
    is_passable: bool,
}

fn survey(path: &Path, file: File) -> Result<Survey, AudioError> {
    let mut packets = OpusPackets::new(path, file);
    let (mut audio_packets, mut is_passable) = (0_u64, true);
    loop {
        match packets.next() {
            Ok(Some(Item::Head(head))) => is_passable &= head.gain_q8_db == 0,
            Ok(Some(Item::Audio { opus, .. })) => {
                audio_packets += 1;
                is_passable &= check_one_frame(&opus).is_ok();
            }
            Ok(None) => break,
            // Reported when playing gets there, if something can be played until then.
            Err(error) if audio_packets == 0 => return Err(error),
            Err(_) => break,
        }
    }
    if audio_packets == 0 {
        return Err(AudioError::Empty { path: path.to_owned() });
    }
    Ok(Survey { is_passable })
}

/// Parts of an Ogg Opus file.
enum Item {
    /// A stream begins. Chained files have several.
    Head(OpusHead),
    Audio {
        opus: Bytes,
        /// In the last packet of a stream: the granule position at which its sound ends.
        end_granule: Option<u64>,
    },
}

/// Reads the packets of the first Opus stream, and of those chained to it.
struct OpusPackets {
    path: PathBuf,
    reader: PacketReader<BufReader<File>>,
    serial: Option<u32>,
    samples: u64,
}

impl OpusPackets {
    fn new(path: &Path, file: File) -> Self {
        let reader = PacketReader::new(BufReader::new(file));
        Self { path: path.to_owned(), reader, serial: None, samples: 0 }
    }

    fn reopen(path: &Path) -> Result<Self, AudioError> {
        let file = File::open(path).map_err(|source| AudioError::File {
            action: "open",
            path: path.to_owned(),
            source,
        })?;
        Ok(Self::new(path, file))
    }

    fn next(&mut self) -> Result<Option<Item>, AudioError> {
        loop {
            let packet = match self.reader.read_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.read_error(error)),
            };
            if packet.first_in_stream() {
                // A second stream that runs beside the first (video, say) is not ours; one that
                // follows it is.
                if packet.data.starts_with(HEAD_MAGIC) {
                    self.serial = Some(packet.stream_serial());
                    let head = OpusHead::parse(&packet.data).map_err(|reason| {
                        AudioError::Undecodable { path: self.path.clone(), reason }
                    })?;
                    return Ok(Some(Item::Head(head)));
                }
                continue;
            }
            let is_ours = self.serial == Some(packet.stream_serial());
            if !is_ours || packet.data.starts_with(TAGS_MAGIC) || packet.data.is_empty() {
                continue;
            }
            self.samples += opus::packet::get_nb_samples(&packet.data, SAMPLE_RATE_HZ)
                .unwrap_or_default() as u64;
            let end_granule = packet.last_in_stream().then(|| packet.absgp_page());
            return Ok(Some(Item::Audio { opus: packet.data.into(), end_granule }));
        }
    }

    fn read_error(&self, error: OggReadError) -> AudioError {
        let path = self.path.clone();
        match error {
            OggReadError::ReadError(error) if error.kind() == ErrorKind::UnexpectedEof => {
                let seconds = self.samples as f64 / f64::from(SAMPLE_RATE_HZ);
                AudioError::Truncated { path, seconds }
            }
            OggReadError::ReadError(source) => AudioError::File { action: "read", path, source },
            OggReadError::NoCapturePatternFound
            | OggReadError::InvalidStreamStructVer(_)
            | OggReadError::HashMismatch(_, _)
            | OggReadError::InvalidData => AudioError::Undecodable {
                path,
                reason: format!("its Ogg pages are broken: {error}"),
            },
        }
    }
}
