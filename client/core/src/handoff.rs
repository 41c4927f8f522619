//! Handoff to another relay without a gap: its target, and the time to leave the relay before.
//!
//! [`Search`] finds the next
//! relay while the present one still serves; once it has let us in, [`Overlap`] says how long both
//! are listened to, and [`crate::dedup`] drops duplicates.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tribune_protocol::ids::{Seq, TrackId};
use tribune_protocol::limits::MAX_STAGE;
use tribune_protocol::media::repair::Gap;

use crate::address::Address;
use crate::dedup::Dedup;
use crate::reconnect::{MOVE_SPREAD, REDIRECTS_MAX, backoff};

/// Shortest overlap of two relays: frames in flight have come by then.
pub const OVERLAP_MIN: Duration = Duration::from_millis(200);
/// How long at most, however much is missing by then: a speaker who pauses without saying so, or a
/// frame that no relay has any more.
pub const OVERLAP_MAX: Duration = Duration::from_secs(2);
/// Runs of frames of one track that were asked for and are remembered: ten seconds' worth of an
/// overlap's losses.
const ASKED_MAX: usize = 16;

/// Finds a relay to go on at.
#[derive(Debug)]
pub struct Search {
    /// The relay that is to be left.
    from: Address,
    /// The relays of a round, the one that was named first.
    round: Vec<Address>,
    /// How far this round is.
    at: usize,
    rounds: u32,
    /// Relays that the one whose turn it is has sent us on to, and they in turn.
    detour: Vec<Address>,
    /// When the next attempt is due; `None` while one is under way.
    due: Option<Instant>,
}

impl Search {
    /// Begins, after a `moved` of the relay at `from`: with the relay that it names, if it does, then
    /// with the `others` that the user has named. `random` in 0.0..1.0 spreads the arrivals of many
    /// clients. `None` if there is nowhere to go.
    #[must_use]
    pub fn begin(
        now: Instant,
        from: &Address,
        named: Option<Address>,
        others: &[Address],
        random: f64,
    ) -> Option<Self> {
        let mut round = Vec::new();
        for address in named.into_iter().chain(others.iter().cloned()) {
            if address != *from && !round.contains(&address) {
                round.push(address);
            }
        }
        if round.is_empty() {
            return None;
        }
        let due = Some(now + MOVE_SPREAD.mul_f64(random));
        Some(Self { from: from.clone(), round, at: 0, rounds: 0, detour: Vec::new(), due })
    }

    /// The relay to try now, if an attempt is due. It is under way until [`Self::handle_failure`].
    pub fn poll_attempt(&mut self, now: Instant) -> Option<Address> {
        self.due.take_if(|due| *due <= now)?;
        self.next().cloned()
    }

    /// When [`Self::poll_attempt`] has something.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// The relay whose turn it is.
    #[must_use]
    pub fn next(&self) -> Option<&Address> {
        self.detour.last().or_else(|| self.round.get(self.at))
    }

    /// The attempt has failed; the relay may have named another one. A round is gone through without
    /// a wait; `random` spreads the beginnings of the next ones.
    pub fn handle_failure(&mut self, now: Instant, redirected: Option<Address>, random: f64) {
        let is_known =
            |to: &Address| *to == self.from || self.round.contains(to) || self.detour.contains(to);
        if let Some(to) = redirected.filter(|to| !is_known(to))
            && self.detour.len() < REDIRECTS_MAX
        {
            self.detour.push(to);
            self.due = Some(now + MOVE_SPREAD.mul_f64(random));
            return;
        }
        self.detour.clear();
        self.at += 1;
        let mut wait = Duration::ZERO;
        if self.at >= self.round.len() {
            wait = backoff(self.rounds, random);
            (self.at, self.rounds) = (0, self.rounds.saturating_add(1));
        }
        self.due = Some(now + wait);
    }
}

/// Which of two relays a frame came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that is being left.
    Old,
    /// The one that we have joined.
    New,
}

/// The time in which both relays are listened to.
#[derive(Debug)]
pub struct Overlap {
    joined: Instant,
    seams: BTreeMap<TrackId, Seam>,
}

/// Where one track goes over from one relay to the other.
#[derive(Debug)]
struct Seam {
    /// Up to here it had been heard when the overlap began, or when it came in.
    after: Seq,
    /// The first frame, in the order of speech, that the new relay has sent by itself.
    first: Option<Seq>,
    ended: bool,
    /// Frames that the new relay was asked for: their arrival does not mean that the track comes.
    asked: Vec<Gap>,
}

impl Overlap {
    /// Begins, once the new relay has let us in, with the tracks that are being heard.
    #[must_use]
    pub fn begin(now: Instant, dedup: &Dedup) -> Self {
        let seams = dedup.talking(now).map(|(track, newest)| (track, Seam::after(newest)));
        Self { joined: now, seams: seams.collect() }
    }

    /// A frame has come, as a new one or once more.
    pub fn handle_frame(&mut self, side: Side, track: TrackId, seq: Seq, talkspurt_end: bool) {
        if !self.seams.contains_key(&track) && self.seams.len() >= MAX_STAGE {
            return;
        }
        let seam = self.seams.entry(track).or_insert_with(|| Seam::after(seq));
        if seam.ended && !talkspurt_end {
            // The places of the silence between are empty, and are not waited for.
            *seam = Seam::after(seq);
        }
        seam.ended = talkspurt_end;
        let was_asked = |gap: &Gap| (0..i16::from(gap.count)).contains(&seq.since(gap.first));
        if side == Side::New
            && seam.first.is_none_or(|first| seq.since(first) < 0)
            && !seam.asked.iter().any(was_asked)
        {
            seam.first = Some(seq);
        }
    }

    /// The new relay has been asked for frames.
    pub fn handle_asked(&mut self, track: TrackId, gap: Gap) {
        if let Some(seam) = self.seams.get_mut(&track) {
            if seam.asked.len() == ASKED_MAX {
                seam.asked.remove(0);
            }
            seam.asked.push(gap);
        }
    }

    /// Whether the old relay can be left: each track comes from the new one, and nothing is missing
    /// before; or it has taken too long.
    #[must_use]
    pub fn is_over(&self, now: Instant, dedup: &Dedup) -> bool {
        let lasts = now.saturating_duration_since(self.joined);
        let is_over = |(track, seam): (&TrackId, &Seam)| {
            let is_sewn = |first| dedup.is_whole(*track, seam.after, first);
            seam.ended || seam.first.is_some_and(is_sewn)
        };
        lasts >= OVERLAP_MAX || lasts >= OVERLAP_MIN && self.seams.iter().all(is_over)
    }

    /// When [`Self::is_over`] for certain.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.joined + OVERLAP_MAX
    }
}

impl Seam {
    const fn after(newest: Seq) -> Self {
        Self { after: newest, first: None, ended: false, asked: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use tribune_protocol::media::FrameSource;
    use tribune_protocol::media::datagram::{Frame, Level};

    use super::*;
    use crate::reconnect::BACKOFF_MAX;

    const TRACK: TrackId = TrackId(3);
    const ROUND_TRIP: Duration = Duration::from_millis(60);

    fn address(name: &str) -> Address {
        name.parse().unwrap()
    }

    fn search(named: Option<&str>, others: &[&str]) -> Option<Search> {
        let others: Vec<_> = others.iter().map(|name| address(name)).collect();
        Search::begin(Instant::now(), &address("here"), named.map(address), &others, 0.0)
    }

    /// The relays in the order in which they are tried, each with the wait before it in ms.
    fn tried(search: &mut Search, redirects: &[(&str, &str)], count: usize) -> Vec<(String, u128)> {
        let mut now = search.poll_timeout().unwrap();
        let mut tried = Vec::new();
        while tried.len() < count {
            let due = search.poll_timeout().unwrap();
            let wait = due.saturating_duration_since(now);
            now = now.max(due);
            let relay = search.poll_attempt(now).unwrap();
            assert_eq!(search.poll_attempt(now), None, "one at a time");
            tried.push((relay.host().to_owned(), wait.as_millis()));
            let to = redirects.iter().find(|(from, _)| *from == relay.host());
            search.handle_failure(now, to.map(|(_, to)| address(to)), 1.0);
        }
        tried
    }

    #[test]
    fn the_named_relay_is_first_and_a_round_has_no_waits() {
        let mut search = search(Some("b"), &["here", "c", "b"]).unwrap();
        let expected = [("b", 0), ("c", 0), ("b", 250), ("c", 0), ("b", 500)];
        let expected = expected.map(|(relay, wait)| (relay.to_owned(), wait));
        assert_eq!(tried(&mut search, &[], 5), expected);
    }

    #[test]
    fn without_another_relay_this_one_is_good_until_it_closes() {
        assert!(search(None, &["here"]).is_none());
        assert!(search(Some("here"), &[]).is_none());
        assert!(search(None, &["here", "b"]).is_some());
    }

    #[test]
    fn who_is_sent_on_goes_on_but_not_in_circles_and_not_for_ever() {
        let mut circle = search(Some("b"), &["c"]).unwrap();
        let tried_there = tried(&mut circle, &[("b", "d"), ("d", "b")], 4);
        let hosts: Vec<_> = tried_there.iter().map(|(host, _)| host.as_str()).collect();
        assert_eq!(hosts, ["b", "d", "c", "b"]);
        let mut chain = search(Some("r0"), &["c"]).unwrap();
        let names: Vec<String> = (0..20).map(|n| format!("r{n}")).collect();
        let redirects: Vec<_> =
            names.windows(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
        let tried_there = tried(&mut chain, &redirects, REDIRECTS_MAX + 2);
        assert_eq!(tried_there.last().unwrap().0, "c", "{tried_there:?}");
    }

    /// A listener of one track, on two connections.
    struct Listener {
        now: Instant,
        dedup: Dedup,
        overlap: Overlap,
    }

    impl Listener {
        /// A listener that has heard the track up to `newest` when the new relay lets them in.
        fn after(newest: u16) -> Self {
            let (now, mut dedup) = (Instant::now(), Dedup::default());
            dedup.handle_frame(now, &frame(newest), FrameSource::Sent);
            let overlap = Overlap::begin(now, &dedup);
            Self { now: now + OVERLAP_MIN, dedup, overlap }
        }

        fn hear(&mut self, side: Side, seq: u16) -> bool {
            let frame = frame(seq);
            self.dedup.handle_frame(self.now, &frame, FrameSource::Sent);
            while let Some((track, gap)) = self.dedup.poll_ask(self.now, ROUND_TRIP) {
                self.overlap.handle_asked(track, gap);
            }
            self.overlap.handle_frame(side, TRACK, frame.seq, frame.talkspurt_end);
            self.is_over()
        }

        fn is_over(&self) -> bool {
            self.overlap.is_over(self.now, &self.dedup)
        }
    }

    fn frame(seq: u16) -> Frame {
        Frame {
            track: TRACK,
            seq: Seq(seq),
            level: Level::SILENCE,
            talkspurt_end: false,
            captured: None,
            onset: None,
            opus: Bytes::from_static(b"opus"),
            wire: Bytes::new(),
        }
    }

    #[test]
    fn a_relay_that_is_ahead_waits_for_the_one_that_is_left() {
        let mut listener = Listener::after(65_534);
        assert!(!listener.is_over());
        assert!(!listener.hear(Side::New, 2));
        assert!(!listener.hear(Side::Old, 65_535));
        assert!(!listener.hear(Side::New, 3));
        assert!(!listener.hear(Side::Old, 0));
        assert!(listener.hear(Side::Old, 1));
    }

    #[test]
    fn a_relay_that_is_behind_has_all() {
        let mut listener = Listener::after(100);
        assert!(!listener.hear(Side::Old, 101));
        assert!(listener.hear(Side::New, 99));
    }

    #[test]
    fn an_answer_to_a_question_is_no_sign_that_the_track_comes() {
        let mut listener = Listener::after(100);
        assert!(!listener.hear(Side::Old, 103));
        assert!(!listener.hear(Side::New, 101));
        assert!(!listener.hear(Side::New, 102));
        assert!(listener.hear(Side::New, 104));
    }

    #[test]
    fn silence_and_patience_end_it() {
        let mut listener = Listener::after(100);
        listener.overlap.handle_frame(Side::Old, TRACK, Seq(101), true);
        assert!(listener.is_over(), "nothing is being said");
        let joined = listener.now - OVERLAP_MIN;
        listener.now = joined;
        assert!(!listener.is_over(), "what is on its way is waited for");
        let mut listener = Listener::after(100);
        listener.now = listener.overlap.deadline();
        assert!(listener.is_over());
    }

    proptest! {
        /// Two relays send the same track, each in order and the new one from some frame on; at any
        /// time the old one may be the first or the last. Who leaves it when it may has heard all.
        #[test]
        fn who_leaves_when_it_may_misses_nothing(
            newest in 0u16..,
            joins_at in -30i32..30,
            from_old in prop::collection::vec(any::<bool>(), 0..300),
        ) {
            let mut listener = Listener::after(newest);
            let (mut old, mut new) = (1, joins_at);
            let seq = |n: i32| newest.wrapping_add(n as u16);
            for is_old in from_old {
                if is_old {
                    listener.hear(Side::Old, seq(old));
                    old += 1;
                } else {
                    listener.hear(Side::New, seq(new));
                    new += 1;
                }
                if listener.is_over() {
                    // From here on the new relay goes on alone, and leaves nothing out.
                    let last = Seq(seq(new.max(1)));
                    prop_assert!(listener.dedup.is_whole(TRACK, Seq(newest), last));
                    return Ok(());
                }
            }
            prop_assert!(new == joins_at || old < joins_at, "it goes on for nothing");
        }

        /// Whatever fails and wherever it is sent: no wait is over the limit, and there is always a
        /// next attempt.
        #[test]
        fn a_search_goes_on(steps in prop::collection::vec((0u8..40, 0.0f64..1.0), 1..200)) {
            let mut search = search(Some("b"), &["here", "c"]).unwrap();
            let mut now = Instant::now() + MOVE_SPREAD;
            for (step, random) in steps {
                prop_assert!(search.poll_attempt(now).is_some_and(|to| to.host() != "here"));
                let to = (step < 20).then(|| address(&format!("r{step}")));
                search.handle_failure(now, to, random);
                let due = search.poll_timeout().unwrap();
                prop_assert!(due <= now + BACKOFF_MAX);
                prop_assert!(search.detour.len() <= REDIRECTS_MAX);
                now = now.max(due);
            }
        }
    }
}
