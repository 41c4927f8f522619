//! Delivery of frames to this participant: the profile that the relay has given, and the delay of playout that
//! goes with it.

use std::time::Duration;

use tribune_protocol::control::participant::{ToParticipant, You};
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::limits::{DEFAULT_PLAYOUT_DELAY, MAX_PLAYOUT_DELAY, MIN_PLAYOUT_DELAY};
use tribune_protocol::media::repair::Reach;

use crate::jitter::JitterConfig;

/// See the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    profile: Profile,
    /// The listener's choice.
    own_delay: Option<Duration>,
    room_delay: Duration,
}

impl Delivery {
    /// Live, until a relay says otherwise. `own_delay` goes before the room's.
    #[must_use]
    pub fn new(own_delay: Option<Duration>) -> Self {
        let own_delay = own_delay.map(|delay| delay.clamp(MIN_PLAYOUT_DELAY, MAX_PLAYOUT_DELAY));
        Self { profile: Profile::Live, own_delay, room_delay: DEFAULT_PLAYOUT_DELAY }
    }

    /// Takes one's own place in the room. Returns whether it changes anything.
    pub fn handle_you(&mut self, you: &You) -> bool {
        std::mem::replace(&mut self.profile, you.profile) != you.profile
    }

    /// Takes a message of the relay. Returns whether it changes anything.
    pub fn handle_message(&mut self, message: &ToParticipant) -> bool {
        let before = *self;
        if let Some(you) = message.as_you() {
            self.handle_you(you);
        }
        if let ToParticipant::Room(room) = message {
            self.room_delay = room.settings.playout_delay();
        }
        *self != before
    }

    /// The profile by which frames come.
    #[must_use]
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    /// Least delay of playout; `None`: as short as the network allows.
    #[must_use]
    pub fn playout_delay(&self) -> Option<Duration> {
        match self.profile {
            Profile::Live | Profile::Unknown => None,
            Profile::Audience => Some(self.own_delay.unwrap_or(self.room_delay)),
            // What was lost comes when QUIC has noticed, and has no deadline but the listener's.
            Profile::Reliable => Some(self.own_delay.unwrap_or(MAX_PLAYOUT_DELAY)),
        }
    }

    /// Delays of playout that go with it.
    #[must_use]
    pub fn jitter_config(&self) -> JitterConfig {
        match (self.profile, self.playout_delay()) {
            (Profile::Reliable, Some(delay)) => JitterConfig::reliable(delay),
            (Profile::Live | Profile::Audience | Profile::Reliable | Profile::Unknown, delay) => {
                delay.map_or_else(JitterConfig::live, JitterConfig::audience)
            }
        }
    }

    /// Bounds within which missing frames are asked for.
    #[must_use]
    pub fn reach(&self) -> Reach {
        match (self.profile, self.playout_delay()) {
            (Profile::Reliable, _) => Reach::NONE,
            (Profile::Live | Profile::Audience | Profile::Unknown, Some(delay)) => {
                Reach::within(delay)
            }
            (Profile::Live | Profile::Audience | Profile::Unknown, None) => Reach::LIVE,
        }
    }

    /// Whether frames from before a loss of connection are of use after it.
    #[must_use]
    pub const fn resumes(&self) -> bool {
        match self.profile {
            Profile::Live | Profile::Unknown => false,
            Profile::Audience | Profile::Reliable => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use tribune_protocol::control::participant::RoomInfo;
    use tribune_protocol::domain::permission::PermissionSet;
    use tribune_protocol::domain::role::Role;
    use tribune_protocol::domain::room::Phase;
    use tribune_protocol::domain::settings::RoomSettings;
    use tribune_protocol::ids::{Note, ParticipantId};

    use super::*;

    #[test]
    fn the_delay_is_the_listeners_then_the_rooms_and_none_in_conversation() {
        let mut delivery = Delivery::new(None);
        assert_eq!((delivery.playout_delay(), delivery.reach()), (None, Reach::LIVE));
        assert!(delivery.handle_message(&you(Profile::Audience)));
        assert!(!delivery.handle_message(&you(Profile::Audience)));
        assert_eq!(delivery.playout_delay(), Some(Duration::from_millis(500)));
        assert!(delivery.handle_message(&room(900)));
        assert_eq!(delivery.playout_delay(), Some(Duration::from_millis(900)));
        assert_eq!(delivery.reach(), Reach::within(Duration::from_millis(900)));
        let mut own = Delivery::new(Some(Duration::from_secs(60)));
        own.handle_message(&you(Profile::Audience));
        own.handle_message(&room(900));
        assert_eq!(own.playout_delay(), Some(Duration::from_secs(2)));
        assert!(own.handle_message(&you(Profile::Reliable)));
        assert_eq!((own.reach(), own.resumes()), (Reach::NONE, true));
        assert!(delivery.handle_message(&you(Profile::Live)));
        assert_eq!((delivery.playout_delay(), delivery.resumes()), (None, false));
    }

    fn you(profile: Profile) -> ToParticipant {
        ToParticipant::You(You {
            participant: ParticipantId(1),
            role: Role::Listener,
            track: None,
            silenced: false,
            hand: None,
            reason: Note::default(),
            may: PermissionSet::NONE,
            invited_by: None,
            profile,
        })
    }

    fn room(playout_delay_ms: u16) -> ToParticipant {
        ToParticipant::Room(RoomInfo {
            room: "stage".parse().unwrap(),
            phase: Phase::Live,
            settings: RoomSettings { playout_delay_ms, ..RoomSettings::default() },
            stage: Vec::new(),
            listeners: 0,
            key: None,
        })
    }
}
