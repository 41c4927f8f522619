//! `tribune listen`: plays or records a room, and measures reception.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use tokio::time::Interval;
use tribune_protocol::control::participant::Joined;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::RoomName;

use super::receiver::{Receiver, playout_clock};
use super::sink_thread::SinkThread;
use crate::audio::sink::SinkTarget;
use crate::audio::{FRAME_PERIOD, TICK_PERIOD, TICKS_PER_FRAME};
use crate::commands::Context;
use crate::commands::context::{DeliveryArgs, Entry};
use crate::commands::notices::{note_retrying, session_gone, tell_renewed};
use crate::commands::renewal::Renewal;
use crate::commands::signals::Signals;
use crate::outcome::{CommandError, Exit};
use crate::output::Output;
use crate::session::change::Change;
use crate::session::reconnect::End;
use crate::session::{Event, Incoming, Session};
use crate::times::parse_duration;

mod statistics;
mod timeline;

use statistics::{Report, status_line};
use timeline::Timeline;

/// Ticks between two lines of statistics: 1 s.
const REPORT_TICKS: u64 = 200;

/// Listen to a room: play it, record it, or only measure it
#[derive(Debug, Args)]
#[command(after_help = "\
A recording begins when the room is joined and holds exactly --duration from there on: silence,
loss and reconnects are silence in it; the delay of the profiles audience and reliable is not in it.
A room that is not there yet is asked for each second, at most for --duration. Ctrl-C and SIGTERM
complete the file. Without a file the end of a room is played out before the command ends.

With --json, one line a second with the key t_s; counters count from the beginning, and e2e_ms are
percentiles since then: from capture at the speaker to playout here, without sound hardware, right
to error_ms. Lines with the key event say what happens. The last line has summary: true.")]
pub(crate) struct Listen {
    /// Which room
    room: RoomName,
    /// FILE.ogg, FILE.opus, FILE.wav, device or null
    #[arg(long, short, value_name = "OUT", default_value = "device")]
    out: SinkTarget,
    #[command(flatten)]
    delivery: DeliveryArgs,
    /// Stop after this long, counted from joining, such as 20s or 1h30m
    #[arg(long, value_parser = parse_duration)]
    duration: Option<Duration>,
}

impl Listen {
    pub(crate) async fn run(
        self,
        context: &Context,
        output: &mut Output,
    ) -> Result<(), CommandError> {
        let mut signals = Signals::new()?;
        self.delivery.check()?;
        let is_file = self.out.is_file();
        let sink = SinkThread::open(self.out).await?;
        let entry = Entry {
            room: self.room.clone(),
            role: Role::Listener,
            key: context.key()?,
            returning: false,
            waits_for_room: true,
            delivery: self.delivery,
        };
        let (session, mut incoming) = context.start(entry)?;
        let mut listening = Listening {
            session,
            sink,
            timeline: Timeline::new(is_file),
            room_is_missing: false,
            receiver: Receiver::new(self.delivery.playout_delay()),
            ticks: 0,
            ticks_max: self.duration.map(ticks),
            reconnects: 0,
            renewal: context.renewal()?,
            in_room: false,
            ended: None,
        };
        let entered = tokio::select! {
            entered = listening.enter(&mut incoming, self.duration, &self.room, output) => entered,
            () = signals.stop() => return listening.stop(&mut incoming, Ok(()), output).await,
        };
        let result = match entered {
            Ok(()) => tokio::select! {
                result = listening.listen(&mut incoming, output) => result,
                () = signals.stop() => Ok(()),
            },
            Err(error) => Err(error),
        };
        listening.stop(&mut incoming, result, output).await
    }
}

/// A listening session.
#[derive(Debug)]
struct Listening {
    session: Session,
    sink: SinkThread,
    timeline: Timeline,
    /// A relay has said that there is no such room yet.
    room_is_missing: bool,
    receiver: Receiver,
    /// Ticks played since joining.
    ticks: u64,
    ticks_max: Option<u64>,
    reconnects: u32,
    renewal: Renewal,
    in_room: bool,
    ended: Option<End>,
}

impl Listening {
    /// Waits for admission to the room.
    async fn enter(
        &mut self,
        incoming: &mut Incoming,
        patience: Option<Duration>,
        room: &RoomName,
        output: &mut Output,
    ) -> Result<(), CommandError> {
        let give_up = async {
            match patience {
                Some(patience) => tokio::time::sleep(patience).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(give_up);
        while !self.in_room {
            tokio::select! {
                event = incoming.events.recv() => self.handle_event(event.ok_or_else(session_gone)?, output),
                () = &mut give_up => return Err(self.not_in(room)),
            }
            self.check_end()?;
        }
        Ok(())
    }

    /// Failure to come in within the time.
    fn not_in(&self, room: &RoomName) -> CommandError {
        if self.room_is_missing {
            let message = format!("There was no room {room} in the whole time.");
            return CommandError::new(Exit::NoRoom, "room_not_found", message);
        }
        let message = "No relay has answered in the whole time.";
        CommandError::new(Exit::Unreachable, "unreachable", message)
    }

    /// Plays until the duration or the room ends.
    async fn listen(
        &mut self,
        incoming: &mut Incoming,
        output: &mut Output,
    ) -> Result<(), CommandError> {
        let mut tick = playout_clock();
        loop {
            tokio::select! {
                biased;
                // Frames first: those received before a tick are played in it.
                Some(received) = incoming.frames.recv() => {
                    self.receiver.handle_frame(received, self.session.clock())?;
                }
                event = incoming.events.recv() => {
                    self.handle_event(event.ok_or_else(session_gone)?, output);
                    self.check_end()?;
                    if self.ended.is_some() {
                        return self.hear_out(&mut tick).await;
                    }
                }
                renewed = self.renewal.next() => tell_renewed(&renewed, output),
                _ = tick.tick() => {
                    let (now, link) = (Instant::now(), self.session.link());
                    if let Some(report) = self.receiver.poll_report(now, &link) {
                        self.session.report(report);
                    }
                    self.tick(now).await?;
                    if self.ticks.is_multiple_of(REPORT_TICKS) {
                        self.report(output);
                    }
                    if self.ticks_max.is_some_and(|max| self.ticks >= max) {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Plays a tick.
    async fn tick(&mut self, now: Instant) -> Result<(), CommandError> {
        let offset = self.session.link().offset_at(now);
        let pcm = self.receiver.tick(now, offset, self.session.clock());
        if self.timeline.takes(self.receiver.playout_delay()) {
            self.sink.write(&pcm).await?;
        }
        self.ticks += 1;
        Ok(())
    }

    /// Plays what waits when the room has ended, in its time.
    async fn hear_out(&mut self, tick: &mut Interval) -> Result<(), CommandError> {
        for _ in 0..self.timeline.left_to_hear(self.receiver.playout_delay()) {
            tick.tick().await;
            self.tick(Instant::now()).await?;
        }
        Ok(())
    }

    /// Writes what waits at the end of a file.
    async fn play_out(&mut self, incoming: &mut Incoming) -> Result<(), CommandError> {
        while let Ok(received) = incoming.frames.try_recv() {
            self.receiver.handle_frame(received, self.session.clock())?;
        }
        let mut now = Instant::now();
        for _ in 0..self.timeline.left() {
            let offset = self.session.link().offset_at(now);
            let pcm = self.receiver.tick(now, offset, self.session.clock());
            self.sink.write(&pcm).await?;
            now += TICK_PERIOD;
        }
        Ok(())
    }

    fn handle_event(&mut self, event: Event, output: &mut Output) {
        match event {
            Event::Joined { joined, reconnects } => {
                self.in_room = true;
                self.reconnects = reconnects;
                note_joined(output, &joined, reconnects);
                let changes =
                    self.receiver.handle_joined(Instant::now(), &joined, self.session.clock());
                self.tell(&changes, output);
            }
            Event::Message(message) => {
                let changes =
                    self.receiver.handle_message(Instant::now(), &message, self.session.clock());
                self.tell(&changes, output);
            }
            // Who listens has no encoder.
            Event::Encoding(_) => {}
            Event::Retrying { why, after, was_in_room } => {
                self.room_is_missing |= !was_in_room;
                note_retrying(output, &why, after, was_in_room);
            }
            Event::Ended(end) => self.ended = Some(end),
        }
    }

    /// Fails on an end of the session, unless the room was heard: its end then completes the recording.
    fn check_end(&self) -> Result<(), CommandError> {
        let was_heard = self.receiver.stats().received > 0;
        match &self.ended {
            None | Some(End::Left) => Ok(()),
            Some(End::RoomEnded) if was_heard => Ok(()),
            Some(End::RoomNotFound(_)) if was_heard => Ok(()),
            Some(end) => CommandError::of_end(end.clone()).map_or(Ok(()), Err),
        }
    }

    /// Leaves, completes the file, and prints the summary. The first failure is the result.
    async fn stop(
        mut self,
        incoming: &mut Incoming,
        result: Result<(), CommandError>,
        output: &mut Output,
    ) -> Result<(), CommandError> {
        // The round trip is known only while there is a connection.
        let link = self.session.link();
        let played_out = self.play_out(incoming).await;
        let is_over = matches!(self.ended, Some(End::RoomEnded | End::RoomNotFound(_)));
        if self.in_room && is_over && result.is_ok() {
            output.json(&json!({ "event": "room_ended" }));
            output.note("The room is over.");
        }
        if self.ended.is_none() {
            self.session.leave().await;
            while let Some(event) = incoming.events.recv().await {
                if let Event::Ended(end) = event {
                    self.ended = Some(end);
                }
            }
        }
        let report = Report {
            t_s: self.seconds(),
            reconnects: self.reconnects,
            link,
            receiver: &self.receiver,
        };
        if self.in_room {
            output.json(&report.summary());
            output.note(&format!("In all: {}", status_line(&report)));
        }
        // If the sink failed, its error is the cause of the others.
        self.sink.finish().await.and(result).and(played_out)
    }

    fn report(&mut self, output: &mut Output) {
        let link = self.session.link();
        let report = Report {
            t_s: self.seconds(),
            reconnects: self.reconnects,
            link,
            receiver: &self.receiver,
        };
        output.json(&report.line());
        output.status(&status_line(&report));
        self.receiver.forget_old_tracks(Instant::now());
    }

    fn tell(&self, changes: &[Change], output: &mut Output) {
        for change in changes {
            if let Change::TokenExpires { in_s } = change {
                self.renewal.handle_expiring(*in_s, &self.session);
            }
            // The count is in every line of statistics.
            if !matches!(change, Change::Listeners { .. }) {
                output.json(change);
            }
            if !change.is_count() {
                output.note(&format!("{change}."));
            }
        }
    }

    fn seconds(&self) -> f64 {
        self.ticks as f64 * TICK_PERIOD.as_secs_f64()
    }
}

fn note_joined(output: &mut Output, joined: &Joined, reconnects: u32) {
    output.json(&json!({
        "event": "joined",
        "participant": joined.you.participant.to_string(),
        "role": joined.you.role,
        "relay": joined.relay,
        "depth": joined.depth,
        "profile": joined.you.profile,
        "reconnects": reconnects,
    }));
    let back = if reconnects > 0 { "Back in" } else { "In" };
    let (relay, depth, id) = (&joined.relay, joined.depth, joined.you.participant);
    let relays = if depth == 1 { "the origin" } else { "a relay" };
    output.note(&format!(
        "{back} the room, by way of {relay} ({relays}, depth {depth}). Your id: {id}"
    ));
}

/// Ticks in a duration, rounded up to whole frame periods.
fn ticks(duration: Duration) -> u64 {
    let periods = duration.as_micros().div_ceil(FRAME_PERIOD.as_micros());
    u64::try_from(periods)
        .map_or(u64::MAX, |periods| periods.saturating_mul(TICKS_PER_FRAME as u64))
}
