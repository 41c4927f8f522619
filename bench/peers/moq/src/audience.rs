//! Listeners: a QUIC connection each, on a few threads with a few sockets.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use moq_net::{origin, track};
use moq_tokio::Client;
use tokio::sync::{Semaphore, watch};
use tribune_bench::contender::{Said, latencies, say};
use url::Url;

use crate::heard::{Heard, Span};
use crate::relay::{Relay, client};
use crate::stage::{BROADCAST, Delivery, track_name};

/// Listeners that share a UDP socket.
const PER_SOCKET: usize = 50;
/// Concurrent joins per thread.
const JOINS: usize = 16;
/// Time to join: a base, and a part per listener.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);
const JOIN_PATIENCE_EACH: Duration = Duration::from_millis(30);
/// Periods in which progress is polled and reported.
const GLANCE: Duration = Duration::from_millis(10);
const SAID_EVERY: Duration = Duration::from_secs(1);
/// Pause after joining, before memory is read.
const SETTLE: Duration = Duration::from_millis(500);
/// Pause after a subscription that failed.
const RETRY: Duration = Duration::from_millis(200);
/// Age at which the relay drops a group: as late as speech is still useful. The protocol's default drops a
/// group as soon as the next one is there, which loses frames by mere reordering.
const MAX_AGE: Duration = Duration::from_millis(500);
/// Silence after which a window is complete.
const DRY_AFTER: Duration = Duration::from_millis(500);
/// Longest wait for that silence.
const DRY_WITHIN: Duration = Duration::from_secs(15);

/// Configuration of the audience.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AudienceSpec {
    /// Listeners.
    pub(crate) listeners: u32,
    /// Threads of listeners.
    pub(crate) threads: usize,
    /// Delivery of frames.
    pub(crate) delivery: Delivery,
}

/// Listeners that are in.
#[derive(Debug)]
pub(crate) struct Audience {
    listeners: u32,
    heard: Vec<Arc<Mutex<Heard>>>,
    speakers: watch::Sender<u16>,
    state: Arc<State>,
}

/// State of all listeners.
#[derive(Debug, Default)]
struct State {
    /// Live subscriptions.
    live: AtomicU32,
    /// Last error.
    trouble: Mutex<Option<String>>,
}

/// Configuration of one thread of listeners.
#[derive(Debug, Clone)]
struct Seats {
    certificate: PathBuf,
    url: Url,
    count: usize,
    delivery: Delivery,
    heard: Arc<Mutex<Heard>>,
    speakers: watch::Receiver<u16>,
    state: Arc<State>,
}

impl Audience {
    /// Joins all listeners, subscribed to the first speaker, and returns the duration.
    ///
    /// # Errors
    /// Not all were in within 30 seconds plus 30 ms per listener.
    pub(crate) fn join(relay: &Relay, spec: &AudienceSpec) -> Result<(Self, Duration)> {
        let began = Instant::now();
        let mut heard = Vec::new();
        let (speakers, _) = watch::channel(1);
        let state = Arc::new(State::default());
        for thread in 0..spec.threads {
            let own = Arc::new(Mutex::new(Heard::new()?));
            heard.push(Arc::clone(&own));
            let seats = Seats {
                certificate: relay.certificate(),
                url: relay.url()?,
                count: (thread..spec.listeners as usize).step_by(spec.threads).count(),
                delivery: spec.delivery,
                heard: own,
                speakers: speakers.subscribe(),
                state: Arc::clone(&state),
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let builder = std::thread::Builder::new().name(format!("listeners-{thread}"));
            builder.spawn(move || runtime.block_on(seats.fill()))?;
        }
        let audience = Self { listeners: spec.listeners, heard, speakers, state };
        audience.wait_for(1, |joined| say(&Said::Joining { joined }))?;
        let joining = began.elapsed();
        std::thread::sleep(SETTLE);
        Ok((audience, joining))
    }

    /// Listeners.
    pub(crate) const fn listeners(&self) -> u32 {
        self.listeners
    }

    /// Subscribes all to a number of speakers, or more if more have spoken before. Subscriptions that an
    /// overloaded relay has lost get time to come back.
    ///
    /// # Errors
    /// It takes longer than the joins may.
    pub(crate) fn subscribe(&self, speakers: u16) -> Result<()> {
        let speakers = speakers.max(*self.speakers.borrow());
        self.speakers.send_replace(speakers);
        self.wait_for(speakers, |_| Ok(()))
    }

    /// Starts the tally of a window.
    pub(crate) fn begin(&self, span: Span) {
        self.heard.iter().for_each(|heard| lock(heard).begin(span));
    }

    /// Waits until no more frames arrive, fifteen seconds at most.
    pub(crate) fn run_dry(&self) {
        let began = Instant::now();
        while began.elapsed() < DRY_WITHIN {
            let last = self.heard.iter().filter_map(|heard| lock(heard).last()).max();
            let quiet = last.unwrap_or(began).max(began).elapsed();
            if quiet >= DRY_AFTER {
                return;
            }
            std::thread::sleep(DRY_AFTER - quiet);
        }
    }

    /// Frames received in the window, and their latencies.
    ///
    /// # Errors
    /// None.
    pub(crate) fn outcome(&self) -> Result<(u64, Histogram<u64>)> {
        let (mut frames, mut latency) = (0, latencies()?);
        for heard in &self.heard {
            let heard = lock(heard);
            frames += heard.frames();
            latency.add(heard.latency())?;
        }
        Ok((frames, latency))
    }

    /// Lost subscriptions, with the last error.
    pub(crate) fn lost(&self) -> Option<String> {
        let due = self.listeners * u32::from(*self.speakers.borrow());
        let live = self.state.live.load(Ordering::Relaxed);
        (live < due).then(|| {
            let trouble = lock(&self.state.trouble).clone().unwrap_or_default();
            format!("{} of {due} subscriptions are gone: {trouble}", due - live)
        })
    }

    fn wait_for(&self, speakers: u16, progress: impl Fn(u32) -> Result<()>) -> Result<()> {
        let began = Instant::now();
        let patience = JOIN_PATIENCE + JOIN_PATIENCE_EACH * self.listeners;
        let due = self.listeners * u32::from(speakers);
        let mut said = began;
        loop {
            let live = self.state.live.load(Ordering::Relaxed);
            if live >= due {
                return Ok(());
            }
            if began.elapsed() > patience {
                let trouble = lock(&self.state.trouble).clone().unwrap_or_default();
                bail!("{live} of {due} subscriptions within {patience:?}: {trouble}");
            }
            if said.elapsed() >= SAID_EVERY {
                progress(live / u32::from(speakers))?;
                said = Instant::now();
            }
            std::thread::sleep(GLANCE);
        }
    }
}

impl Seats {
    /// Joins the listeners of a thread and keeps them.
    async fn fill(self) {
        let gate = Arc::new(Semaphore::new(JOINS));
        let mut listeners = Vec::new();
        let mut left = self.count;
        while left > 0 {
            let group = left.min(PER_SOCKET);
            match client(&self.certificate) {
                Ok(client) => {
                    listeners.extend((0..group).map(|_| {
                        tokio::spawn(self.clone().listen(client.clone(), Arc::clone(&gate)))
                    }))
                }
                Err(error) => return self.state.note(&error),
            }
            left -= group;
        }
        for listener in listeners {
            if let Ok(Err(error)) = listener.await {
                self.state.note(&error);
            }
        }
    }

    /// Runs a listener: a connection with a subscription to each speaker.
    async fn listen(mut self, client: Client, gate: Arc<Semaphore>) -> Result<()> {
        let mut turn = Some(gate.acquire_owned().await?);
        let origin = moq_tokio::origin::spawn();
        let broadcasts = origin.consume();
        // It redials by itself while it is held.
        let _connection =
            client.with_subscriber(origin).connect(self.url.clone()).established().await?;
        let mut subscribed = 0;
        loop {
            let speakers = *self.speakers.borrow_and_update();
            while subscribed < speakers {
                let seats = self.clone();
                let (track, turn) = (track_name(subscribed), turn.take());
                tokio::spawn(seats.follow(broadcasts.clone(), track, turn));
                subscribed += 1;
            }
            self.speakers.changed().await?;
        }
    }

    /// Receives a speaker, and subscribes again when the subscription ends.
    async fn follow(
        self,
        broadcasts: origin::Consumer,
        track: String,
        mut turn: Option<tokio::sync::OwnedSemaphorePermit>,
    ) {
        loop {
            match subscribe(&broadcasts, &track).await {
                Ok(subscriber) => {
                    self.state.live.fetch_add(1, Ordering::Relaxed);
                    drop(turn.take());
                    let ended = match self.delivery {
                        Delivery::Groups { .. } => hear_groups(subscriber, &self.heard).await,
                        Delivery::Datagrams => hear_datagrams(subscriber, &self.heard).await,
                    };
                    self.state.live.fetch_sub(1, Ordering::Relaxed);
                    if let Err(error) = ended {
                        self.state.note(&error.into());
                    }
                }
                Err(error) => self.state.note(&error),
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

impl State {
    fn note(&self, error: &anyhow::Error) {
        *lock(&self.trouble) = Some(format!("{error:#}"));
    }
}

async fn subscribe(broadcasts: &origin::Consumer, track: &str) -> Result<track::Subscriber> {
    let broadcast = broadcasts.routed_broadcast(BROADCAST).await.context("no broadcast")?;
    let wanted = track::Subscription::default().with_max_age(MAX_AGE);
    broadcast.track(track)?.subscribe(wanted).await.context("no subscription")
}

async fn hear_groups(mut track: track::Subscriber, heard: &Mutex<Heard>) -> moq_net::Result<()> {
    while let Some(mut group) = track.recv_group().await? {
        // A dropped group is an error of that group only.
        while let Ok(Some(frame)) = group.read_frame().await {
            lock(heard).hear(&frame.payload, Instant::now());
        }
    }
    Ok(())
}

async fn hear_datagrams(mut track: track::Subscriber, heard: &Mutex<Heard>) -> moq_net::Result<()> {
    while let Some(datagram) = track.recv_datagram().await? {
        lock(heard).hear(&datagram.payload, Instant::now());
    }
    Ok(())
}

/// Counts stay valid if a thread panics.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
