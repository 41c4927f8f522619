//! What the screen knows and what a key means. Pure: keys in, actions out.

use std::collections::VecDeque;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tribune_protocol::control::room::Role;
use tribune_protocol::ids::{Note, ParticipantId};
use tribune_protocol::limits::MAX_NOTE_BYTES;

use crate::session::room_view::RoomView;

/// Lines of the log that are kept: more than any screen shows.
const LOG_LINES: usize = 200;

/// What a key, or a line over a pipe, asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Raise(Note),
    Lower,
    /// Microphone on or off.
    Talk(bool),
    /// Stop sending for a while, or go on.
    Mute(bool),
    Grant(ParticipantId),
    Deny(ParticipantId),
    Silence(ParticipantId, bool),
    Kick(ParticipantId),
    AskMute(ParticipantId),
    Quit,
}

/// What the keyboard is for at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Keys are commands.
    Browse,
    /// A note is being typed.
    Note(String),
    /// A kick wants a second key.
    ConfirmKick(ParticipantId, String),
    Help,
}

/// Where the own microphone stands.
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
    /// Why there is no connection, if there is none.
    pub(crate) offline: Option<String>,
    /// How long ago the queue of hands came, and with it its waiting times.
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

    /// How long ago the queue of hands came.
    pub(crate) const fn hands_age(&self) -> Duration {
        self.hands_age
    }

    /// Sets how long ago the queue of hands came.
    pub(crate) const fn set_hands_age(&mut self, age: Duration) {
        self.hands_age = age;
    }

    /// The log, oldest first.
    pub(crate) fn log(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.log.iter().map(String::as_str)
    }

    /// Whose row is selected, if that row is still there.
    pub(crate) fn selected(&self, view: &RoomView) -> Option<ParticipantId> {
        self.selected.filter(|selected| rows(view).iter().any(|(id, _)| id == selected))
    }

    /// Takes a key.
    pub(crate) fn handle_key(&mut self, key: KeyEvent, view: &RoomView) -> Option<Action> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        // In raw mode the terminal makes no signal of it.
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return matches!(key.code, KeyCode::Char('c')).then_some(Action::Quit);
        }
        match std::mem::replace(&mut self.mode, Mode::Browse) {
            Mode::Browse => self.browse(key.code, view),
            Mode::Help => None,
            Mode::Note(text) => self.type_note(text, key.code),
            Mode::ConfirmKick(id, _) if key.code == KeyCode::Char('y') => Some(Action::Kick(id)),
            Mode::ConfirmKick(_, name) => {
                self.tell(format!("{name} stays"));
                None
            }
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
            KeyCode::Char(key @ ('g' | 'd' | 's' | 'k')) => self.moderate(key, view),
            _ => None,
        }
    }

    fn raise_or_lower(&mut self, view: &RoomView) -> Option<Action> {
        let you = view.you()?;
        if you.hand.is_some() {
            return Some(Action::Lower);
        }
        if you.role.speaks() {
            self.tell("you may speak already: t switches the microphone on");
        } else {
            self.mode = Mode::Note(String::new());
        }
        None
    }

    fn talk(&mut self, view: &RoomView) -> Option<Action> {
        match self.microphone {
            Microphone::On | Microphone::Muted => Some(Action::Talk(false)),
            Microphone::Off if view.you().is_some_and(|you| you.role.speaks()) => {
                Some(Action::Talk(true))
            }
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
        if !view.you().is_some_and(|you| you.role.moderates()) {
            self.tell(format!("{key} is for the {} and {}s", Role::Host, Role::Cohost));
            return None;
        }
        let has_hand = |id: ParticipantId| {
            view.hands().unwrap_or_default().iter().any(|hand| hand.participant == id)
        };
        let chosen = self.selected(view).or_else(|| {
            // Without a selection, grant and deny mean the first in the queue.
            let first = view.hands()?.first()?.participant;
            matches!(key, 'g' | 'd').then_some(first)
        });
        let Some(id) = chosen else {
            self.tell("select a row first, with the arrow keys");
            return None;
        };
        match key {
            'g' | 'd' if !has_hand(id) => {
                self.tell("that hand is not up");
                None
            }
            'g' => Some(Action::Grant(id)),
            'd' => Some(Action::Deny(id)),
            's' => {
                let entry = view.stage().iter().find(|entry| entry.participant == id);
                if entry.is_none() {
                    self.tell("only who is on the stage can be silenced");
                }
                entry.map(|entry| Action::Silence(id, !entry.silenced))
            }
            _ => {
                let name = rows(view).into_iter().find(|(row, _)| *row == id);
                self.mode = Mode::ConfirmKick(id, name.map_or_else(|| id.to_string(), |row| row.1));
                None
            }
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "keys that type nothing are most keys")]
    fn type_note(&mut self, mut text: String, key: KeyCode) -> Option<Action> {
        match key {
            KeyCode::Enter => return text.trim().parse().ok().map(Action::Raise),
            KeyCode::Esc => return None,
            KeyCode::Backspace => {
                text.pop();
            }
            KeyCode::Char(c) if text.len() + c.len_utf8() <= MAX_NOTE_BYTES && !c.is_control() => {
                text.push(c);
            }
            _ => {}
        }
        self.mode = Mode::Note(text);
        None
    }
}

/// The rows that can be selected: the stage, then the hands.
pub(crate) fn rows(view: &RoomView) -> Vec<(ParticipantId, String)> {
    let stage = view.stage().iter().map(|entry| (entry.participant, entry.name.to_string()));
    let hands = view.hands().unwrap_or_default().iter();
    stage.chain(hands.map(|hand| (hand.participant, hand.name.to_string()))).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use tribune_protocol::control::participant::{Joined, ToParticipant, You};
    use tribune_protocol::control::room::{Hand, StageEntry};
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
        };
        let stage = vec![entry(1, "Ada", Role::Host), entry(2, "Bob", Role::Speaker)];
        let relay = "edge-1".parse().unwrap();
        let mut view = RoomView::default();
        view.handle_joined(&Joined { relay, depth: 3, you, stage, listeners: 40 });
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
        assert_eq!(raise, Some(Action::Raise("hi q".parse().unwrap())));
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
        for keys in ["t", "m", "↓g", "↓d", "↓s", "↓k"] {
            assert_eq!(press(&mut model, &listener, keys), None, "{keys}");
        }
        assert_eq!(model.log().len(), 6);
        assert_eq!(model.mode, Mode::Browse);
    }

    #[test]
    fn a_host_acts_on_the_selected_row() {
        let (mut model, host) = (model(), view(Role::Host, None));
        let (bob, eve) = (ParticipantId(2), ParticipantId(5));
        assert_eq!(press(&mut model, &host, "s"), None, "nothing is selected");
        assert_eq!(
            press(&mut model, &host, "g"),
            Some(Action::Grant(eve)),
            "the first in the queue"
        );
        assert_eq!(press(&mut model, &host, "↓↓s"), Some(Action::Silence(bob, false)));
        assert_eq!(press(&mut model, &host, "g"), None, "his hand is not up");
        assert_eq!(press(&mut model, &host, "ky"), Some(Action::Kick(bob)));
        assert_eq!(press(&mut model, &host, "kn"), None);
        assert_eq!(press(&mut model, &host, "↓d"), Some(Action::Deny(eve)));
        assert_eq!(press(&mut model, &host, "s"), None, "she is not on the stage");
        press(&mut model, &host, "↓");
        assert_eq!(model.selected(&host), Some(ParticipantId(1)), "the selection goes around");
        press(&mut model, &host, "↑");
        assert_eq!(model.selected(&host), Some(eve));
        assert_eq!(model.selected(&view(Role::Listener, None)), None, "a row that is gone");
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
