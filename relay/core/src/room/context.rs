//! The clock, the policy table and the key that all rooms of a relay share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tribune_protocol::domain::attributes::Attributes;
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{RoomName, Subject};
use tribune_protocol::log::LogKey;
use tribune_protocol::token::{Claims, Grants, TokenError};

use crate::auth::invitation::mint_invitation;
use crate::clock::WallClock;
use crate::room::authority::policy::Policy;

/// The subject of an invitation that is for anybody who has it: edges take its bearer for a guest.
pub const INVITED: &str = "invited";

/// What all rooms of an origin share.
#[derive(Debug)]
pub struct RoomContext {
    /// Where Unix time stands.
    pub wall: WallClock,
    /// What the log and invitations are signed with.
    pub key: LogKey,
    /// Who may do what.
    pub policy: Arc<Policy>,
}

impl RoomContext {
    /// Unix time in seconds.
    pub(in crate::room) fn unix_s(&self, now: Instant) -> u64 {
        self.wall.unix_us(now) / 1_000_000
    }

    /// When that Unix time is; at the earliest the start of the relay.
    pub(in crate::room) fn instant(&self, unix_s: u64) -> Instant {
        let ahead_us = unix_s.saturating_mul(1_000_000).saturating_sub(self.wall.unix_us);
        self.wall.at + Duration::from_micros(ahead_us)
    }

    pub(in crate::room) fn invitation(
        &self,
        room: &RoomName,
        subject: Option<&Subject>,
        role: Role,
        now_s: u64,
        valid_for_s: u64,
    ) -> Result<String, TokenError> {
        let whoever = || INVITED.parse().unwrap_or_else(|_| unreachable!("a word is a subject"));
        let claims = Claims {
            key_name: String::new(),
            subject: subject.cloned().unwrap_or_else(whoever),
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
