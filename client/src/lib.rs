//! The library under the `tribune` command.
//!
//! * [`session`] — a stay in a room: connection, control stream, reconnects; use it without the rest
//! * [`audio`] — from a file or microphone to Opus frames, and from Opus frames to a loudspeaker
//! * [`cli`] — the command line over both

pub mod audio;
pub mod cli;
mod commands;
mod outcome;
mod output;
pub mod session;
mod stats;
mod status;
mod times;
mod tui;
