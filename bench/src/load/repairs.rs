//! Repair by the listeners of a load whose packets are lost on purpose: each asks for the frames that it misses,
//! as a participant does. Pure.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tribune_client_core::dedup::Dedup;
use tribune_protocol::ids::Channel;
use tribune_protocol::media::FrameSource;
use tribune_protocol::media::datagram::Frame;
use tribune_protocol::media::nack::Nack;

use crate::pool::events::MemberId;

/// Least round trip that is reckoned with: QUIC's timers are no finer.
const MIN_ROUND_TRIP: Duration = Duration::from_millis(1);

/// Listeners of one thread, by number.
#[derive(Debug)]
pub(crate) struct Repairs {
    round_trip: Duration,
    listeners: Vec<Listener>,
    due: BTreeSet<(Instant, MemberId)>,
    asked: u64,
}

#[derive(Debug, Default)]
struct Listener {
    frames: Dedup,
    due: Option<Instant>,
}

impl Repairs {
    /// So many listeners, so far from the relay.
    pub(crate) fn new(listeners: usize, round_trip: Duration) -> Self {
        Self {
            round_trip: round_trip.max(MIN_ROUND_TRIP),
            listeners: (0..listeners).map(|_| Listener::default()).collect(),
            due: BTreeSet::new(),
            asked: 0,
        }
    }

    /// Takes a frame of a listener.
    pub(crate) fn handle_frame(
        &mut self,
        now: Instant,
        member: MemberId,
        (frame, source): (&Frame, FrameSource),
    ) {
        let Some(listener) = self.listeners.get_mut(member) else { return };
        listener.frames.handle_frame(now, frame, source);
        self.schedule(member);
    }

    /// The next question that is due.
    pub(crate) fn poll_question(&mut self, now: Instant) -> Option<(MemberId, Bytes)> {
        while let Some((due, member)) = self.due.first().copied() {
            if due > now {
                return None;
            }
            let asked = self.listeners[member].frames.poll_ask(now, self.round_trip);
            if let Some((track, gap)) = asked {
                self.asked += 1;
                let (channel, first, count) = (Channel(0), gap.first, gap.count);
                return Some((member, Nack { channel, track, first, count }.write()));
            }
            self.due.remove(&(due, member));
            self.listeners[member].due = None;
            // A deadline that has passed without a question is looked at again with the next frame.
            let later = self.listeners[member].frames.poll_timeout().filter(|later| *later > now);
            self.set_due(member, later);
        }
        None
    }

    /// Questions since the last call.
    pub(crate) const fn take_asked(&mut self) -> u64 {
        std::mem::replace(&mut self.asked, 0)
    }

    fn schedule(&mut self, member: MemberId) {
        let due = self.listeners[member].frames.poll_timeout();
        self.set_due(member, due);
    }

    fn set_due(&mut self, member: MemberId, due: Option<Instant>) {
        let before = std::mem::replace(&mut self.listeners[member].due, due);
        if before != due {
            before.map(|before| self.due.remove(&(before, member)));
            self.due.extend(due.map(|due| (due, member)));
        }
    }
}

#[cfg(test)]
mod tests {
    use tribune_protocol::ids::{Seq, TrackId};
    use tribune_protocol::media::datagram::Level;

    use super::*;

    #[test]
    fn who_misses_a_frame_asks_for_it_until_it_comes() {
        let mut now = Instant::now();
        let mut repairs = Repairs::new(3, Duration::from_millis(10));
        for member in 0..3 {
            repairs.handle_frame(now, member, (&frame(1), FrameSource::Sent));
        }
        now += Duration::from_millis(40);
        repairs.handle_frame(now, 1, (&frame(3), FrameSource::Sent));
        let nack = Nack { channel: Channel(0), track: TrackId(7), first: Seq(2), count: 1 };
        assert_eq!(repairs.poll_question(now), Some((1, nack.write())));
        let again = now + Duration::from_micros(12_500);
        assert_eq!(repairs.poll_question(again).map(|(member, _)| member), Some(1));
        repairs.handle_frame(again, 1, (&frame(2), FrameSource::Repair));
        let questions = std::iter::from_fn(|| repairs.poll_question(again));
        assert!(questions.map(|(member, _)| member).all(|member| member != 1));
        assert!(repairs.take_asked() >= 2);
        assert_eq!(repairs.take_asked(), 0);
    }

    fn frame(seq: u16) -> Frame {
        Frame {
            track: TrackId(7),
            seq: Seq(seq),
            level: Level::SILENCE,
            talkspurt_end: false,
            captured: None,
            onset: None,
            opus: Bytes::from_static(b"opus"),
            wire: Bytes::new(),
        }
    }
}
