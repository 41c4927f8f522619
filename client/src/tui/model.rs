//! State of the `tribune join` screen. Pure: keys in, actions out.

use std::collections::VecDeque;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tribune_protocol::control::command::{Govern, RoomChange};
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{Note, ParticipantId};
use tribune_protocol::limits::MAX_NOTE_BYTES;

use crate::session::room_view::RoomView;
use crate::session::words::REACTIONS;
use crate::times::parse_span;

/// Lines of the log kept: more than any screen shows.
const LOG_LINES: usize = 200;

/// Action requested by a key, or by a line over a pipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Raise(Note),
    Lower,
    LeaveStage,
    /// Microphone on or off.
    Talk(bool),
    /// Stop sending for a while, or go on.
    Mute(bool),
    React(Reaction),
    /// Request to the room's origin.
    Govern(Govern),
    Quit,
}

/// Input mode of the keyboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Keys are commands.
    Browse,
    /// A text is being typed.
    Ask(Prompt, String),
    Help,
}

/// Purpose of a typed text. Enter confirms, Esc cancels: this is also the confirmation of a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Prompt {
    /// Note of the own hand.
    Note,
    /// Reason of a moderation.
    Reason(Moderation, ParticipantId, String),
    /// Duration of a ban.
    BanTime(ParticipantId, String),
}

/// Moderation that takes a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moderation {
    Deny,
    AskMute,
    Silence,
    Remove,
    Kick,
    /// For that many seconds; until lifted, if absent.
    Ban(Option<u64>),
}

/// State of the microphone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Microphone {
    Off,
    On,
    Muted,
}

/// The state of the screen.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) room: String,
    pub(crate) mode: Mode,
    pub(crate) microphone: Microphone,
    /// Cause of a missing connection.
    pub(crate) offline: Option<String>,
    /// Age of the queue of hands, and of its waiting times.
    hands_age: Duration,
    selected: Option<ParticipantId>,
    log: VecDeque<String>,
}

impl Model {
    pub(crate) fn new(room: String) -> Self {
        Self {
            room,
            mode: Mode::Browse,
            microphone: Microphone::Off,
            offline: Some("connecting".to_owned()),
            hands_age: Duration::ZERO,
            selected: None,
            log: VecDeque::new(),
        }
    }

    /// Adds a line to the log of events.
    pub(crate) fn tell(&mut self, line: impl Into<String>) {
        if self.log.len() == LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back(line.into());
    }

    /// Age of the queue of hands.
    pub(crate) const fn hands_age(&self) -> Duration {
        self.hands_age
    }

    /// Sets the age of the queue of hands.
    pub(crate) const fn set_hands_age(&mut self, age: Duration) {
        self.hands_age = age;
    }

    /// The log, oldest first.
    pub(crate) fn log(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.log.iter().map(String::as_str)
    }

    /// Participant of the selected row, if the row still exists.
    pub(crate) fn selected(&self, view: &RoomView) -> Option<ParticipantId> {
        self.selected.filter(|selected| rows(view).iter().any(|(id, _)| id == selected))
    }

    /// Takes a key.
    pub(crate) fn handle_key(&mut self, key: KeyEvent, view: &RoomView) -> Option<Action> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        // In raw mode the terminal raises no signal for it.
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return matches!(key.code, KeyCode::Char('c')).then_some(Action::Quit);
        }
        match std::mem::replace(&mut self.mode, Mode::Browse) {
            Mode::Browse => self.browse(key.code, view),
            Mode::Help => None,
            Mode::Ask(prompt, text) => self.type_text(prompt, text, key.code),
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "keys that mean nothing here are most keys")]
    fn browse(&mut self, key: KeyCode, view: &RoomView) -> Option<Action> {
        match key {
            KeyCode::Char('q') | KeyCode::Esc => Some(Action::Quit),
            KeyCode::Char('?' | 'h') => {
                self.mode = Mode::Help;
                None
            }
            KeyCode::Char('r') => self.raise_or_lower(view),
            KeyCode::Char('t') => self.talk(view),
            KeyCode::Char('m') => self.mute(),
            KeyCode::Down | KeyCode::Tab => self.select(view, 1),
            KeyCode::Up | KeyCode::BackTab => self.select(view, -1),
            KeyCode::Char('l') => self.leave_stage(view),
            KeyCode::Char('y') => self.answer(true, view),
            KeyCode::Char('n') => self.answer(false, view),
            KeyCode::Char(digit @ '1'..='6') => {
                let which = digit as usize - '1' as usize;
                self.allowed(Permission::React, view)
                    .then(|| REACTIONS.get(which).copied().map(Action::React))?
            }
            KeyCode::Char('c') => self.close_hands(view),
            KeyCode::Char('L') => self.lock(view),
            KeyCode::Char(key) => self.moderate(key, view),
            _ => None,
        }
    }

    fn raise_or_lower(&mut self, view: &RoomView) -> Option<Action> {
        let you = view.you()?;
        if you.hand.is_some() {
            return Some(Action::Lower);
        }
        if view.may_speak() {
            self.tell("you may speak already: t switches the microphone on");
        } else if self.allowed(Permission::RaiseHand, view) {
            self.mode = Mode::Ask(Prompt::Note, String::new());
        }
        None
    }

    fn leave_stage(&mut self, view: &RoomView) -> Option<Action> {
        if view.may_speak() {
            return Some(Action::LeaveStage);
        }
        self.tell("you are not on the stage");
        None
    }

    fn answer(&mut self, accept: bool, view: &RoomView) -> Option<Action> {
        if view.you()?.invited_by.is_none() {
            self.tell("nobody has invited you to speak");
            return None;
        }
        Some(Action::Govern(Govern::AnswerInvite { accept }))
    }

    fn close_hands(&mut self, view: &RoomView) -> Option<Action> {
        if !self.allowed(Permission::SetRoom, view) {
            return None;
        }
        let closed = view.room().is_some_and(|room| room.settings.hands_closed);
        let change = RoomChange { hands_closed: Some(!closed), ..RoomChange::default() };
        Some(Action::Govern(Govern::Set { change, reason: Note::default() }))
    }

    fn lock(&mut self, view: &RoomView) -> Option<Action> {
        if !self.allowed(Permission::Lock, view) {
            return None;
        }
        let locked = view.room().is_some_and(|room| room.settings.locked);
        let change = RoomChange { locked: Some(!locked), ..RoomChange::default() };
        Some(Action::Govern(Govern::Set { change, reason: Note::default() }))
    }

    /// Whether that is permitted; if not, logs so.
    fn allowed(&mut self, permission: Permission, view: &RoomView) -> bool {
        let may = view.may(permission);
        if !may {
            self.tell(format!("you may not {}", permission.infinitive()));
        }
        may
    }

    fn talk(&mut self, view: &RoomView) -> Option<Action> {
        match self.microphone {
            Microphone::On | Microphone::Muted => Some(Action::Talk(false)),
            Microphone::Off if view.may_speak() => Some(Action::Talk(true)),
            Microphone::Off => {
                self.tell("you may not speak yet: r raises a hand");
                None
            }
        }
    }

    fn mute(&mut self) -> Option<Action> {
        match self.microphone {
            Microphone::On => Some(Action::Mute(true)),
            Microphone::Muted => Some(Action::Mute(false)),
            Microphone::Off => {
                self.tell("the microphone is off: t switches it on");
                None
            }
        }
    }

    fn select(&mut self, view: &RoomView, step: isize) -> Option<Action> {
        let rows = rows(view);
        let len = rows.len() as isize;
        let at = rows.iter().position(|(id, _)| Some(*id) == self.selected);
        let next = match at {
            Some(at) => (at as isize + step).rem_euclid(len.max(1)),
            None if step > 0 => 0,
            None => len - 1,
        };
        self.selected = usize::try_from(next).ok().and_then(|n| rows.get(n)).map(|(id, _)| *id);
        None
    }

    fn moderate(&mut self, key: char, view: &RoomView) -> Option<Action> {
        let (permission, wants_hand) = match key {
            'g' => (Permission::Grant, true),
            'd' => (Permission::Deny, true),
            'i' => (Permission::Invite, false),
            'a' => (Permission::AskMute, false),
            's' => (Permission::Silence, false),
            'x' => (Permission::RemoveFromStage, false),
            'k' => (Permission::Kick, false),
            'b' => (Permission::Ban, false),
            _ => return None,
        };
        if !self.allowed(permission, view) {
            return None;
        }
        let has_hand = |id: ParticipantId| {
            view.hands().unwrap_or_default().iter().any(|hand| hand.participant == id)
        };
        // Without a selection, grant and deny mean the first in the queue.
        let first = || wants_hand.then(|| view.hands()?.first().map(|hand| hand.participant))?;
        let Some(id) = self.selected(view).or_else(first) else {
            self.tell("select a row first, with the arrow keys");
            return None;
        };
        if wants_hand && !has_hand(id) {
            self.tell("that hand is not up");
            return None;
        }
        let name = rows(view).into_iter().find(|(row, _)| *row == id);
        let name = name.map_or_else(|| id.to_string(), |row| row.1);
        let entry = view.stage().iter().find(|entry| entry.participant == id);
        if entry.is_none() && matches!(key, 'a' | 's' | 'x') {
            self.tell(format!("{name} is not on the stage"));
            return None;
        }
        let moderation = match key {
            'g' => return Some(Action::Govern(Govern::Grant { participant: id })),
            'i' => return Some(Action::Govern(Govern::Invite { target: Target::Participant(id) })),
            's' if entry.is_some_and(|entry| entry.silenced) => {
                let (on, reason) = (false, Note::default());
                return Some(Action::Govern(Govern::Silence { participant: id, on, reason }));
            }
            'b' => {
                self.mode = Mode::Ask(Prompt::BanTime(id, name), String::new());
                return None;
            }
            'd' => Moderation::Deny,
            'a' => Moderation::AskMute,
            's' => Moderation::Silence,
            'x' => Moderation::Remove,
            _ => Moderation::Kick,
        };
        self.mode = Mode::Ask(Prompt::Reason(moderation, id, name), String::new());
        None
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "keys that type nothing are most keys")]
    fn type_text(&mut self, prompt: Prompt, mut text: String, key: KeyCode) -> Option<Action> {
        match key {
            KeyCode::Enter => return self.typed(prompt, &text),
            KeyCode::Esc => return None,
            KeyCode::Backspace => {
                text.pop();
            }
            KeyCode::Char(c) if text.len() + c.len_utf8() <= MAX_NOTE_BYTES && !c.is_control() => {
                text.push(c);
            }
            _ => {}
        }
        self.mode = Mode::Ask(prompt, text);
        None
    }

    /// Takes the text typed at a prompt.
    fn typed(&mut self, prompt: Prompt, text: &str) -> Option<Action> {
        let note = || text.trim().parse::<Note>();
        match prompt {
            Prompt::Note => match note() {
                Ok(note) => return Some(Action::Raise(note)),
                Err(error) => self.tell(format!("the {error}")),
            },
            Prompt::Reason(moderation, id, _) => match note() {
                Ok(reason) => return Some(Action::Govern(moderation.act(id, reason))),
                Err(error) => self.tell(format!("the {error}")),
            },
            Prompt::BanTime(id, name) => match ban_time(text) {
                Ok(time) => {
                    self.mode =
                        Mode::Ask(Prompt::Reason(Moderation::Ban(time), id, name), String::new());
                }
                Err(why) => {
                    self.tell(why);
                    self.mode = Mode::Ask(Prompt::BanTime(id, name), String::new());
                }
            },
        }
        None
    }
}

impl Moderation {
    fn act(self, participant: ParticipantId, reason: Note) -> Govern {
        let target = Target::Participant(participant);
        match self {
            Self::Deny => Govern::Deny { participant, reason },
            Self::AskMute => Govern::AskMute { participant, reason },
            Self::Silence => Govern::Silence { participant, on: true, reason },
            Self::Remove => Govern::RemoveFromStage { participant, reason },
            Self::Kick => Govern::Kick { target, reason },
            Self::Ban(duration_s) => Govern::Ban { target, duration_s, reason },
        }
    }
}

/// Parses the duration of a ban; empty: until lifted.
fn ban_time(text: &str) -> Result<Option<u64>, String> {
    match text.trim() {
        "" => Ok(None),
        text => match parse_span(text) {
            Ok(time) => Ok(Some(time.as_secs())),
            Err(why) => Err(format!("{text:?} is no time: {why}")),
        },
    }
}

/// Selectable rows: the stage, then the hands.
pub(crate) fn rows(view: &RoomView) -> Vec<(ParticipantId, String)> {
    let stage = view.stage().iter().map(|entry| (entry.participant, entry.name.to_string()));
    let hands = view.hands().unwrap_or_default().iter();
    stage.chain(hands.map(|hand| (hand.participant, hand.name.to_string()))).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use tribune_protocol::control::participant::{Joined, ToParticipant, You};
    use tribune_protocol::domain::permission::PermissionSet;
    use tribune_protocol::domain::role::Role;
    use tribune_protocol::domain::stage::{Hand, StageEntry};
    use tribune_protocol::ids::TrackId;

    use super::*;

    /// A room with Ada (host) and Bob on the stage, and Eve's hand up, as seen in a role.
    pub(crate) fn view(role: Role, hand: Option<u32>) -> RoomView {
        let entry = |id: u64, name: &str, role| StageEntry {
            participant: ParticipantId(id),
            name: name.parse().unwrap(),
            role,
            track: TrackId(id as u32),
            silenced: id == 2,
            muted: false,
            away: false,
        };
        let you = You {
            participant: ParticipantId(1),
            role,
            track: role.speaks().then_some(TrackId(1)),
            silenced: false,
            hand,
            reason: Note::default(),
            may: PermissionSet::NONE,
            invited_by: None,
            profile: tribune_protocol::domain::profile::Profile::Live,
        };
        let stage = vec![entry(1, "Ada", Role::Host), entry(2, "Bob", Role::Speaker)];
        let relay = "edge-1".parse().unwrap();
        let mut view = RoomView::default();
        view.handle_joined(&Joined {
            relay,
            depth: 3,
            you,
            stage,
            listeners: 40,
            redundancy: false,
        });
        if role.moderates() {
            let (name, note) = ("Eve".parse().unwrap(), "about trees".parse().unwrap());
            let hands = vec![Hand { participant: ParticipantId(5), name, note, waiting_s: 65 }];
            view.handle_message(&ToParticipant::Hands { hands, total: 1 });
        }
        view
    }

    fn press(model: &mut Model, view: &RoomView, keys: &str) -> Option<Action> {
        keys.chars().fold(None, |_, c| {
            let code = match c {
                '↓' => KeyCode::Down,
                '↑' => KeyCode::Up,
                '⏎' => KeyCode::Enter,
                '⌫' => KeyCode::Backspace,
                '␛' => KeyCode::Esc,
                c => KeyCode::Char(c),
            };
            model.handle_key(KeyEvent::from(code), view)
        })
    }

    fn model() -> Model {
        Model::new("stage".to_owned())
    }

    #[test]
    fn a_listener_raises_a_hand_with_a_note_and_lowers_it() {
        let (mut model, listener) = (model(), view(Role::Listener, None));
        let raise = press(&mut model, &listener, "rhix⌫ q⏎");
        assert_eq!(raise, Some(Action::Raise(note("hi q"))));
        assert_eq!(press(&mut model, &listener, "rquit␛"), None);
        assert_eq!(model.mode, Mode::Browse);
        let up = view(Role::Listener, Some(1));
        assert_eq!(press(&mut model, &up, "r"), Some(Action::Lower));
    }

    #[test]
    fn a_note_stays_within_its_limit() {
        let (mut model, listener) = (model(), view(Role::Listener, None));
        let Some(Action::Raise(note)) =
            press(&mut model, &listener, &format!("r{}⏎", "ü".repeat(300)))
        else {
            panic!("raises a hand")
        };
        assert_eq!(note.as_str().len(), MAX_NOTE_BYTES);
    }

    #[test]
    fn a_listener_cannot_talk_or_moderate() {
        let (mut model, listener) = (model(), view(Role::Listener, None));
        let keys = ["t", "m", "l", "y", "↓g", "↓d", "↓i", "↓a", "↓s", "↓x", "↓k", "↓b", "c", "L"];
        for keys in keys {
            assert_eq!(press(&mut model, &listener, keys), None, "{keys}");
            assert_eq!(model.mode, Mode::Browse, "{keys}");
        }
        assert_eq!(model.log().len(), keys.len(), "each is told why");
    }

    fn note(text: &str) -> Note {
        text.parse().unwrap()
    }

    #[test]
    fn a_host_acts_on_the_selected_row_and_gives_a_reason() {
        let (mut model, host) = (model(), view(Role::Host, None));
        let (ada, bob, eve) = (ParticipantId(1), ParticipantId(2), ParticipantId(5));
        let govern = |act| Some(Action::Govern(act));
        assert_eq!(press(&mut model, &host, "s"), None, "nothing is selected");
        let grant = Govern::Grant { participant: eve };
        assert_eq!(press(&mut model, &host, "g"), govern(grant), "the first in the queue");
        let silence = Govern::Silence { participant: ada, on: true, reason: note("too loud") };
        assert_eq!(press(&mut model, &host, "↓stoo loud⏎"), govern(silence));
        let heard = Govern::Silence { participant: bob, on: false, reason: note("") };
        assert_eq!(press(&mut model, &host, "↓s"), govern(heard), "he is silenced already");
        assert_eq!(press(&mut model, &host, "g"), None, "his hand is not up");
        let kick = Govern::Kick { target: Target::Participant(bob), reason: note("rude") };
        assert_eq!(press(&mut model, &host, "krude⏎"), govern(kick));
        assert_eq!(press(&mut model, &host, "krude␛"), None, "a second thought");
        let remove = Govern::RemoveFromStage { participant: bob, reason: note("") };
        assert_eq!(press(&mut model, &host, "x⏎"), govern(remove));
        let mute = Govern::AskMute { participant: bob, reason: note("") };
        assert_eq!(press(&mut model, &host, "a⏎"), govern(mute));
        let deny = Govern::Deny { participant: eve, reason: note("later") };
        assert_eq!(press(&mut model, &host, "↓dlater⏎"), govern(deny));
        assert_eq!(press(&mut model, &host, "s"), None, "she is not on the stage");
        let invite = Govern::Invite { target: Target::Participant(eve) };
        assert_eq!(press(&mut model, &host, "i"), govern(invite));
        press(&mut model, &host, "↓");
        assert_eq!(model.selected(&host), Some(ada), "the selection goes around");
        press(&mut model, &host, "↑");
        assert_eq!(model.selected(&host), Some(eve));
        assert_eq!(model.selected(&view(Role::Listener, None)), None, "a row that is gone");
    }

    #[test]
    fn a_ban_asks_for_how_long_and_why() {
        let (mut model, host) = (model(), view(Role::Host, None));
        let target = Target::Participant(ParticipantId(2));
        let ban = |duration_s, reason| {
            let (target, reason) = (target.clone(), note(reason));
            Some(Action::Govern(Govern::Ban { target, duration_s, reason }))
        };
        assert_eq!(press(&mut model, &host, "↓↓b1h⏎spam⏎"), ban(Some(3_600), "spam"));
        assert_eq!(press(&mut model, &host, "b⏎⏎"), ban(None, ""));
        assert_eq!(press(&mut model, &host, "bages⏎"), None);
        assert!(matches!(model.mode, Mode::Ask(Prompt::BanTime(..), _)), "it is asked again");
        assert!(model.log().next_back().unwrap().contains("ages"));
    }

    #[test]
    fn what_one_may_do_follows_the_permissions_and_not_the_role() {
        let mut host = view(Role::Host, None);
        let you = You {
            may: PermissionSet::of(&[Permission::Silence]),
            invited_by: Some("Ben".parse().unwrap()),
            ..host.you().unwrap().clone()
        };
        host.handle_message(&ToParticipant::You(you));
        let mut model = model();
        assert_eq!(press(&mut model, &host, "↓k"), None);
        assert_eq!(model.mode, Mode::Browse);
        assert_eq!(model.log().next_back(), Some("you may not remove somebody from the room"));
        press(&mut model, &host, "s");
        assert!(matches!(model.mode, Mode::Ask(Prompt::Reason(Moderation::Silence, ..), _)));
    }

    #[test]
    fn an_invitation_is_answered_and_reactions_are_sent() {
        let mut listener = view(Role::Listener, None);
        let mut model = model();
        assert_eq!(press(&mut model, &listener, "y"), None, "nobody has asked");
        let invited_by = Some("Ben".parse().unwrap());
        let you = You { invited_by, ..listener.you().unwrap().clone() };
        listener.handle_message(&ToParticipant::You(you));
        for (key, accept) in [("y", true), ("n", false)] {
            let answer = Action::Govern(Govern::AnswerInvite { accept });
            assert_eq!(press(&mut model, &listener, key), Some(answer));
        }
        assert_eq!(press(&mut model, &listener, "1"), Some(Action::React(Reaction::Clap)));
        assert_eq!(press(&mut model, &listener, "6"), Some(Action::React(Reaction::Wow)));
    }

    #[test]
    fn the_room_is_locked_and_its_queue_closed() {
        let (mut model, host) = (model(), view(Role::Host, None));
        let set = |change| Some(Action::Govern(Govern::Set { change, reason: Note::default() }));
        let lock = RoomChange { locked: Some(true), ..RoomChange::default() };
        assert_eq!(press(&mut model, &host, "L"), set(lock));
        let close = RoomChange { hands_closed: Some(true), ..RoomChange::default() };
        assert_eq!(press(&mut model, &host, "c"), set(close));
        assert_eq!(press(&mut model, &host, "l"), Some(Action::LeaveStage));
    }

    #[test]
    fn the_microphone_is_switched_and_muted() {
        let (mut model, host) = (model(), view(Role::Host, None));
        assert_eq!(press(&mut model, &host, "m"), None);
        assert_eq!(press(&mut model, &host, "t"), Some(Action::Talk(true)));
        model.microphone = Microphone::On;
        assert_eq!(press(&mut model, &host, "m"), Some(Action::Mute(true)));
        model.microphone = Microphone::Muted;
        assert_eq!(press(&mut model, &host, "m"), Some(Action::Mute(false)));
        assert_eq!(press(&mut model, &host, "t"), Some(Action::Talk(false)));
    }

    #[test]
    fn leaving_and_help() {
        let (mut model, host) = (model(), view(Role::Host, None));
        press(&mut model, &host, "?");
        assert_eq!(model.mode, Mode::Help);
        assert_eq!(press(&mut model, &host, "q"), None, "any key closes the help");
        assert_eq!(press(&mut model, &host, "q"), Some(Action::Quit));
        let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        press(&mut model, &view(Role::Listener, None), "r");
        assert_eq!(model.handle_key(ctrl_c, &host), Some(Action::Quit));
    }

    #[test]
    fn the_log_is_bounded() {
        let mut model = model();
        (0..1_000).for_each(|n| model.tell(n.to_string()));
        assert_eq!(model.log().len(), LOG_LINES);
        assert_eq!(model.log().next_back(), Some("999"));
    }
}
