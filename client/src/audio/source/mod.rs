//! Where a speaker's audio comes from.
//!
//! A [`Source`] is read from a thread of its own: [`Source::next_frame`] blocks on files, pipes and
//! the microphone. It keeps no time; the reader asks once per frame period, except that a
//! microphone comes at its own pace ([`Source::is_live`]).

mod file;
mod microphone;
mod ogg_opus;
mod pipe;
mod tone;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use bytes::Bytes;

use self::file::PcmFile;
use self::microphone::Microphone;
use self::ogg_opus::OggOpusFile;
use self::pipe::Pipe;
use self::tone::Tone;
use super::{AudioError, PcmFrame};

/// Behaviour at the end of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Repeat {
    /// Stop.
    #[default]
    Once,
    /// Start again, without a gap.
    Forever,
}

/// One frame period from a source.
#[allow(clippy::large_enum_variant, reason = "there is one at a time, 50 times a second")]
#[derive(Debug, Clone, PartialEq)]
pub enum SourceFrame {
    /// Sound to be encoded.
    Pcm(PcmFrame),
    /// One Opus packet of 20 ms and at most 640 bytes, to be sent as it is.
    Opus(Bytes),
}

/// Where a speaker's audio comes from.
#[derive(Debug)]
pub enum Source {
    /// A decoded file.
    File(Box<PcmFile>),
    /// An Ogg Opus file, passed through where its packets fit.
    OggOpus(Box<OggOpusFile>),
    /// A sine.
    Tone(Tone),
    /// Raw PCM from a pipe.
    Pipe(Pipe),
    /// The microphone.
    Microphone(Box<Microphone>),
}

impl Source {
    /// Opens a WAV, FLAC, MP3, Ogg Vorbis or Ogg Opus file; its content says which, not its name.
    ///
    /// # Errors
    /// If it cannot be read, is of no known format, or holds no audio.
    pub fn open_file(path: impl AsRef<Path>, repeat: Repeat) -> Result<Self, AudioError> {
        let path = path.as_ref();
        let file_error =
            |action| move |source| AudioError::File { action, path: path.to_owned(), source };
        let mut file = File::open(path).map_err(file_error("open"))?;
        let mut start = [0; SNIFF_BYTES];
        let len = read_up_to(&mut file, &mut start).map_err(file_error("read"))?;
        file.seek(SeekFrom::Start(0)).map_err(file_error("read"))?;
        match sniff(&start[..len]) {
            _ if len == 0 => Err(AudioError::Empty { path: path.to_owned() }),
            None => Err(AudioError::UnknownFormat { path: path.to_owned() }),
            Some(Format::OggOpus) => {
                Ok(Self::OggOpus(Box::new(OggOpusFile::open(path, file, repeat)?)))
            }
            Some(Format::Decodable { is_length_exact }) => {
                Ok(Self::File(Box::new(PcmFile::open(path, file, repeat, is_length_exact)?)))
            }
        }
    }

    /// A sine of `hz` Hz at −15 dBov, without end.
    ///
    /// # Errors
    /// If `hz` is outside 20..=20000.
    pub fn tone(hz: f32) -> Result<Self, AudioError> {
        Ok(Self::Tone(Tone::new(hz)?))
    }

    /// Standard input: signed 16-bit little-endian samples, 48 kHz mono.
    pub fn stdin() -> Self {
        Self::reader(Box::new(std::io::stdin()))
    }

    /// Any other reader of the same samples as [`Self::stdin`].
    pub fn reader(reader: Box<dyn Read + Send>) -> Self {
        Self::Pipe(Pipe::new(reader))
    }

    /// The system's default microphone.
    ///
    /// # Errors
    /// If there is none, or it does not work; the error says what is missing.
    pub fn microphone() -> Result<Self, AudioError> {
        Ok(Self::Microphone(Box::new(Microphone::open()?)))
    }

    /// The next frame period; `None` when the source has ended. Blocks as long as it takes to read.
    ///
    /// # Errors
    /// If the rest of the source cannot be read or decoded. It is over then.
    pub fn next_frame(&mut self) -> Result<Option<SourceFrame>, AudioError> {
        match self {
            Self::File(file) => Ok(file.next_frame()?.map(SourceFrame::Pcm)),
            Self::OggOpus(file) => file.next_frame(),
            Self::Tone(tone) => Ok(Some(SourceFrame::Pcm(tone.next_frame()))),
            Self::Pipe(pipe) => Ok(pipe.next_frame()?.map(SourceFrame::Pcm)),
            Self::Microphone(microphone) => Ok(Some(SourceFrame::Pcm(microphone.next_frame()?))),
        }
    }

    /// Whether frames come at the pace of a device. Other sources deliver as fast as they are read,
    /// so the reader has to wait for the next frame period itself.
    pub fn is_live(&self) -> bool {
        match self {
            Self::Microphone(_) => true,
            Self::File(_) | Self::OggOpus(_) | Self::Tone(_) | Self::Pipe(_) => false,
        }
    }

    /// Whether frames are the file's own Opus packets.
    pub fn is_passed_through(&self) -> bool {
        match self {
            Self::OggOpus(file) => file.is_passed_through(),
            Self::File(_) | Self::Tone(_) | Self::Pipe(_) | Self::Microphone(_) => false,
        }
    }
}

/// Reader of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    OggOpus,
    /// One of those that symphonia decodes.
    Decodable {
        /// The header states how long the file is.
        is_length_exact: bool,
    },
}

/// Bytes from which a format is told: an Ogg page header with one segment, and the packet's magic.
const SNIFF_BYTES: usize = 64;

/// Tells the format by the first bytes.
fn sniff(start: &[u8]) -> Option<Format> {
    /// In the first page of an Ogg stream the packet follows 27 bytes of header and one lacing value.
    const OGG_PACKET_AT: usize = 28;

    let is_wav = start.starts_with(b"RIFF") && start.get(8..12) == Some(b"WAVE".as_slice());
    let is_flac = start.starts_with(b"fLaC");
    // An ID3 tag, or a frame header of MPEG audio layer 3: 11 bits of sync, a version, a layer.
    let is_mp3 =
        start.starts_with(b"ID3") || matches!(start, [0xff, second, ..] if second & 0xe6 == 0xe2);
    if start.starts_with(b"OggS") {
        let packet = start.get(OGG_PACKET_AT..).unwrap_or_default();
        if packet.starts_with(super::opus_head::HEAD_MAGIC) {
            Some(Format::OggOpus)
        } else {
            packet
                .starts_with(b"\x01vorbis")
                .then_some(Format::Decodable { is_length_exact: false })
        }
    } else {
        let is_length_exact = is_wav || is_flac;
        (is_length_exact || is_mp3).then_some(Format::Decodable { is_length_exact })
    }
}

fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match reader.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}
