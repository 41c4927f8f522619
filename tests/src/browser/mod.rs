//! Real browsers on this machine, for the tests of the page: Debian's Chromium and Firefox, each with a fresh
//! profile, a loudspeaker that is recorded and, in Chromium, a microphone that plays a file.
//!
//! `web/browser/drive.mjs` drives them over puppeteer; what is done and asked is decided here. Like all
//! processes of the tests they end when their handle is dropped, and every wait has a limit.

mod driver;
mod ear;
mod heard;
mod loudspeaker;
mod network;
mod page;
mod speaker;
mod tools;
mod wish;

pub use driver::{Browser, Violation, WebStatistics};
pub use ear::Ear;
pub use heard::{Found, find, longest_silence_ms, loud_part, loudness_at, pitch_hz, silences};
pub use loudspeaker::Loudspeaker;
pub use network::Network;
pub use page::{room_url, web_relay};
pub use speaker::Speaker;
pub use tools::{Kind, with_browsers};
pub use wish::BrowserOptions;
