//! Runs of a room, as its record lists them: one for each time that it was opened.

use serde::{Deserialize, Serialize};
use tribune_protocol::limits::MAX_RUNS_LISTED;
use tribune_protocol::statistics::RunListing;

/// See the module's documentation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::room) struct RunList(Vec<RunListing>);

impl RunList {
    /// A run begins. Of too many, the oldest is not listed any more.
    pub(super) fn begin(&mut self, run: u32, began_at_s: u64) {
        self.0.insert(0, RunListing { run, began_at_s, ended_at_s: 0 });
        self.0.truncate(MAX_RUNS_LISTED);
    }

    /// The present run ends.
    pub(super) fn end(&mut self, ended_at_s: u64) {
        if let Some(run) = self.0.first_mut().filter(|run| run.ended_at_s == 0) {
            run.ended_at_s = ended_at_s;
        }
    }

    /// The runs, the newest first.
    pub(super) fn all(&self) -> &[RunListing] {
        &self.0
    }
}
