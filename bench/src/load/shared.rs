//! State and helpers that the threads of a load share: counters, the stop flag, the join message, the pace.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rand::TryRng;
use rand::rngs::SysRng;
use tribune_protocol::control::participant::Join;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::SessionKey;
use tribune_protocol::media::FrameSource;
use tribune_protocol::media::datagram::{Frame, MediaDatagram};

use crate::pool::client_pool::Received;

/// Sweep period of all sockets. It adds half of itself to latencies on average and all of it at worst,
/// well below the 3 ms that a relay may add; a sweep of a thousand empty sockets takes about a tenth of it.
pub(crate) const SWEEP: Duration = Duration::from_millis(1);
/// Error of the system's random number generator.
pub(crate) const NO_RANDOM: &str = "the system gives no random numbers";

/// Counters and flags that the threads of a load share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Stop flag of all threads.
    stop: AtomicBool,
    /// Speakers that are in.
    speakers_in: AtomicUsize,
    /// Listeners that are in.
    listeners_in: AtomicUsize,
    /// Participants whose connection ended.
    gone: AtomicUsize,
    /// Frames that all listeners, transient ones included, received, measured or not.
    frames: AtomicU64,
    /// Datagrams that carried them.
    datagrams: AtomicU64,
    /// UDP packets that these listeners received, and the bytes in them.
    packets: AtomicU64,
    bytes: AtomicU64,
    /// Thread ids of the listeners' threads.
    listener_threads: Mutex<Vec<u32>>,
}

impl Shared {
    /// Tells all threads to end.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether the threads are to end.
    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Listeners that are in.
    pub(crate) fn listeners_in(&self) -> usize {
        self.listeners_in.load(Ordering::Relaxed)
    }

    /// Participants whose connection ended.
    pub(crate) fn gone(&self) -> usize {
        self.gone.load(Ordering::Relaxed)
    }

    /// Speakers that are in.
    pub(crate) fn speakers_in(&self) -> usize {
        self.speakers_in.load(Ordering::Relaxed)
    }

    /// Frames received by all listeners, transient ones included, measured or not.
    pub(crate) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Datagrams that carried them.
    pub(crate) fn datagrams(&self) -> u64 {
        self.datagrams.load(Ordering::Relaxed)
    }

    /// Counts what the listeners' sockets have received.
    pub(crate) fn add_received(&self, received: Received) {
        self.packets.fetch_add(received.packets, Ordering::Relaxed);
        self.bytes.fetch_add(received.bytes, Ordering::Relaxed);
    }

    /// UDP packets that the listeners received.
    pub(crate) fn received(&self) -> Received {
        Received {
            packets: self.packets.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// Thread ids of the listeners' threads.
    ///
    /// # Errors
    /// A thread panicked.
    pub(crate) fn listener_threads(&self) -> Result<Vec<u32>> {
        let threads = self.listener_threads.lock();
        Ok(threads.map_err(|_| anyhow!("a thread panicked"))?.clone())
    }

    /// Adds the thread id of a listeners' thread.
    ///
    /// # Errors
    /// A thread has panicked.
    pub(crate) fn add_listener_thread(&self, thread: u32) -> Result<()> {
        let threads = self.listener_threads.lock();
        threads.map_err(|_| anyhow!("a thread has panicked"))?.push(thread);
        Ok(())
    }

    /// Counts a speaker that was admitted.
    pub(crate) fn count_speaker_in(&self) {
        self.speakers_in.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a listener that was admitted.
    pub(crate) fn count_listener_in(&self) {
        self.listeners_in.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a datagram that a listener received, and hands its frames to `take`.
    pub(crate) fn count(&self, media: &MediaDatagram, mut take: impl FnMut(&Frame, FrameSource)) {
        self.datagrams.fetch_add(1, Ordering::Relaxed);
        for (place, frame) in media.frames().map_while(Result::ok).enumerate() {
            self.frames.fetch_add(1, Ordering::Relaxed);
            take(&frame, media.source(place));
        }
    }

    /// Counts a participant whose connection ended; the first reason goes to standard error.
    pub(crate) fn count_gone(&self, who: &str, why: &str) {
        if self.gone.fetch_add(1, Ordering::Relaxed) == 0 {
            eprintln!("{who} is gone: {why}");
        }
    }
}

/// Sleeps until an instant, if it is not over.
pub(crate) fn rest_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}

/// First message of a participant.
///
/// # Errors
/// An invalid room or name.
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
        profile: None,
        redundancy: false,
        way: None,
        share: None,
        stay_s: None,
    })
}
