//! Many listeners in one process: sessions of the client library, each with a socket of its own, and a
//! record of every frame that each was handed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::runtime::{Builder, Runtime};
use tribune_client::session::tls::Trust;
use tribune_client::session::{Config, Event, Incoming, ReceivedFrame, Session, identity, start};
use tribune_protocol::control::participant::Join;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{Seq, TrackId};

use super::{Relay, wait_for};

/// Listeners who join at the same time: more would have a small machine miss frames of those who are
/// in the room already.
const JOIN_AT_ONCE: usize = 10;
/// Time limit of their joins.
const JOIN_LIMIT: Duration = Duration::from_secs(30);

/// Listeners of one room. They go when this is dropped.
#[derive(Debug)]
pub struct Listeners {
    members: Vec<Member>,
    // Dropped last: with it end the tasks of the sessions.
    _runtime: Runtime,
}

#[derive(Debug)]
struct Member {
    session: Session,
    record: Arc<Mutex<Record>>,
}

/// Record of one listener.
#[derive(Debug, Default, Clone)]
pub struct Record {
    tracks: BTreeMap<TrackId, Heard>,
    /// Each time that a relay has let it in: when, and what the relay is called.
    pub joined: Vec<(Instant, String)>,
    /// Number of reconnects.
    pub lost: u32,
    /// End of its session, if it ended.
    pub ended: Option<String>,
    /// Frames that came more than once; filled in by [`Listeners::records`].
    pub duplicates: u64,
    /// Frames for which this process had no room; filled in by [`Listeners::records`].
    pub dropped: u64,
}

/// Frames of one track, in order of arrival.
#[derive(Debug, Clone)]
struct Heard {
    newest: Seq,
    /// The place of the newest frame, counted on beyond the 16 bits on the wire.
    newest_place: i64,
    frames: Vec<(Instant, i64)>,
}

impl Listeners {
    /// Lets listeners join, a few at a time.
    ///
    /// # Errors
    /// If some do not get in.
    pub fn join(relay: &Relay, room: &str, count: usize) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let mut listeners = Self { members: Vec::new(), _runtime: runtime };
        while listeners.members.len() < count {
            let more = JOIN_AT_ONCE.min(count - listeners.members.len());
            for _ in 0..more {
                listeners.add(relay, room)?;
            }
            listeners.wait("listeners to be let in", JOIN_LIMIT, |one| !one.joined.is_empty())?;
        }
        Ok(listeners)
    }

    fn add(&mut self, relay: &Relay, room: &str) -> Result<()> {
        let config = Config {
            addresses: vec![relay.address().to_string().parse()?],
            trust: Trust::Pinned(relay.fingerprint().parse()?),
            join: Join {
                room: room.parse()?,
                session: identity::new_key(),
                name: format!("listener-{}", self.members.len()).parse()?,
                role: Role::Listener,
                token: None,
                returning: false,
                heard: Vec::new(),
                profile: None,
                redundancy: false,
                way: None,
                share: None,
                stay_s: None,
            },
            waits_for_room: false,
            playout_delay: None,
        };
        let _inside = self._runtime.enter();
        let (session, incoming) = start(config)?;
        let record = Arc::new(Mutex::new(Record::default()));
        tokio::spawn(listen(incoming, Arc::clone(&record)));
        self.members.push(Member { session, record });
        Ok(())
    }

    /// Waits until each of them is that `accepts` accepts.
    ///
    /// # Errors
    /// If a listener is not within `limit`, or its session ended.
    pub fn wait(
        &self,
        what: &str,
        limit: Duration,
        accepts: impl Fn(&Record) -> bool,
    ) -> Result<()> {
        wait_for(what, limit, || {
            for member in &self.members {
                let record = lock(&member.record);
                ensure!(record.ended.is_none(), "a listener was sent away: {:?}", record.ended);
                if !accepts(&record) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
    }

    /// Record of each listener so far.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let records = self.members.iter().map(|member| {
            let link = member.session.link();
            let mut record = lock(&member.record).clone();
            (record.duplicates, record.dropped) = (link.duplicate_frames, link.dropped_frames);
            record
        });
        records.collect()
    }
}

impl Record {
    /// The tracks that it has heard.
    pub fn tracks(&self) -> impl Iterator<Item = TrackId> {
        self.tracks.keys().copied()
    }

    /// Arrival of the last frame of any track.
    #[must_use]
    pub fn last_heard(&self) -> Option<Instant> {
        self.tracks.values().filter_map(|heard| heard.frames.last()).map(|(at, _)| *at).max()
    }

    /// The places of the frames of a track that came in a time.
    #[must_use]
    pub fn heard_between(&self, track: TrackId, from: Instant, to: Instant) -> BTreeSet<i64> {
        let frames = self.tracks.get(&track).into_iter().flat_map(|heard| &heard.frames);
        frames.filter(|(at, _)| (from..to).contains(at)).map(|(_, place)| *place).collect()
    }

    /// The places of a track that are missing between the first and the last frame that came in a
    /// time, whenever they came.
    #[must_use]
    pub fn missing_between(&self, track: TrackId, from: Instant, to: Instant) -> Vec<i64> {
        let within = self.heard_between(track, from, to);
        let (Some(first), Some(last)) = (within.first(), within.last()) else { return Vec::new() };
        let Some(heard) = self.tracks.get(&track) else { return Vec::new() };
        let all: BTreeSet<i64> = heard.frames.iter().map(|(_, place)| *place).collect();
        (*first..=*last).filter(|place| !all.contains(place)).collect()
    }

    /// The longest time between two frames of a track that came in a time.
    #[must_use]
    pub fn longest_pause(&self, track: TrackId, from: Instant, to: Instant) -> Duration {
        let frames = self.tracks.get(&track).into_iter().flat_map(|heard| &heard.frames);
        let times: Vec<_> =
            frames.map(|(at, _)| *at).filter(|at| (from..to).contains(at)).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// Frames that it was handed twice.
    #[must_use]
    pub fn twice(&self) -> usize {
        let twice = |heard: &Heard| {
            let different: BTreeSet<i64> = heard.frames.iter().map(|(_, place)| *place).collect();
            heard.frames.len() - different.len()
        };
        self.tracks.values().map(twice).sum()
    }

    fn handle_frame(&mut self, received: &ReceivedFrame) {
        let seq = received.frame.seq;
        let heard = self.tracks.entry(received.frame.track).or_insert_with(|| Heard {
            newest: seq,
            newest_place: i64::from(seq.0),
            frames: Vec::new(),
        });
        let place = heard.newest_place + i64::from(seq.since(heard.newest));
        if place > heard.newest_place {
            (heard.newest, heard.newest_place) = (seq, place);
        }
        heard.frames.push((received.arrived, place));
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Joined { joined, .. } => {
                self.joined.push((Instant::now(), joined.relay.to_string()));
            }
            Event::Retrying { .. } => self.lost += 1,
            Event::Ended(end) => self.ended = Some(format!("{end:?}")),
            Event::Message(_) | Event::Encoding(_) => {}
        }
    }
}

async fn listen(mut incoming: Incoming, record: Arc<Mutex<Record>>) {
    loop {
        tokio::select! {
            Some(received) = incoming.frames.recv() => lock(&record).handle_frame(&received),
            event = incoming.events.recv() => match event {
                Some(event) => lock(&record).handle_event(event),
                None => return,
            },
        }
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}
