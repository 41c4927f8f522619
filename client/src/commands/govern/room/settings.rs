//! The settings of a room as options. Pure.

use std::time::SystemTime;

use clap::Args;
use tribune_protocol::control::command::RoomChange;
use tribune_protocol::domain::access::Access;
use tribune_protocol::domain::settings::{Duplicates, RoomSettings};
use tribune_protocol::ids::Note;

use crate::outcome::{CommandError, Exit};
use crate::times::{Start, parse_pause, parse_playout_delay, parse_start};

/// Arguments of `room create` and `room set`.
#[derive(Debug, Default, Args)]
pub(super) struct SettingsArgs {
    /// Subject of the room; at most 200 bytes
    #[arg(long)]
    title: Option<Note>,
    /// When it is to begin: "in 2h", "2026-01-31 20:00" (UTC), or none
    #[arg(long, value_name = "TIME", value_parser = parse_start)]
    starts: Option<Start>,
    /// Put it into the list of public rooms
    #[arg(long, conflicts_with = "no_listed")]
    listed: bool,
    /// Leave it out of the list of public rooms
    #[arg(long)]
    no_listed: bool,
    /// Rule of access: open, token, invitation, or a rule such as 'followers >= 600 or member == true'
    #[arg(long, value_name = "RULE")]
    access: Option<Access>,
    /// How many may be in it; 0 for as many as come
    #[arg(long, value_name = "N")]
    capacity: Option<u32>,
    /// How many the stage holds, 1 to 32
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    stage_size: Option<u8>,
    /// Time from one raising of a hand to the next by the same participant; none for no limit
    #[arg(long, value_name = "TIME", value_parser = parse_pause)]
    hand_slow: Option<u32>,
    /// Time from one reaction to the next by the same participant; none for the relay's own rate
    #[arg(long, value_name = "TIME", value_parser = parse_pause)]
    reaction_slow: Option<u32>,
    /// When somebody comes in a second time: replace the older session, refuse, or allow so many
    #[arg(long, value_name = "replace|refuse|N", value_parser = parse_duplicates)]
    duplicates: Option<Duplicates>,
    /// Listeners from which on new ones get the profile audience, later and with fewer packets; 0 for the relay's own number
    #[arg(long, value_name = "N")]
    audience_from: Option<u32>,
    /// Delay of playout in the profile audience, 200ms to 2s; none for the usual 500ms
    #[arg(long, value_name = "TIME", value_parser = parse_room_delay)]
    playout_delay: Option<u16>,
}

impl SettingsArgs {
    /// Change requested by the options.
    pub(super) fn change(self, now: SystemTime) -> Result<RoomChange, CommandError> {
        let change = self.parts(now);
        if change == RoomChange::default() {
            let message = "There is nothing to set; `tribune room set --help` lists the options.";
            return Err(CommandError::new(Exit::Usage, "nothing_to_set", message));
        }
        Ok(change)
    }

    /// Settings of a new room; options not given have their default.
    pub(super) fn create(self, now: SystemTime) -> RoomSettings {
        let change = self.parts(now);
        let default = RoomSettings::default();
        RoomSettings {
            title: change.title.unwrap_or(default.title),
            starts_s: change.starts_s.unwrap_or(default.starts_s),
            listed: change.listed.unwrap_or(default.listed),
            access: change.access.unwrap_or(default.access),
            locked: default.locked,
            capacity: change.capacity.unwrap_or(default.capacity),
            stage_size: change.stage_size.unwrap_or(default.stage_size),
            hands_closed: default.hands_closed,
            hand_slow_s: change.hand_slow_s.unwrap_or(default.hand_slow_s),
            reaction_slow_s: change.reaction_slow_s.unwrap_or(default.reaction_slow_s),
            duplicates: change.duplicates.unwrap_or(default.duplicates),
            audience_from: change.audience_from.unwrap_or(default.audience_from),
            playout_delay_ms: change.playout_delay_ms.unwrap_or(default.playout_delay_ms),
            duration_s: change.duration_s.unwrap_or(default.duration_s),
            pinned: change.pinned.unwrap_or(default.pinned),
            texts: change.texts.unwrap_or(default.texts),
            questions: change.questions.unwrap_or(default.questions),
            text_slow_s: change.text_slow_s.unwrap_or(default.text_slow_s),
        }
    }

    fn parts(self, now: SystemTime) -> RoomChange {
        RoomChange {
            title: self.title,
            starts_s: self.starts.map(|starts| starts.unix_s(now)),
            listed: (self.listed || self.no_listed).then_some(self.listed),
            access: self.access,
            locked: None,
            capacity: self.capacity,
            stage_size: self.stage_size,
            hands_closed: None,
            hand_slow_s: self.hand_slow,
            reaction_slow_s: self.reaction_slow,
            duplicates: self.duplicates,
            audience_from: self.audience_from,
            playout_delay_ms: self.playout_delay,
            duration_s: None,
            pinned: None,
            texts: None,
            questions: None,
            text_slow_s: None,
        }
    }
}

fn parse_room_delay(text: &str) -> Result<u16, String> {
    if text == "none" {
        return Ok(0);
    }
    parse_playout_delay(text).map(|delay| u16::try_from(delay.as_millis()).unwrap_or(u16::MAX))
}

fn parse_duplicates(text: &str) -> Result<Duplicates, String> {
    match text {
        "replace" => Ok(Duplicates::Replace),
        "refuse" => Ok(Duplicates::Refuse),
        number => match number.parse() {
            Ok(sessions) if sessions > 0 => Ok(Duplicates::Allow(sessions)),
            Ok(_) | Err(_) => {
                Err(format!("{text:?} is not replace, refuse or a number from 1 to 255"))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn what_is_not_given_stays_or_has_its_default() {
        let args = SettingsArgs {
            capacity: Some(5),
            no_listed: true,
            starts: Some(Start::At(9)),
            ..SettingsArgs::default()
        };
        let change = args.change(UNIX_EPOCH).unwrap();
        let expected = RoomChange {
            capacity: Some(5),
            listed: Some(false),
            starts_s: Some(9),
            ..RoomChange::default()
        };
        assert_eq!(change, expected);
        let args = SettingsArgs { listed: true, ..SettingsArgs::default() };
        let settings = args.create(UNIX_EPOCH);
        assert_eq!(settings, RoomSettings { listed: true, ..RoomSettings::default() });
        let nothing = SettingsArgs::default().change(UNIX_EPOCH).unwrap_err();
        assert_eq!(nothing.exit as u8, 2);
    }

    #[test]
    fn duplicates_are_words_or_a_number() {
        assert_eq!(parse_duplicates("refuse"), Ok(Duplicates::Refuse));
        assert_eq!(parse_duplicates("3"), Ok(Duplicates::Allow(3)));
        for text in ["0", "256", "some"] {
            assert!(parse_duplicates(text).is_err(), "{text}");
        }
    }
}
