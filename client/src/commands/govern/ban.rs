//! `tribune ban`: bans, for a time or until lifted.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use tribune_protocol::control::command::Govern;
use tribune_protocol::domain::ban::Ban as RoomBan;
use tribune_protocol::domain::target::Target;
use tribune_protocol::log::span;

use crate::commands::Context;
use crate::commands::oneshot::{
    About, Because, Done, Person, Place, Requests, anywhere, no_answer, unresolved,
};
use crate::outcome::CommandError;
use crate::output::Output;
use crate::session::oneshot::Answer;
use crate::session::room_view::RoomView;
use crate::session::subject::{ResolveError, Who, target_text};
use crate::session::words;
use crate::times::parse_span;

/// Keep somebody out, lift that, list the bans
#[derive(Debug, Args)]
pub(crate) struct Ban {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Remove somebody from the room and keep them out, in any session
    Create {
        #[command(flatten)]
        about: About,
        /// For how long, such as 1h or 30days; without it until the ban is lifted
        #[arg(long = "for", value_name = "TIME", value_parser = parse_span)]
        duration: Option<Duration>,
        #[command(flatten)]
        because: Because,
    },
    /// Lift a ban or a kick; SUBJECT as `ban list` prints it, or the name
    Lift {
        #[command(flatten)]
        about: About,
        #[command(flatten)]
        because: Because,
    },
    /// Print the bans of the room
    List {
        #[command(flatten)]
        place: Place,
    },
}

impl Ban {
    pub(crate) async fn run(
        self,
        context: &Context,
        output: &mut Output,
    ) -> Result<(), CommandError> {
        match self.verb {
            Verb::Create { about, duration, because: Because { reason } } => {
                let duration_s = duration.map(|duration| duration.as_secs());
                let phrase = match duration_s {
                    Some(seconds) => format!("banned for {}:", span(seconds)),
                    None => "banned:".to_owned(),
                };
                let done = Done::new("banned", &phrase).with(json!({ "duration_s": duration_s }));
                anywhere(context, output, about, done, |target| Govern::Ban {
                    target,
                    duration_s,
                    reason,
                })
                .await
            }
            Verb::Lift { about, because } => lift(context, output, about, because).await,
            Verb::List { place } => list(context, output, place).await,
        }
    }
}

/// Lifts a ban. The subject is not in the room, so a name is resolved among the bans.
async fn lift(
    context: &Context,
    output: &Output,
    about: About,
    because: Because,
) -> Result<(), CommandError> {
    let mut requests = Requests::open(context, &about.room, about.acting.role)?;
    let result = async {
        let bans = if about.subject.is_word() { bans(&mut requests).await? } else { Vec::new() };
        let target = banned(&about.subject, &bans).map_err(unresolved)?;
        let person = Person::new(target.clone(), &about.subject);
        let act = Govern::Unban { target, reason: because.reason };
        requests.act(output, Some(&person), Done::new("ban_lifted", "no longer banned:"), act).await
    }
    .await;
    requests.close(result).await
}

/// Target of the only ban under that name; a word that matches none is an identity.
fn banned(who: &Who, bans: &[RoomBan]) -> Result<Target, ResolveError> {
    if let Who::Word(word) = who {
        let is_it = |ban: &&RoomBan| {
            ban.name
                .as_ref()
                .is_some_and(|name| name.as_str().to_lowercase() == word.to_lowercase())
        };
        let mut found: Vec<&Target> = bans.iter().filter(is_it).map(|ban| &ban.target).collect();
        found.dedup();
        match found[..] {
            [] => {}
            [one] => return Ok(one.clone()),
            _ => {
                let ids: Vec<String> = found.into_iter().map(target_text).collect();
                return Err(ResolveError::Several { name: word.clone(), ids: ids.join(", ") });
            }
        }
    }
    who.anywhere(&RoomView::default())
}

async fn list(context: &Context, output: &Output, place: Place) -> Result<(), CommandError> {
    let mut requests = Requests::open(context, &place.room, place.acting.role)?;
    let result = bans(&mut requests).await;
    let bans = requests.close(result).await?;
    for ban in &bans {
        let (target, RoomBan { name, until_s, reason, entry, .. }) =
            (target_text(&ban.target), ban);
        output.json(&json!({
            "target": target,
            "name": name,
            "until_s": until_s,
            "reason": reason,
            "entry": entry,
        }));
        let name = name.as_ref().map_or("", |name| name.as_str());
        let until = match until_s {
            0 => "until lifted".to_owned(),
            until_s => format!("until {}", words::utc(*until_s)),
        };
        output.result(format!("{target}  {name}  {until}  entry {entry}  {reason}").trim_end());
    }
    output.json(&json!({ "total": bans.len() }));
    if bans.is_empty() {
        output.result("nobody is banned");
    }
    Ok(())
}

/// All bans, page by page.
async fn bans(requests: &mut Requests) -> Result<Vec<RoomBan>, CommandError> {
    let mut all = Vec::new();
    loop {
        let after = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let Answer::Bans { bans, total } = requests.ask(Govern::ListBans { after }).await? else {
            return Err(no_answer("bans"));
        };
        let is_last = bans.is_empty();
        all.extend(bans);
        if is_last || all.len() >= total as usize {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use tribune_protocol::ids::{Note, ParticipantId};

    use super::*;

    #[test]
    fn a_ban_is_found_by_its_name_and_else_by_identity() {
        let ban = |name: &str, target| RoomBan {
            target,
            name: Some(name.parse().unwrap()),
            until_s: 0,
            reason: Note::default(),
            entry: 1,
        };
        let eve = Target::Subject("eve@example.org".parse().unwrap());
        let other = Target::Participant(ParticipantId(7));
        let bans = [
            ban("Eve", eve.clone()),
            ban("Bob", other.clone()),
            ban("bob", Target::Subject("b".parse().unwrap())),
        ];
        let who = |text: &str| text.parse::<Who>().unwrap();
        assert_eq!(banned(&who("eve"), &bans), Ok(eve));
        assert_eq!(banned(&who("0000000000000007"), &bans), Ok(other));
        let zoe = Target::Subject("zoe".parse().unwrap());
        assert_eq!(banned(&who("zoe"), &bans), Ok(zoe));
        let several = banned(&who("bob"), &bans).unwrap_err().to_string();
        assert!(several.contains("0000000000000007, sub:b"), "{several}");
    }
}
