//! Delivery to one participant: the profile by which frames come, and the redundancy that the losses it
//! reports call for. SPEC.md sections 5.6 and 5.7.

use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::settings::RoomSettings;
use tribune_protocol::quality::report::Report;

use crate::counters::Transport;
use crate::messages::RedundancyLevel;

/// Frames that a report has to be about: a second of one talker. Fewer say nothing about a path.
const MIN_FRAMES: u64 = 50;
/// Share of frames missing from playout, as 1/n, from which on more is sent again: one in a hundred, which
/// can be heard.
const UNMENDED_SHARE: u64 = 100;
/// Share of frames missing at first, as 1/n, below which less would do: repair alone copes with it.
const MISSING_SHARE: u64 = 100;
/// Round trip, in microseconds, from which on repair alone makes for a long delay.
const FAR_US: u32 = 40_000;
/// Share of frames that came repaired from there, as 1/n, from which on more is sent again: what a tenth of loss
/// leaves beside a single copy is less, and what a fifth leaves is more.
const SLOW_SHARE: u64 = 40;
/// Reports in a row, of five seconds each, before less is sent again: losses come in spells.
const CALM_REPORTS: u8 = 6;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    /// The way it comes.
    transport: Transport,
    /// The participant's wish.
    wanted: Option<Profile>,
    /// The room's choice, made when the participant joined: a room that grows or shrinks changes nothing
    /// for those who are in it.
    of_room: Profile,
    /// The participant understands redundant frames.
    takes_redundancy: bool,
    protection: RedundancyLevel,
    /// Reports without losses in a row.
    calm: u8,
}

impl Delivery {
    /// Delivery to a participant that joins.
    pub(crate) fn new(
        transport: Transport,
        wanted: Option<Profile>,
        takes_redundancy: bool,
    ) -> Self {
        Self {
            transport,
            wanted: wanted.filter(|wanted| is_known(transport, *wanted)),
            of_room: Profile::Live,
            takes_redundancy,
            protection: RedundancyLevel::None,
            calm: 0,
        }
    }

    /// Takes a wish for another profile.
    pub(crate) fn set_wanted(&mut self, wanted: Option<Profile>) {
        self.wanted = wanted.filter(|wanted| is_known(self.transport, *wanted));
    }

    /// Makes the room's choice, for its size now. `audience_from` is the relay's own.
    pub(crate) fn choose(&mut self, settings: &RoomSettings, listeners: u64, audience_from: u32) {
        let from = match settings.audience_from {
            0 => audience_from,
            from => from,
        };
        let is_large = from > 0 && listeners >= u64::from(from);
        let is_dear = is_browser(self.transport);
        self.of_room = if is_large || is_dear { Profile::Audience } else { Profile::Live };
    }

    /// The profile, and what is sent again. A participant on the stage, or asked to it, is in a conversation.
    pub(crate) fn now(&self, is_in_conversation: bool) -> (Profile, RedundancyLevel) {
        let profile = match (is_in_conversation, self.wanted) {
            (true, _) => Profile::Live,
            (false, wanted) => wanted.unwrap_or(self.of_room),
        };
        let protection = match profile {
            // QUIC sends again what is lost.
            Profile::Reliable => RedundancyLevel::None,
            Profile::Live | Profile::Audience | Profile::Unknown => self.protection,
        };
        (profile, protection)
    }

    /// Takes what the participant reports.
    pub(crate) fn handle_report(&mut self, report: &Report) {
        let expected = u64::from(report.expected());
        if !self.takes_redundancy || expected < MIN_FRAMES {
            return;
        }
        let (lost, late) = (u64::from(report.lost), u64::from(report.late));
        // From far away an answer comes, and makes the delay long, where it is not long on purpose.
        let is_slow = report.rtt_us >= FAR_US && !report.is_delayed;
        let slow = if is_slow { u64::from(report.answered) } else { 0 };
        if (lost + late) * UNMENDED_SHARE >= expected || slow * SLOW_SHARE >= expected {
            self.calm = 0;
            self.protection = stronger(self.protection);
        } else if (lost + late + u64::from(report.repaired)) * MISSING_SHARE >= expected {
            self.calm = 0;
        } else {
            self.calm += 1;
            if self.calm == CALM_REPORTS {
                self.calm = 0;
                self.protection = weaker(self.protection);
            }
        }
    }
}

/// Streams of the relay are for native participants: a browser's session has its own head on each.
fn is_known(transport: Transport, profile: Profile) -> bool {
    match profile {
        Profile::Live | Profile::Audience => true,
        Profile::Reliable => !is_browser(transport),
        Profile::Unknown => false,
    }
}

/// Whether it is a browser, which acknowledges each packet and cannot be asked to do so less often.
fn is_browser(transport: Transport) -> bool {
    match transport {
        Transport::WebTransport | Transport::WebSocket => true,
        Transport::Quic => false,
    }
}

const fn stronger(protection: RedundancyLevel) -> RedundancyLevel {
    match protection {
        RedundancyLevel::None => RedundancyLevel::Previous,
        RedundancyLevel::Previous => RedundancyLevel::PreviousTwo,
        RedundancyLevel::PreviousTwo | RedundancyLevel::Spread => RedundancyLevel::Spread,
    }
}

const fn weaker(protection: RedundancyLevel) -> RedundancyLevel {
    match protection {
        RedundancyLevel::None | RedundancyLevel::Previous => RedundancyLevel::None,
        RedundancyLevel::PreviousTwo => RedundancyLevel::Previous,
        RedundancyLevel::Spread => RedundancyLevel::PreviousTwo,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_the_participants_choice_then_the_rooms_and_live_on_the_stage() {
        let settings = RoomSettings::default();
        let mut delivery = Delivery::new(Transport::Quic, Some(Profile::Unknown), true);
        delivery.choose(&settings, 999, 1_000);
        assert_eq!(delivery.now(false).0, Profile::Live);
        delivery.choose(&settings, 1_000, 1_000);
        assert_eq!(delivery.now(false).0, Profile::Audience);
        assert_eq!(delivery.now(true).0, Profile::Live);
        delivery.choose(&settings, 1_000_000, 0);
        assert_eq!(delivery.now(false).0, Profile::Live, "the relay leaves it to the rooms");
        let small = RoomSettings { audience_from: 10, ..RoomSettings::default() };
        delivery.choose(&small, 10, 1_000);
        assert_eq!(delivery.now(false).0, Profile::Audience);
        delivery.set_wanted(Some(Profile::Reliable));
        assert_eq!(delivery.now(false), (Profile::Reliable, RedundancyLevel::None));
    }

    #[test]
    fn a_browser_hears_by_audience_unless_it_asks_for_live_and_never_by_streams() {
        let settings = RoomSettings::default();
        let mut delivery = Delivery::new(Transport::WebTransport, None, true);
        delivery.choose(&settings, 1, 1_000);
        assert_eq!(delivery.now(false).0, Profile::Audience);
        assert_eq!(delivery.now(true).0, Profile::Live, "on the stage");
        delivery.set_wanted(Some(Profile::Reliable));
        assert_eq!(delivery.now(false).0, Profile::Audience);
        delivery.set_wanted(Some(Profile::Live));
        assert_eq!(delivery.now(false).0, Profile::Live);
    }

    #[test]
    fn more_is_sent_again_while_frames_are_missed_and_less_after_half_a_minute_without_losses() {
        let report = |lost, repaired, late| Report {
            received: 250 - lost,
            lost,
            repaired,
            late,
            ..Report::default()
        };
        let mut delivery = Delivery::new(Transport::Quic, None, true);
        let mut after = |lost, repaired, late| {
            delivery.handle_report(&report(lost, repaired, late));
            delivery.now(false).1
        };
        assert_eq!(after(2, 30, 0), RedundancyLevel::None, "repair copes");
        assert_eq!(after(3, 30, 0), RedundancyLevel::Previous);
        assert_eq!(after(0, 30, 3), RedundancyLevel::PreviousTwo, "what is late is missing too");
        assert_eq!(after(9, 30, 0), RedundancyLevel::Spread);
        assert_eq!(after(9, 30, 0), RedundancyLevel::Spread);
        for level in
            [RedundancyLevel::PreviousTwo, RedundancyLevel::Previous, RedundancyLevel::None]
        {
            for _ in 0..CALM_REPORTS - 1 {
                assert!(after(0, 0, 0) > level);
            }
            assert!(after(0, 5, 0) > level, "a loss that was mended begins the wait anew");
            for _ in 0..CALM_REPORTS - 1 {
                assert!(after(0, 0, 0) > level);
            }
            assert_eq!(after(0, 0, 0), level);
        }
    }

    #[test]
    fn what_comes_by_questions_from_far_away_is_sent_again_at_once_in_conversation() {
        let after = |answered, rtt_us, is_delayed| {
            let (received, repaired) = (250, 30);
            let report =
                Report { received, repaired, answered, rtt_us, is_delayed, ..Report::default() };
            let mut delivery = Delivery::new(Transport::Quic, None, true);
            delivery.handle_report(&report);
            delivery.now(false).1
        };
        assert_eq!(after(7, FAR_US, false), RedundancyLevel::Previous);
        assert_eq!(after(6, FAR_US, false), RedundancyLevel::None, "a copy leaves as many");
        assert_eq!(after(7, FAR_US - 1, false), RedundancyLevel::None, "an answer is quick");
        assert_eq!(after(7, FAR_US, true), RedundancyLevel::None, "there is time to ask");
    }

    #[test]
    fn nothing_is_sent_again_to_those_who_do_not_understand_it_or_say_too_little() {
        let report = |frames| Report { received: 0, lost: frames, ..Report::default() };
        let mut old = Delivery::new(Transport::Quic, None, false);
        old.handle_report(&report(250));
        assert_eq!(old.now(false).1, RedundancyLevel::None);
        let mut new = Delivery::new(Transport::Quic, None, true);
        new.handle_report(&report(49));
        assert_eq!(new.now(false).1, RedundancyLevel::None);
    }
}
