//! Quality of a room, at this relay and below: reports folded, and the fold sent upwards from time to
//! time. Part of [`crate::room::replica::Replica`].

use std::time::Instant;

use tribune_protocol::limits::REPORT_PERIOD;
use tribune_protocol::quality::report::Report;
use tribune_protocol::quality::{Quality, QualitySummary};

use crate::quality::RecentQuality;

/// Reports about one room; nothing is allocated until the first one comes.
#[derive(Debug, Default)]
pub(crate) struct RoomQuality(Option<Box<Folded>>);

#[derive(Debug, Default)]
struct Folded {
    recent: RecentQuality,
    /// Not sent to the parent yet.
    unsent: Quality,
    send_from: Option<Instant>,
}

impl RoomQuality {
    /// Adds the report of a participant at this relay. `has_parent`: this relay is not the origin.
    pub(crate) fn add(&mut self, now: Instant, report: &Report, has_parent: bool) {
        let folded = self.0.get_or_insert_default();
        folded.recent.add(now, report);
        if has_parent {
            folded.unsent(now).add(report);
        }
    }

    /// Adds a child's fold. `has_parent`: this relay is not the origin.
    pub(crate) fn merge(&mut self, now: Instant, quality: &Quality, has_parent: bool) {
        let folded = self.0.get_or_insert_default();
        folded.recent.merge(now, quality);
        if has_parent {
            folded.unsent(now).merge(quality);
        }
    }

    /// Summary of the last minute; `None` without a report.
    pub(crate) fn summary(&self, now: Instant) -> Option<QualitySummary> {
        self.0.as_ref()?.recent.quality(now).summary()
    }

    /// When the next fold is to be sent upwards.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.0.as_ref().filter(|folded| !folded.unsent.is_empty())?.send_from
    }

    /// Fold to be sent upwards, if it is time.
    pub(crate) fn take_unsent(&mut self, now: Instant) -> Option<Quality> {
        let folded = self.0.as_mut().filter(|folded| !folded.unsent.is_empty())?;
        if folded.send_from.is_some_and(|from| now < from) {
            return None;
        }
        folded.send_from = Some(now + REPORT_PERIOD);
        Some(std::mem::take(&mut folded.unsent))
    }
}

impl Folded {
    /// The first report waits a period too: reports of many who joined at once make one message.
    fn unsent(&mut self, now: Instant) -> &mut Quality {
        self.send_from.get_or_insert(now + REPORT_PERIOD);
        &mut self.unsent
    }
}
