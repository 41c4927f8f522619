//! `tribune join`: an interactive session, on a screen or over a pipe.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tribune_protocol::control::participant::{Joined, ToParticipant};
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{RoomName, TrackId};

use super::receiver::{Receiver, playout_clock};
use super::sink_thread::SinkThread;
use super::source_thread::SourceThread;
use super::talk::Talk;
use crate::audio::encode::BITRATE_DEFAULT_BPS;
use crate::audio::sink::SinkTarget;
use crate::commands::Context;
use crate::commands::context::{DeliveryArgs, Entry};
use crate::commands::notices::session_gone;
use crate::commands::renewal::Renewal;
use crate::commands::signals::Signals;
use crate::outcome::{CommandError, sentence};
use crate::output::Output;
use crate::session::change::Change;
use crate::session::reconnect::End;
use crate::session::{Encoding, Event, Incoming, RequestError, Session};
use crate::times::parse_duration;
use crate::tui::model::{Microphone, Model};

mod actions;
mod frontend;
mod lines;

use actions::talk_step;
use frontend::{Frontend, Input};

/// Redraw period of the screen.
const DRAW_PERIOD: Duration = Duration::from_millis(100);
/// Hold time of a level meter after the last frame.
const METER_HOLD: Duration = Duration::from_millis(200);
/// Queue of answers to requests.
const ANSWERS: usize = 16;

/// Be in a room: a screen with the stage, level meters and hands
#[derive(Debug, Args)]
#[command(after_help = lines::LINES)]
pub(crate) struct Join {
    /// Which room
    room: RoomName,
    /// The role to join with; more than listener opens a room that is not there
    #[arg(long, default_value = "listener")]
    role: Role,
    /// Where the sound goes: device, null, FILE.ogg, FILE.opus or FILE.wav
    #[arg(long, short, value_name = "OUT")]
    out: Option<SinkTarget>,
    #[command(flatten)]
    delivery: DeliveryArgs,
    /// Leave after this long, counted from the start
    #[arg(long, value_parser = parse_duration)]
    duration: Option<Duration>,
}

/// A request and its outcome.
type Answer = (&'static str, Result<(), RequestError>);

/// An interactive session.
#[derive(Debug)]
struct Joining<'a> {
    session: Session,
    receiver: Receiver,
    sink: SinkThread,
    model: Model,
    frontend: Frontend,
    output: &'a Output,
    talk: Talk,
    /// The microphone, while it is on.
    source: Option<SourceThread>,
    answers: mpsc::Sender<Answer>,
    renewal: Renewal,
    has_been_in: bool,
    /// Arrival of the last queue of hands.
    hands_at: Instant,
}

impl Join {
    pub(crate) async fn run(
        self,
        context: &Context,
        output: &mut Output,
    ) -> Result<(), CommandError> {
        let mut signals = Signals::new()?;
        self.delivery.check()?;
        let mut model = Model::new(self.room.to_string());
        let (sink, missing) = open_sink(self.out).await?;
        let entry = Entry {
            room: self.room,
            role: self.role,
            key: context.key()?,
            returning: false,
            waits_for_room: true,
            delivery: self.delivery,
        };
        let (session, mut incoming) = context.start(entry)?;
        let (frontend, inputs) = Frontend::open(output)?;
        if let Some(missing) = missing {
            let json = json!({ "event": "no_sound", "why": missing });
            frontend.tell(&mut model, output, &missing, &json);
        }
        let (answers, answered) = mpsc::channel(ANSWERS);
        let mut joining = Joining {
            session,
            receiver: Receiver::new(self.delivery.playout_delay()),
            sink,
            model,
            frontend,
            output,
            talk: Talk::new(BITRATE_DEFAULT_BPS, None, false)?,
            source: None,
            answers,
            renewal: context.renewal()?,
            has_been_in: false,
            hands_at: Instant::now(),
        };
        let time_is_over = async {
            match self.duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        let end = tokio::select! {
            end = joining.run(&mut incoming, inputs, answered) => end,
            () = signals.stop() => Ok(None),
            () = time_is_over => Ok(None),
        };
        joining.leave(&mut incoming, end).await
    }
}

impl Joining<'_> {
    /// Runs until the session ends, or the user quits (`None`).
    async fn run(
        &mut self,
        incoming: &mut Incoming,
        mut inputs: mpsc::Receiver<Input>,
        mut answered: mpsc::Receiver<Answer>,
    ) -> Result<Option<End>, CommandError> {
        let mut playout = playout_clock();
        let mut draw = tokio::time::interval(DRAW_PERIOD);
        loop {
            tokio::select! {
                biased;
                Some(received) = incoming.frames.recv() => {
                    self.receiver.handle_frame(received, self.session.clock())?;
                }
                event = incoming.events.recv() => {
                    if let Some(end) = self.handle_event(event.ok_or_else(session_gone)?) {
                        return Ok(Some(end));
                    }
                }
                step = talk_step(&mut self.talk, self.source.as_mut(), &self.session) => {
                    self.handle_step(step);
                }
                _ = playout.tick() => {
                    let (now, link) = (Instant::now(), self.session.link());
                    let pcm = self.receiver.tick(now, link.offset_at(now), self.session.clock());
                    if let Some(report) = self.receiver.poll_report(now, &link) {
                        self.session.report(report);
                    }
                    self.sink.write(&pcm).await?;
                }
                Some(input) = inputs.recv() => {
                    if self.handle_input(input).await {
                        return Ok(None);
                    }
                    self.draw()?;
                }
                Some((what, result)) = answered.recv() => self.handle_answer(what, &result),
                renewed = self.renewal.next() => self.tell_renewed(&renewed),
                _ = draw.tick() => {
                    self.receiver.forget_old_tracks(Instant::now());
                    self.draw()?;
                }
            }
        }
    }

    fn handle_event(&mut self, event: Event) -> Option<End> {
        let (now, clock) = (Instant::now(), self.session.clock());
        match event {
            Event::Joined { joined, reconnects } => {
                let changes = self.receiver.handle_joined(now, &joined, clock);
                self.entered(&joined, reconnects);
                self.tell_changes(&changes);
            }
            Event::Message(message) => {
                if let ToParticipant::Hands { .. } = message {
                    self.hands_at = now;
                }
                let changes = self.receiver.handle_message(now, &message, clock);
                self.tell_changes(&changes);
            }
            Event::Encoding(encoding) => self.set_encoding(&encoding),
            Event::Retrying { why, after, was_in_room } => {
                let (event, verb) = if was_in_room {
                    ("reconnecting", "Reconnecting")
                } else {
                    ("waiting", "Waiting")
                };
                let retry_in_ms = after.as_millis() as u64;
                self.tell(
                    &format!("{verb} in {:.1} s: {why}", after.as_secs_f64()),
                    json!({ "event": event, "why": why, "retry_in_ms": retry_in_ms }),
                );
                self.model.offline = Some(why);
            }
            Event::Ended(end) => return Some(end),
        }
        None
    }

    fn set_encoding(&mut self, encoding: &Encoding) {
        match self.talk.set_encoding(encoding) {
            Ok(json) => self.tell(&encoding.to_string(), json),
            Err(error) => tracing::warn!(%error, "the encoder stays as it is"),
        }
    }

    fn entered(&mut self, joined: &Joined, reconnects: u32) {
        self.model.offline = None;
        self.has_been_in = true;
        let back = if reconnects > 0 { "Back in" } else { "In" };
        let (role, id, relay) = (joined.you.role, joined.you.participant, &joined.relay);
        self.tell(
            &format!("{back} the room as {role}, by way of {relay}. Your id: {id}"),
            json!({
                "event": "joined",
                "participant": id.to_string(),
                "role": role,
                "track": joined.you.track,
                "relay": relay,
                "depth": joined.depth,
                "listeners": joined.listeners,
                "reconnects": reconnects,
            }),
        );
    }

    fn tell_changes(&mut self, changes: &[Change]) {
        for change in changes {
            // On the screen the count has a place of its own.
            if !(self.frontend.is_screen() && change.is_count()) {
                self.frontend.tell(&mut self.model, self.output, &change.to_string(), change);
            }
            match change {
                Change::PleaseMute { .. } if self.model.microphone == Microphone::On => {
                    self.set_muted(true);
                }
                Change::YouSilenced { on, .. } => self.talk.set_silenced(*on),
                Change::YourRole { track: None, .. } => self.microphone_off(),
                Change::TokenExpires { in_s } => {
                    self.renewal.handle_expiring(*in_s, &self.session);
                }
                Change::PleaseMute { .. }
                | Change::YourRole { .. }
                | Change::Moderated(_)
                | Change::Profile { .. }
                | Change::YouMay { .. }
                | Change::Invited { .. }
                | Change::Setting { .. }
                | Change::Reactions { .. }
                | Change::YourHand { .. }
                | Change::JoinedStage { .. }
                | Change::LeftStage { .. }
                | Change::RoleChanged { .. }
                | Change::Silenced { .. }
                | Change::Muted { .. }
                | Change::Away { .. }
                | Change::HandRaised { .. }
                | Change::HandDown { .. }
                | Change::Listeners { .. }
                | Change::Text { .. }
                | Change::TextHidden { .. }
                | Change::TextTotal { .. }
                | Change::Asked { .. }
                | Change::Answered { .. }
                | Change::Totals { .. }
                | Change::Moving { .. } => {}
            }
        }
    }

    fn tell_renewed(&mut self, renewed: &Result<(), String>) {
        match renewed {
            Ok(()) => self.tell("your token is renewed", json!({ "event": "token_renewed" })),
            Err(why) => {
                let message = sentence(why);
                self.tell(
                    &format!("error: {message}"),
                    json!({ "error": { "code": "token_not_renewed", "message": message } }),
                );
            }
        }
    }

    fn tell(&mut self, text: &str, json: Value) {
        self.frontend.tell(&mut self.model, self.output, text, &json);
    }

    fn draw(&mut self) -> Result<(), CommandError> {
        let (now, tracks) = (Instant::now(), self.receiver.tracks());
        self.model.set_hands_age(now.duration_since(self.hands_at));
        let level = |track: TrackId| {
            let (at, level) = tracks.get(&track)?.last_level?;
            (now.duration_since(at) < METER_HOLD).then_some(level.minus_dbov)
        };
        self.frontend.draw(&self.model, self.receiver.view(), &level)
    }

    async fn leave(
        mut self,
        incoming: &mut Incoming,
        end: Result<Option<End>, CommandError>,
    ) -> Result<(), CommandError> {
        self.microphone_off();
        if !matches!(end, Ok(Some(_))) {
            self.session.leave().await;
            while incoming.events.recv().await.is_some() {}
        }
        let Self { sink, frontend, has_been_in, output, .. } = self;
        drop(frontend);
        sink.finish().await?;
        match end? {
            None => Ok(()),
            Some(End::RoomEnded) if has_been_in => {
                output.result("The room is over.");
                Ok(())
            }
            Some(end) => CommandError::of_end(end).map_or(Ok(()), Err),
        }
    }
}

/// The sink of `--out`. The default is the loudspeaker; without one there is silence, and a sentence
/// about what is missing.
async fn open_sink(
    target: Option<SinkTarget>,
) -> Result<(SinkThread, Option<String>), CommandError> {
    match target {
        Some(target) => Ok((SinkThread::open(target).await?, None)),
        None => match SinkThread::open(SinkTarget::Device).await {
            Ok(sink) => Ok((sink, None)),
            Err(error) => Ok((SinkThread::Null, Some(error.to_string()))),
        },
    }
}
