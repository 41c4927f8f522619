//! `tribune listeners`: how a room is heard, and who hears it worst.

use clap::Args;
use clap::builder::RangedU64ValueParser;
use serde_json::json;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::ListenerReports;
use tribune_protocol::ids::ParticipantId;
use tribune_protocol::limits::MAX_LISTENERS_A_MESSAGE;
use tribune_protocol::quality::report::{ListenerReport, Ranking};

use super::ranking;
use crate::commands::Context;
use crate::commands::oneshot::{Place, Requests, no_answer, unresolved};
use crate::outcome::{CommandError, Exit};
use crate::output::Output;
use crate::session::oneshot::Answer;
use crate::session::subject::{ResolveError, Who};
use crate::status::answer::{Listener, Quality};
use crate::status::listeners;

/// See how listeners hear the room, the worst off first
///
/// Listeners report every 5 s. The summary is of the whole room over the last minute, the rows are of
/// each listener's last report.
#[derive(Debug, Args)]
#[command(after_help = "\
lost: frames that never came, of those that should have. made up: frame periods that were concealed.
latency: from capture to playout, the mean; ±: how far it can be from the truth, by the errors of the
clocks. jitter, buffer, rtt: interarrival jitter, sound that waits to be played, round trip to the
relay. Times are in milliseconds.")]
pub(crate) struct Listeners {
    #[command(flatten)]
    place: Place,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = worst_parser())]
    worst: u8,
    /// By what they are the worst off
    #[arg(long, value_name = "MEASURE", default_value = "concealed", value_parser = ranking::parser())]
    by: Ranking,
    /// Only this listener: the id, or the name; can be given several times
    #[arg(long, value_name = "ID|NAME", conflicts_with_all = ["worst", "by"])]
    listener: Vec<Who>,
}

fn worst_parser() -> RangedU64ValueParser<u8> {
    RangedU64ValueParser::new().range(1..=MAX_LISTENERS_A_MESSAGE as u64)
}

impl Listeners {
    pub(crate) async fn run(
        self,
        context: &Context,
        output: &mut Output,
    ) -> Result<(), CommandError> {
        let mut requests = Requests::open(context, &self.place.room, self.place.acting.role)?;
        let result = self.ask(&mut requests).await;
        let reports = requests.close(result).await?;
        self.tell(reports, output);
        Ok(())
    }

    async fn ask(&self, requests: &mut Requests) -> Result<ListenerReports, CommandError> {
        if self.listener.is_empty() {
            return reports(requests, Govern::ListListeners { worst: self.worst, by: self.by })
                .await;
        }
        let mut all = ListenerReports { room: None, listeners: Vec::new(), missing: 0 };
        for who in &self.listener {
            let participant = find(requests, who).await?;
            let found = reports(requests, Govern::ShowListener { participant }).await?;
            if found.listeners.is_empty() {
                return Err(has_not_reported(who, found.missing));
            }
            all.room = found.room;
            all.listeners.extend(found.listeners);
            all.missing = all.missing.max(found.missing);
        }
        Ok(all)
    }

    fn tell(&self, reports: ListenerReports, output: &mut Output) {
        let quality = reports.room.map(Quality::from);
        let rows: Vec<Listener> = reports.listeners.into_iter().map(Listener::from).collect();
        output.json(&json!({
            "room": self.place.room,
            "by": self.listener.is_empty().then_some(self.by),
            "quality": quality,
            "complete": reports.missing == 0,
            "missing": reports.missing,
            "listeners": rows.iter().map(Listener::json).collect::<Vec<_>>(),
        }));
        for line in listeners::quality_lines(quality.as_ref()) {
            output.result(&line);
        }
        if !rows.is_empty() {
            output.result("");
            for line in listeners::table(&rows).lines(0) {
                output.result(&line);
            }
        }
        if let Some(missing) = listeners::missing(reports.missing) {
            output.note(&missing);
        }
    }
}

async fn reports(requests: &mut Requests, act: Govern) -> Result<ListenerReports, CommandError> {
    match requests.ask(act).await? {
        Answer::ListenerReports(reports) => Ok(reports),
        Answer::Done
        | Answer::Room(_)
        | Answer::Hands { .. }
        | Answer::Bans { .. }
        | Answer::Log(_)
        | Answer::Invitation { .. }
        | Answer::Share { .. }
        | Answer::Statistics { .. }
        | Answer::Rooms { .. } => Err(no_answer("listener_reports")),
    }
}

/// Resolves a participant on the stage or with a hand up, or by name among the worst listeners: a
/// listener's name is known to its edge alone.
async fn find(requests: &mut Requests, who: &Who) -> Result<ParticipantId, CommandError> {
    let unknown = match requests.in_room(who).await {
        Ok(person) => return person.participant(),
        Err(error) => error,
    };
    match who {
        Who::Word(name) if unknown.code == "no_such_participant" => {
            let worst = MAX_LISTENERS_A_MESSAGE as u8;
            let act = Govern::ListListeners { worst, by: Ranking::default() };
            named(&reports(requests, act).await?.listeners, name)
        }
        Who::Word(_) | Who::Participant(_) | Who::Subject(_) | Who::Address(_) => Err(unknown),
    }
}

fn named(listeners: &[ListenerReport], name: &str) -> Result<ParticipantId, CommandError> {
    let is_it =
        |listener: &&ListenerReport| listener.name.as_str().to_lowercase() == name.to_lowercase();
    let found: Vec<ParticipantId> =
        listeners.iter().filter(is_it).map(|listener| listener.participant).collect();
    match found[..] {
        [one] => Ok(one),
        [] => {
            let message = format!(
                "Nobody called {name:?} is on the stage, has a hand up or is among the \
                 {MAX_LISTENERS_A_MESSAGE} who hear worst: name a listener by the 16-digit id."
            );
            Err(CommandError::new(Exit::Refused, "no_such_participant", message))
        }
        _ => {
            let ids: Vec<String> = found.iter().map(ToString::to_string).collect();
            let (name, ids) = (name.to_owned(), ids.join(", "));
            Err(unresolved(ResolveError::Several { name, ids }))
        }
    }
}

fn has_not_reported(who: &Who, missing: u32) -> CommandError {
    let silent = match listeners::missing(missing) {
        Some(missing) => format!(" ({missing})"),
        None => String::new(),
    };
    let message =
        format!("{who} is not in the room, or has not reported yet how it hears{silent}.");
    CommandError::new(Exit::Refused, "no_such_participant", message)
}

#[cfg(test)]
mod tests {
    use tribune_protocol::domain::profile::Profile;
    use tribune_protocol::domain::role::Role;
    use tribune_protocol::quality::report::Report;

    use super::*;

    #[test]
    fn a_name_among_the_worst_has_to_be_one_persons() {
        let listener = |id, name: &str| ListenerReport {
            participant: ParticipantId(id),
            name: name.parse().unwrap(),
            role: Role::Listener,
            relay: "edge".parse().unwrap(),
            profile: Profile::Live,
            age_ms: 1,
            report: Report::default(),
        };
        let all = [listener(1, "Eve"), listener(2, "Bob"), listener(3, "bob")];
        assert_eq!(named(&all, "eve").unwrap(), ParticipantId(1));
        let several = named(&all, "Bob").unwrap_err();
        assert_eq!((several.code, several.exit), ("ambiguous_name", Exit::Refused));
        assert!(several.message.contains("0000000000000002, 0000000000000003"), "{several}");
        let nobody = named(&all, "Zoe").unwrap_err();
        assert_eq!((nobody.code, nobody.exit), ("no_such_participant", Exit::Refused));
    }

    #[test]
    fn who_has_not_reported_is_said_in_a_sentence() {
        let who: Who = "00000000000000fe".parse().unwrap();
        let error = has_not_reported(&who, 2);
        assert_eq!(
            error.message,
            "00000000000000fe is not in the room, or has not reported yet how it hears (2 relays \
             have not answered in time: their listeners are left out)."
        );
    }
}
