//! Context shared by all rooms of a relay: clock, key, policy table.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tribune_protocol::domain::attributes::Attributes;
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{DisplayName, RelayId, RoomName, Subject};
use tribune_protocol::log::LogKey;
use tribune_protocol::token::{Claims, Grants, TokenError};

use crate::auth::invitation::mint_invitation;
use crate::clock::WallClock;
use crate::room::authority::policy::Policy;

/// Subject of an invitation for any bearer: edges take the bearer for a guest.
pub const INVITED: &str = "invited";

/// Clock, key and policy table of a relay, shared by its rooms.
#[derive(Debug)]
pub struct RoomContext {
    /// The relay.
    pub relay: RelayId,
    /// The relay's name.
    pub name: DisplayName,
    /// Unix time.
    pub wall: WallClock,
    /// Key that signs the log and invitations.
    pub key: LogKey,
    /// The policy table.
    pub policy: Arc<Policy>,
    /// Listeners of a room from which on new ones are given `audience`, where its settings do not say; 0:
    /// never.
    pub audience_from: u32,
}

impl RoomContext {
    /// Unix time in seconds.
    pub(in crate::room) fn unix_s(&self, now: Instant) -> u64 {
        self.wall.unix_us(now) / 1_000_000
    }

    /// The instant of a Unix time; at the earliest the start of the relay.
    pub(in crate::room) fn instant(&self, unix_s: u64) -> Instant {
        let ahead_us = unix_s.saturating_mul(1_000_000).saturating_sub(self.wall.unix_us);
        self.wall.at + Duration::from_micros(ahead_us)
    }

    /// Signs an invitation to a room.
    pub(in crate::room) fn invitation(
        &self,
        room: &RoomName,
        subject: Option<&Subject>,
        role: Role,
        now_s: u64,
        valid_for_s: u64,
    ) -> Result<String, TokenError> {
        let anybody = || INVITED.parse().unwrap_or_else(|_| unreachable!("a word is a subject"));
        let claims = Claims {
            key_name: String::new(),
            subject: subject.cloned().unwrap_or_else(anybody),
            name: None,
            not_before_s: None,
            expires_s: now_s + valid_for_s,
            issued_s: Some(now_s),
            metadata: None,
            attributes: Attributes::default(),
            role: Some(role),
            grants: Grants {
                room: room.to_string(),
                room_join: true,
                room_admin: self.policy.may(role).contains(Permission::Kick),
                can_publish: self.policy.speaks(role),
                can_subscribe: true,
                ..Grants::default()
            },
        };
        mint_invitation(self.key.pair(), claims)
    }
}
