//! State and helpers that the threads of a load share: counters, the stop flag, the join message, the pace.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand::TryRng;
use rand::rngs::SysRng;
use tribune_protocol::control::participant::Join;
use tribune_protocol::domain::room::Role;
use tribune_protocol::ids::SessionKey;
use tribune_protocol::media::datagram::{Frame, MediaDatagram};

/// From one sweep of all sockets to the next. Latencies are late by half of it on average and by all
/// of it at worst, which is well below the 3 ms that a relay may add; a sweep of a thousand sockets
/// that have nothing takes about a tenth of it.
pub(crate) const SWEEP: Duration = Duration::from_millis(1);
/// Why nothing can be done without.
pub(crate) const NO_RANDOM: &str = "the system gives no random numbers";

/// What the threads of a load share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Tells the threads to end.
    pub(crate) stop: AtomicBool,
    /// Speakers that are in.
    pub(crate) speakers_in: AtomicUsize,
    /// Listeners that are in.
    pub(crate) listeners_in: AtomicUsize,
    /// Participants whose connection is over.
    pub(crate) gone: AtomicUsize,
    /// Frames that listeners and guests have heard, measured or not.
    pub(crate) frames: AtomicU64,
    /// Datagrams in which they came.
    pub(crate) datagrams: AtomicU64,
    /// The numbers of the listeners' threads.
    pub(crate) listener_threads: Mutex<Vec<u32>>,
}

impl Shared {
    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Listeners that are in.
    pub(crate) fn joined(&self) -> u32 {
        self.listeners_in.load(Ordering::Relaxed) as u32
    }

    /// Participants whose connection is over.
    pub(crate) fn gone(&self) -> usize {
        self.gone.load(Ordering::Relaxed)
    }

    /// Counts a datagram that a listener or a guest has got; its frames go to `take`.
    pub(crate) fn count(&self, media: &MediaDatagram, mut take: impl FnMut(&Frame)) {
        self.datagrams.fetch_add(1, Ordering::Relaxed);
        for frame in media.frames().map_while(Result::ok) {
            self.frames.fetch_add(1, Ordering::Relaxed);
            take(&frame);
        }
    }

    /// A participant's connection is over; the first time it is said why.
    pub(crate) fn count_gone(&self, who: &str, why: &str) {
        if self.gone.fetch_add(1, Ordering::Relaxed) == 0 {
            eprintln!("{who} is gone: {why}");
        }
    }
}

/// Sleeps, if there is time left.
pub(crate) fn rest_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}

/// What a participant says first.
///
/// # Errors
/// A name that is none.
pub(crate) fn join(room: &str, role: Role, name: &str, number: usize) -> Result<Join> {
    let mut session = [0; 16];
    SysRng.try_fill_bytes(&mut session).context(NO_RANDOM)?;
    Ok(Join {
        room: room.parse()?,
        session: SessionKey(session),
        name: format!("{name} {number}").parse()?,
        role,
        token: None,
        returning: false,
        heard: Vec::new(),
    })
}
