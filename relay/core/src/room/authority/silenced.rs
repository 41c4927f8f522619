//! Subjects that left the stage silenced: leaving and coming back in does not lift a silence.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tribune_protocol::ids::Subject;
use tribune_protocol::limits::MAX_HANDS;

/// Silenced subjects remembered after they leave the stage, the oldest forgotten first. As many as
/// hands fit the queue by which they could come back.
const MAX_SILENCED_LEAVERS: usize = MAX_HANDS;

/// Subjects that left the stage silenced, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::room) struct SilencedLeavers(VecDeque<Subject>);

impl SilencedLeavers {
    /// Remembers a subject that leaves the stage silenced.
    pub(in crate::room) fn insert(&mut self, subject: Subject) {
        if self.0.len() >= MAX_SILENCED_LEAVERS {
            self.0.pop_front();
        }
        self.0.push_back(subject);
    }

    /// Forgets a subject that is on the stage again.
    pub(in crate::room) fn remove(&mut self, subject: &Subject) {
        self.0.retain(|silenced| silenced != subject);
    }

    pub(in crate::room) fn contains(&self, subject: &Subject) -> bool {
        self.0.contains(subject)
    }
}
