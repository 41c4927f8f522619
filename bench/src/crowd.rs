//! The two kinds of thread of a load: one says frames on a schedule, the other hears them and keeps
//! count. [`crate::load`] starts them and talks to them through [`Shared`].

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
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

use crate::swarm::{Arrival, MemberId, News, Swarm, Target};
use crate::tally::{Heard, Tally};
use tribune_bench::accounting;
use tribune_bench::contender::latencies;
use tribune_bench::frame::{Schedule, Stamp};

/// Rest between two sweeps that find nothing: the resolution of the latencies. No thread waits on
/// its sockets, so that the relay is not charged for waking it.
const SWEEP: Duration = Duration::from_micros(250);
/// The longest a speakers' thread sleeps: acknowledgements want to be read.
const SPEAKER_NAP: Duration = Duration::from_millis(5);
/// Time for the speakers to be let in.
const SPEAKERS_WITHIN: Duration = Duration::from_secs(15);

const NO_RANDOM: &str = "the system gives no random numbers";

/// What the threads of a load share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Set once everybody is in.
    pub(crate) schedule: OnceLock<Schedule>,
    /// Tells the threads to end.
    pub(crate) stop: AtomicBool,
    /// Speakers that are in.
    pub(crate) speakers_in: AtomicUsize,
    /// Listeners that are in.
    pub(crate) listeners_in: AtomicUsize,
    /// Participants whose connection is over.
    pub(crate) gone: AtomicUsize,
    /// Frames that listeners have heard, measured or not.
    pub(crate) frames: AtomicU64,
    /// Datagrams in which they came.
    pub(crate) datagrams: AtomicU64,
    /// The numbers of the listeners' threads.
    pub(crate) listener_threads: Mutex<Vec<u32>>,
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
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
    /// Joins begun in a second.
    pub(crate) joins_per_second: f64,
    /// Speakers of each room.
    pub(crate) speakers: u16,
}

/// Joins listeners and counts what they hear, until told to stop.
///
/// # Errors
/// A socket is unusable, or a listener cannot begin to join.
pub(crate) fn listen(audience: &Audience, shared: &Shared) -> Result<Heard> {
    let thread = accounting::this_thread()?;
    shared.listener_threads.lock().map_err(|_| anyhow!("a thread has panicked"))?.push(thread);
    on_a_reactor(async {
        let sockets = audience.rooms.len().div_ceil(audience.per_socket);
        let mut swarm = Swarm::open(audience.target.clone(), sockets).await?;
        let mut tally: Option<Tally> = None;
        let began = Instant::now();
        let mut joining = 0;
        while !shared.stopped() {
            let due = (began.elapsed().as_secs_f64() * audience.joins_per_second) as usize;
            while joining < due.min(audience.rooms.len()) {
                let (room, _) = &audience.rooms[joining];
                swarm.join(joining / audience.per_socket, join(room, Role::Listener, joining)?)?;
                joining += 1;
            }
            if tally.is_none() {
                tally = shared.schedule.get().map(|schedule| {
                    let rooms = audience.rooms.iter().map(|(_, number)| *number);
                    Tally::new(*schedule, rooms.collect(), audience.speakers)
                });
            }
            let packets = swarm.turn(|arrival| {
                if let Some(tally) = &mut tally {
                    hear(tally, &arrival, shared);
                }
            })?;
            while let Some(news) = swarm.poll_news() {
                match news {
                    News::In(..) => shared.listeners_in.fetch_add(1, Ordering::Relaxed),
                    News::Gone(why) => lose_one(shared, "a listener", &why),
                };
            }
            rest(packets, SWEEP).await;
        }
        let mut heard = tally.map(Tally::close).unwrap_or_default();
        heard.send_refused = swarm.refused();
        Ok(heard)
    })
}

fn hear(tally: &mut Tally, arrival: &Arrival, shared: &Shared) {
    let Ok(Datagram::Media(media)) = Datagram::parse(arrival.datagram.clone()) else { return };
    shared.datagrams.fetch_add(1, Ordering::Relaxed);
    for frame in media.frames().map_while(Result::ok) {
        shared.frames.fetch_add(1, Ordering::Relaxed);
        tally.handle_frame(arrival.at, arrival.member, &frame);
    }
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

/// How the schedule was kept.
#[derive(Debug)]
pub(crate) struct Spoken {
    /// Measured frames that were sent, of all speakers.
    pub(crate) frames: u64,
    /// Measured frames that QUIC or the kernel did not take.
    pub(crate) unsent: u64,
    /// How late frames left, in microseconds.
    pub(crate) lateness_us: Histogram<u64>,
}

/// Joins the speakers, then says a frame each whenever one is due, until told to stop.
///
/// # Errors
/// A speaker is not let in.
pub(crate) fn speak(stage: &Stage, shared: &Shared) -> Result<Spoken> {
    on_a_reactor(async {
        let count = stage.speakers.len();
        let mut swarm = Swarm::open(stage.target.clone(), count).await?;
        let tracks = enter(stage, shared, &mut swarm).await?;
        let mut opus = vec![0; stage.frame_bytes];
        OsRng.try_fill_bytes(&mut opus).context(NO_RANDOM)?;
        let mut spoken = Spoken { frames: 0, unsent: 0, lateness_us: latencies()? };
        let mut next = 0_u64; // of all speakers' frames, in the order in which they are due
        while !shared.stopped() {
            let mut nap = SPEAKER_NAP;
            if let Some(schedule) = shared.schedule.get() {
                let last = u64::from(schedule.frames()) * count as u64;
                while next < last {
                    let (index, speaker) = ((next / count as u64) as u32, next as usize % count);
                    let due = schedule.due(index, speaker, count);
                    let now = Instant::now();
                    if now < due {
                        nap = nap.min(due - now);
                        break;
                    }
                    let (_, room, place) = stage.speakers[speaker];
                    let due_ns = (due - schedule.start).as_nanos() as u64;
                    Stamp { room, speaker: place, index, due_ns }.write(&mut opus);
                    let datagram = datagram(tracks[speaker], index, place, &opus)?;
                    let taken = swarm.send_datagram(speaker, datagram);
                    swarm.flush();
                    if schedule.measured_place(index).is_some() {
                        spoken.frames += 1;
                        spoken.unsent += u64::from(!taken);
                        spoken.lateness_us.saturating_record((now - due).as_micros() as u64);
                    }
                    next += 1;
                }
            }
            let packets = swarm.turn(drop)?;
            while let Some(news) = swarm.poll_news() {
                if let News::Gone(why) = news {
                    lose_one(shared, "a speaker", &why);
                }
            }
            rest(packets, nap).await;
        }
        spoken.unsent += swarm.refused();
        Ok(spoken)
    })
}

/// Brings the speakers in, one after the other, so that the first of each room opens it.
async fn enter(stage: &Stage, shared: &Shared, swarm: &mut Swarm) -> Result<Vec<TrackId>> {
    let mut tracks = Vec::new();
    for (number, (room, _, _)) in stage.speakers.iter().enumerate() {
        let member = swarm.join(number, join(room, Role::Speaker, number)?)?;
        let track = tokio::time::timeout(SPEAKERS_WITHIN, track_of(swarm, member)).await;
        let track = track.with_context(|| format!("speaker {number} got no answer"))?;
        tracks.push(track.with_context(|| format!("speaker {number} was not let in"))?);
        shared.speakers_in.fetch_add(1, Ordering::Relaxed);
    }
    Ok(tracks)
}

async fn track_of(swarm: &mut Swarm, member: MemberId) -> Result<TrackId> {
    loop {
        swarm.turn(drop)?;
        while let Some(news) = swarm.poll_news() {
            match news {
                News::In(who, Some(track)) if who == member => return Ok(track),
                News::In(..) => {}
                News::Gone(why) => bail!(why),
            }
        }
        tokio::time::sleep(SWEEP).await;
    }
}

fn datagram(track: TrackId, index: u32, place: u16, opus: &[u8]) -> Result<Bytes> {
    // All speak, the first one loudest: who leads does not change.
    let level = Level { voice: true, minus_dbov: 20 + place.min(60) as u8 };
    let seq = Seq(index as u16);
    let header = FrameHeader { track, seq, level, talkspurt_end: false, captured: None };
    let mut writer = MediaWriter::new(Channel(0), MAX_DATAGRAM_BYTES);
    writer.push(&header.write(opus)?);
    Ok(writer.take())
}

fn join(room: &str, role: Role, number: usize) -> Result<Join> {
    let mut session = [0; 16];
    OsRng.try_fill_bytes(&mut session).context(NO_RANDOM)?;
    Ok(Join {
        room: room.parse()?,
        session: SessionKey(session),
        name: format!("{role} {number}").parse()?,
        role,
        token: None,
        returning: false,
        heard: Vec::new(),
    })
}

fn lose_one(shared: &Shared, who: &str, why: &str) -> usize {
    let before = shared.gone.fetch_add(1, Ordering::Relaxed);
    if before == 0 {
        eprintln!("{who} is gone: {why}");
    }
    before
}

/// Between two sweeps: the reactor looks at the sockets, and this thread sleeps if nothing came. It
/// sleeps outside the reactor, or each packet would wake it.
async fn rest(packets: usize, nap: Duration) {
    if packets == 0 {
        std::thread::sleep(nap);
    }
    tokio::task::yield_now().await;
}

fn on_a_reactor<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
