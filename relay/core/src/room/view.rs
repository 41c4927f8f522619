//! Read-only view of a room for its edge: the state and rulings in force, and the policy table.

use tribune_protocol::control::participant::RoomInfo;
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::room::RoomState;

use crate::room::authority::policy::Policy;
use crate::room::context::RoomContext;
use crate::room::person_rulings::PersonRulings;
use crate::room::replica::Replica;
use crate::room::replica::rulings::RulingsCopy;

/// See the module's documentation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RoomView<'a> {
    pub(crate) state: &'a RoomState,
    pub(crate) policy: &'a Policy,
    /// The relay's own: see [`RoomContext::audience_from`].
    pub(crate) audience_from: u32,
    rulings: &'a RulingsCopy,
}

impl<'a> RoomView<'a> {
    /// View of what a replica holds.
    pub(crate) fn new(replica: &'a Replica, context: &'a RoomContext) -> Self {
        let (state, rulings) = (replica.state(), replica.rulings());
        Self { state, policy: &context.policy, audience_from: context.audience_from, rulings }
    }

    /// Settings of the room, for its participants.
    pub(crate) fn info(&self, listeners: u64) -> RoomInfo {
        RoomInfo {
            room: self.state.room.clone(),
            phase: self.state.phase,
            settings: self.state.settings.clone(),
            stage: Vec::new(),
            listeners,
            key: self.state.key,
        }
    }

    /// Rulings about the person with these keys, whose token was issued at that second of Unix time.
    pub(crate) fn rulings_about(
        &self,
        keys: [PersonKey; 3],
        token_issued_at_s: Option<u64>,
    ) -> PersonRulings {
        self.rulings.about(keys, token_issued_at_s)
    }
}
