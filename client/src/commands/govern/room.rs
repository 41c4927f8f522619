//! `tribune room`: rooms created ahead, shown, configured, locked, handed over and ended.

use std::time::SystemTime;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tribune_protocol::control::command::{Govern, RoomChange};
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::Listing;
use tribune_protocol::domain::settings::RoomSettings;
use tribune_protocol::ids::Subject;

use super::stage::{entry_json, entry_line};
use crate::commands::Context;
use crate::commands::oneshot::{About, Because, Done, Place, Requests, in_room, no_answer};
use crate::outcome::CommandError;
use crate::output::Output;
use crate::session::oneshot::{Answer, OneShotClient};
use crate::session::words;
use crate::times::parse_span;

mod settings;

use settings::SettingsArgs;

/// Create, list, show, set up, lock, hand over and end rooms
#[derive(Debug, Args)]
pub(crate) struct Room {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a room ahead of time; whoever may opens it later by joining
    Create {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Print the public rooms
    List {},
    /// Print how a room is set up, who is on its stage, and the key of its log
    Show {
        #[command(flatten)]
        place: Place,
    },
    /// Change settings; what is not given stays as it is
    Set {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        settings: SettingsArgs,
        #[command(flatten)]
        because: Because,
    },
    /// Let nobody new in
    Lock {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        because: Because,
    },
    /// Let people in again
    Unlock {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        because: Because,
    },
    /// Make an invitation and print it; it is shown like a token
    Invite {
        #[command(flatten)]
        place: Place,
        /// Only for this identity; without it for whoever has the invitation
        #[arg(long = "for", value_name = "IDENTITY")]
        subject: Option<Subject>,
        /// The role that it lets in with
        #[arg(long, default_value = "listener")]
        role: Role,
        /// How long it can be used
        #[arg(long, value_name = "TIME", default_value = "1day", value_parser = parse_span)]
        valid_for: std::time::Duration,
    },
    /// Make somebody on the stage the host; the host becomes a cohost
    HandOver {
        #[command(flatten)]
        about: About,
    },
    /// End the room for everybody
    End {
        #[command(flatten)]
        place: Place,
    },
}

impl Room {
    pub(crate) async fn run(
        self,
        context: &Context,
        output: &mut Output,
    ) -> Result<(), CommandError> {
        match self.verb {
            Verb::Create { place, settings } => {
                let settings = settings.create(SystemTime::now());
                let act = Govern::Create { settings };
                act_on(context, output, place, "created", "created", act).await
            }
            Verb::List {} => list(context, output).await,
            Verb::Show { place } => show(context, output, place).await,
            Verb::Set { place, settings, because } => {
                let change = settings.change(SystemTime::now())?;
                let act = Govern::Set { change, reason: because.reason };
                act_on(context, output, place, "set", "changed", act).await
            }
            Verb::Lock { place, because } => {
                act_on(context, output, place, "locked", "locked", lock(true, because)).await
            }
            Verb::Unlock { place, because } => {
                act_on(context, output, place, "unlocked", "unlocked", lock(false, because)).await
            }
            Verb::Invite { place, subject, role, valid_for } => {
                let valid_for_s = valid_for.as_secs();
                let act = Govern::MakeInvitation { subject, role, valid_for_s };
                invite(context, output, place, act).await
            }
            Verb::HandOver { about } => {
                let done = Done::new("handed_over", "handed over to");
                in_room(context, output, about, done, |participant| Govern::HandOver {
                    participant,
                })
                .await
            }
            Verb::End { place } => {
                act_on(context, output, place, "ended", "ended", Govern::EndRoom {}).await
            }
        }
    }
}

fn lock(locked: bool, because: Because) -> Govern {
    let change = RoomChange { locked: Some(locked), ..RoomChange::default() };
    Govern::Set { change, reason: because.reason }
}

async fn act_on(
    context: &Context,
    output: &Output,
    place: Place,
    event: &'static str,
    verb: &str,
    act: Govern,
) -> Result<(), CommandError> {
    let mut requests = Requests::open(context, &place.room, place.acting.role)?;
    let phrase = format!("{verb} {}", place.room);
    let result = requests.act(output, None, Done::new(event, &phrase), act).await;
    requests.close(result).await
}

async fn invite(
    context: &Context,
    output: &Output,
    place: Place,
    act: Govern,
) -> Result<(), CommandError> {
    let mut requests = Requests::open(context, &place.room, place.acting.role)?;
    let result = requests.ask(act).await;
    let Answer::Invitation { token } = requests.close(result).await? else {
        return Err(no_answer("invitation"));
    };
    output.json(&json!({ "event": "invitation", "room": place.room, "token": token }));
    output.result(&token);
    Ok(())
}

async fn show(context: &Context, output: &Output, place: Place) -> Result<(), CommandError> {
    let mut requests = Requests::open(context, &place.room, place.acting.role)?;
    let result = requests.show().await;
    let room = requests.close(result).await?;
    let key = room.key.map(|key| key.to_string());
    output.json(&json!({
        "room": room.room,
        "phase": room.phase,
        "settings": settings_json(&room.settings),
        "stage": room.stage.iter().map(entry_json).collect::<Vec<Value>>(),
        "listeners": room.listeners,
        "key": key,
    }));
    output.result(&format!("{:24}{}", "room", room.room));
    output.result(&format!("{:24}{}", "phase", words::phase(room.phase)));
    for (name, value) in words::settings(&room.settings) {
        if !value.is_empty() {
            output.result(&format!("{name:24}{value}"));
        }
    }
    output.result(&format!("{:24}{}", "listeners", room.listeners));
    if let Some(key) = key {
        output.result(&format!("{:24}{key}", "key of the log"));
    }
    for entry in &room.stage {
        output.result(&format!("{:24}{}", "on the stage", entry_line(entry)));
    }
    Ok(())
}

/// All settings, including those at their default.
fn settings_json(settings: &RoomSettings) -> Value {
    json!({
        "title": settings.title,
        "starts_s": settings.starts_s,
        "listed": settings.listed,
        "access": settings.access,
        "locked": settings.locked,
        "capacity": settings.capacity,
        "stage_size": settings.stage_size,
        "hands_closed": settings.hands_closed,
        "hand_slow_s": settings.hand_slow_s,
        "reaction_slow_s": settings.reaction_slow_s,
        "duplicates": settings.duplicates,
        "audience_from": settings.audience_from,
        "playout_delay_ms": settings.playout_delay().as_millis() as u64,
    })
}

async fn list(context: &Context, output: &Output) -> Result<(), CommandError> {
    let mut one_shots = context.one_shots(Role::Listener)?;
    let rooms = all_rooms(&mut one_shots).await;
    one_shots.close().await;
    let rooms = rooms?;
    for Listing { room, phase, title, starts_s, listeners, duration_s, host } in &rooms {
        output.json(&json!({
            "room": room,
            "phase": phase,
            "title": title,
            "starts_s": starts_s,
            "duration_s": duration_s,
            "host": host,
            "listeners": listeners,
        }));
        let when = match starts_s {
            0 => String::new(),
            starts_s => words::utc(*starts_s),
        };
        let phase = words::phase(*phase);
        let line = format!("{:24}  {phase:9}  {listeners:7}  {title}  {when}", room.as_str());
        output.result(line.trim_end());
    }
    output.json(&json!({ "total": rooms.len() }));
    if rooms.is_empty() {
        output.result("no public rooms");
    }
    Ok(())
}

/// All public rooms, page by page.
async fn all_rooms(one_shots: &mut OneShotClient) -> Result<Vec<Listing>, CommandError> {
    let mut all: Vec<Listing> = Vec::new();
    loop {
        let after = all.last().map(|listing| listing.room.clone());
        let Answer::Rooms { rooms, more } = one_shots.list_rooms(after).await? else {
            return Err(no_answer("rooms"));
        };
        let is_last = rooms.is_empty() || !more;
        all.extend(rooms);
        if is_last {
            return Ok(all);
        }
    }
}
