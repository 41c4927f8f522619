//! Speech in a run, from the voice activity that edges report second by second: who spoke for how long, in how many
//! turns, together with whom, and the longest silence.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tribune_protocol::domain::stage::StageEntry;
use tribune_protocol::ids::{DisplayName, ParticipantId, TrackId};
use tribune_protocol::limits::{FRAME_PERIOD, MAX_STAGE, MAX_STATISTICS_ROWS, TURN_PAUSE};
use tribune_protocol::statistics::{SpeakerStatistics, TalkStatistics};

/// Milliseconds of a frame period.
const PERIOD_MS: u64 = FRAME_PERIOD.as_millis() as u64;
/// Frame periods in a second.
const PERIODS_A_SECOND: u64 = 1_000 / PERIOD_MS;
/// Frame periods after which a new turn begins.
const TURN_PAUSE_PERIODS: u64 = TURN_PAUSE.as_millis() as u64 / PERIOD_MS;
/// Seconds that wait for reports of all edges: they come once a second, over the tree, by clocks that differ.
pub(super) const WAIT_S: u64 = 4;
/// Persons who speak in one run and are told apart; the one with the least talk makes room.
const MAX_SPEAKERS: usize = 256;

/// See the module's documentation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Talk {
    /// Speech of seconds that are not complete, by second and track.
    waiting: BTreeMap<u64, BTreeMap<TrackId, u64>>,
    /// The last second that is complete.
    done_s: u64,
    tracks: BTreeMap<TrackId, ParticipantId>,
    speakers: BTreeMap<ParticipantId, Speaker>,
    speech: u64,
    overlap: u64,
    /// The frame period in which somebody spoke last, or the first of the run.
    last: u64,
    silence: u64,
    silence_from: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Speaker {
    name: DisplayName,
    talk: u64,
    turns: u32,
    longest: u64,
    turn_from: u64,
    last: Option<u64>,
}

impl Talk {
    /// A run that begins now.
    pub(super) fn new(began_ms: u64) -> Self {
        let last = began_ms / PERIOD_MS;
        Self { last, done_s: began_ms / 1_000, ..Self::default() }
    }

    /// Takes over who speaks on which track.
    pub(super) fn set_stage(&mut self, stage: &[StageEntry]) {
        self.tracks.retain(|track, _| stage.iter().any(|entry| entry.track == *track));
        for entry in stage {
            self.tracks.insert(entry.track, entry.participant);
            if let Some(speaker) = self.speakers.get_mut(&entry.participant) {
                speaker.name.clone_from(&entry.name);
            } else {
                self.make_room();
                self.speakers.insert(entry.participant, Speaker::new(entry.name.clone()));
            }
        }
    }

    /// Takes a report: the frame periods of a second in which each track has speech. Gives the speech that is complete
    /// by it, in milliseconds.
    pub(super) fn take(&mut self, at_s: u64, now_s: u64, tracks: BTreeMap<TrackId, u64>) -> u64 {
        // An edge's clock may be wrong; its speech counts where it can be, or not at all.
        if at_s <= self.done_s || at_s > now_s + 1 {
            return 0;
        }
        let second = self.waiting.entry(at_s).or_default();
        for (track, periods) in tracks.into_iter().take(MAX_STAGE) {
            *second.entry(track).or_default() |= periods;
        }
        self.complete(now_s.saturating_sub(WAIT_S))
    }

    /// Counts all seconds up to that one. Gives their speech in milliseconds.
    pub(super) fn complete(&mut self, to_s: u64) -> u64 {
        let before = self.speech;
        while let Some(entry) = self.waiting.first_entry().filter(|entry| *entry.key() <= to_s) {
            let (second, tracks) = entry.remove_entry();
            self.count(second, &tracks);
        }
        self.done_s = self.done_s.max(to_s);
        (self.speech - before) * PERIOD_MS
    }

    /// The report as of now: of seconds that are complete by then, though nobody has spoken since.
    pub(super) fn report_now(&self, at_ms: u64) -> TalkStatistics {
        let mut talk = self.clone();
        talk.complete((at_ms / 1_000).saturating_sub(WAIT_S));
        talk.report(at_ms)
    }

    /// The report, up to a time.
    pub(super) fn report(&self, at_ms: u64) -> TalkStatistics {
        let mut speakers: Vec<_> = self.speakers.values().map(Speaker::row).collect();
        speakers.retain(|speaker| speaker.talk_ms > 0);
        speakers.sort_by(|a, b| b.talk_ms.cmp(&a.talk_ms).then_with(|| a.name.cmp(&b.name)));
        speakers.truncate(MAX_STATISTICS_ROWS);
        let since = (at_ms / PERIOD_MS).saturating_sub(self.last + 1);
        let (silence, from) = if since > self.silence {
            (since, self.last + 1)
        } else {
            (self.silence, self.silence_from)
        };
        TalkStatistics {
            speakers,
            speech_ms: self.speech * PERIOD_MS,
            overlap_ms: self.overlap * PERIOD_MS,
            silence_ms: silence * PERIOD_MS,
            silence_at_s: from * PERIOD_MS / 1_000,
        }
    }

    fn count(&mut self, second: u64, tracks: &BTreeMap<TrackId, u64>) {
        for bit in 0..PERIODS_A_SECOND {
            let period = second * PERIODS_A_SECOND + bit;
            let speaking = tracks.iter().filter(|(_, periods)| *periods >> bit & 1 == 1);
            let mut together = 0;
            for (track, _) in speaking {
                let Some(who) = self.tracks.get(track) else { continue };
                if let Some(speaker) = self.speakers.get_mut(who) {
                    speaker.speak(period);
                    together += 1;
                }
            }
            if together > 0 {
                let silence = period.saturating_sub(self.last + 1);
                if silence > self.silence {
                    (self.silence, self.silence_from) = (silence, self.last + 1);
                }
                self.last = period;
                self.speech += 1;
                self.overlap += u64::from(together > 1);
            }
        }
    }

    fn make_room(&mut self) {
        if self.speakers.len() < MAX_SPEAKERS {
            return;
        }
        let is_there = |who: &ParticipantId| self.tracks.values().any(|there| there == who);
        let gone = self.speakers.iter().filter(|(who, _)| !is_there(who));
        if let Some(who) = gone.min_by_key(|(_, speaker)| speaker.talk).map(|(who, _)| *who) {
            self.speakers.remove(&who);
        }
    }
}

impl Speaker {
    const fn new(name: DisplayName) -> Self {
        Self { name, talk: 0, turns: 0, longest: 0, turn_from: 0, last: None }
    }

    fn speak(&mut self, period: u64) {
        let goes_on = self.last.is_some_and(|last| period - last <= TURN_PAUSE_PERIODS);
        if !goes_on {
            self.turns += 1;
            self.turn_from = period;
        }
        self.talk += 1;
        self.last = Some(period);
        self.longest = self.longest.max(period - self.turn_from + 1);
    }

    fn row(&self) -> SpeakerStatistics {
        SpeakerStatistics {
            name: self.name.clone(),
            talk_ms: self.talk * PERIOD_MS,
            turns: self.turns,
            longest_ms: self.longest * PERIOD_MS,
        }
    }
}

#[cfg(test)]
mod tests {
    use tribune_protocol::domain::role::Role;

    use super::*;

    const WHOLE: u64 = (1 << PERIODS_A_SECOND) - 1;

    fn entry(id: u64, name: &str) -> StageEntry {
        StageEntry {
            participant: ParticipantId(id),
            name: name.parse().unwrap(),
            role: Role::Speaker,
            track: TrackId(id as u32),
            silenced: false,
            muted: false,
            away: false,
        }
    }

    fn talk() -> Talk {
        let mut talk = Talk::new(1_000_000);
        talk.set_stage(&[entry(1, "Ada"), entry(2, "Bob")]);
        talk
    }

    fn says(talk: &mut Talk, at_s: u64, track: u32, periods: u64) -> u64 {
        talk.take(at_s, at_s, BTreeMap::from([(TrackId(track), periods)]))
    }

    #[test]
    fn talk_turns_overlap_and_silence_are_exact() {
        let mut talk = talk();
        for second in 1_001..1_004 {
            says(&mut talk, second, 1, WHOLE);
        }
        // A pause of 1.5 s is in the turn, one of 2.02 s begins another.
        says(&mut talk, 1_005, 1, WHOLE << 25 & WHOLE);
        says(&mut talk, 1_003, 2, 0b1111);
        says(&mut talk, 1_008, 1, 1 << 1);
        says(&mut talk, 1_020, 2, WHOLE);
        talk.complete(u64::MAX);
        let report = talk.report(1_021_000);
        let ada = &report.speakers[0];
        assert_eq!((ada.name.as_str(), ada.talk_ms, ada.turns), ("Ada", 3_000 + 500 + 20, 2));
        assert_eq!(ada.longest_ms, 5_000);
        assert_eq!(report.speakers[1].talk_ms, 1_000 + 80);
        assert_eq!((report.speech_ms, report.overlap_ms), (3_520 + 1_000, 80));
        assert_eq!((report.silence_ms, report.silence_at_s), (11_960, 1_008));
        assert_eq!(talk.report(1_100_000).silence_ms, 79_000);
    }

    #[test]
    fn reports_may_come_in_any_order_within_their_time() {
        let mut talk = talk();
        assert_eq!(says(&mut talk, 1_003, 1, WHOLE), 0);
        assert_eq!(says(&mut talk, 1_002, 1, WHOLE), 0);
        assert_eq!(says(&mut talk, 1_002, 1, WHOLE), 0, "the same again");
        assert_eq!(says(&mut talk, 1_010, 2, WHOLE), 2_000);
        assert_eq!(says(&mut talk, 1_003, 2, WHOLE), 0, "too late");
        assert_eq!(
            talk.take(5_000, 1_011, BTreeMap::from([(TrackId(1), WHOLE)])),
            0,
            "a wrong clock"
        );
        assert_eq!(talk.complete(2_000), 1_000);
        assert_eq!(talk.report(2_000_000).speakers[0].talk_ms, 2_000);
    }
}
