//! Rulings about one person, summed up over the keys that the person is known by. Computed by
//! [`crate::room::replica`] from its copy, read by [`crate::room::edge`].

use tribune_protocol::domain::permission::PermissionSet;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::ruling::Moderated;
use tribune_protocol::domain::ruling::Ruling;
use tribune_protocol::ids::DisplayName;
use tribune_protocol::log::utc;

/// Sum of all rulings about one person.
#[derive(Debug, Default)]
pub(crate) struct PersonRulings {
    /// Bars the person from the room.
    pub(crate) bar: Option<Bar>,
    /// Replaces the role that was shown on joining.
    pub(crate) role: Option<Role>,
    /// Permissions given beyond the role's.
    pub(crate) allow: PermissionSet,
    /// Permissions taken away.
    pub(crate) deny: PermissionSet,
    /// Moderator whose invitation to the stage is open.
    pub(crate) invited_by: Option<DisplayName>,
    /// Moderation that the person has not been told of yet.
    pub(crate) news: Vec<Moderated>,
}

/// Reason why a person may not be in the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bar {
    entry: u64,
    until_s: u64,
}

impl PersonRulings {
    /// Adds the ruling about one key. `outdated`: the person's token is older than the ruling admits.
    ///
    /// The last bar wins, so the keys are added in the order participant, subject, address: a ban of
    /// a subject lasts longer than a kick.
    pub(crate) fn add(&mut self, ruling: &Ruling, outdated: bool) {
        if ruling.barred || outdated {
            self.bar = Some(Bar { entry: ruling.entry, until_s: ruling.until_s });
        }
        self.role = self.role.or(ruling.role);
        self.allow = self.allow.union(ruling.allow);
        self.deny = self.deny.union(ruling.deny);
        if self.invited_by.is_none() {
            self.invited_by.clone_from(&ruling.invited_by);
        }
        // One decision can have a ruling for each key; it is told once.
        if let Some(news) = ruling.news.as_ref().filter(|news| !self.news.contains(news)) {
            self.news.push(news.clone());
        }
    }

    /// Permissions of a role as changed by the rulings.
    pub(crate) const fn may(&self, by_role: PermissionSet) -> PermissionSet {
        by_role.union(self.allow).minus(self.deny)
    }
}

impl Bar {
    /// Sentence for the person kept out.
    pub(crate) fn sentence(&self) -> String {
        let until = match self.until_s {
            0 => String::new(),
            until_s => format!(" until {}", utc(until_s.saturating_mul(1_000))),
        };
        let appeal = match self.entry {
            0 => String::new(),
            entry => format!(" It is entry {entry} of the room's log, and one appeal can be made."),
        };
        format!("A moderator keeps you out of this room{until}.{appeal}")
    }
}
