//! The two kinds of thread of a load: one says frames on a schedule, the other hears them and keeps
//! count. [`crate::crew`] starts them, has them do rounds, and talks to them through [`Shared`].

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use hdrhistogram::Histogram;
use rand::TryRngCore;
use rand::rngs::OsRng;
use tribune_protocol::control::participant::Join;
use tribune_protocol::control::room::Role;
use tribune_protocol::datagram::Datagram;
use tribune_protocol::datagram::media::{FrameHeader, Level, MediaWriter};
use tribune_protocol::ids::{Channel, Seq, SessionKey, TrackId};
use tribune_protocol::limits::MAX_DATAGRAM_BYTES;

use crate::swarm::{Arrival, MemberId, News, Place, Swarm, Target};
use crate::tally::{Heard, Round, Tally};
use tribune_bench::accounting;
use tribune_bench::contender::latencies;
use tribune_bench::frame::Stamp;

/// From one sweep of all sockets to the next. Latencies are late by half of it on average and by all
/// of it at worst, which is well below the 3 ms that a relay may add; a sweep of a thousand sockets
/// that have nothing takes about a tenth of it.
pub(crate) const SWEEP: Duration = Duration::from_millis(1);
/// The same once all are in and nobody speaks: enough to acknowledge in time, and no load on who is
/// measured meanwhile.
const IDLE_SWEEP: Duration = Duration::from_millis(20);
/// The longest a speakers' thread sleeps: acknowledgements want to be read.
const SPEAKER_NAP: Duration = Duration::from_millis(5);
/// Time for the speakers to be let in.
const SPEAKERS_WITHIN: Duration = Duration::from_secs(15);

const NO_RANDOM: &str = "the system gives no random numbers";

/// What the threads of a load share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Tells the threads to end.
    pub(crate) stop: AtomicBool,
    /// Speakers that are in.
    pub(crate) speakers_in: AtomicUsize,
    /// Listeners that are in.
    pub(crate) listeners_in: AtomicUsize,
    /// Participants whose connection is over.
    pub(crate) gone: AtomicUsize,
    /// Frames that listeners and guests have heard, measured or not.
    pub(crate) frames: AtomicU64,
    /// Datagrams in which they came.
    pub(crate) datagrams: AtomicU64,
    /// The numbers of the listeners' threads.
    pub(crate) listener_threads: Mutex<Vec<u32>>,
}

impl Shared {
    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Listeners that are in.
    pub(crate) fn joined(&self) -> u32 {
        self.listeners_in.load(Ordering::Relaxed) as u32
    }

    /// Participants whose connection is over.
    pub(crate) fn gone(&self) -> usize {
        self.gone.load(Ordering::Relaxed)
    }

    /// Counts a datagram that a listener or a guest has got; its frames go to `take`.
    pub(crate) fn count(
        &self,
        datagram: Bytes,
        mut take: impl FnMut(&tribune_protocol::datagram::media::Frame),
    ) {
        let Ok(Datagram::Media(media)) = Datagram::parse(datagram) else { return };
        self.datagrams.fetch_add(1, Ordering::Relaxed);
        for frame in media.frames().map_while(Result::ok) {
            self.frames.fetch_add(1, Ordering::Relaxed);
            take(&frame);
        }
    }

    fn lose_one(&self, who: &str, why: &str) {
        if self.gone.fetch_add(1, Ordering::Relaxed) == 0 {
            eprintln!("{who} is gone: {why}");
        }
    }
}

/// The work of one listeners' thread.
#[derive(Debug, Clone)]
pub(crate) struct Audience {
    /// The relay.
    pub(crate) target: Target,
    /// The room of each listener, by name and number.
    pub(crate) rooms: Vec<(String, u16)>,
    /// Listeners of each socket.
    pub(crate) per_socket: usize,
    /// Round trip to the relay.
    pub(crate) rtt: Duration,
    /// Joins begun in a second.
    pub(crate) joins_per_second: f64,
}

/// Joins listeners and counts what they hear in each round, until told to stop.
///
/// # Errors
/// A socket is unusable, or a listener cannot begin to join.
pub(crate) fn listen(
    audience: &Audience,
    shared: &Shared,
    rounds: &Receiver<Round>,
    results: &SyncSender<Heard>,
) -> Result<()> {
    let thread = accounting::this_thread()?;
    shared.listener_threads.lock().map_err(|_| anyhow!("a thread has panicked"))?.push(thread);
    let Audience { target, rooms, per_socket, rtt, joins_per_second } = audience;
    let place =
        Place { sockets: rooms.len().div_ceil(*per_socket), per_socket: *per_socket, rtt: *rtt };
    let mut swarm = Swarm::open(target.clone(), place)?;
    let mut tally: Option<Tally> = None;
    let (began, mut joining, mut listeners_in, mut refused) = (Instant::now(), 0, 0, 0);
    while !shared.stopped() {
        let swept = Instant::now();
        let due = (began.elapsed().as_secs_f64() * joins_per_second) as usize;
        while joining < due.min(rooms.len()) {
            let (room, _) = &rooms[joining];
            swarm.join(joining / per_socket, join(room, Role::Listener, "listener", joining)?)?;
            joining += 1;
        }
        if tally.is_none() {
            let rooms = || rooms.iter().map(|(_, number)| *number).collect();
            tally = rounds.try_recv().ok().map(|round| Tally::new(round, rooms()));
        }
        if let Some(tally) = &mut tally {
            tally.handle_sweep(swept);
        }
        swarm.turn(|Arrival { at, member, datagram }| {
            shared.count(datagram, |frame| {
                if let Some(tally) = &mut tally {
                    tally.handle_frame(at, member, frame);
                }
            });
        })?;
        while let Some(news) = swarm.poll_news() {
            match news {
                News::In(..) => {
                    listeners_in += 1;
                    shared.listeners_in.fetch_add(1, Ordering::Relaxed);
                }
                News::Gone(_, why) => shared.lose_one("a listener", &why),
            }
        }
        if let Some(over) = tally.take_if(|tally| tally.is_over(swept)) {
            let mut heard = over.close();
            heard.send_refused = swarm.refused() - std::mem::replace(&mut refused, swarm.refused());
            if results.send(heard).is_err() {
                return Ok(());
            }
        }
        let idle = tally.is_none() && listeners_in == rooms.len();
        rest_until(swept + if idle { IDLE_SWEEP } else { SWEEP });
    }
    Ok(())
}

/// The work of the speakers' thread.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    /// The relay.
    pub(crate) target: Target,
    /// Room of each speaker by name and number, and the speaker's number in the room. The first of
    /// each room opens it.
    pub(crate) speakers: Vec<(String, u16, u16)>,
    /// Opus bytes of a frame.
    pub(crate) frame_bytes: usize,
}

/// How the schedule of a round was kept.
#[derive(Debug)]
pub(crate) struct Spoken {
    /// Measured frames that were sent, of all speakers.
    pub(crate) frames: u64,
    /// Measured frames that QUIC or the kernel did not take.
    pub(crate) unsent: u64,
    /// How late frames left, in microseconds.
    pub(crate) lateness_us: Histogram<u64>,
}

/// Joins the speakers, then says a frame each whenever a round has one due, until told to stop.
///
/// # Errors
/// A speaker is not let in.
pub(crate) fn speak(
    stage: &Stage,
    shared: &Shared,
    rounds: &Receiver<Round>,
    results: &SyncSender<Spoken>,
) -> Result<()> {
    let place = Place { sockets: stage.speakers.len(), per_socket: 1, rtt: Duration::ZERO };
    let mut swarm = Swarm::open(stage.target.clone(), place)?;
    let tracks = enter(stage, shared, &mut swarm)?;
    let mut opus = vec![0; stage.frame_bytes];
    OsRng.try_fill_bytes(&mut opus).context(NO_RANDOM)?;
    let mut speech: Option<Speech> = None;
    let mut refused = 0;
    while !shared.stopped() {
        let now = Instant::now();
        if speech.is_none() {
            speech = rounds.try_recv().ok().map(|round| Speech::new(stage, round)).transpose()?;
        }
        let mut wake = now + SPEAKER_NAP;
        if let Some(speech) = &mut speech {
            let next = speech.say_what_is_due(stage, &tracks, &mut swarm, &mut opus)?;
            wake = next.map_or(wake, |next| next.min(wake));
        }
        swarm.turn(drop)?;
        while let Some(news) = swarm.poll_news() {
            if let News::Gone(_, why) = news {
                shared.lose_one("a speaker", &why);
            }
        }
        if let Some(over) = speech.take_if(|speech| now >= speech.round.schedule.end()) {
            let mut spoken = over.spoken;
            spoken.unsent += swarm.refused() - std::mem::replace(&mut refused, swarm.refused());
            if results.send(spoken).is_err() {
                return Ok(());
            }
        }
        rest_until(wake);
    }
    Ok(())
}

/// A round as the speakers' thread goes through it.
struct Speech {
    round: Round,
    /// The speakers that speak, by their places in the stage.
    active: Vec<usize>,
    /// Of all their frames, in the order in which they are due.
    next: u64,
    spoken: Spoken,
}

impl Speech {
    fn new(stage: &Stage, round: Round) -> Result<Self> {
        let speaks = |place: &usize| stage.speakers[*place].2 < round.speakers;
        let active = (0..stage.speakers.len()).filter(speaks).collect();
        let spoken = Spoken { frames: 0, unsent: 0, lateness_us: latencies()? };
        Ok(Self { round, active, next: 0, spoken })
    }

    /// Returns when the next frame is due.
    fn say_what_is_due(
        &mut self,
        stage: &Stage,
        tracks: &[TrackId],
        swarm: &mut Swarm,
        opus: &mut [u8],
    ) -> Result<Option<Instant>> {
        let (schedule, count) = (self.round.schedule, self.active.len());
        loop {
            let index = self.round.first + (self.next / count as u64) as u32;
            if index >= schedule.frames() {
                return Ok(None);
            }
            let turn = self.next as usize % count;
            let (due, now) = (schedule.due(index, turn, count), Instant::now());
            if now < due {
                return Ok(Some(due));
            }
            let speaker = self.active[turn];
            let (_, room, place) = stage.speakers[speaker];
            let due_ns = (due - schedule.start).as_nanos() as u64;
            Stamp { room, speaker: place, index, due_ns }.write(opus);
            Stamp::write_sent(opus, (now - schedule.start).as_nanos() as u64);
            let last = index + 1 == schedule.frames();
            let datagram = datagram(tracks[speaker], index, place, last, opus)?;
            let taken = swarm.send_datagram(speaker, datagram);
            swarm.flush();
            if schedule.measured_place(index).is_some() {
                self.spoken.frames += 1;
                self.spoken.unsent += u64::from(!taken);
                self.spoken.lateness_us.saturating_record((now - due).as_micros() as u64);
            }
            self.next += 1;
        }
    }
}

/// Brings the speakers in, one after the other, so that the first of each room opens it.
fn enter(stage: &Stage, shared: &Shared, swarm: &mut Swarm) -> Result<Vec<TrackId>> {
    let mut tracks = Vec::new();
    for (number, (room, _, _)) in stage.speakers.iter().enumerate() {
        let member = swarm.join(number, join(room, Role::Speaker, "speaker", number)?)?;
        let track = track_of(swarm, member, Instant::now() + SPEAKERS_WITHIN);
        tracks.push(track.with_context(|| format!("speaker {number} was not let in"))?);
        shared.speakers_in.fetch_add(1, Ordering::Relaxed);
    }
    Ok(tracks)
}

fn track_of(swarm: &mut Swarm, member: MemberId, until: Instant) -> Result<TrackId> {
    while Instant::now() < until {
        swarm.turn(drop)?;
        while let Some(news) = swarm.poll_news() {
            match news {
                News::In(who, Some(track)) if who == member => return Ok(track),
                News::In(..) => {}
                News::Gone(_, why) => bail!(why),
            }
        }
        rest_until(Instant::now() + SWEEP);
    }
    bail!("no answer within {SPEAKERS_WITHIN:?}")
}

/// Sleeps, if there is time left.
pub(crate) fn rest_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}

/// What a participant says first.
///
/// # Errors
/// A name that is none.
pub(crate) fn join(room: &str, role: Role, name: &str, number: usize) -> Result<Join> {
    let mut session = [0; 16];
    OsRng.try_fill_bytes(&mut session).context(NO_RANDOM)?;
    Ok(Join {
        room: room.parse()?,
        session: SessionKey(session),
        name: format!("{name} {number}").parse()?,
        role,
        token: None,
        returning: false,
        heard: Vec::new(),
    })
}

fn datagram(
    track: TrackId,
    index: u32,
    place: u16,
    talkspurt_end: bool,
    opus: &[u8],
) -> Result<Bytes> {
    // All speak, the first one loudest: who leads does not change.
    let level = Level { voice: true, minus_dbov: 20 + place.min(60) as u8 };
    let seq = Seq(index as u16);
    let header = FrameHeader { track, seq, level, talkspurt_end, captured: None };
    let mut writer = MediaWriter::new(Channel(0), MAX_DATAGRAM_BYTES);
    writer.push(&header.write(opus)?);
    Ok(writer.take())
}
