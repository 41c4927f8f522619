//! State of the `tribune top` screen. Pure: keys and snapshots in, actions out.

use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tribune_protocol::ids::{RelayId, RoomName};
use tribune_protocol::quality::report::Ranking;

use super::tables::{Sort, relays, rooms};
use crate::status::answer::{RoomMetrics, Snapshot};

/// Most columns left out: more than any table has.
const COLUMNS_LEFT_OUT: usize = 14;
/// Most lines scrolled in a room's view: a stage and 30 listeners have fewer.
const LINES_MOVED: usize = 60;

/// Action requested by a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Quit,
    /// [`Model::wanted`] has changed.
    Fetch,
}

/// View on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// The relays.
    Tree,
    /// Rooms of the queried relay.
    Rooms,
    /// One of them.
    Room,
}

/// Query beyond the tree and the list of rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) room: Option<RoomName>,
    pub(crate) by: Ranking,
}

/// The state of the screen.
#[derive(Debug)]
pub(crate) struct Model {
    /// Address of the queried relay, as written.
    pub(crate) place: String,
    pub(crate) view: View,
    pub(crate) is_help: bool,
    pub(crate) by: Ranking,
    /// Columns left out after the first, for a narrow screen.
    pub(crate) left_out: usize,
    /// Scroll offset of a room's view, in lines.
    pub(crate) moved: usize,
    relay_sort: Sort,
    room_sort: Sort,
    relay: Option<RelayId>,
    room: Option<RoomName>,
    snapshot: Snapshot,
    came: Instant,
    failure: Option<String>,
}

impl Model {
    /// Starts with a first snapshot. A given room is shown first.
    pub(crate) fn new(
        now: Instant,
        place: String,
        room: Option<RoomName>,
        by: Ranking,
        snapshot: Snapshot,
    ) -> Self {
        Self {
            place,
            view: if room.is_some() { View::Room } else { View::Tree },
            is_help: false,
            by,
            left_out: 0,
            moved: 0,
            relay_sort: Sort::OF_RELAYS[0],
            room_sort: Sort::OF_ROOMS[0],
            relay: None,
            room,
            snapshot,
            came: now,
            failure: None,
        }
    }

    /// Last snapshot.
    pub(crate) const fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Age of the last snapshot.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.came)
    }

    /// Error of the last attempt, if it failed.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Sort order of the current view.
    pub(crate) const fn sort(&self) -> Sort {
        match self.view {
            View::Tree => self.relay_sort,
            View::Rooms | View::Room => self.room_sort,
        }
    }

    /// Selected relay; the first by default.
    pub(crate) fn relay(&self) -> Option<RelayId> {
        let (_, shown) = relays(&self.snapshot, self.relay_sort);
        self.relay.filter(|relay| shown.contains(relay)).or(shown.first().copied())
    }

    /// Selected room, or the one shown.
    pub(crate) fn room(&self) -> Option<RoomName> {
        let (_, shown) = rooms(&self.snapshot.rooms, self.room_sort);
        let is_there = |room: &RoomName| self.view == View::Room || shown.contains(room);
        self.room.clone().filter(is_there).or_else(|| shown.first().cloned())
    }

    /// Metrics of the room shown, once fetched.
    pub(crate) fn room_metrics(&self) -> Option<&RoomMetrics> {
        self.snapshot.room.as_ref().filter(|room| Some(&room.name) == self.room.as_ref())
    }

    /// Query of the next fetch.
    pub(crate) fn wanted(&self) -> Wanted {
        let room = if self.view == View::Room { self.room.clone() } else { None };
        Wanted { room, by: self.by }
    }

    /// Takes a new snapshot.
    pub(crate) fn handle_snapshot(&mut self, now: Instant, snapshot: Snapshot) {
        self.snapshot = snapshot;
        self.came = now;
        self.failure = None;
    }

    /// Takes a failure. The last snapshot stays on the screen.
    pub(crate) fn handle_failure(&mut self, why: String) {
        self.failure = Some(why);
    }

    /// Takes a key.
    pub(crate) fn handle_key(&mut self, key: KeyEvent) -> Option<Action> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        // In raw mode the terminal raises no signal for it.
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return matches!(key.code, KeyCode::Char('c')).then_some(Action::Quit);
        }
        if std::mem::take(&mut self.is_help) {
            return None;
        }
        self.browse(key.code)
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "keys that mean nothing here are most keys")]
    fn browse(&mut self, key: KeyCode) -> Option<Action> {
        match key {
            KeyCode::Char('q') => return Some(Action::Quit),
            KeyCode::Char('?' | 'h') => self.is_help = true,
            KeyCode::Tab => return self.switch(),
            KeyCode::Enter => return self.go_in(),
            KeyCode::Esc | KeyCode::Backspace => return self.go_out(),
            KeyCode::Down | KeyCode::Char('j') => self.select(true),
            KeyCode::Up | KeyCode::Char('k') => self.select(false),
            KeyCode::Right => self.left_out = (self.left_out + 1).min(COLUMNS_LEFT_OUT),
            KeyCode::Left => self.left_out = self.left_out.saturating_sub(1),
            KeyCode::Char('s') => self.change_sort(),
            KeyCode::Char('b') => return self.change_ranking(),
            _ => {}
        }
        None
    }

    /// Cycles through the tree, the rooms, and the room shown last.
    fn switch(&mut self) -> Option<Action> {
        self.show(match self.view {
            View::Tree => View::Rooms,
            View::Rooms if self.room.is_some() => View::Room,
            View::Rooms | View::Room => View::Tree,
        })
    }

    fn go_in(&mut self) -> Option<Action> {
        match self.view {
            View::Tree => self.show(View::Rooms),
            View::Rooms => {
                self.room = self.room();
                self.room.is_some().then(|| self.show(View::Room))?
            }
            View::Room => None,
        }
    }

    fn go_out(&mut self) -> Option<Action> {
        match self.view {
            View::Tree => Some(Action::Quit),
            View::Rooms => self.show(View::Tree),
            View::Room => self.show(View::Rooms),
        }
    }

    fn show(&mut self, view: View) -> Option<Action> {
        (self.left_out, self.moved, self.view) = (0, 0, view);
        (view == View::Room).then_some(Action::Fetch)
    }

    fn select(&mut self, down: bool) {
        match self.view {
            View::Tree => {
                let (_, shown) = relays(&self.snapshot, self.relay_sort);
                self.relay = beside(&shown, self.relay(), down);
            }
            View::Rooms => {
                let (_, shown) = rooms(&self.snapshot.rooms, self.room_sort);
                self.room = beside(&shown, self.room(), down);
            }
            View::Room if down => self.moved = (self.moved + 1).min(LINES_MOVED),
            View::Room => self.moved = self.moved.saturating_sub(1),
        }
    }

    fn change_sort(&mut self) {
        match self.view {
            View::Tree => self.relay_sort = after(&Sort::OF_RELAYS, self.relay_sort),
            View::Rooms => self.room_sort = after(&Sort::OF_ROOMS, self.room_sort),
            View::Room => {}
        }
    }

    fn change_ranking(&mut self) -> Option<Action> {
        self.by = after(&Ranking::ALL, self.by);
        (self.view == View::Room).then_some(Action::Fetch)
    }
}

/// Row next to the selected one; unchanged at an end.
fn beside<T: Clone + PartialEq>(shown: &[T], selected: Option<T>, down: bool) -> Option<T> {
    let at = shown.iter().position(|row| Some(row) == selected.as_ref())?;
    let next = if down { at + 1 } else { at.saturating_sub(1) };
    shown.get(next).or(shown.get(at)).cloned()
}

/// Next element, cyclically.
fn after<T: Copy + PartialEq>(all: &[T], this: T) -> T {
    let at = all.iter().position(|one| *one == this).map_or(0, |at| at + 1);
    all.get(at).or(all.first()).copied().unwrap_or(this)
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::from_str;

    use super::*;

    /// Answers of a leaf below an origin, captured from running relays.
    const STATUS: &str = include_str!("captured/status.json");
    const TREE: &str = include_str!("captured/tree.json");
    const ROOMS: &str = include_str!("captured/rooms.json");
    const ROOM: &str = include_str!("captured/room.json");
    const LISTENERS: &str = include_str!("captured/listeners.json");

    /// These answers, without a room.
    pub(crate) fn snapshot() -> Snapshot {
        Snapshot {
            status: from_str(STATUS).unwrap(),
            tree: from_str(TREE).unwrap(),
            rooms: from_str(ROOMS).unwrap(),
            room: None,
        }
    }

    /// The same with the room.
    pub(crate) fn with_room() -> Snapshot {
        let room: crate::status::answer::Room = from_str(ROOM).unwrap();
        let name = room.room.clone();
        let listeners = Ok(from_str(LISTENERS).unwrap());
        Snapshot { room: Some(RoomMetrics { name, room: Ok(room), listeners }), ..snapshot() }
    }

    pub(crate) fn model(now: Instant) -> Model {
        Model::new(now, "http://127.0.0.1:9433".to_owned(), None, Ranking::default(), snapshot())
    }

    pub(crate) fn press(model: &mut Model, keys: &[KeyCode]) -> Vec<Action> {
        keys.iter().filter_map(|key| model.handle_key(KeyEvent::from(*key))).collect()
    }

    #[test]
    fn answers_of_a_running_relay_are_read() {
        let snapshot = with_room();
        assert_eq!(snapshot.status.name.as_str(), "leaf");
        assert!(snapshot.tree.complete && snapshot.tree.rooted);
        let [origin, leaf] = &snapshot.tree.relays[..] else { panic!("{:?}", snapshot.tree) };
        assert_eq!((origin.parent, leaf.parent), (None, Some(origin.relay)));
        assert_eq!(leaf.capacity, Some(500));
        assert!(leaf.trunk_rtt_us.is_some() && origin.trunk_rtt_us.is_none());
        let quality = leaf.quality.as_ref().unwrap();
        assert!(quality.reports > 0 && quality.latency_us.is_some());
        let room = snapshot.room.unwrap();
        assert_eq!(room.room.unwrap().speakers[0].name.as_str(), "Ada");
        let listeners = room.listeners.unwrap().listeners;
        let eve = listeners.iter().find(|listener| listener.name.as_str() == "Eve").unwrap();
        assert!(eve.report.received > 0 && eve.report.latency_us.is_some());
    }

    #[test]
    fn unknown_fields_are_passed_over_and_missing_ones_are_not() {
        let later = TREE.replacen('{', "{\"weather\": [1], ", 1);
        assert!(from_str::<crate::status::answer::Tree>(&later).is_ok());
        let other = from_str::<crate::status::answer::Tree>("{}").unwrap_err();
        assert!(other.to_string().contains("missing field"), "{other}");
    }

    #[test]
    fn keys_go_from_the_tree_to_a_room_and_back() {
        let mut model = model(Instant::now());
        assert_eq!(press(&mut model, &[KeyCode::Tab]), []);
        assert_eq!((model.view, model.wanted().room), (View::Rooms, None));
        assert_eq!(press(&mut model, &[KeyCode::Enter]), [Action::Fetch]);
        assert_eq!(model.view, View::Room);
        assert_eq!(model.wanted().room.unwrap().as_str(), "agora");
        assert!(model.room_metrics().is_none(), "they are still to come");
        model.handle_snapshot(Instant::now(), with_room());
        assert!(model.room_metrics().is_some());
        assert_eq!(press(&mut model, &[KeyCode::Esc, KeyCode::Esc]), []);
        assert_eq!(model.view, View::Tree);
        assert_eq!(press(&mut model, &[KeyCode::Esc]), [Action::Quit]);
        assert_eq!(press(&mut model, &[KeyCode::Tab, KeyCode::Tab]), [Action::Fetch]);
        assert_eq!(press(&mut model, &[KeyCode::Tab, KeyCode::Char('q')]), [Action::Quit]);
    }

    #[test]
    fn the_selection_follows_its_relay() {
        let mut model = model(Instant::now());
        let (origin, leaf) =
            (model.snapshot.tree.relays[0].relay, model.snapshot.tree.relays[1].relay);
        assert_eq!(model.relay(), Some(origin));
        press(&mut model, &[KeyCode::Down, KeyCode::Down]);
        assert_eq!(model.relay(), Some(leaf), "the last one");
        let mut without = snapshot();
        without.tree.relays.truncate(1);
        model.handle_snapshot(Instant::now(), without);
        assert_eq!(model.relay(), Some(origin), "the other is gone");
        model.handle_snapshot(Instant::now(), snapshot());
        assert_eq!(model.relay(), Some(leaf));
        press(&mut model, &[KeyCode::Up]);
        assert_eq!(model.relay(), Some(origin));
    }

    #[test]
    fn sort_and_ranking_go_round() {
        let mut model = model(Instant::now());
        for _ in Sort::OF_RELAYS {
            press(&mut model, &[KeyCode::Char('s')]);
        }
        assert_eq!(model.sort(), Sort::Name);
        press(&mut model, &[KeyCode::Tab, KeyCode::Enter]);
        assert_eq!(press(&mut model, &[KeyCode::Char('b')]), [Action::Fetch]);
        assert_eq!(model.wanted().by, Ranking::Lost);
    }

    #[test]
    fn figures_grow_old_while_a_relay_is_silent() {
        let start = Instant::now();
        let mut model = model(start);
        let later = start + Duration::from_secs(12);
        model.handle_failure("no answer".to_owned());
        assert_eq!((model.failure(), model.age(later)), (Some("no answer"), later - start));
        model.handle_snapshot(later, snapshot());
        assert_eq!((model.failure(), model.age(later)), (None, Duration::ZERO));
    }

    #[test]
    fn help_takes_one_key_and_control_c_ends_everything() {
        let mut model = model(Instant::now());
        press(&mut model, &[KeyCode::Char('?')]);
        assert!(model.is_help);
        assert_eq!(press(&mut model, &[KeyCode::Char('q')]), []);
        assert!(!model.is_help);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(model.handle_key(interrupt), Some(Action::Quit));
    }
}
