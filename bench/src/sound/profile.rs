//! Profiles: how a listener asks to hear, and plays. One that is added to the product gets a variant here.

use std::time::Duration;

use tribune_protocol::domain::profile::Profile as Wanted;
use tribune_tests::sim::participant::Listening;

/// Frame periods for which a listener of `live` goes on listening after the speech: more than the longest delay.
const TAIL_LIVE: usize = 75;
/// The same of the others.
const TAIL_LATE: usize = 200;

/// A way to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Profile {
    /// For conversation: what `tribune listen` does in a room that says nothing else.
    Live,
    /// For listening, with the usual delay of playout.
    Audience,
    /// For listening, with the longest delay of playout, which outages are bridged by.
    #[value(name = "audience-2s")]
    AudienceLate,
    /// On streams, with the longest delay.
    Reliable,
}

impl Profile {
    /// Its name on the command line and in results.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Audience => "audience",
            Self::AudienceLate => "audience-2s",
            Self::Reliable => "reliable",
        }
    }

    /// Wish of its listener.
    pub(crate) const fn listening(self) -> Listening {
        let (profile, playout_delay) = match self {
            Self::Live => (Wanted::Live, None),
            Self::Audience => (Wanted::Audience, Some(Duration::from_millis(500))),
            Self::AudienceLate => (Wanted::Audience, Some(Duration::from_secs(2))),
            Self::Reliable => (Wanted::Reliable, Some(Duration::from_secs(2))),
        };
        Listening { profile: Some(profile), playout_delay }
    }

    /// Frame periods for which the listener goes on listening after the speech.
    pub(crate) const fn tail(self) -> usize {
        match self {
            Self::Live => TAIL_LIVE,
            Self::Audience | Self::AudienceLate | Self::Reliable => TAIL_LATE,
        }
    }
}
