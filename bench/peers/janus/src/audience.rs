//! Viewers on one thread: they join a few at a time and are then swept every few milliseconds. No thread
//! blocks on their sockets, so that Janus is not charged for waking it.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use tribune_bench::contender::latencies;
use tribune_bench::frame::{Schedule, Stamp};

use crate::api::{Api, HandleId, News, RequestId, SessionId};
use crate::viewer::{DATAGRAM_BYTES, Viewer};

/// Pause between two sweeps: the resolution of the latencies.
const SWEEP: Duration = Duration::from_millis(2);
/// Pause between two sweeps outside windows, so that other systems are measured undisturbed. Connectivity
/// checks tolerate more.
const IDLE_SWEEP: Duration = Duration::from_millis(50);
/// Concurrent joins: enough that Janus is not idle, few enough that none times out.
const JOIN_AT_ONCE: usize = 8;
/// Time without an admission after which joining is given up.
const JOIN_WITHIN: Duration = Duration::from_secs(20);
/// Period of progress reports while joining.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Request to the audience to count a window.
#[derive(Debug)]
pub(crate) struct Listen {
    /// Number of the window, which its frames carry.
    pub(crate) window: u16,
    /// Schedule of its frames.
    pub(crate) schedule: Schedule,
    /// Receives the counts, once the last frame has had time to arrive.
    pub(crate) heard: SyncSender<Heard>,
}

/// Counts of a window over all viewers.
#[derive(Debug)]
pub(crate) struct Heard {
    /// Measured frames received.
    pub(crate) frames: u64,
    /// Their latencies, in microseconds.
    pub(crate) latency_us: Histogram<u64>,
}

/// All viewers.
#[derive(Debug)]
pub(crate) struct Audience {
    api: Api,
    address: Ipv4Addr,
    /// By the number in their requests.
    seats: Vec<Seat>,
    sessions: HashMap<SessionId, RequestId>,
    joined: usize,
    gone: Option<String>,
}

/// State of a viewer's join.
#[derive(Debug)]
enum Seat {
    /// Session requested.
    Creating,
    /// Handle requested.
    Attaching(SessionId),
    /// Offer requested.
    Watching(SessionId, HandleId),
    /// Answer sent. Janus's side may be up before the viewer's.
    Connecting { viewer: Viewer, janus_up: bool },
    /// Media flows.
    In(Viewer),
    /// Connection ended.
    Gone,
}

impl Audience {
    /// Audience without viewers.
    pub(crate) fn new(api: Api, address: Ipv4Addr) -> Self {
        let (seats, sessions) = (Vec::new(), HashMap::new());
        Self { api, address, seats, sessions, joined: 0, gone: None }
    }

    /// Joins viewers; `report` gets their number from time to time.
    ///
    /// # Errors
    /// Janus refuses or loses a viewer, or is too slow.
    pub(crate) fn join(
        &mut self,
        listeners: usize,
        mut report: impl FnMut(u32) -> Result<()>,
    ) -> Result<()> {
        let (mut progress, mut reported) = ((0, Instant::now()), Instant::now());
        while self.joined < listeners {
            while self.seats.len() < listeners && self.seats.len() - self.joined < JOIN_AT_ONCE {
                self.api.create(self.seats.len())?;
                self.seats.push(Seat::Creating);
            }
            self.turn(&mut |_, _| {})?;
            if let Some(why) = &self.gone {
                bail!("a viewer was lost while others joined: {why}");
            }
            if self.joined > progress.0 {
                progress = (self.joined, Instant::now());
            }
            if progress.1.elapsed() > JOIN_WITHIN {
                bail!(
                    "{} of {listeners} viewers are in, then none for {JOIN_WITHIN:?}",
                    self.joined
                );
            }
            if reported.elapsed() > REPORT_EVERY {
                reported = Instant::now();
                report(self.joined as u32)?;
            }
            std::thread::sleep(SWEEP);
        }
        Ok(())
    }

    /// Serves requests until their channel is closed.
    ///
    /// # Errors
    /// Janus's API is gone.
    pub(crate) fn attend(mut self, asked: &Receiver<Listen>) -> Result<()> {
        let mut tally: Option<Tally> = None;
        loop {
            match asked.try_recv() {
                Ok(listen) => tally = Some(Tally::new(listen)?),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
            self.turn(&mut |at, frame| {
                if let Some(tally) = &mut tally {
                    tally.hear(at, frame);
                }
            })?;
            if let Some(over) = tally.take_if(|tally| tally.listen.schedule.end() < Instant::now())
            {
                // A requester that does not wait has failed elsewhere.
                let _ = over.listen.heard.send(over.heard);
            }
            std::thread::sleep(if tally.is_some() { SWEEP } else { IDLE_SWEEP });
        }
    }

    /// One sweep: messages of Janus, then all viewers.
    fn turn(&mut self, heard: &mut impl FnMut(Instant, &[u8])) -> Result<()> {
        while let Some(news) = self.api.poll()? {
            self.handle_news(news)?;
        }
        let mut buffer = [0; DATAGRAM_BYTES];
        for number in 0..self.seats.len() {
            let seat = &mut self.seats[number];
            let (Seat::In(viewer) | Seat::Connecting { viewer, .. }) = seat else { continue };
            if let Err(error) = viewer.sweep(&mut buffer, heard) {
                self.lose(number, format!("{error:#}"));
            }
            self.seat_connected(number);
        }
        Ok(())
    }

    fn handle_news(&mut self, news: News) -> Result<()> {
        match news {
            News::Made(number, id) => self.handle_made(number, id),
            News::Offer(session, offer) => self.handle_offer(session, &offer),
            News::Up(session) => {
                let number = self.number(session)?;
                if let Seat::Connecting { janus_up, .. } = &mut self.seats[number] {
                    *janus_up = true;
                }
                self.seat_connected(number);
                Ok(())
            }
            News::Over(session, why) => {
                let number = self.number(session)?;
                self.lose(number, format!("Janus says: {why}"));
                Ok(())
            }
            News::Refused(why) => bail!("Janus refuses a request: {why}"),
            News::Version(_) | News::Other => Ok(()),
        }
    }

    fn handle_made(&mut self, number: RequestId, id: u64) -> Result<()> {
        let seat = self.seats.get_mut(number).context("Janus answers what nobody has asked")?;
        match seat {
            Seat::Creating => {
                let session = SessionId(id);
                self.sessions.insert(session, number);
                self.api.attach(number, session)?;
                *seat = Seat::Attaching(session);
            }
            Seat::Attaching(session) => {
                let (session, handle) = (*session, HandleId(id));
                self.api.watch(number, session, handle)?;
                *seat = Seat::Watching(session, handle);
            }
            Seat::Watching(..) | Seat::Connecting { .. } | Seat::In(_) | Seat::Gone => {
                bail!("Janus has made viewer {number} something it has not asked for")
            }
        }
        Ok(())
    }

    fn handle_offer(&mut self, session: SessionId, offer: &str) -> Result<()> {
        let number = self.number(session)?;
        let Seat::Watching(session, handle) = self.seats[number] else {
            bail!("Janus offers viewer {number} what it has not asked for");
        };
        let (viewer, answer) = Viewer::answer(self.address, offer)?;
        self.api.start(number, session, handle, &answer)?;
        self.seats[number] = Seat::Connecting { viewer, janus_up: false };
        Ok(())
    }

    /// Marks a viewer as in once both sides are up.
    fn seat_connected(&mut self, number: RequestId) {
        let seat = &mut self.seats[number];
        let through =
            matches!(seat, Seat::Connecting { viewer, janus_up: true } if viewer.connected());
        if through && let Seat::Connecting { viewer, .. } = std::mem::replace(seat, Seat::Gone) {
            *seat = Seat::In(viewer);
            self.joined += 1;
        }
    }

    /// Reports the first viewer that is lost; others show as missing frames.
    fn lose(&mut self, number: RequestId, why: String) {
        self.seats[number] = Seat::Gone;
        if self.gone.is_none() {
            eprintln!("viewer {number} is gone: {why}");
            self.gone = Some(why);
        }
    }

    fn number(&self, session: SessionId) -> Result<RequestId> {
        let number = self.sessions.get(&session);
        number.copied().with_context(|| format!("Janus speaks of session {}, nobody's", session.0))
    }
}

/// Running tally of a window.
struct Tally {
    listen: Listen,
    heard: Heard,
}

impl Tally {
    fn new(listen: Listen) -> Result<Self> {
        Ok(Self { listen, heard: Heard { frames: 0, latency_us: latencies()? } })
    }

    fn hear(&mut self, at: Instant, frame: &[u8]) {
        let (schedule, heard) = (&self.listen.schedule, &mut self.heard);
        let stamp = Stamp::read(frame).filter(|stamp| stamp.room == self.listen.window);
        let Some(stamp) = stamp.filter(|stamp| schedule.measured_place(stamp.index).is_some())
        else {
            return;
        };
        let due = schedule.start + Duration::from_nanos(stamp.due_ns);
        heard.frames += 1;
        heard.latency_us.saturating_record(at.saturating_duration_since(due).as_micros() as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn only_measured_frames_of_the_window_count() {
        let start = Instant::now();
        let schedule = Schedule { start, before: 2, measured: 3, after: 1 };
        let listen = Listen { window: 7, schedule, heard: sync_channel(1).0 };
        let mut tally = Tally::new(listen).unwrap();
        let mut frame = [0; 40];
        for (room, index) in [(7, 1), (7, 2), (7, 4), (7, 5), (6, 3)] {
            let due_ns = u64::from(index) * 20_000_000;
            Stamp { room, speaker: 0, index, due_ns }.write(&mut frame);
            tally.hear(start + Duration::from_nanos(due_ns) + Duration::from_millis(3), &frame);
        }
        tally.hear(start, &frame[..5]);
        assert_eq!(tally.heard.frames, 2);
        assert_eq!(tally.heard.latency_us.max(), 3_001); // to three digits
    }
}
