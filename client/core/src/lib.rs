//! A participant without I/O: no socket, no clock read, no async. Bytes of the control stream and
//! datagrams go in and come out, `now` is a parameter.
//!
//! The `tribune` command drives it over quinn, the simulated network over quinn-proto in virtual time.
//!
//! | module | content |
//! |---|---|
//! | [`participant`] | a stay in a room, over one connection after the other |
//! | [`connection`] | one connection: control messages, requests, clock probes, datagrams |
//! | [`frame`] | audio frames from and to the network |
//! | [`room_view`], [`audience`], [`change`], [`words`] | the room as its messages tell it; what has changed, as text |
//! | [`subject`] | the participants that a command names |
//! | [`reconnect`] | retries: whether, where and when |
//! | [`handoff`] | search for another relay, overlap with the present one |
//! | [`delivery`] | profile by which frames come, and the delay of playout |
//! | [`dedup`] | duplicates and gaps of each track across connections |
//! | [`clock`], [`identity`], [`address`] | local microseconds, ids, `HOST:PORT` |
//! | [`report`], [`playout`] | reports of quality, and the counters that they are made of |
//! | [`jitter`] | adaptive jitter buffer of one track |
//! | [`encoding`] | settings of a speaker's encoder, by what is lost |
//! | [`opus_packet`] | layout, voice and redundancy of Opus packets |
//! | [`level`], [`talkspurt`] | audio level; which frames of a speaker are sent |

pub mod address;
pub mod audience;
pub mod change;
pub mod clock;
pub mod connection;
pub mod dedup;
pub mod delivery;
pub mod encoding;
pub mod frame;
pub mod handoff;
pub mod identity;
pub mod jitter;
pub mod level;
pub mod opus_packet;
pub mod participant;
pub mod playout;
pub mod reconnect;
pub mod report;
pub mod room_view;
pub mod subject;
pub mod talkspurt;
pub mod words;
