//! Events of `tribune speak` for programs, one line each.

use serde::Serialize;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{Note, TrackId};

/// An event that the command itself tells; changes of the room are told as they are.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Line<'a> {
    Joined {
        participant: String,
        track: Option<TrackId>,
        role: Role,
        relay: &'a str,
        depth: u8,
        reconnects: u32,
    },
    Granted {
        track: Option<TrackId>,
        reason: &'a Note,
    },
    Removed {
        reason: &'a Note,
    },
    Hand {
        place: Option<u32>,
        reason: &'a Note,
    },
    Silenced {
        on: bool,
        reason: &'a Note,
    },
    Muted {
        by: &'a str,
        reason: &'a Note,
    },
    Sending {
        t_s: u64,
        sent: u64,
        muted: bool,
        silenced: bool,
    },
    Ended {
        sent: u64,
        duration_s: f64,
    },
}
