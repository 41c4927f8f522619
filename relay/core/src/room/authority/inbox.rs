//! Inputs that wait while a decision is being stored, in order and bounded.

use std::collections::VecDeque;

use tribune_protocol::control::trunk::{Action, Credentials};

use super::effect::Asker;

/// Inputs that wait while a decision is being stored: seconds of a large room's hands. Further
/// requests are refused, further reports of edges are dropped.
pub(in crate::room) const MAX_WAITING: usize = 4_096;
/// Reports of edges have that much more space than requests.
const WAITING_FOR_REPORTS: usize = 1_024;

/// An input: a participant's action, or its edge's report about it.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) asker: Asker,
    /// Credentials, as the edge has checked them.
    pub(super) by: Option<Credentials>,
    pub(super) action: Action,
}

/// Waiting inputs, and the last count of listeners if it waits too.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: VecDeque<Input>,
    audience: Option<u64>,
}

impl Inbox {
    /// Has an input wait. Returns whether there is space for it.
    pub(super) fn push(&mut self, input: Input) -> bool {
        let is_request = input.asker.request.is_some();
        let space = if is_request { MAX_WAITING } else { MAX_WAITING + WAITING_FOR_REPORTS };
        let fits = self.waiting.len() < space;
        if fits {
            self.waiting.push_back(input);
        }
        fits
    }

    /// The input that has waited for longest.
    pub(super) fn pop(&mut self) -> Option<Input> {
        self.waiting.pop_front()
    }

    /// Has a count of listeners wait, in place of an earlier one.
    pub(super) fn set_audience(&mut self, listeners: u64) {
        self.audience = Some(listeners);
    }

    pub(super) fn take_audience(&mut self) -> Option<u64> {
        self.audience.take()
    }

    /// Whether no input waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
