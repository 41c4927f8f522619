//! Presence in a room over one connection after the other, and how long it has lasted: a relay that is told counts
//! one stay, and not a join for each connection. SPEC.md section 8.23.

use std::time::Instant;

use tribune_protocol::limits::RECONNECT_GRACE;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// When it began.
    began: Option<Instant>,
    /// When the last connection was lost, while there is none.
    lost: Option<Instant>,
}

impl Presence {
    /// A relay has let us in.
    pub(super) fn handle_joined(&mut self, now: Instant) {
        if self.lasted_s(now).is_none() {
            self.began = Some(now);
        }
        self.lost = None;
    }

    /// The connection that serves is gone.
    pub(super) fn handle_lost(&mut self, now: Instant) {
        self.lost.get_or_insert(now);
    }

    /// Seconds that it has lasted. `None`: a join begins another one, as the relay before has counted this one as
    /// over.
    pub(super) fn lasted_s(&self, now: Instant) -> Option<u32> {
        let goes_on = self.lost.is_none_or(|lost| now < lost + RECONNECT_GRACE);
        let began = self.began.filter(|_| goes_on)?;
        u32::try_from(now.saturating_duration_since(began).as_secs()).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_goes_on_within_the_grace_and_begins_anew_after() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut presence = Presence::default();
        assert_eq!(presence.lasted_s(at(0)), None);
        presence.handle_joined(at(0));
        assert_eq!(presence.lasted_s(at(40)), Some(40), "another relay takes over");
        presence.handle_lost(at(50));
        presence.handle_lost(at(70));
        assert_eq!(presence.lasted_s(at(79)), Some(79));
        presence.handle_joined(at(79));
        assert_eq!(presence.lasted_s(at(500)), Some(500));
        presence.handle_lost(at(500));
        assert_eq!(presence.lasted_s(at(530)), None, "the relay has counted it as over");
        presence.handle_joined(at(540));
        assert_eq!(presence.lasted_s(at(545)), Some(5));
    }
}
