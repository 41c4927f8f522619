//! Destinations of the mix: files, loudspeaker, nowhere.
//!
//! A sink takes the sound of each tick, silence included, so a recording lasts as long as the listening
//! did. Writing to a file may block for as long as a disk does.

mod loudspeaker;
mod ogg_opus;
mod wav;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use self::loudspeaker::Loudspeaker;
use self::ogg_opus::OggOpusWriter;
use self::wav::WavWriter;
use super::{AudioError, FRAMES_PER_SECOND};

/// Frames after which a file is brought up to date on disk: the most that a killed recorder loses.
const FLUSH_FRAMES: u32 = FRAMES_PER_SECOND;

/// The name of a sink, as a command line gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkTarget {
    /// Ogg Opus: a name that ends in `.ogg` or `.opus`.
    OggOpus(PathBuf),
    /// 16-bit PCM: a name that ends in `.wav`.
    Wav(PathBuf),
    /// `device`: the system's loudspeaker.
    Device,
    /// `null`: nowhere.
    Null,
}

impl SinkTarget {
    /// Whether it keeps the sound.
    #[must_use]
    pub const fn is_file(&self) -> bool {
        match self {
            Self::OggOpus(_) | Self::Wav(_) => true,
            Self::Device | Self::Null => false,
        }
    }
}

impl FromStr for SinkTarget {
    type Err = AudioError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
        match (name, extension.map(str::to_ascii_lowercase).as_deref()) {
            ("device", _) => Ok(Self::Device),
            ("null", _) => Ok(Self::Null),
            (_, Some("ogg" | "opus")) => Ok(Self::OggOpus(name.into())),
            (_, Some("wav")) => Ok(Self::Wav(name.into())),
            (_, _) => Err(AudioError::SinkTarget { name: name.to_owned() }),
        }
    }
}

impl std::fmt::Display for SinkTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OggOpus(path) | Self::Wav(path) => path.display().fmt(f),
            Self::Device => f.write_str("device"),
            Self::Null => f.write_str("null"),
        }
    }
}

/// Destination of the mix.
#[derive(Debug)]
pub enum Sink {
    /// An Ogg Opus file.
    OggOpus(Box<OggOpusWriter>),
    /// A WAV file.
    Wav(Box<WavWriter>),
    /// The loudspeaker.
    Device(Box<Loudspeaker>),
    /// Nowhere.
    Null,
}

impl Sink {
    /// Opens a sink; a file that exists is overwritten.
    ///
    /// # Errors
    /// If the file cannot be created, or there is no loudspeaker; the error says what is missing.
    pub fn open(target: &SinkTarget) -> Result<Self, AudioError> {
        Ok(match target {
            SinkTarget::OggOpus(path) => Self::OggOpus(Box::new(OggOpusWriter::create(path)?)),
            SinkTarget::Wav(path) => Self::Wav(Box::new(WavWriter::create(path)?)),
            SinkTarget::Device => Self::Device(Box::new(Loudspeaker::open()?)),
            SinkTarget::Null => Self::Null,
        })
    }

    /// Takes the sound that follows, any number of samples.
    ///
    /// # Errors
    /// If it cannot be written, or the loudspeaker has failed.
    pub fn write(&mut self, pcm: &[f32]) -> Result<(), AudioError> {
        match self {
            Self::OggOpus(writer) => writer.write(pcm),
            Self::Wav(writer) => writer.write(pcm),
            Self::Device(loudspeaker) => loudspeaker.write(pcm),
            Self::Null => Ok(()),
        }
    }

    /// Completes a file. Without this it is playable too, up to a second before its end.
    ///
    /// # Errors
    /// If the rest cannot be written.
    pub fn finish(self) -> Result<(), AudioError> {
        match self {
            Self::OggOpus(writer) => writer.finish(),
            Self::Wav(writer) => writer.finish(),
            Self::Device(_) | Self::Null => Ok(()),
        }
    }
}
