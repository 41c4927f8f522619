//! `tribune speak`: sends a file, a tone, a pipe or the microphone to a room, in real time.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::{FromParticipant, Joined};
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{Note, RoomName};

use super::source_thread::SourceThread;
use super::talk::{Talk, TalkEnd};
use crate::audio::AudioError;
use crate::audio::encode::BITRATE_DEFAULT_BPS;
use crate::audio::source::{Repeat, Source};
use crate::commands::Context;
use crate::commands::context::{DeliveryArgs, Entry};
use crate::commands::notices::{note_retrying, session_gone, tell_renewed};
use crate::commands::renewal::Renewal;
use crate::commands::signals::Signals;
use crate::outcome::{CommandError, Exit};
use crate::output::Output;
use crate::session::change::Change;
use crate::session::reconnect::End;
use crate::session::room_view::RoomView;
use crate::session::{Event, Incoming, Session};
use crate::times::parse_duration;

mod lines;

use lines::Line;

/// Time for the last frames to reach the relay before leaving.
const LAST_FRAMES: Duration = Duration::from_millis(100);

/// Speak in a room: a file, a tone, a pipe or the microphone, in real time
#[derive(Debug, Args)]
#[command(after_help = "Whoever speaks first opens the room and becomes its host.\n\
    A moderator's request to mute is followed: the sound runs on, but nothing of it is sent.\n\
    With --json, one line per event: joined, granted, silenced, muted, moderated, invited,\n\
    encoding (what is protected against loss), sending (each second), ended.")]
pub(crate) struct Speak {
    /// Which room
    room: RoomName,
    #[command(flatten)]
    source: SourceArgs,
    /// Start a file again when it is over
    #[arg(long = "loop", requires = "file")]
    repeat: bool,
    /// Bits per second of the encoded sound; an Ogg Opus file is sent as it is where that is possible
    #[arg(long, default_value_t = BITRATE_DEFAULT_BPS, value_name = "BPS")]
    bitrate: u32,
    /// The role to join with
    #[arg(long, default_value = "speaker", conflicts_with = "raise_hand")]
    role: Role,
    /// Stop after this long, counted from the first sound
    #[arg(long, value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Join as a listener, raise a hand with this note, and speak when it is granted
    #[arg(long, value_name = "NOTE", num_args = 0..=1, default_missing_value = "", visible_alias = "wait-for-grant")]
    raise_hand: Option<Note>,
    /// Join as a listener, accept the first invitation to speak, and speak then
    #[arg(long, conflicts_with = "role")]
    accept: bool,
    /// Keep sending when asked to mute or silenced. For tests of the relays: what a hostile client does
    #[arg(long, hide = true)]
    ignore_mute: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct SourceArgs {
    /// A WAV, FLAC, MP3, Ogg Vorbis or Ogg Opus file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The microphone
    #[arg(long)]
    mic: bool,
    /// A sine of this many Hz
    #[arg(long, value_name = "HZ")]
    tone: Option<f32>,
    /// Standard input: signed 16-bit little-endian samples, 48 kHz, mono
    #[arg(long)]
    stdin: bool,
}

impl SourceArgs {
    async fn open(self, repeat: bool) -> Result<SourceThread, CommandError> {
        let repeat = if repeat { Repeat::Forever } else { Repeat::Once };
        let is_live = self.mic;
        SourceThread::open(is_live, move || match self {
            Self { file: Some(file), .. } => Source::open_file(file, repeat),
            Self { tone: Some(hz), .. } => Source::tone(hz),
            Self { mic: true, .. } => Source::microphone(),
            Self { .. } => Ok::<_, AudioError>(Source::stdin()),
        })
        .await
    }
}

impl Speak {
    pub(crate) async fn run(
        self,
        context: &Context,
        output: &mut Output,
    ) -> Result<(), CommandError> {
        let mut signals = Signals::new()?;
        let talk = Talk::new(self.bitrate, self.duration, self.ignore_mute)?;
        let source = self.source.open(self.repeat).await?;
        let waits = self.raise_hand.is_some() || self.accept;
        let role = if waits { Role::Listener } else { self.role };
        let entry = Entry {
            room: self.room,
            role,
            key: context.key()?,
            returning: false,
            waits_for_room: false,
            delivery: DeliveryArgs::default(),
        };
        let (session, mut incoming) = context.start(entry)?;
        let mut speaking = Speaking {
            session,
            source,
            talk,
            view: RoomView::default(),
            note: self.raise_hand,
            accepts: self.accept,
            renewal: context.renewal()?,
            reported_s: 0,
            left: false,
        };
        tokio::select! {
            result = speaking.run(&mut incoming, output) => result?,
            () = signals.stop() => {
                speaking.say_goodbye(output).await;
                speaking.wait_for_end(&mut incoming).await;
            }
        }
        Ok(())
    }
}

/// A speaking session.
#[derive(Debug)]
struct Speaking {
    session: Session,
    source: SourceThread,
    talk: Talk,
    view: RoomView,
    /// Note of the hand, until it is raised.
    note: Option<Note>,
    /// Whether an invitation to speak is accepted automatically.
    accepts: bool,
    renewal: Renewal,
    reported_s: u64,
    left: bool,
}

impl Speaking {
    async fn run(
        &mut self,
        incoming: &mut Incoming,
        output: &mut Output,
    ) -> Result<(), CommandError> {
        loop {
            let may_speak = self.view.may_speak();
            tokio::select! {
                biased;
                event = incoming.events.recv() => {
                    if self.handle_event(event.ok_or_else(session_gone)?, output).await? {
                        return Ok(());
                    }
                }
                renewed = self.renewal.next() => tell_renewed(&renewed, output),
                // A speaker does not listen; the queue is drained all the same.
                Some(_) = incoming.frames.recv() => {}
                step = self.talk.step(&mut self.source, &self.session), if may_speak && !self.left => {
                    if let Some(TalkEnd) = step? {
                        self.say_goodbye(output).await;
                    }
                    self.report(output);
                }
            }
        }
    }

    /// Returns whether the session is over.
    async fn handle_event(
        &mut self,
        event: Event,
        output: &mut Output,
    ) -> Result<bool, CommandError> {
        match event {
            Event::Joined { joined, reconnects } => {
                self.entered(&joined, reconnects, output).await?
            }
            Event::Message(message) => {
                for change in self.view.handle_message(&message) {
                    self.handle_change(&change, output)?;
                }
            }
            Event::Encoding(encoding) => {
                output.json(&self.talk.set_encoding(&encoding)?);
                output.note(&format!("{encoding}."));
            }
            Event::Retrying { why, after, was_in_room } => {
                note_retrying(output, &why, after, was_in_room);
            }
            Event::Ended(End::RoomEnded) if self.talk.sent() > 0 => {
                output.note("The room is over.");
                self.print_end(output);
                return Ok(true);
            }
            Event::Ended(end) => {
                self.print_end(output);
                return CommandError::of_end(end).map_or(Ok(true), Err);
            }
        }
        Ok(false)
    }

    async fn entered(
        &mut self,
        joined: &Joined,
        reconnects: u32,
        output: &mut Output,
    ) -> Result<(), CommandError> {
        let changes = self.view.handle_joined(joined);
        output.json(&Line::Joined {
            participant: joined.you.participant.to_string(),
            track: joined.you.track,
            role: joined.you.role,
            relay: joined.relay.as_str(),
            depth: joined.depth,
            reconnects,
        });
        let back = if reconnects > 0 { "Back in" } else { "In" };
        let (role, id, relay) = (joined.you.role, joined.you.participant, &joined.relay);
        output.note(&format!("{back} the room as {role}, by way of {relay}. Your id: {id}"));
        for change in changes {
            self.handle_change(&change, output)?;
        }
        if let Some(note) = self.note.take() {
            self.session.request(FromParticipant::RaiseHand { note }).await?;
            output.note("Your hand is up; waiting to be granted the right to speak.");
        } else if self.accepts && !self.view.may_speak() {
            output.note("Waiting to be invited to speak.");
        }
        Ok(())
    }

    fn handle_change(&mut self, change: &Change, output: &mut Output) -> Result<(), CommandError> {
        match change {
            Change::YourRole { track: Some(track), reason, .. } => {
                output.json(&Line::Granted { track: Some(*track), reason });
            }
            Change::YourRole { reason, .. } => output.json(&Line::Removed { reason }),
            Change::YourHand { place, reason } => {
                output.json(&Line::Hand { place: *place, reason });
                let may_speak = self.view.may_speak();
                if place.is_none() && !may_speak {
                    return Err(hand_denied(reason));
                }
            }
            Change::YouSilenced { on, reason } => {
                output.json(&Line::Silenced { on: *on, reason });
                self.talk.set_silenced(*on);
            }
            Change::PleaseMute { by, reason } => {
                output.json(&Line::Muted { by: by.as_str(), reason });
                if self.talk.mute() {
                    // Sent without waiting for the answer: sound continues meanwhile.
                    let session = self.session.clone();
                    tokio::spawn(async move {
                        session.request(FromParticipant::OwnMute { muted: true }).await
                    });
                }
            }
            Change::Invited { by } => {
                output.json(change);
                if by.is_some() && self.accepts && !self.view.may_speak() {
                    // --accept is the consent.
                    let session = self.session.clone();
                    let act = Govern::AnswerInvite { accept: true };
                    tokio::spawn(
                        async move { session.request(FromParticipant::Govern { act }).await },
                    );
                }
            }
            Change::TokenExpires { in_s } => {
                output.json(change);
                self.renewal.handle_expiring(*in_s, &self.session);
            }
            Change::Moderated(_)
            | Change::Profile { .. }
            | Change::YouMay { .. }
            | Change::Setting { .. } => {
                output.json(change);
            }
            Change::Reactions { .. }
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
            | Change::Moving { .. } => return Ok(()),
        }
        output.note(&format!("{change}."));
        Ok(())
    }

    /// Prints the progress, once a second.
    fn report(&mut self, output: &Output) {
        let t_s = self.talk.elapsed().as_secs();
        if t_s > self.reported_s {
            self.reported_s = t_s;
            output.json(&Line::Sending {
                t_s,
                sent: self.talk.sent(),
                muted: self.talk.is_muted(),
                silenced: self.talk.is_silenced(),
            });
        }
    }

    fn print_end(&self, output: &Output) {
        let duration_s = self.talk.elapsed().as_secs_f64();
        output.json(&Line::Ended { sent: self.talk.sent(), duration_s });
    }

    /// Leaves once the last frames are sent.
    async fn say_goodbye(&mut self, output: &mut Output) {
        self.talk.end_talkspurt(&self.session);
        self.left = true;
        tokio::time::sleep(LAST_FRAMES).await;
        self.session.leave().await;
        output.note(&format!("Done: {} frames sent.", self.talk.sent()));
    }

    /// After a signal: waits for the session to leave gracefully.
    async fn wait_for_end(&self, incoming: &mut Incoming) {
        let deadline = Instant::now() + Duration::from_secs(2);
        let end = async {
            while let Some(event) = incoming.events.recv().await {
                if matches!(event, Event::Ended(_)) {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout_at(deadline.into(), end).await;
    }
}

/// Failure for a hand lowered without the right to speak.
fn hand_denied(reason: &Note) -> CommandError {
    let message = match reason.as_str() {
        "" => "Your hand is down, and you may not speak.".to_owned(),
        reason => format!("Your hand is down, and you may not speak: {reason}"),
    };
    CommandError::new(Exit::Refused, ErrorCode::NotPermitted.as_str(), message)
}
