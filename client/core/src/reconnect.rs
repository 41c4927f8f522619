//! Retries after a failed connection: whether, where and when, or the reason to give up.
//!
//! The caller waits. Random numbers come in as parameters.

use std::time::Duration;

use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::limits::RECONNECT_GRACE;

use crate::address::Address;

/// Wait before the first retry.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// Wait that the doubling ends at: a relay that is back is found within seconds.
pub const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Time between two looks for a room that is not there yet.
pub const ROOM_RETRY: Duration = Duration::from_secs(1);
/// Times that each relay may put off a participant that has not been in the room: with the waits between
/// them, four to eight seconds for one relay.
const REFUSALS_MAX: usize = 6;
/// Longest wait before going on at the relay that `moved` names; spreads the arrivals there.
pub const MOVE_SPREAD: Duration = Duration::from_millis(500);
/// Relays in a row that may redirect a join. In a full tree all of them do.
pub const REDIRECTS_MAX: usize = 4;

/// Why a connection, or an attempt at one, is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No connection came about, for a reason in words.
    Unreachable(String),
    /// The relay's certificate, or the protocol it speaks, is not acceptable.
    Tls(String),
    /// The relay answered the join with `err`.
    Refused {
        /// For programs.
        code: ErrorCode,
        /// For people.
        message: String,
    },
    /// The relay closed the connection.
    Closed {
        /// For programs.
        code: CloseCode,
        /// The relay's words; may be empty.
        reason: String,
    },
    /// The connection was lost without a word from the relay.
    Lost(String),
    /// The relay asks to go on elsewhere, and has closed before we could.
    Moved,
    /// The relay answered the join with `err`, and named another relay before.
    Redirected {
        /// The relay to go to.
        to: Address,
        /// For programs: `overloaded` or `draining`.
        code: ErrorCode,
        /// For people.
        message: String,
    },
}

impl Failure {
    /// The reason in words; may be empty, if a relay has given none.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Unreachable(why) | Self::Tls(why) | Self::Lost(why) => why,
            Self::Refused { message, .. } | Self::Redirected { message, .. } => message,
            Self::Closed { reason, .. } => reason,
            Self::Moved => "the relay moves us",
        }
    }

    /// An `err`, after `moved` if that has named another relay. Only a relay that puts us off sends us
    /// on; what the room refuses, it refuses everywhere.
    #[must_use]
    pub fn of_refusal(code: ErrorCode, message: String, moved: Option<Address>) -> Self {
        match moved {
            Some(to) if matches!(code, ErrorCode::Draining | ErrorCode::Overloaded) => {
                Self::Redirected { to, code, message }
            }
            Some(_) | None => Self::Refused { code, message },
        }
    }
}

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// We left.
    Left,
    /// No relay can be reached.
    Unreachable(String),
    /// No relay that was reached is to be trusted.
    Tls(String),
    /// The room does not let us in.
    Refused {
        /// For programs.
        code: ErrorCode,
        /// For people.
        message: String,
    },
    /// The room is not there.
    RoomNotFound(String),
    /// The room is over.
    RoomEnded,
    /// A moderator removed us, for a reason that may be empty.
    Kicked(String),
    /// The same session joined from another place.
    Replaced,
    /// The token has run out.
    TokenExpired,
    /// The relay holds something against us that is a bug on one side or the other.
    Violation(String),
}

/// The next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Connect to [`Reconnect::address`] after the wait.
    Retry {
        /// How long to wait.
        after: Duration,
        /// Why, in a clause.
        why: String,
    },
    /// There is nothing more to be done.
    GiveUp(End),
}

/// Follows the attempts of one session.
#[derive(Debug)]
pub struct Reconnect {
    /// The relays that the user has named, and behind them the one that we have moved to.
    addresses: Vec<Address>,
    /// How many of them the user has named.
    named: usize,
    current: usize,
    moved: Option<Address>,
    attempt: u32,
    /// Attempts since the last time in the room, or since the start.
    failures: usize,
    has_joined: bool,
    waits_for_room: bool,
    /// How long the room has been missing since we were in it.
    missing: Duration,
    /// Relays in a row that have sent us on; no second time to the same.
    redirected_by: Vec<Address>,
}

impl Reconnect {
    /// Begins at the first of `addresses`, which are not empty. `waits_for_room`: look for a room
    /// that is not there again and again, rather than fail.
    #[must_use]
    pub fn new(addresses: Vec<Address>, waits_for_room: bool) -> Self {
        Self {
            named: addresses.len(),
            addresses,
            current: 0,
            moved: None,
            attempt: 0,
            failures: 0,
            has_joined: false,
            waits_for_room,
            missing: Duration::ZERO,
            redirected_by: Vec::new(),
        }
    }

    /// Where to connect now.
    #[must_use]
    pub fn address(&self) -> &Address {
        self.moved.as_ref().unwrap_or(&self.addresses[self.current])
    }

    /// The relays that the user has named, and the one that we have moved to.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The room let us in.
    pub fn handle_joined(&mut self) {
        self.attempt = 0;
        self.failures = 0;
        self.has_joined = true;
        self.missing = Duration::ZERO;
        self.redirected_by.clear();
    }

    /// The next attempt is to be made there.
    pub fn handle_moved(&mut self, to: Address) {
        self.moved = Some(to);
    }

    /// The room lets us in at another relay, while the connection to the present one still stands.
    /// From now on it is one of those to come back to: the one that has moved us may be gone for good.
    pub fn handle_arrived(&mut self, at: Address) {
        self.moved = None;
        self.current = match self.addresses.iter().position(|address| *address == at) {
            Some(current) => current,
            None => {
                self.addresses.truncate(self.named);
                self.addresses.push(at);
                self.named
            }
        };
        self.handle_joined();
    }

    /// Decides after a failure. `random` in 0.0..1.0 spreads the retries of many clients.
    pub fn handle_failure(&mut self, failure: Failure, random: f64) -> Next {
        if let Failure::Redirected { to, message, .. } = &failure {
            self.redirected_by.push(self.address().clone());
            let goes_round = self.redirected_by.contains(to);
            if !goes_round && self.redirected_by.len() <= REDIRECTS_MAX {
                self.moved = Some(to.clone());
                let after = MOVE_SPREAD.mul_f64(random);
                return Next::Retry { after, why: message.clone() };
            }
        }
        self.redirected_by.clear();
        self.failures += 1;
        match failure {
            Failure::Moved => {
                Next::Retry { after: MOVE_SPREAD.mul_f64(random), why: "the relay moves us".into() }
            }
            Failure::Unreachable(why) => self.another(why.clone(), random, End::Unreachable(why)),
            Failure::Tls(why) => self.another(why.clone(), random, End::Tls(why)),
            Failure::Lost(why) => self.another(why.clone(), random, End::Unreachable(why)),
            Failure::Refused { code: ErrorCode::RoomNotFound | ErrorCode::NotStarted, message } => {
                self.no_room(message)
            }
            Failure::Redirected { code, message, .. } => {
                self.refused_for_now(code, message, random)
            }
            Failure::Refused { code, message } if code.is_transient() => {
                self.refused_for_now(code, message, random)
            }
            Failure::Refused { code, message } => Next::GiveUp(End::Refused { code, message }),
            Failure::Closed { code, reason } => self.closed(code, reason, random),
        }
    }

    fn closed(&mut self, code: CloseCode, reason: String, random: f64) -> Next {
        let why = match reason.as_str() {
            "" => format!("the relay closed the connection: {code}"),
            reason => format!("the relay closed the connection: {code} ({reason})"),
        };
        if code.is_worth_a_retry() {
            return self.another(why.clone(), random, End::Unreachable(why));
        }
        Next::GiveUp(match code {
            CloseCode::Kicked => End::Kicked(reason),
            CloseCode::RoomEnded => End::RoomEnded,
            CloseCode::Replaced => End::Replaced,
            CloseCode::TokenExpired => End::TokenExpired,
            CloseCode::Done
            | CloseCode::ProtocolViolation
            | CloseCode::MessageTooLong
            | CloseCode::JoinTimeout
            | CloseCode::RateLimited
            | CloseCode::TooSlow
            | CloseCode::Draining
            | CloseCode::Shutdown
            | CloseCode::TrunkUnauthorised
            | CloseCode::TrunkLoop
            | CloseCode::TreeTooDeep
            | CloseCode::TrunkLagging
            | CloseCode::Other(_) => End::Violation(why),
        })
    }

    /// A participant that was in the room comes back for as long as it takes; one that was not tries
    /// every address once, so that a wrong one is told at once.
    fn another(&mut self, why: String, random: f64, end: End) -> Next {
        if !self.has_joined && self.failures >= self.addresses.len() {
            return Next::GiveUp(end);
        }
        self.next_address();
        let untried = self.failures < self.addresses.len();
        let after = if untried { Duration::ZERO } else { self.backoff(random) };
        Next::Retry { after, why }
    }

    /// A relay that answers is about to be of use: it has just started, or is about to stop.
    fn refused_for_now(&mut self, code: ErrorCode, message: String, random: f64) -> Next {
        let is_patient = self.has_joined || self.waits_for_room;
        if !is_patient && self.failures >= REFUSALS_MAX * self.addresses.len() {
            return Next::GiveUp(End::Refused { code, message });
        }
        self.next_address();
        let untried = self.failures < self.addresses.len();
        let after = if untried { Duration::ZERO } else { self.backoff(random) };
        Next::Retry { after, why: message }
    }

    /// A room is opened by others, so a participant that waits for it waits. One that was in it gives
    /// its origin the time to come back that the origin gives them.
    fn no_room(&mut self, message: String) -> Next {
        if !self.waits_for_room && (!self.has_joined || self.missing >= RECONNECT_GRACE) {
            return Next::GiveUp(End::RoomNotFound(message));
        }
        self.missing += ROOM_RETRY;
        Next::Retry { after: ROOM_RETRY, why: message }
    }

    fn next_address(&mut self) {
        // The address of a `moved` is tried once; it is not one the user named.
        if self.moved.take().is_none() {
            self.current = (self.current + 1) % self.addresses.len();
        }
    }

    fn backoff(&mut self, random: f64) -> Duration {
        self.attempt += 1;
        backoff(self.attempt - 1, random)
    }
}

/// The wait before the `attempt`th attempt, from 0, of several in vain. Half of it is fixed, the other
/// half `random`, in 0.0..1.0.
pub(crate) fn backoff(attempt: u32, random: f64) -> Duration {
    let doubled = BACKOFF_FIRST.saturating_mul(1 << attempt.min(16));
    doubled.min(BACKOFF_MAX).mul_f64(0.5 + random / 2.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses(names: &[&str]) -> Vec<Address> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn lost() -> Failure {
        Failure::Lost("the network is down".into())
    }

    fn after(next: Next) -> Duration {
        match next {
            Next::Retry { after, .. } => after,
            Next::GiveUp(end) => panic!("gave up: {end:?}"),
        }
    }

    #[test]
    fn a_wrong_address_is_told_after_one_round() {
        let mut one = Reconnect::new(addresses(&["a"]), true);
        let unreachable = || Failure::Unreachable("no answer".into());
        assert!(matches!(
            one.handle_failure(unreachable(), 0.0),
            Next::GiveUp(End::Unreachable(_))
        ));
        let mut two = Reconnect::new(addresses(&["a", "b"]), false);
        assert_eq!(after(two.handle_failure(unreachable(), 0.0)), Duration::ZERO);
        assert_eq!(two.address().host(), "b");
        assert!(matches!(
            two.handle_failure(unreachable(), 0.0),
            Next::GiveUp(End::Unreachable(_))
        ));
    }

    #[test]
    fn who_was_in_the_room_comes_back_with_a_growing_wait() {
        let mut reconnect = Reconnect::new(addresses(&["a"]), false);
        reconnect.handle_joined();
        let waits: Vec<u128> =
            (0..8).map(|_| after(reconnect.handle_failure(lost(), 1.0)).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        reconnect.handle_joined();
        assert_eq!(after(reconnect.handle_failure(lost(), 0.0)).as_millis(), 125);
    }

    #[test]
    fn the_standby_is_tried_without_a_wait() {
        let mut reconnect = Reconnect::new(addresses(&["a", "b"]), false);
        reconnect.handle_joined();
        assert_eq!(after(reconnect.handle_failure(lost(), 0.5)), Duration::ZERO);
        assert_eq!(reconnect.address().host(), "b");
        assert!(after(reconnect.handle_failure(lost(), 0.5)) > Duration::ZERO);
        assert_eq!(reconnect.address().host(), "a");
    }

    #[test]
    fn a_relay_that_moves_us_is_followed_once() {
        let mut reconnect = Reconnect::new(addresses(&["a"]), false);
        reconnect.handle_joined();
        reconnect.handle_moved("b:9".parse().unwrap());
        after(reconnect.handle_failure(Failure::Moved, 0.0));
        assert_eq!(reconnect.address().to_string(), "b:9");
        after(reconnect.handle_failure(lost(), 0.0));
        assert_eq!(reconnect.address().host(), "a");
    }

    #[test]
    fn a_room_that_is_not_there() {
        let missing =
            || Failure::Refused { code: ErrorCode::RoomNotFound, message: "No room.".into() };
        let mut once = Reconnect::new(addresses(&["a"]), false);
        assert!(matches!(once.handle_failure(missing(), 0.0), Next::GiveUp(End::RoomNotFound(_))));
        let mut waiting = Reconnect::new(addresses(&["a"]), true);
        for _ in 0..100 {
            assert_eq!(after(waiting.handle_failure(missing(), 0.0)), ROOM_RETRY);
        }
        let mut back = Reconnect::new(addresses(&["a"]), false);
        back.handle_joined();
        for _ in 0..30 {
            assert_eq!(after(back.handle_failure(missing(), 0.0)), ROOM_RETRY);
        }
        assert!(matches!(back.handle_failure(missing(), 0.0), Next::GiveUp(End::RoomNotFound(_))));
    }

    #[test]
    fn a_relay_that_is_about_to_be_of_use_is_asked_again() {
        let not_yet =
            || Failure::Refused { code: ErrorCode::Unavailable, message: "Not yet.".into() };
        let mut once = Reconnect::new(addresses(&["a", "b"]), false);
        assert_eq!(after(once.handle_failure(not_yet(), 1.0)), Duration::ZERO);
        let waited: Duration = (0..10).map(|_| after(once.handle_failure(not_yet(), 1.0))).sum();
        assert!(waited >= Duration::from_secs(4), "{waited:?}");
        assert!(matches!(once.handle_failure(not_yet(), 1.0), Next::GiveUp(End::Refused { .. })));
        let mut waiting = Reconnect::new(addresses(&["a"]), true);
        for _ in 0..100 {
            after(waiting.handle_failure(not_yet(), 1.0));
        }
    }

    #[test]
    fn who_is_sent_on_follows_but_not_in_a_circle_and_not_for_ever() {
        let full = |to: &str| Failure::Redirected {
            to: to.parse().unwrap(),
            code: ErrorCode::Overloaded,
            message: "Full.".into(),
        };
        let mut circle = Reconnect::new(addresses(&["a"]), false);
        assert_eq!(after(circle.handle_failure(full("b"), 0.5)), MOVE_SPREAD / 2);
        assert_eq!(circle.address().host(), "b");
        assert!(after(circle.handle_failure(full("a"), 1.0)) > Duration::ZERO);
        assert_eq!(circle.address().host(), "a");
        let own = circle.handle_failure(full("a"), 1.0);
        assert_eq!(after(own).as_millis(), 500, "a relay that names itself is put off");

        let mut chain = Reconnect::new(addresses(&["r0"]), false);
        let mut asked = 0;
        let end = loop {
            asked += 1;
            let to = format!("r{asked}");
            match chain.handle_failure(full(&to), 0.0) {
                Next::GiveUp(end) => break end,
                Next::Retry { .. } => {
                    assert!(chain.address().host() == to || chain.address().host() == "r0")
                }
            }
        };
        assert!(matches!(end, End::Refused { code: ErrorCode::Overloaded, .. }));
        assert_eq!(asked, REFUSALS_MAX * (REDIRECTS_MAX + 1));
    }

    #[test]
    fn who_has_moved_counts_the_new_relay_as_the_present_one() {
        let mut reconnect = Reconnect::new(addresses(&["a", "b"]), false);
        reconnect.handle_joined();
        reconnect.handle_arrived("b".parse().unwrap());
        assert_eq!(reconnect.address().host(), "b");
        assert_eq!(after(reconnect.handle_failure(lost(), 0.5)), Duration::ZERO);
        assert_eq!(reconnect.address().host(), "a");
        for moved_to in ["c", "d"] {
            reconnect.handle_arrived(moved_to.parse().unwrap());
            assert_eq!(reconnect.address().host(), moved_to);
        }
        let tried: Vec<_> = (0..4)
            .map(|_| {
                after(reconnect.handle_failure(lost(), 0.5));
                reconnect.address().host().to_owned()
            })
            .collect();
        assert_eq!(tried, ["a", "b", "d", "a"], "the last one that let us in is tried too");
    }

    #[test]
    fn a_moderators_word_is_final() {
        for (code, end) in [
            (CloseCode::Kicked, End::Kicked("enough".into())),
            (CloseCode::RoomEnded, End::RoomEnded),
            (CloseCode::Replaced, End::Replaced),
            (CloseCode::TokenExpired, End::TokenExpired),
        ] {
            let mut reconnect = Reconnect::new(addresses(&["a", "b"]), true);
            reconnect.handle_joined();
            let failure = Failure::Closed { code, reason: "enough".into() };
            assert_eq!(reconnect.handle_failure(failure, 0.0), Next::GiveUp(end));
        }
        let mut reconnect = Reconnect::new(addresses(&["a", "b"]), true);
        let failure = Failure::Refused { code: ErrorCode::Barred, message: "No.".into() };
        assert!(matches!(
            reconnect.handle_failure(failure, 0.0),
            Next::GiveUp(End::Refused { .. })
        ));
    }

    proptest! {
        /// Whatever happens and whatever the random numbers: no wait is over the limit, and the
        /// address is always one that was named.
        #[test]
        fn waits_are_bounded(steps in prop::collection::vec((0u8..6, 0.0f64..1.0), 1..200)) {
            let mut reconnect = Reconnect::new(addresses(&["a", "b", "c"]), true);
            reconnect.handle_joined();
            for (step, random) in steps {
                let failure = match step {
                    0 => lost(),
                    1 => Failure::Unreachable(String::new()),
                    2 => Failure::Closed { code: CloseCode::Shutdown, reason: String::new() },
                    3 => Failure::Refused { code: ErrorCode::Unavailable, message: String::new() },
                    4 => {
                        reconnect.handle_moved("moved".parse().unwrap());
                        Failure::Moved
                    }
                    _ => {
                        reconnect.handle_joined();
                        lost()
                    }
                };
                match reconnect.handle_failure(failure, random) {
                    Next::Retry { after, .. } => prop_assert!(after <= BACKOFF_MAX),
                    Next::GiveUp(end) => prop_assert!(false, "gave up: {end:?}"),
                }
                prop_assert!(["a", "b", "c", "moved"].contains(&reconnect.address().host()));
            }
        }
    }
}
