//! The policy table: permissions and rank of each role, as data. For the origin's decisions, for edges
//! that tell participants their permissions, and for the page that documents it.
//!
//! A role is a row: its permissions, and a rank. A permission that a row does not list is denied, and
//! so is everything to a role without a row. A role that an operator defines is one more row.
//!
//! The table covers permissions only. Whether a request makes sense at the moment depends on the
//! room's state, and is refused with another error code.

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::domain::permission::{Permission, PermissionSet};
use tribune_protocol::domain::role::Role;

use super::effect::Refusal;

/// Rows of a policy: the four default roles and an operator's own. Nobody tells more roles than that
/// apart.
pub const MAX_ROLES: usize = 32;

/// One row of the table: a role, its rank and its permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RolePolicy {
    /// The role.
    pub role: Role,
    /// Rank: an action that overrules a person reaches those of this rank and below. Hosts have
    /// 100, cohosts 80, speakers 20, listeners 10.
    pub rank: u8,
    /// Its permissions; everything else is denied.
    pub may: PermissionSet,
}

/// The table: one row a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    rows: Vec<RolePolicy>,
}

/// A row that cannot be added to the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRow {
    /// There is a row for the role.
    #[error("the role {0} has a row already")]
    Twice(Role),
    /// Nobody but the host has the host's rank.
    #[error("the role {0} ranks {1}, and only ranks below the host's 100 can be given")]
    TooHigh(Role, u8),
    /// There are [`MAX_ROLES`].
    #[error("there is no room for the role {0}: a table has at most {MAX_ROLES} roles")]
    TooMany(Role),
}

/// Permissions of every participant.
const OWN: PermissionSet = PermissionSet::of(&[
    Permission::Listen,
    Permission::RaiseHand,
    Permission::React,
    Permission::MuteSelf,
    Permission::LeaveStage,
    Permission::AnswerInvite,
    Permission::ShowRoom,
    Permission::Appeal,
    Permission::Share,
    Permission::Write,
    Permission::Ask,
    Permission::Vote,
]);
/// Permissions of moderators.
const MODERATION: PermissionSet = OWN.with(&[
    Permission::Speak,
    Permission::HideText,
    Permission::SeeStatistics,
    Permission::SeeHands,
    Permission::LowerHand,
    Permission::Grant,
    Permission::Deny,
    Permission::ClearHands,
    Permission::Invite,
    Permission::AskMute,
    Permission::Silence,
    Permission::SilenceAll,
    Permission::RemoveFromStage,
    Permission::Kick,
    Permission::Ban,
    Permission::SeeBans,
    Permission::SetRole,
    Permission::MakeInvitation,
    Permission::Lock,
    Permission::ReadLog,
    Permission::SeeListeners,
]);
/// Permissions of the host.
const HOST: PermissionSet = MODERATION.with(&[
    Permission::SetPermission,
    Permission::HandOver,
    Permission::SetRoom,
    Permission::AnswerAppeal,
    Permission::OpenRoom,
    Permission::EndRoom,
]);

/// The rows of the four default roles.
pub const DEFAULT_ROWS: [RolePolicy; 4] = [
    RolePolicy { role: Role::Host, rank: 100, may: HOST },
    RolePolicy { role: Role::Cohost, rank: 80, may: MODERATION },
    RolePolicy { role: Role::Speaker, rank: 20, may: OWN.with(&[Permission::Speak]) },
    RolePolicy { role: Role::Listener, rank: 10, may: OWN },
];

/// Permissions of a barred person: to appeal. Reading the log, which takes none, gives them the entries
/// about themselves.
pub(crate) const BARRED: PermissionSet = PermissionSet::of(&[Permission::Appeal]);

impl Default for Policy {
    fn default() -> Self {
        Self { rows: DEFAULT_ROWS.to_vec() }
    }
}

impl Policy {
    /// Adds the row of a custom role, or takes it in place of a default one but the host's.
    ///
    /// # Errors
    /// [`InvalidRow`]
    pub fn add(&mut self, row: RolePolicy) -> Result<(), InvalidRow> {
        if row.role == Role::Host || row.rank >= DEFAULT_ROWS[0].rank {
            return Err(InvalidRow::TooHigh(row.role, row.rank));
        }
        match row.role {
            Role::Host | Role::Cohost | Role::Speaker | Role::Listener => {
                self.rows.retain(|known| known.role != row.role);
            }
            Role::Custom(_) if self.row(row.role).is_some() => {
                return Err(InvalidRow::Twice(row.role));
            }
            Role::Custom(_) => {}
        }
        if self.rows.len() >= MAX_ROLES {
            return Err(InvalidRow::TooMany(row.role));
        }
        self.rows.push(row);
        self.rows.sort_by(|a, b| b.rank.cmp(&a.rank).then(a.role.cmp(&b.role)));
        Ok(())
    }

    /// The rows, highest rank first.
    #[must_use]
    pub fn rows(&self) -> &[RolePolicy] {
        &self.rows
    }

    /// A role's permissions: none, if it has no row.
    #[must_use]
    pub fn may(&self, role: Role) -> PermissionSet {
        self.row(role).map_or(PermissionSet::NONE, |row| row.may)
    }

    /// A role's rank: 0, if it has no row.
    #[must_use]
    pub fn rank(&self, role: Role) -> u8 {
        self.row(role).map_or(0, |row| row.rank)
    }

    /// Whether a role has a place on the stage.
    #[must_use]
    pub fn speaks(&self, role: Role) -> bool {
        self.may(role).contains(Permission::Speak)
    }

    /// Whether a participant entitled to `highest` may come in as `wanted` instead: only in a role with
    /// no further permissions, and as a listener always.
    #[must_use]
    pub fn entitles(&self, highest: Role, wanted: Role) -> bool {
        wanted == highest
            || wanted == Role::Listener
            || self.rank(wanted) <= self.rank(highest)
                && self.may(highest).covers(self.may(wanted))
                && self.row(wanted).is_some()
    }

    /// The refusal of a participant who lacks a permission.
    pub(crate) fn refusal(&self, permission: Permission) -> Refusal {
        let able: Vec<&str> = self
            .rows
            .iter()
            .filter(|row| row.may.contains(permission))
            .map(|row| row.role.as_str())
            .collect();
        let what = permission.infinitive();
        let message = match able.as_slice() {
            [] => format!("Nobody in this room may {what}."),
            able => format!("You may not {what}; that is for: {}.", able.join(", ")),
        };
        Refusal::new(ErrorCode::NotPermitted, message)
    }

    /// Gives a permission to a role without it, or takes it from a role with it.
    #[cfg(test)]
    pub(crate) fn flip(&mut self, role: Role, permission: Permission) {
        let one = PermissionSet::of(&[permission]);
        for row in self.rows.iter_mut().filter(|row| row.role == role) {
            let has = row.may.contains(permission);
            row.may = if has { row.may.minus(one) } else { row.may.union(one) };
        }
    }

    fn row(&self, role: Role) -> Option<&RolePolicy> {
        self.rows.iter().find(|row| row.role == role)
    }
}

/// Whether a permission is used against a person, so that the actor has to be of at least their rank.
#[must_use]
pub const fn overrules(permission: Permission) -> bool {
    match permission {
        Permission::Silence
        | Permission::SilenceAll
        | Permission::RemoveFromStage
        | Permission::Kick
        | Permission::Ban
        | Permission::SetRole
        | Permission::SetPermission
        | Permission::HandOver => true,
        Permission::Listen
        | Permission::Speak
        | Permission::RaiseHand
        | Permission::React
        | Permission::MuteSelf
        | Permission::LeaveStage
        | Permission::AnswerInvite
        | Permission::ShowRoom
        | Permission::Appeal
        | Permission::SeeHands
        | Permission::LowerHand
        | Permission::Grant
        | Permission::Deny
        | Permission::ClearHands
        | Permission::Invite
        | Permission::AskMute
        | Permission::SeeBans
        | Permission::MakeInvitation
        | Permission::Lock
        | Permission::SetRoom
        | Permission::ReadLog
        | Permission::AnswerAppeal
        | Permission::SeeListeners
        | Permission::Share
        | Permission::Write
        | Permission::Ask
        | Permission::Vote
        | Permission::HideText
        | Permission::SeeStatistics
        | Permission::OpenRoom
        | Permission::EndRoom => false,
    }
}
