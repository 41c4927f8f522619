//! Times, reactions and the settings of a room in words, the same wherever they are shown. Pure.

use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::domain::room::Phase;
use tribune_protocol::domain::settings::{Duplicates, RoomSettings};

/// A point in time, in seconds since the Unix epoch, as people read it.
#[must_use]
pub fn utc(unix_s: u64) -> String {
    tribune_protocol::log::utc(unix_s.saturating_mul(1_000))
}

/// A point in time, in seconds since the Unix epoch, as programs read it (RFC 3339).
#[must_use]
pub fn rfc3339(unix_s: u64) -> String {
    utc(unix_s).replacen(' ', "T", 1).replace(" UTC", "Z")
}

/// A reaction as it is written on the wire and on the command line.
#[must_use]
pub const fn reaction(reaction: Reaction) -> &'static str {
    match reaction {
        Reaction::Clap => "clap",
        Reaction::Heart => "heart",
        Reaction::Laugh => "laugh",
        Reaction::Agree => "agree",
        Reaction::Disagree => "disagree",
        Reaction::Wow => "wow",
        Reaction::Unknown => "unknown",
    }
}

/// The reactions that can be sent, in the order of their keys.
pub const REACTIONS: [Reaction; 6] = [
    Reaction::Clap,
    Reaction::Heart,
    Reaction::Laugh,
    Reaction::Agree,
    Reaction::Disagree,
    Reaction::Wow,
];

/// Whether a room is there, in a word.
#[must_use]
pub const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Absent => "absent",
        Phase::Announced => "announced",
        Phase::Live => "live",
        Phase::Ended => "ended",
    }
}

/// All settings of a room by name, each in words, always in the same order.
#[must_use]
pub fn settings(settings: &RoomSettings) -> Vec<(&'static str, String)> {
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let number = |value: u64, none: &str| match value {
        0 => none.to_owned(),
        value => value.to_string(),
    };
    let seconds = |value: u32| match value {
        0 => "none".to_owned(),
        value => tribune_protocol::log::span(value.into()),
    };
    vec![
        ("title", settings.title.to_string()),
        ("starts", if settings.starts_s == 0 { String::new() } else { utc(settings.starts_s) }),
        ("listed", yes(settings.listed)),
        ("access", settings.access.to_string()),
        ("locked", yes(settings.locked)),
        ("capacity", number(settings.capacity.into(), "any")),
        ("stage size", settings.stage_size.to_string()),
        ("hands closed", yes(settings.hands_closed)),
        ("time between hands", seconds(settings.hand_slow_s)),
        ("time between reactions", seconds(settings.reaction_slow_s)),
        ("duplicates", duplicates(settings.duplicates)),
        ("audience from", audience_from(settings.audience_from)),
        ("playout delay", format!("{} ms", settings.playout_delay().as_millis())),
        ("duration", duration(settings.duration_s)),
        ("pinned", settings.pinned.to_string()),
        ("messages", yes(settings.texts)),
        ("questions", yes(settings.questions)),
        ("time between texts", seconds(settings.text_slow_s)),
    ]
}

fn duration(duration_s: u32) -> String {
    match duration_s {
        0 => String::new(),
        duration_s => tribune_protocol::log::span(duration_s.into()),
    }
}

fn audience_from(listeners: u32) -> String {
    match listeners {
        0 => "as the relay has it".to_owned(),
        1 => "1 listener".to_owned(),
        many => format!("{many} listeners"),
    }
}

fn duplicates(duplicates: Duplicates) -> String {
    match duplicates {
        Duplicates::Replace => "replace".to_owned(),
        Duplicates::Refuse => "refuse".to_owned(),
        Duplicates::Allow(sessions) => format!("{sessions} at a time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_for_people_or_programs() {
        assert_eq!(utc(1_800_000_000), "2027-01-15 08:00:00 UTC");
        assert_eq!(rfc3339(1_800_000_000), "2027-01-15T08:00:00Z");
    }

    #[test]
    fn settings_are_words() {
        let set = RoomSettings { locked: true, capacity: 5, ..RoomSettings::default() };
        let of = |name: &str| {
            settings(&set).into_iter().find(|(found, _)| *found == name).map(|(_, value)| value)
        };
        assert_eq!(of("locked").as_deref(), Some("yes"));
        assert_eq!(of("capacity").as_deref(), Some("5"));
        assert_eq!(of("access").as_deref(), Some("token"));
        assert_eq!(of("starts").as_deref(), Some(""));
        assert_eq!(of("duplicates").as_deref(), Some("replace"));
    }
}
