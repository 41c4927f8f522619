//! Errors of audio, each one sentence that names the wrong value.

use std::io;
use std::path::PathBuf;

/// An error of the audio side.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AudioError {
    /// libopus refused a setting or a packet.
    #[error("Opus could not {action}: {reason}")]
    Opus {
        /// The action, as an infinitive.
        action: &'static str,
        /// libopus' own reason.
        reason: &'static str,
    },
    /// A packet is not one 20 ms Opus frame within the size limit.
    #[error(
        "an Opus packet of {bytes} bytes and {samples} samples is not one 20 ms frame of at most 640 bytes"
    )]
    NotOneFrame {
        /// Length of the packet in bytes.
        bytes: usize,
        /// Samples at 48 kHz that its header promises; 0 if it cannot be parsed.
        samples: usize,
    },
    /// A bitrate outside of what Opus takes.
    #[error("a bitrate of {bps} b/s is outside 6000..=256000 b/s")]
    Bitrate {
        /// The wrong value in bits per second.
        bps: u32,
    },
    /// A tone that cannot be represented or heard.
    #[error("a tone of {hz} Hz is outside 20..=20000 Hz")]
    ToneHz {
        /// The wrong value in Hz.
        hz: f32,
    },
    /// A file cannot be opened, read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// The action: "open", "read", "write".
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Standard input (or another pipe) cannot be read.
    #[error("cannot read PCM from standard input: {source}")]
    Pipe {
        /// The system's reason.
        source: io::Error,
    },
    /// The content is no format that can be read.
    #[error("{} is none of WAV, FLAC, MP3, Ogg Vorbis and Ogg Opus", path.display())]
    UnknownFormat {
        /// Which file.
        path: PathBuf,
    },
    /// The file is of a known format, but not usable.
    #[error("{} cannot be decoded: {reason}", path.display())]
    Undecodable {
        /// Which file.
        path: PathBuf,
        /// Why, as a clause.
        reason: String,
    },
    /// The file holds no audio at all.
    #[error("{} holds no audio", path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// The file ends before its own header says it does; what is there was delivered first.
    #[error("{} is cut short: it ends after {seconds:.2} s in the middle of its audio", path.display())]
    Truncated {
        /// Which file.
        path: PathBuf,
        /// How much audio was there, in seconds.
        seconds: f64,
    },
    /// An output name that is none of the kinds of sink.
    #[error("output {name:?} is none of FILE.ogg, FILE.opus, FILE.wav, device and null")]
    SinkTarget {
        /// The name as given.
        name: String,
    },
    /// A WAV file cannot grow further.
    #[error("{} has reached the 4 GiB that a WAV file can hold", path.display())]
    WavFull {
        /// Which file.
        path: PathBuf,
    },
    /// There is no device for recording or playing.
    #[error("no {role} found: {hint}")]
    NoDevice {
        /// "microphone" or "loudspeaker".
        role: &'static str,
        /// The alternative.
        hint: &'static str,
    },
    /// There is a device, but it does not work.
    #[error("the {role} {name:?} cannot be used: {reason}")]
    Device {
        /// "microphone" or "loudspeaker".
        role: &'static str,
        /// The device's name.
        name: String,
        /// Why.
        reason: String,
    },
    /// Audio at a rate that cannot be converted to 48 kHz.
    #[error("audio at {rate_hz} Hz with {channels} channels cannot be converted to 48000 Hz mono")]
    Resample {
        /// The wrong rate in Hz.
        rate_hz: u32,
        /// The number of channels.
        channels: usize,
    },
}
