//! Sound: from a file or microphone to Opus frames, and from Opus frames to a recording or loudspeaker.
//!
//! Nothing in here knows the network, the protocol or a clock. A speaker drives
//! [`source::Source`] → [`speak::SpeakerPipeline`]; a listener drives [`playout::Player`] →
//! [`sink::Sink`], one tick every [`TICK_PERIOD`].
//!
//! | module | content | pure |
//! |---|---|---|
//! | [`source`] | where a speaker's audio comes from: file, Ogg Opus, tone, pipe, microphone | no: reads |
//! | [`resample`] | any rate and channel count to 48 kHz mono | yes |
//! | [`encode`] | PCM to one Opus packet per frame period, as redundant as needed | yes |
//! | [`level`] | RFC 6464 audio level, and the voice bit | yes |
//! | [`talkspurt`] | which frames are sent, and which one announces a silence | yes |
//! | [`speak`] | the three above in a row: source frame in, numbered frame out | yes |
//! | [`jitter`] | adaptive jitter buffer, one per track | yes |
//! | [`decode`] | Opus to PCM, with recovery and concealment | yes |
//! | [`stretch`] | time-stretching by single periods of the pitch | yes |
//! | [`tick`] | output of a tick | yes |
//! | `track` | jitter buffer, decoder and stretching of one track | yes |
//! | [`mix`] | several tracks to one | yes |
//! | [`playout`] | tracks and mixer behind one `tick` | yes |
//! | [`drift`] | resampling to the clock of a sound card | yes |
//! | [`sink`] | destinations of the mix: Ogg Opus, WAV, loudspeaker, nowhere | no: writes |
//! | [`device`] | common parts of microphone and loudspeaker | no: sound hardware |
//!
//! Inside, all audio is 48 kHz mono `f32` in −1.0..=1.0, in frames of [`FRAME_SAMPLES`].

use std::time::Duration;

pub mod decode;
pub mod device;
pub mod drift;
pub mod encode;
pub mod error;
pub mod mix;
mod opus_head;
pub mod playout;
pub mod resample;
pub mod sink;
pub mod source;
pub mod speak;
pub mod stretch;
pub mod tick;
mod track;

pub use error::AudioError;
pub use tribune_client_core::{jitter, level, talkspurt};

/// Sample rate of all PCM inside the client, in Hz: the rate Opus decodes at (RFC 6716).
pub const SAMPLE_RATE_HZ: u32 = 48_000;

/// Samples in one frame: 20 ms at [`SAMPLE_RATE_HZ`].
pub const FRAME_SAMPLES: usize = 960;

/// Time that one frame covers.
pub const FRAME_PERIOD: Duration = Duration::from_millis(20);

/// Samples in one tick of a player.
pub const TICK_SAMPLES: usize = FRAME_SAMPLES / TICKS_PER_FRAME;

/// Time between two ticks of a player: 5 ms. A frame waits for the next tick, so a tick is what playout costs in
/// delay; and a tick is a wake-up, of which 200 a second are little beside what the codec needs.
pub const TICK_PERIOD: Duration = Duration::from_millis(5);

/// Ticks in a frame period.
pub const TICKS_PER_FRAME: usize = 4;

/// Frame periods in a second.
pub const FRAMES_PER_SECOND: u32 = 50;

/// Largest Opus packet that fits the wire's frame, in bytes: 256 kb/s for 20 ms.
pub const FRAME_BYTES_MAX: usize = 640;

/// One frame period of PCM.
pub type PcmFrame = [f32; FRAME_SAMPLES];

/// One tick of PCM.
pub type TickPcm = [f32; TICK_SAMPLES];

/// A tick of digital silence.
pub const SILENT_TICK: TickPcm = [0.0; TICK_SAMPLES];

/// A frame of digital silence.
pub const SILENT_FRAME: PcmFrame = [0.0; FRAME_SAMPLES];
