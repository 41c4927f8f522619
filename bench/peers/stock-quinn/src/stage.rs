//! Speakers of one window: a connection and a socket each. They join before it and leave after it, so that
//! in a window of one speaker the relay serves no other.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use hdrhistogram::Histogram;
use quinn::{Connection, Endpoint, VarInt};
use tribune_bench::contender::latencies;
use tribune_bench::frame::{Schedule, Stamp};

use crate::server::Dial;

/// Time for the admission of a speaker.
const ENTER_WITHIN: Duration = Duration::from_secs(15);
/// Longest sleep of the speakers' thread, so that acknowledgements are read.
const NAP: Duration = Duration::from_millis(5);
/// Time for the relay to notice that the speakers leave.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// Speakers that are in.
#[derive(Debug)]
pub(crate) struct Stage {
    speakers: Vec<(Endpoint, Connection)>,
    number: u16,
    frame: Vec<u8>,
    /// Index of the next frame, over all speakers in the order in which frames are due.
    next: u64,
    lateness_us: Histogram<u64>,
}

impl Stage {
    /// Connects the speakers of window `number`.
    ///
    /// # Errors
    /// A speaker is not admitted.
    pub(crate) async fn enter(
        dial: Dial,
        speakers: u16,
        number: u16,
        frame_bytes: usize,
    ) -> Result<Self> {
        let mut entered = Vec::new();
        for speaker in 0..speakers {
            let endpoint = dial.endpoint()?;
            let connection = tokio::time::timeout(ENTER_WITHIN, dial.connect(&endpoint)).await;
            let connection = connection.with_context(|| format!("speaker {speaker}: no answer"))?;
            entered.push((endpoint, connection.with_context(|| format!("speaker {speaker}"))?));
        }
        let frame = vec![0xa5; frame_bytes];
        Ok(Self { speakers: entered, number, frame, next: 0, lateness_us: latencies()? })
    }

    /// Sends each frame that is due before an instant, and returns at that instant.
    pub(crate) async fn speak_until(&mut self, schedule: &Schedule, until: Instant) {
        loop {
            let due = self.say_what_is_due(schedule, until);
            // quinn's own tasks send and receive now.
            tokio::task::yield_now().await;
            let now = Instant::now();
            if now >= until {
                return;
            }
            let nap = due.map_or(until, |due| due.min(until)).saturating_duration_since(now);
            std::thread::sleep(nap.min(NAP));
        }
    }

    /// Disconnects the speakers. Returns the lateness of measured frames, in microseconds.
    pub(crate) async fn leave(self) -> Histogram<u64> {
        for (endpoint, connection) in &self.speakers {
            connection.close(VarInt::from_u32(0), b"");
            // A speaker whose close is lost times out later.
            let _ = tokio::time::timeout(LEAVE_WITHIN, endpoint.wait_idle()).await;
        }
        self.lateness_us
    }

    /// Sends the frames that are due. Returns when the next one is, if there is one.
    fn say_what_is_due(&mut self, schedule: &Schedule, until: Instant) -> Option<Instant> {
        let count = self.speakers.len();
        while self.next < u64::from(schedule.frames()) * count as u64 {
            let (index, speaker) = ((self.next / count as u64) as u32, self.next as usize % count);
            let due = schedule.due(index, speaker, count);
            let now = Instant::now();
            if now < due || due >= until {
                return Some(due);
            }
            let due_ns = (due - schedule.start).as_nanos() as u64;
            let stamp = Stamp { room: self.number, speaker: speaker as u16, index, due_ns };
            stamp.write(&mut self.frame);
            // A datagram that is not accepted shows as a missing frame.
            let _ = self.speakers[speaker].1.send_datagram(Bytes::copy_from_slice(&self.frame));
            if schedule.measured_place(index).is_some() {
                self.lateness_us.saturating_record((now - due).as_micros() as u64);
            }
            self.next += 1;
        }
        None
    }
}
