//! Speech of this shard's own speakers, second by second in origin time, for the statistics of their rooms: which
//! frame periods of a second have voice, by the level of the frame (RFC 6464) and its place in the track.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tribune_protocol::ids::{Seq, TrackId};
use tribune_protocol::limits::FRAME_PERIOD;
use tribune_protocol::media::datagram::Frame;

use tribune_protocol::time::Offset;

use crate::counters::{ShardCounters, Side};
use crate::messages::{RoomId, ShardEvent};

/// Microseconds of a frame period.
const PERIOD_US: u64 = FRAME_PERIOD.as_micros() as u64;
/// Frame periods in a second.
const PERIODS_A_SECOND: u64 = 1_000_000 / PERIOD_US;
/// Time from a frame to the look for seconds that are complete: a repaired frame has come by then.
const CHECK: Duration = Duration::from_secs(1);
/// Frame periods by which a frame's arrival may be away from its place in the track. Further away, the track's clock
/// has jumped.
const MAX_AWAY: u64 = 25;
/// Seconds of one room that wait: the last ones, and the one that goes on.
const MAX_WAITING: usize = 4;

/// Origin time in microseconds, as far as it is known: this relay's Unix time by the estimate of the origin's clock.
pub(super) fn origin_us(clock: Option<(Offset, Instant)>, unix_us: u64) -> Option<u64> {
    Some(clock?.0.to_origin(unix_us).0)
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Speech {
    rooms: BTreeMap<RoomId, RoomSpeech>,
    check_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct RoomSpeech {
    /// Place of a frame of each track in origin time, in frame periods since the Unix epoch.
    anchors: BTreeMap<TrackId, (u64, Seq)>,
    seconds: BTreeMap<u64, BTreeMap<TrackId, u64>>,
}

impl Speech {
    /// Notes frames that have been let in: how old they are, of those that say so, and the speech of participants here.
    pub(super) fn note_arrivals(
        &mut self,
        now: Instant,
        origin_us: u64,
        (room, side): (RoomId, Side),
        frames: &[Frame],
        counters: &mut ShardCounters,
    ) {
        for captured in frames.iter().filter_map(|frame| frame.captured) {
            counters.frame_age.observe(side, origin_us.saturating_sub(captured.at.0));
        }
        if side == Side::Participant {
            self.note(now, origin_us, room, frames);
        }
    }

    /// When [`Self::take_complete`] is to be called.
    pub(super) const fn check_at(&self) -> Option<Instant> {
        self.check_at
    }

    /// Seconds that are complete, if it is time to look; none while origin time is not known.
    pub(super) fn take_complete(
        &mut self,
        now: Instant,
        origin_us: Option<u64>,
    ) -> Vec<ShardEvent> {
        if self.check_at.is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.check_at = Some(now + CHECK);
        let Some(origin_us) = origin_us else { return Vec::new() };
        let complete = (origin_us / 1_000_000).saturating_sub(1);
        let mut events = Vec::new();
        for (room, speech) in &mut self.rooms {
            while let Some(first) = speech.seconds.first_entry().filter(|it| *it.key() <= complete)
            {
                let (at_s, tracks) = first.remove_entry();
                events.push(ShardEvent::Talk { room: *room, at_s, tracks });
            }
        }
        self.rooms.retain(|_, speech| !speech.seconds.is_empty());
        self.check_at = self.check_at.filter(|_| !self.rooms.is_empty());
        events
    }

    fn note(&mut self, now: Instant, origin_us: u64, room: RoomId, frames: &[Frame]) {
        for frame in frames.iter().filter(|frame| frame.level.voice && !frame.opus.is_empty()) {
            self.rooms.entry(room).or_default().note(origin_us, frame);
            self.check_at.get_or_insert(now + CHECK);
        }
    }
}

impl RoomSpeech {
    fn note(&mut self, origin_us: u64, frame: &Frame) {
        let arrival = origin_us / PERIOD_US;
        let expected = self
            .anchors
            .get(&frame.track)
            .and_then(|(period, seq)| period.checked_add_signed(frame.seq.since(*seq).into()));
        let period = expected.filter(|period| period.abs_diff(arrival) <= MAX_AWAY);
        let period = period.unwrap_or(arrival);
        self.anchors.insert(frame.track, (period, frame.seq));
        let tracks = self.seconds.entry(period / PERIODS_A_SECOND).or_default();
        *tracks.entry(frame.track).or_default() |= 1 << (period % PERIODS_A_SECOND);
        if self.seconds.len() > MAX_WAITING {
            self.seconds.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tribune_protocol::media::datagram::Level;

    use super::*;

    const ROOM: RoomId = RoomId(1);

    fn frame(seq: u16, voice: bool) -> Frame {
        Frame {
            track: TrackId(1),
            seq: Seq(seq),
            level: Level { voice, minus_dbov: 30 },
            talkspurt_end: false,
            captured: None,
            onset: None,
            opus: Bytes::from_static(b"opus"),
            wire: Bytes::new(),
        }
    }

    #[test]
    fn frames_that_come_in_bursts_keep_their_place() {
        let (mut speech, start) = (Speech::default(), Instant::now());
        let origin_us = 1_700_000_000_000_000;
        // 50 frames in ten bursts, each late by up to 80 ms; every fifth is silent.
        for seq in 0..50_u16 {
            let late = u64::from(4 - seq % 5) * PERIOD_US;
            let at_us = origin_us + u64::from(seq) * PERIOD_US + late;
            let now = start + Duration::from_micros(at_us - origin_us);
            speech.note(now, at_us, ROOM, &[frame(seq, seq % 5 != 1)]);
        }
        let at = start + Duration::from_millis(2_100);
        assert!(speech.take_complete(start, Some(origin_us)).is_empty(), "it is not time");
        let events = speech.take_complete(at, Some(origin_us + 3_100_000));
        let voiced: u32 = events
            .iter()
            .map(|event| {
                let ShardEvent::Talk { tracks, .. } = event else { panic!("{event:?}") };
                tracks[&TrackId(1)].count_ones()
            })
            .sum();
        assert_eq!(voiced, 40);
        assert_eq!(speech.check_at(), None);
    }
}
