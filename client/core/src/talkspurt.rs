//! Talkspurts: which frames are sent, and which one announces a silence.
//!
//! Pure. Sequence numbers count frame periods, so a receiver sees a silence as a gap, and tells it
//! from loss because the last frame before it carries the talkspurt-end mark. That mark must be
//! known when the frame is sent, without delaying any frame: so the first frame that the encoder
//! would not transmit (DTX) is sent all the same, marked as end; it is one byte of Opus.
//!
//! During a silence nothing is sent. Opus refreshes its comfort noise every 400 ms of DTX; sending
//! that would cost every listener of a large room a datagram to hear a speaker's room hum.

use tribune_protocol::ids::Seq;
use tribune_protocol::limits::ONSET_FRAMES;

/// The encoder's verdict on one frame period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// A frame worth hearing.
    Sound,
    /// Discontinued transmission, comfort noise, or the speaker is muted.
    Silence,
}

/// Treatment of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emission {
    /// Send it.
    Send {
        /// It is the last one before a silence, and says so.
        talkspurt_end: bool,
    },
    /// Do not send it; its sequence number passes all the same.
    Skip,
}

/// Follows one speaker's talkspurts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TalkspurtTracker {
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// Nothing is being said; the silence has been announced, or nothing was ever sent.
    #[default]
    Silent,
    Talking,
}

impl TalkspurtTracker {
    /// A tracker for a track that has not sent anything yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decides about the frame of the next frame period.
    pub fn handle_frame(&mut self, activity: Activity) -> Emission {
        match (self.state, activity) {
            (_, Activity::Sound) => {
                self.state = State::Talking;
                Emission::Send { talkspurt_end: false }
            }
            (State::Talking, Activity::Silence) => {
                self.state = State::Silent;
                Emission::Send { talkspurt_end: true }
            }
            (State::Silent, Activity::Silence) => Emission::Skip,
        }
    }

    /// Whether the last frame belonged to a talkspurt that has not been ended.
    pub fn is_talking(&self) -> bool {
        self.state == State::Talking
    }
}

/// Places of frames in their talkspurts, as they are sent.
#[derive(Debug, Clone, Default)]
pub struct Onset {
    /// The next frame of the talkspurt, and how many are before it; `None` in a silence.
    next: Option<(Seq, u8)>,
}

impl Onset {
    /// Takes a frame that is sent. Gives the number of frames of its talkspurt before it, if it is one of the first.
    pub fn handle_frame(&mut self, seq: Seq, talkspurt_end: bool) -> Option<u8> {
        let before = match self.next {
            Some((next, before)) if next == seq => before,
            Some(_) | None => 0,
        };
        self.next = (!talkspurt_end).then(|| (seq.plus(1), before.saturating_add(1)));
        (before < ONSET_FRAMES).then_some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn first_frames_say_their_place() {
        let mut onset = Onset::default();
        let mut say = |seq: u16, ends| onset.handle_frame(Seq(seq), ends);
        assert_eq!([say(65_535, false), say(0, false), say(1, true)], [Some(0), Some(1), Some(2)]);
        assert_eq!(say(2, false), Some(0), "a silence of no length");
        assert_eq!([say(40, false), say(41, false)], [Some(0), Some(1)], "none announced");
        let rest: Vec<_> = (42..400).map(|seq| say(seq, false)).collect();
        assert_eq!(rest[..14], std::array::from_fn::<_, 14, _>(|n| Some(n as u8 + 2)));
        assert!(rest[14..].iter().all(Option::is_none));
    }

    #[test]
    fn first_silent_frame_is_sent_as_end_and_the_rest_is_not_sent() {
        let mut tracker = TalkspurtTracker::new();
        let emissions: Vec<Emission> = [
            Activity::Silence,
            Activity::Sound,
            Activity::Sound,
            Activity::Silence,
            Activity::Silence,
            Activity::Sound,
        ]
        .into_iter()
        .map(|activity| tracker.handle_frame(activity))
        .collect();
        let send = |talkspurt_end| Emission::Send { talkspurt_end };
        assert_eq!(
            emissions,
            [Emission::Skip, send(false), send(false), send(true), Emission::Skip, send(false)]
        );
    }

    proptest! {
        /// A receiver that trusts the marks never takes a silence for loss: every skipped frame
        /// follows a skipped frame, a marked frame, or the very beginning.
        #[test]
        fn every_gap_is_announced(sounds in proptest::collection::vec(any::<bool>(), 0..200)) {
            let mut tracker = TalkspurtTracker::new();
            let mut may_skip = true;
            for sound in sounds {
                let activity = if sound { Activity::Sound } else { Activity::Silence };
                match tracker.handle_frame(activity) {
                    Emission::Send { talkspurt_end } => may_skip = talkspurt_end,
                    Emission::Skip => prop_assert!(may_skip),
                }
            }
        }
    }
}
