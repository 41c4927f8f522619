//! Who may do what: the policy table, as data, and the one check that reads it.
//!
//! A role is a row: the actions it may do, and a rank. What a row does not list is denied, and so is
//! everything to a role without a row. A role that an operator defines is one more row.
//!
//! The table says what is a matter of rights. What only concerns oneself (raising one's own hand,
//! leaving the stage) is everybody's by default; whether it makes sense at the moment is for the
//! room's state to say, with another error code.

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::room::Role;
use tribune_protocol::control::trunk::Action;
use tribune_protocol::ids::ParticipantId;

use super::effect::Refusal;

/// Defines [`ActionKind`] together with what is derived from the list of its variants.
macro_rules! action_kinds {
    ($($(#[$doc:meta])* $kind:ident: $infinitive:literal,)*) => {
        /// What takes a permission.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum ActionKind {
            $($(#[$doc])* $kind,)*
        }

        impl ActionKind {
            /// Every kind, in the order of the table.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$kind),*];

            /// What it is, as "may …" goes on.
            const fn infinitive(self) -> &'static str {
                match self {
                    $(Self::$kind => $infinitive,)*
                }
            }
        }
    };
}

action_kinds! {
    /// Coming in with a role. To govern also takes the proof that the edge has seen.
    Enter: "come in with a role",
    /// Raising one's hand.
    RaiseHand: "raise a hand",
    /// Lowering one's own hand.
    LowerOwnHand: "lower their own hand",
    /// Lowering somebody else's hand.
    LowerHand: "lower the hand of somebody else",
    /// Giving the right to speak.
    Grant: "grant the right to speak",
    /// Denying a hand.
    Deny: "deny a hand",
    /// Asking for a microphone to be switched off.
    AskMute: "ask somebody to mute",
    /// Having frames dropped, or letting them pass again.
    Silence: "silence somebody",
    /// Removing from the room.
    Kick: "remove somebody from the room",
    /// Giving the right to speak back.
    LeaveStage: "leave the stage",
    /// Saying whether one's own microphone is off.
    OwnMute: "mute themselves",
    /// Ending the room.
    EndRoom: "end the room",
}

impl ActionKind {
    /// The kind of what `who` does, and whom it concerns besides. `None` for what an edge reports
    /// about somebody, which takes no permission, and for what this version does not know.
    pub(crate) fn of(who: ParticipantId, action: &Action) -> Option<(Self, Option<ParticipantId>)> {
        let (kind, subject) = match *action {
            Action::Present {} | Action::Away {} | Action::Left {} | Action::Unknown => {
                return None;
            }
            Action::Enter { .. } => (Self::Enter, None),
            Action::RaiseHand { .. } => (Self::RaiseHand, None),
            Action::LowerHand { subject: None } => (Self::LowerOwnHand, None),
            Action::LowerHand { subject: Some(subject) } if subject == who => {
                (Self::LowerOwnHand, None)
            }
            Action::LowerHand { subject: Some(subject) } => (Self::LowerHand, Some(subject)),
            Action::Grant { subject } => (Self::Grant, Some(subject)),
            Action::Deny { subject, .. } => (Self::Deny, Some(subject)),
            Action::AskMute { subject, .. } => (Self::AskMute, Some(subject)),
            Action::Silence { subject, .. } => (Self::Silence, Some(subject)),
            Action::Kick { subject, .. } => (Self::Kick, Some(subject)),
            Action::LeaveStage {} => (Self::LeaveStage, None),
            Action::OwnMute { .. } => (Self::OwnMute, None),
            Action::EndRoom {} => (Self::EndRoom, None),
        };
        Some((kind, subject))
    }

    /// Whether it goes against the will of its subject, so that the actor's rank has to be at least
    /// the subject's.
    const fn overrules(self) -> bool {
        match self {
            Self::Silence | Self::Kick => true,
            Self::Enter
            | Self::RaiseHand
            | Self::LowerOwnHand
            | Self::LowerHand
            | Self::Grant
            | Self::Deny
            | Self::AskMute
            | Self::LeaveStage
            | Self::OwnMute
            | Self::EndRoom => false,
        }
    }
}

/// A set of kinds of action: one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ActionSet(u16);

impl ActionSet {
    const NONE: Self = Self(0);

    const fn with(mut self, kinds: &[ActionKind]) -> Self {
        let mut at = 0;
        while at < kinds.len() {
            self.0 |= 1 << kinds[at] as u16;
            at += 1;
        }
        self
    }

    const fn contains(self, kind: ActionKind) -> bool {
        self.0 & (1 << kind as u16) != 0
    }
}

/// One row of the table: what a role may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RolePolicy {
    /// Which role.
    pub(crate) role: Role,
    /// Against whom, where an action overrules its subject: those of this rank and below.
    pub(crate) rank: u8,
    /// Which actions; all others are denied.
    pub(crate) may: ActionSet,
}

/// The table of the four default roles.
pub(crate) const DEFAULT_POLICY: [RolePolicy; 4] = {
    use ActionKind::{
        AskMute, Deny, EndRoom, Enter, Grant, Kick, LeaveStage, LowerHand, LowerOwnHand, OwnMute,
        RaiseHand, Silence,
    };
    const OWN: ActionSet =
        ActionSet::NONE.with(&[Enter, RaiseHand, LowerOwnHand, LeaveStage, OwnMute]);
    const MODERATION: ActionSet = OWN.with(&[LowerHand, Grant, Deny, AskMute, Silence, Kick]);
    [
        RolePolicy { role: Role::Host, rank: 3, may: MODERATION.with(&[EndRoom]) },
        RolePolicy { role: Role::Cohost, rank: 2, may: MODERATION },
        RolePolicy { role: Role::Speaker, rank: 1, may: OWN },
        RolePolicy { role: Role::Listener, rank: 0, may: OWN },
    ]
};

/// Whether a role may do something, to somebody of `subject_role` if it concerns somebody.
///
/// # Errors
/// [`ErrorCode::NotPermitted`], with the roles that may.
pub(crate) fn check(
    role: Role,
    kind: ActionKind,
    subject_role: Option<Role>,
) -> Result<(), Refusal> {
    check_in(&DEFAULT_POLICY, role, kind, subject_role)
}

fn check_in(
    policy: &[RolePolicy],
    role: Role,
    kind: ActionKind,
    subject_role: Option<Role>,
) -> Result<(), Refusal> {
    let row = |role| policy.iter().find(|row| row.role == role);
    let Some(actor) = row(role).filter(|row| row.may.contains(kind)) else {
        return Err(not_permitted(role_needed(policy, kind)));
    };
    let Some(subject_role) = subject_role.filter(|_| kind.overrules()) else { return Ok(()) };
    if row(subject_role).is_some_and(|subject| subject.rank <= actor.rank) {
        return Ok(());
    }
    let article = if subject_role == Role::Host { "the" } else { "a" };
    Err(not_permitted(format!(
        "A {role} may not {}, if that is {article} {subject_role}.",
        kind.infinitive()
    )))
}

fn not_permitted(message: String) -> Refusal {
    Refusal::new(ErrorCode::NotPermitted, message)
}

fn role_needed(policy: &[RolePolicy], kind: ActionKind) -> String {
    let able: Vec<&str> =
        policy.iter().filter(|row| row.may.contains(kind)).map(|row| row.role.as_str()).collect();
    match able.as_slice() {
        [] => format!("Nobody in this room may {}.", kind.infinitive()),
        able => format!("Only a {} may {}.", able.join(" or a "), kind.infinitive()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::authority::tests::{COHOST, HAND, HOST, Harness, LISTENER, SPEAKER};
    use super::*;
    use tribune_protocol::ids::Note;

    /// What the design says of the default roles, in its order of roles: host, cohost, speaker,
    /// listener.
    const EXPECTED: &str = "
        Enter         yes yes yes yes
        RaiseHand     yes yes yes yes
        LowerOwnHand  yes yes yes yes
        LowerHand     yes yes no  no
        Grant         yes yes no  no
        Deny          yes yes no  no
        AskMute       yes yes no  no
        Silence       yes yes no  no
        Kick          yes yes no  no
        LeaveStage    yes yes yes yes
        OwnMute       yes yes yes yes
        EndRoom       yes no  no  no
    ";
    const ROLES: [Role; 4] = [Role::Host, Role::Cohost, Role::Speaker, Role::Listener];

    /// One row of [`EXPECTED`] for each kind, so a kind without a row fails.
    fn cells() -> Vec<(ActionKind, Role, bool)> {
        let mut cells = Vec::new();
        for kind in ActionKind::ALL {
            let name = format!("{kind:?}");
            let row = EXPECTED.lines().map(str::split_whitespace).find_map(|mut words| {
                (words.next() == Some(name.as_str())).then(|| words.collect::<Vec<_>>())
            });
            let row = row.unwrap_or_else(|| panic!("{name} has no row"));
            assert_eq!(row.len(), ROLES.len(), "{name}");
            cells.extend(ROLES.iter().zip(row).map(|(&role, cell)| (*kind, role, cell == "yes")));
        }
        cells
    }

    #[test]
    fn every_cell_of_the_table_is_as_designed() {
        assert_eq!(cells().len(), 48);
        for (kind, role, allowed) in cells() {
            let checked = check(role, kind, Some(Role::Listener));
            assert_eq!(checked.is_ok(), allowed, "{role} {kind:?}");
            if let Err(refusal) = checked {
                assert_eq!(refusal.code, ErrorCode::NotPermitted);
                assert!(refusal.message.starts_with("Only a host"), "{}", refusal.message);
            }
        }
    }

    #[test]
    fn every_cell_is_enforced_by_the_authority() {
        for (kind, role, allowed) in cells() {
            let mut room = Harness::with_everybody();
            let actor = match role {
                Role::Host => HOST,
                Role::Cohost => COHOST,
                Role::Speaker => SPEAKER,
                Role::Listener => LISTENER,
                Role::Custom(_) => continue,
            };
            let refused = room.ask(actor, example(kind)).code == Some(ErrorCode::NotPermitted);
            assert_eq!(!refused, allowed, "{role} {kind:?}");
        }
    }

    #[test]
    fn only_a_host_overrules_a_host() {
        for kind in ActionKind::ALL {
            for subject in ROLES {
                let host = check(Role::Host, *kind, Some(subject));
                assert!(host.is_ok(), "host {kind:?} {subject}");
                let cohost = check(Role::Cohost, *kind, Some(subject)).is_ok();
                let overrules = matches!(kind, ActionKind::Silence | ActionKind::Kick);
                let expected =
                    *kind != ActionKind::EndRoom && !(overrules && subject == Role::Host);
                assert_eq!(cohost, expected, "cohost {kind:?} {subject}");
            }
        }
        let refusal = check(Role::Cohost, ActionKind::Silence, Some(Role::Host)).unwrap_err();
        assert_eq!(refusal.message, "A cohost may not silence somebody, if that is the host.");
    }

    #[test]
    fn what_no_row_lists_is_denied() {
        let only_listener = [DEFAULT_POLICY[3]];
        for kind in ActionKind::ALL {
            for role in [Role::Host, Role::Cohost, Role::Speaker] {
                assert!(check_in(&only_listener, role, *kind, None).is_err(), "{role} {kind:?}");
            }
        }
        let refusal = check_in(&only_listener, Role::Listener, ActionKind::Kick, None).unwrap_err();
        assert_eq!(refusal.message, "Nobody in this room may remove somebody from the room.");
        let no_subject_row = [DEFAULT_POLICY[0]];
        let kick = check_in(&no_subject_row, Role::Host, ActionKind::Kick, Some(Role::Listener));
        assert!(kick.is_err(), "a subject whose role has no row cannot be overruled");
    }

    #[test]
    fn each_role_has_one_row() {
        for role in ROLES {
            assert_eq!(DEFAULT_POLICY.iter().filter(|row| row.role == role).count(), 1, "{role}");
        }
    }

    #[test]
    fn an_action_has_the_kind_of_its_example() {
        for kind in ActionKind::ALL {
            assert_eq!(ActionKind::of(HOST, &example(*kind)).unwrap().0, *kind);
        }
        let own = Action::LowerHand { subject: Some(HAND) };
        assert_eq!(ActionKind::of(HAND, &own), Some((ActionKind::LowerOwnHand, None)));
        for report in [Action::Present {}, Action::Away {}, Action::Left {}, Action::Unknown] {
            assert_eq!(ActionKind::of(HOST, &report), None);
        }
    }

    fn example(kind: ActionKind) -> Action {
        let reason = Note::default();
        match kind {
            ActionKind::Enter => {
                let name = "Eve".parse().unwrap();
                Action::Enter { name, role: Role::Speaker, may_govern: false }
            }
            ActionKind::RaiseHand => {
                Action::RaiseHand { name: "Eve".parse().unwrap(), note: Note::default() }
            }
            ActionKind::LowerOwnHand => Action::LowerHand { subject: None },
            ActionKind::LowerHand => Action::LowerHand { subject: Some(HAND) },
            ActionKind::Grant => Action::Grant { subject: HAND },
            ActionKind::Deny => Action::Deny { subject: HAND, reason },
            ActionKind::AskMute => Action::AskMute { subject: SPEAKER, reason },
            ActionKind::Silence => Action::Silence { subject: SPEAKER, on: true, reason },
            ActionKind::Kick => Action::Kick { subject: SPEAKER, reason },
            ActionKind::LeaveStage => Action::LeaveStage {},
            ActionKind::OwnMute => Action::OwnMute { muted: true },
            ActionKind::EndRoom => Action::EndRoom {},
        }
    }
}
