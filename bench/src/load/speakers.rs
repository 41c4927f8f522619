//! Speakers' thread of a load: sends frames on an open-loop schedule. [`super::fleet`] starts it and hands
//! it rounds.

use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use hdrhistogram::Histogram;
use rand::TryRng;
use rand::rngs::SysRng;
use tribune_bench::contender::latencies;
use tribune_bench::frame::Stamp;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{Channel, Seq, TrackId};
use tribune_protocol::limits::{MAX_DATAGRAM_BYTES, ONSET_FRAMES};
use tribune_protocol::media::Datagram;
use tribune_protocol::media::datagram::{Capture, FrameHeader, Level, MediaWriter};
use tribune_protocol::media::probe::Probe;
use tribune_relay_core::clock::WallClock;

use super::clocks::{OwnClock, Stamper};
use super::round::Round;
use super::shared::{NO_RANDOM, SWEEP, Shared, join, rest_until};
use crate::pool::client_pool::{ClientPool, Place};
use crate::pool::events::{Arrival, MemberId, News};
use crate::pool::target::{Target, Way};

/// Longest sleep of the thread, so that acknowledgements are read.
const SPEAKER_NAP: Duration = Duration::from_millis(5);
/// Time for the admission of a speaker.
const SPEAKERS_WITHIN: Duration = Duration::from_secs(15);

/// Configuration of the speakers' thread.
#[derive(Debug, Clone)]
pub(crate) struct SpeakerWork {
    /// The relay.
    pub(crate) target: Target,
    /// Room of each speaker by name and number, and the speaker's number in the room. The first speaker of
    /// each room opens it.
    pub(crate) speakers: Vec<(String, u16, u16)>,
    /// Opus bytes of a frame.
    pub(crate) frame_bytes: usize,
    /// True wall clock at the schedule's start; `None` if no frame carries a capture time.
    pub(crate) reports: Option<WallClock>,
}

impl SpeakerWork {
    /// Clock of each speaker, if frames carry capture times.
    fn stampers(&self) -> Vec<Stamper> {
        let Some(wall) = self.reports else { return Vec::new() };
        // Even numbers belong to listeners.
        let stamper = |number: usize| Stamper::new(OwnClock::new(wall, 2 * number + 1));
        (0..self.speakers.len()).map(stamper).collect()
    }
}

/// Frames sent in a round, and their lateness.
#[derive(Debug)]
pub(crate) struct SpeakerStats {
    /// Measured frames that were sent, over all speakers.
    pub(crate) frames: u64,
    /// Measured frames that QUIC or the kernel did not accept.
    pub(crate) unsent: u64,
    /// Time from due to sent, in microseconds.
    pub(crate) lateness_us: Histogram<u64>,
}

/// Joins the speakers, then sends each frame of a round when it is due, until told to stop.
///
/// # Errors
/// A speaker is not admitted.
pub(crate) fn speak(
    work: &SpeakerWork,
    shared: &Shared,
    rounds: &Receiver<Round>,
    results: &SyncSender<SpeakerStats>,
) -> Result<()> {
    let place = Place { sockets: work.speakers.len(), per_socket: 1, rtt: Duration::ZERO };
    let mut pool = ClientPool::open(work.target.clone(), place)?;
    let tracks = join_speakers(work, shared, &mut pool)?;
    let mut opus = vec![0; work.frame_bytes];
    SysRng.try_fill_bytes(&mut opus).context(NO_RANDOM)?;
    let mut stampers = work.stampers();
    // With probes, time that an answer waits in the socket would bias the clock estimate.
    let nap = if stampers.is_empty() { SPEAKER_NAP } else { SWEEP };
    let mut speech: Option<Speech> = None;
    let mut refused = 0;
    while !shared.stopped() {
        let now = Instant::now();
        if speech.is_none() {
            speech = rounds.try_recv().ok().map(|round| Speech::new(work, round)).transpose()?;
        }
        let mut wake = now + nap;
        if let Some(speech) = &mut speech {
            let next = speech.send_due(work, &tracks, &mut stampers, &mut pool, &mut opus)?;
            wake = next.map_or(wake, |next| next.min(wake));
        }
        send_time_questions(&mut stampers, &mut pool);
        pool.turn(|arrival| handle_time_answer(&mut stampers, arrival))?;
        while let Some(news) = pool.poll_news() {
            if let News::Gone(_, why) = news {
                shared.count_gone("a speaker", &why);
            }
        }
        if let Some(over) = speech.take_if(|speech| now >= speech.round.schedule.end()) {
            let mut spoken = over.spoken;
            spoken.unsent += pool.refused() - std::mem::replace(&mut refused, pool.refused());
            if results.send(spoken).is_err() {
                return Ok(());
            }
        }
        rest_until(wake);
    }
    Ok(())
}

fn send_time_questions(stampers: &mut [Stamper], pool: &mut ClientPool) {
    for (speaker, stamper) in stampers.iter_mut().enumerate() {
        if let Some(question) = stamper.poll_question(Instant::now()) {
            pool.send_datagram(speaker, question.write());
            pool.flush();
        }
    }
}

/// Takes a datagram of a speaker: answers to probes; other speakers' frames are ignored.
fn handle_time_answer(stampers: &mut [Stamper], Arrival { at, member, datagram }: Arrival) {
    let Some(stamper) = stampers.get_mut(member) else { return };
    if let Ok(Datagram::Probe(Probe::Answer(answer))) = Datagram::parse(datagram) {
        stamper.handle_answer(at, &answer);
    }
}

/// Progress of the speakers' thread in a round.
struct Speech {
    round: Round,
    /// Active speakers, by their index in the configuration.
    active: Vec<usize>,
    /// Index of the next frame, over all active speakers in the order in which frames are due.
    next: u64,
    spoken: SpeakerStats,
}

impl Speech {
    fn new(work: &SpeakerWork, round: Round) -> Result<Self> {
        let speaks = |place: &usize| work.speakers[*place].2 < round.speakers;
        let active = (0..work.speakers.len()).filter(speaks).collect();
        let spoken = SpeakerStats { frames: 0, unsent: 0, lateness_us: latencies()? };
        Ok(Self { round, active, next: 0, spoken })
    }

    /// Sends the frames that are due. Returns when the next one is; `None` at the end of the round.
    fn send_due(
        &mut self,
        work: &SpeakerWork,
        tracks: &[TrackId],
        stampers: &mut [Stamper],
        pool: &mut ClientPool,
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
            let (_, room, place) = work.speakers[speaker];
            let due_ns = (due - schedule.start).as_nanos() as u64;
            Stamp { room, speaker: place, index, due_ns }.write(opus);
            Stamp::write_sent(opus, (now - schedule.start).as_nanos() as u64);
            let captured = stampers.get_mut(speaker).and_then(|speaker| speaker.poll_capture(now));
            let last = index + 1 == schedule.frames();
            let datagram = datagram(tracks[speaker], index, place, last, captured, opus)?;
            let taken = pool.send_datagram(speaker, datagram);
            pool.flush();
            if schedule.measured_place(index).is_some() {
                self.spoken.frames += 1;
                self.spoken.unsent += u64::from(!taken);
                self.spoken.lateness_us.saturating_record((now - due).as_micros() as u64);
            }
            self.next += 1;
        }
    }
}

/// Joins the speakers one after the other, so that the first of each room opens it.
fn join_speakers(
    work: &SpeakerWork,
    shared: &Shared,
    pool: &mut ClientPool,
) -> Result<Vec<TrackId>> {
    let mut tracks = Vec::new();
    for (number, (room, _, _)) in work.speakers.iter().enumerate() {
        let member = pool.join(number, Way::Quic, join(room, Role::Speaker, "speaker", number)?)?;
        let track = await_track(pool, member, Instant::now() + SPEAKERS_WITHIN);
        tracks.push(track.with_context(|| format!("speaker {number} was not let in"))?);
        shared.count_speaker_in();
    }
    Ok(tracks)
}

fn await_track(pool: &mut ClientPool, member: MemberId, until: Instant) -> Result<TrackId> {
    while Instant::now() < until {
        pool.turn(drop)?;
        while let Some(news) = pool.poll_news() {
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

fn datagram(
    track: TrackId,
    index: u32,
    place: u16,
    talkspurt_end: bool,
    captured: Option<Capture>,
    opus: &[u8],
) -> Result<Bytes> {
    // All are voiced and the first is loudest, so that the dominant speaker does not change.
    let level = Level { voice: true, minus_dbov: 20 + place.min(60) as u8 };
    let seq = Seq(index as u16);
    // A load is one talkspurt.
    let onset = u8::try_from(index).ok().filter(|before| *before < ONSET_FRAMES);
    let header = FrameHeader { track, seq, level, talkspurt_end, captured, onset };
    let mut writer = MediaWriter::new(Channel(0), MAX_DATAGRAM_BYTES);
    writer.push(&header.write(opus)?);
    Ok(writer.take())
}
