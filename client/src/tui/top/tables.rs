//! Snapshot of `tribune top` as rows and lines, on the screen and over a pipe. Pure.

use std::cmp::Ordering;

use tribune_protocol::ids::{RelayId, RoomName};
use tribune_protocol::log::span;

use super::tree::branches;
use crate::status::answer::{Relay, Room, RoomMetrics, Rooms, Snapshot, Speaker, Tree};
use crate::status::listeners::{self, quality_lines};
use crate::status::phrases::{bar, count, ms_or_unknown, percent, printable, spread};
use crate::status::table::{Column, Table};

/// Cells of the bar of a relay's load.
const LOAD_CELLS: usize = 5;

/// In what order siblings in the tree, and rooms, are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Name,
    Listeners,
    /// Relays only; rooms have no load.
    Load,
    Lost,
    Concealed,
    Latency,
}

impl Sort {
    /// Those of the tree, in the order that a key goes through them.
    pub(crate) const OF_RELAYS: [Self; 6] =
        [Self::Name, Self::Listeners, Self::Load, Self::Lost, Self::Concealed, Self::Latency];
    /// Those of rooms.
    pub(crate) const OF_ROOMS: [Self; 5] =
        [Self::Listeners, Self::Name, Self::Lost, Self::Concealed, Self::Latency];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Listeners => "listeners",
            Self::Load => "load",
            Self::Lost => "lost",
            Self::Concealed => "made up",
            Self::Latency => "latency",
        }
    }

    /// Names go up, everything else begins with the highest.
    fn relays(self, a: &Relay, b: &Relay) -> Ordering {
        let by_name = || a.name.cmp(&b.name).then(a.relay.cmp(&b.relay));
        let highest = |of: &dyn Fn(&Relay) -> u64| of(b).cmp(&of(a));
        let quality = |relay: &Relay| self.quality(relay.quality.as_ref());
        let first = match self {
            Self::Name => Ordering::Equal,
            Self::Listeners => highest(&|relay| relay.listeners),
            Self::Load => highest(&|relay| relay.load_ppm.into()),
            Self::Lost | Self::Concealed | Self::Latency => highest(&quality),
        };
        first.then_with(by_name)
    }

    fn rooms(self, a: &Room, b: &Room) -> Ordering {
        let highest = |of: &dyn Fn(&Room) -> u64| of(b).cmp(&of(a));
        let quality = |room: &Room| self.quality(room.quality.as_ref());
        let first = match self {
            Self::Name | Self::Load => Ordering::Equal,
            Self::Listeners => highest(&|room| room.listeners),
            Self::Lost | Self::Concealed | Self::Latency => highest(&quality),
        };
        first.then_with(|| a.room.cmp(&b.room))
    }

    /// Key of the order, from the reports of listeners; 0 without reports.
    fn quality(self, quality: Option<&crate::status::answer::Quality>) -> u64 {
        let Some(quality) = quality else { return 0 };
        let value = match self {
            Self::Lost => quality.loss_ppm,
            Self::Concealed => quality.concealed_ppm,
            Self::Latency => quality.latency_us.map_or(0, |latency| latency.p99),
            Self::Name | Self::Listeners | Self::Load => 0,
        };
        value.into()
    }
}

/// The relay that was asked, the tree, and whether that is all of it: the first line.
pub(crate) fn headline(snapshot: &Snapshot) -> String {
    let tree = &snapshot.tree;
    let listeners: u64 = branches(&tree.relays, |a, b| Sort::Name.relays(a, b))
        .iter()
        .filter(|branch| branch.lead.is_empty())
        .map(|branch| branch.relay.listeners)
        .sum();
    let plural = |count: u64, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    format!(
        "{} ({})  ·  {}  ·  {}  ·  {}",
        printable(snapshot.status.name.as_str()),
        printable(&snapshot.status.readiness),
        plural(tree.relays.len() as u64, "relay"),
        plural(listeners, "listener"),
        completeness(tree),
    )
}

/// Completeness of the tree, in words.
pub(crate) fn completeness(tree: &Tree) -> String {
    let silent = match tree.missing {
        0 => None,
        1 => Some("1 relay has not answered".to_owned()),
        missing => Some(format!("{missing} relays have not answered")),
    };
    match (tree.rooted, silent) {
        (true, None) if tree.complete => "the whole tree".to_owned(),
        (true, None) => "NOT THE WHOLE TREE".to_owned(),
        (true, Some(silent)) => format!("NOT THE WHOLE TREE: {silent}"),
        (false, None) => "NO WAY TO THE ORIGIN: this relay and what is below it".to_owned(),
        (false, Some(silent)) => {
            format!("NO WAY TO THE ORIGIN: this relay and what is below it; {silent}")
        }
    }
}

/// The tree, a row each relay, and whose row it is. The relay that was asked has a star.
pub(crate) fn relays(snapshot: &Snapshot, sort: Sort) -> (Table<16>, Vec<RelayId>) {
    let mut table = Table::new([
        Column::Left("relay"),
        Column::Left("state"),
        Column::Right("people"),
        Column::Right("listeners"),
        Column::Right("rooms"),
        Column::Left("load"),
        Column::Right("in/s"),
        Column::Right("out/s"),
        Column::Left("drops/s"),
        Column::Right("missing %"),
        Column::Right("trunk ms"),
        Column::Right("clock ±"),
        Column::Right("latency ms"),
        Column::Right("lost %"),
        Column::Right("made up %"),
        Column::Right("reports"),
    ]);
    let mut ids = Vec::new();
    for branch in branches(&snapshot.tree.relays, |a, b| sort.relays(a, b)) {
        let relay = branch.relay;
        let asked = if relay.relay == snapshot.status.relay { "*" } else { "" };
        let quality = relay.quality.as_ref();
        table.push([
            format!("{}{}{asked}", branch.lead, printable(relay.name.as_str())),
            state(relay, branch.is_orphan).to_owned(),
            match relay.capacity {
                Some(capacity) => format!("{}/{capacity}", relay.participants),
                None => relay.participants.to_string(),
            },
            relay.listeners.to_string(),
            relay.rooms.to_string(),
            bar(relay.load_ppm, LOAD_CELLS),
            count(relay.frames_in_per_s.into()),
            count(relay.frames_out_per_s.into()),
            drops(relay),
            percent(relay.missing_ppm),
            ms_or_unknown(relay.trunk_rtt_us),
            ms_or_unknown(relay.clock_error_us),
            spread(quality.and_then(|quality| quality.latency_us)),
            quality.map_or_else(unknown, |quality| percent(quality.loss_ppm)),
            quality.map_or_else(unknown, |quality| percent(quality.concealed_ppm)),
            quality.map_or_else(unknown, |quality| quality.reports.to_string()),
        ]);
        ids.push(relay.relay);
    }
    (table, ids)
}

/// More about one relay, in lines.
pub(crate) fn relay_lines(relay: &Relay) -> Vec<String> {
    let causes: Vec<String> =
        relay.drops.iter().map(|(cause, rate)| format!("{} {rate}", printable(cause))).collect();
    let dropped = match causes.is_empty() {
        true => "nothing dropped".to_owned(),
        false => format!("dropped a second: {}", causes.join(", ")),
    };
    let mut lines = vec![format!(
        "{}  ·  {}  ·  version {}  ·  up {}  ·  depth {}  ·  children {}  ·  {dropped}",
        printable(relay.name.as_str()),
        relay.relay,
        printable(&relay.version),
        span(relay.uptime_s),
        relay.depth,
        relay.children,
    )];
    lines.extend(quality_lines(relay.quality.as_ref()));
    lines
}

/// The rooms of the relay that was asked, a row each, and whose row it is.
pub(crate) fn rooms(rooms: &Rooms, sort: Sort) -> (Table<11>, Vec<RoomName>) {
    let mut table = Table::new([
        Column::Left("room"),
        Column::Left("phase"),
        Column::Right("listeners"),
        Column::Right("stage"),
        Column::Right("hands"),
        Column::Right("latency ms"),
        Column::Right("lost %"),
        Column::Right("made up %"),
        Column::Right("jitter ms"),
        Column::Right("reports"),
        Column::Left("title"),
    ]);
    let mut sorted: Vec<&Room> = rooms.rooms.iter().collect();
    sorted.sort_by(|a, b| sort.rooms(a, b));
    for room in &sorted {
        let quality = room.quality.as_ref();
        table.push([
            room.room.to_string(),
            phase(room),
            room.listeners.to_string(),
            room.stage.to_string(),
            room.hands.map_or_else(unknown, |hands| hands.to_string()),
            spread(quality.and_then(|quality| quality.latency_us)),
            quality.map_or_else(unknown, |quality| percent(quality.loss_ppm)),
            quality.map_or_else(unknown, |quality| percent(quality.concealed_ppm)),
            spread(quality.and_then(|quality| quality.jitter_us)),
            quality.map_or_else(unknown, |quality| quality.reports.to_string()),
            printable(room.title.as_str()),
        ]);
    }
    (table, sorted.iter().map(|room| room.room.clone()).collect())
}

/// One room: state, speakers, reception, worst listeners.
pub(crate) fn room_lines(metrics: &RoomMetrics, left_out: usize) -> Vec<String> {
    let room = match &metrics.room {
        Ok(room) => room,
        Err(why) => return vec![printable(why)],
    };
    let hands = room.hands.map_or_else(String::new, |hands| format!("  ·  {hands} hands up"));
    let whole = if room.origin { "" } else { " at this relay and below" };
    let title = match room.title.as_str() {
        "" => String::new(),
        title => format!("  ·  {}", printable(title)),
    };
    let mut lines = vec![
        format!(
            "{}  ·  {}  ·  {} listeners{whole}{hands}{title}",
            room.room,
            phase(room),
            room.listeners
        ),
        format!("on the stage: {}", stage(&room.speakers)),
    ];
    lines.extend(quality_lines(room.quality.as_ref()));
    lines.push(String::new());
    match &metrics.listeners {
        Err(why) => lines.push(format!("single listeners are not shown: {}", printable(why))),
        Ok(found) if found.listeners.is_empty() => {
            lines.push("no listener has reported".to_owned());
        }
        Ok(found) => lines.extend(listeners::table(&found.listeners).lines(left_out)),
    }
    if let Ok(found) = &metrics.listeners {
        lines.extend(listeners::missing(found.missing));
    }
    lines
}

/// The whole snapshot as text, for a pipe.
pub(crate) fn text(snapshot: &Snapshot) -> Vec<String> {
    let mut lines = vec![headline(snapshot), String::new()];
    lines.extend(relays(snapshot, Sort::Name).0.lines(0));
    lines.push(String::new());
    match &snapshot.room {
        Some(room) if room.room.is_ok() => {
            lines.extend(room_lines(room, 0));
            return lines;
        }
        // The error at the end of the command gives the reason.
        Some(_) | None => {}
    }
    let (table, shown) = rooms(&snapshot.rooms, Sort::Listeners);
    lines.push(rooms_title(&snapshot.rooms, shown.len()));
    if !shown.is_empty() {
        lines.extend(table.lines(0));
    }
    lines
}

/// Heading of the rooms: total, and how many are shown.
pub(crate) fn rooms_title(rooms: &Rooms, shown: usize) -> String {
    match rooms.total {
        0 => "No rooms on the relay that was asked".to_owned(),
        total if total > shown => format!("Rooms of the relay that was asked: {shown} of {total}"),
        total => format!("Rooms of the relay that was asked: {total}"),
    }
}

/// State of a relay in one word, the most urgent one.
const fn state(relay: &Relay, is_orphan: bool) -> &'static str {
    match (relay.draining, relay.depth, is_orphan) {
        (true, _, _) => "draining",
        (false, 0, _) => "detached",
        (false, 1.., true) => "orphan",
        (false, 1.., false) => "ok",
    }
}

/// Frames dropped per second, and the main cause.
fn drops(relay: &Relay) -> String {
    let most = relay.drops.iter().max_by_key(|(_, rate)| **rate);
    match most {
        Some((cause, _)) => format!("{} {}", count(relay.dropped_per_s), printable(cause)),
        None => count(relay.dropped_per_s),
    }
}

fn phase(room: &Room) -> String {
    use tribune_protocol::domain::room::Phase;
    let phase = match room.phase {
        Phase::Absent => "absent",
        Phase::Announced => "announced",
        Phase::Live => "live",
        Phase::Ended => "ended",
    };
    phase.to_owned()
}

fn stage(speakers: &[Speaker]) -> String {
    if speakers.is_empty() {
        return "nobody".to_owned();
    }
    let words = speakers.iter().map(|speaker| {
        let flags =
            [(speaker.silenced, "silenced"), (speaker.muted, "muted"), (speaker.away, "away")];
        let flags = flags.into_iter().filter(|(is, _)| *is).map(|(_, flag)| flag);
        let words: Vec<&str> = std::iter::once(speaker.role.as_str()).chain(flags).collect();
        format!("{} ({})", printable(speaker.name.as_str()), words.join(", "))
    });
    words.collect::<Vec<_>>().join(", ")
}

fn unknown() -> String {
    crate::status::phrases::UNKNOWN.to_owned()
}

#[cfg(test)]
mod tests {
    use tribune_protocol::ids::RelayId;

    use super::*;
    use crate::status::answer::{Quality, Spread};
    use crate::tui::top::model::tests::{snapshot, with_room};

    fn heard(loss_ppm: u32, p99: u32) -> Quality {
        Quality {
            reports: 1,
            received: 1,
            lost: 0,
            repaired: 0,
            concealed: 0,
            late: 0,
            loss_ppm,
            concealed_ppm: 0,
            latency_us: Some(Spread { p50: 1, p99, mean: 1 }),
            latency_error_us: None,
            jitter_us: None,
            buffer_us: None,
            rtt_us: None,
        }
    }

    #[test]
    fn siblings_stand_by_what_is_chosen_and_then_by_name() {
        let mut snapshot = snapshot();
        let leaf = snapshot.tree.relays[1].clone();
        let named = |id, name: &str, load_ppm, quality| Relay {
            relay: RelayId(id),
            name: name.parse().unwrap(),
            load_ppm,
            quality,
            ..leaf.clone()
        };
        snapshot.tree.relays.truncate(1);
        snapshot.tree.relays.extend([
            named(1, "c", 5, None),
            named(2, "b", 5, Some(heard(7, 90))),
            named(3, "a", 1, Some(heard(9, 80))),
        ]);
        let names = |sort| {
            let (table, _) = relays(&snapshot, sort);
            let rows = table.lines(0).split_off(2);
            rows.iter().map(|row| row[..7].trim_end().to_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(Sort::Name), "├ a ├ b └ c");
        assert_eq!(names(Sort::Load), "├ b ├ c └ a");
        assert_eq!(names(Sort::Lost), "├ a ├ b └ c");
        assert_eq!(names(Sort::Latency), "├ b ├ a └ c");
    }

    #[test]
    fn of_drops_the_sum_and_the_cause_of_most_show() {
        let mut snapshot = snapshot();
        let relay = &mut snapshot.tree.relays[0];
        relay.drops = [("queue_full".to_owned(), 3), ("silenced".to_owned(), 40)].into();
        relay.dropped_per_s = 43;
        let (table, _) = relays(&snapshot, Sort::Name);
        assert!(table.lines(0)[1].contains("43 silenced"), "{:?}", table.lines(0));
        let lines = relay_lines(&snapshot.tree.relays[0]);
        assert!(lines[0].ends_with("dropped a second: queue_full 3, silenced 40"), "{lines:?}");
    }

    #[test]
    fn over_a_pipe_there_are_the_rooms_or_the_one_asked_for() {
        let all = text(&snapshot()).join("\n");
        assert!(all.starts_with("leaf (ready)  ·  2 relays  ·  3 listeners  ·  the whole tree"));
        assert!(all.contains("Rooms of the relay that was asked: 1\nroom "), "{all}");
        let one = text(&with_room()).join("\n");
        assert!(one.contains("agora  ·  live  ·  2 listeners at this relay and below"), "{one}");
        assert!(one.contains("on the stage: Ada (host)") && one.contains("Eve"), "{one}");
        assert!(!one.contains("Rooms of"), "{one}");
    }
}
