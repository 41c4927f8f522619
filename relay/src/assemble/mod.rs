//! A relay assembled from its parts: sockets, a thread for each shard, the hub, the store, the HTTP side, pages.
//! Programs and tests can embed one; `main.rs` does.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tribune_protocol::ids::{DisplayName, RelayId, Revision};
use tribune_relay_core::auth::Auth;
use tribune_relay_core::auth::keys::Keys;
use tribune_relay_core::clock::WallClock;
use tribune_relay_core::counters::Queue;
use tribune_relay_core::hub::{Hub, HubConfig};
use tribune_relay_core::room::context::RoomContext;
use tribune_relay_core::shard::limits::EVENTS_WAITING;
use tribune_relay_core::store::{MemoryStore, Store};

use crate::api::auth::OperatorAuth;
use crate::api::http;
use crate::api::query_channel::{QuerySender, query_channel};
use crate::api::routes::Api;
use crate::config::{Config, Fingerprint, keys_file};
use crate::drivers::certificates;
use crate::drivers::dials::Dials;
use crate::drivers::hub::{self, Wiring};
use crate::drivers::orders::Orders;
use crate::identity::{log_key, relay_id};
use crate::monitor::Monitor;
use crate::store::SqliteStore;
use crate::store::worker::{self, RequestSender, Worker};
use crate::tls::CertificateKeeper;

mod quic;
mod random;
mod shards;
mod web;

use quic::Quic;
use random::random;
use shards::{Shards, bind_all, start_shards};
pub use web::WebLink;
use web::{Web, serve_web};

/// Events that wait for the hub. Behind them the shards hold back, and QUIC's flow control.
const HUB_QUEUE: usize = 8 * 1024;
/// Commands that wait for a shard. The hub waits when it is full; a shard never waits for the hub.
const SHARD_QUEUE: usize = 8 * 1024;
/// Messages between shards that wait; more are dropped and counted.
const SHARD_MESSAGE_QUEUE: usize = 4 * 1024;

/// A relay whose shards, store and HTTP side run. Its hub runs in [`Relay::run_until_drained`], and until
/// then connections wait.
///
/// Dropped instead, it ends without closing connections, which then time out.
///
/// ```no_run
/// # async fn embed() -> anyhow::Result<()> {
/// use tribune_relay::assemble::Relay;
/// use tribune_relay::config::Config;
///
/// let arguments = ["relay", "--dev", "--listen=127.0.0.1:0", "--http=127.0.0.1:0", "--web=127.0.0.1:0"];
/// let Ok(config) = Config::from_args(arguments, &|_| None) else { return Ok(()) };
/// let relay = Relay::start(config).await?;
/// println!("{}", relay.ready());
/// let orders = relay.orders();
/// let running = tokio::spawn(relay.run_until_drained());
/// orders.drain();
/// running.await?
/// # }
/// ```
#[derive(Debug)]
pub struct Relay {
    hub: Hub,
    wiring: Wiring,
    drain_timeout: Duration,
    orders: Orders,
    ready: Ready,
    tasks: JoinSet<()>,
    web: Option<Web>,
    store: JoinHandle<()>,
    shards: Vec<JoinHandle<std::io::Result<()>>>,
}

/// Addresses and identity of a relay that has started. Its display is the line `ready …` for people, and
/// for scripts that start relays on ports that the system chooses.
#[derive(Debug, Clone)]
pub struct Ready {
    /// UDP address for participants and children.
    pub listen: SocketAddr,
    /// TCP address of the HTTP side, if there is one.
    pub http: Option<SocketAddr>,
    /// Address of the page for browsers, if there is one.
    pub web: Option<WebLink>,
    /// The relay's name.
    pub name: DisplayName,
    /// The relay's id.
    pub relay: RelayId,
    /// Fingerprint of the relay's certificate.
    pub fingerprint: Fingerprint,
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listen, http, web, name, relay, fingerprint } = self;
        let http = http.map_or_else(|| "off".to_owned(), |http| http.to_string());
        write!(f, "ready listen={listen} http={http} web=")?;
        match web {
            Some(web) => write!(f, "{web}")?,
            None => f.write_str("off")?,
        }
        write!(f, " name={name} relay={relay} fingerprint={fingerprint}")
    }
}

impl Relay {
    /// Starts a relay. To be called inside a tokio runtime with I/O and time, which the hub, the HTTP side
    /// and look-ups share; each shard has a thread of its own.
    ///
    /// # Errors
    /// A sentence about a part that cannot be had: a certificate, a port, a file.
    pub async fn start(config: Config) -> Result<Self> {
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        let keeper = CertificateKeeper::new(&config, SystemTime::now())?;
        let certificates = keeper.certificates().clone();
        let keys = keys(&config)?;
        let relay = relay_id(config.data.as_deref())?;
        let monitor = Arc::new(Monitor::new(config.shards, config.series)?);
        let now = Instant::now();
        let setup = room_context(&config, relay, now)?;
        let wall = setup.wall;
        let mut hub = Hub::new(hub_config(&config, relay, keys, setup)?, now);
        let Worker { requests, replies, thread: store } =
            open_store(&config, &mut hub, now, &monitor)?;
        publish_capacities(&config, &monitor, &requests);

        let sockets = bind_all(&config)?;
        let listen = sockets[0].local_addr()?;
        let (query_sender, queries) = query_channel();
        let mut tasks = JoinSet::new();
        let http = serve_http(&config, &monitor, query_sender, &mut tasks).await?;
        let mut quic = Quic::new(&config, &certificates, wall)?;
        let web = serve_web(&config, listen, quic.bridge().clone(), &keeper, &monitor).await?;
        let (event_sender, events) = mpsc::channel(HUB_QUEUE);
        let Shards { commands, threads } =
            start_shards(&config, sockets, &mut quic, &event_sender, &monitor)?;
        let ready = Ready {
            listen,
            http,
            web: web.as_ref().map(|web| web.link().clone()),
            name: config.name.clone(),
            relay,
            fingerprint: certificates.fingerprint(),
        };
        let dials = Dials::new(&config, listen.is_ipv6(), event_sender);
        let orders = Orders::new();
        tasks.spawn(certificates::keep(keeper, orders.clone(), Arc::clone(&monitor)));
        let wiring =
            Wiring { shards: commands, events, requests, replies, queries, dials, monitor };
        let drain_timeout = config.drain_timeout;
        Ok(Self { hub, wiring, drain_timeout, orders, ready, tasks, web, store, shards: threads })
    }

    /// Addresses and identity.
    #[must_use]
    pub const fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Sender of the orders to drain and to end.
    #[must_use]
    pub fn orders(&self) -> Orders {
        self.orders.clone()
    }

    /// Runs until the relay has drained, by [`Orders::drain`] or over HTTP, or until [`Orders::end`].
    ///
    /// # Errors
    /// A sentence about the part that has failed: a shard, the store.
    pub async fn run_until_drained(self) -> Result<()> {
        let Self { hub, wiring, drain_timeout, orders, ready: _, tasks, web, store, shards } = self;
        // The store still carries out its last requests; nobody waits for the replies any more.
        let outcome = hub::run(hub, wiring, &orders, drain_timeout).await;
        let ended = tokio::task::spawn_blocking(move || {
            store.join().map_err(|_| anyhow!("the store has panicked"))?;
            shards.into_iter().try_for_each(|thread| {
                thread.join().map_err(|_| anyhow!("a shard has panicked"))?.context("a shard ended")
            })
        });
        let outcome = outcome.and(ended.await?);
        // Pages and the HTTP side serve until here, also while the relay drains.
        drop((tasks, web));
        outcome
    }
}

/// Clock, signing key and policy table, as all rooms use them.
fn room_context(config: &Config, relay: RelayId, now: Instant) -> Result<Arc<RoomContext>> {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall = WallClock { at: now, unix_us: unix.as_micros() as u64 };
    let (key, policy) = (log_key(config.data.as_deref())?, Arc::new(config.policy.clone()));
    let (name, audience_from) = (config.name.clone(), config.audience_from);
    Ok(Arc::new(RoomContext { relay, name, wall, key, policy, audience_from }))
}

/// Publishes the capacities of queues, those of all shards together.
fn publish_capacities(config: &Config, monitor: &Monitor, requests: &RequestSender) {
    let shards = usize::from(config.shards.get());
    for (queue, capacity) in [
        (Queue::Events, HUB_QUEUE),
        (Queue::Commands, SHARD_QUEUE * shards),
        (Queue::ShardMessages, SHARD_MESSAGE_QUEUE * shards),
        (Queue::Store, requests.capacity()),
        (Queue::HubWaiting, EVENTS_WAITING * shards),
    ] {
        monitor.metrics().set_queue_capacity(queue, capacity);
    }
}

/// Opens the store, restores the hub from it, and starts its thread. Only an origin keeps anything: the
/// other relays have a store in memory.
fn open_store(
    config: &Config,
    hub: &mut Hub,
    now: Instant,
    monitor: &Arc<Monitor>,
) -> Result<Worker> {
    let mut store: Box<dyn Store> = match &config.data {
        Some(directory) if config.parents.is_empty() => Box::new(SqliteStore::open(directory)?),
        Some(_) | None => Box::new(MemoryStore::default()),
    };
    hub.restore(store.load()?, now).map_err(|why| anyhow!(why))?;
    worker::spawn(store, Arc::clone(monitor)).context("the store's thread cannot be started")
}

/// Keys that participants' tokens are checked with.
fn keys(config: &Config) -> Result<Keys> {
    let Some(path) = &config.keys else { return Ok(Keys::default()) };
    let (keys, warning) = keys_file::load(path)?;
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
    }
    Ok(keys)
}

/// The proof asked of participants and children.
fn auth(config: &Config, keys: Keys) -> Auth {
    Auth {
        keys,
        relay_token: config.relay_token.clone(),
        trunk_certificates: config.trunk_ca.is_some(),
        dev: config.dev,
        dev_anywhere: config.dev_anywhere,
    }
}

fn hub_config(
    config: &Config,
    relay: RelayId,
    keys: Keys,
    setup: Arc<RoomContext>,
) -> Result<HubConfig> {
    let unix_ms = setup.wall.unix_us / 1_000;
    Ok(HubConfig {
        relay,
        name: config.name.clone(),
        shards: config.shards.get(),
        parents: config.parents.clone(),
        auth: auth(config, keys),
        setup,
        relay_token: config.relay_token.clone(),
        max_rooms: config.max_rooms,
        // Milliseconds with room for a million changes in each: a restarted origin counts on above.
        first_revision: Revision(unix_ms << 20),
        capacity: config.capacity,
        redirect_to: config.redirect_to.iter().map(ToString::to_string).collect(),
        drain_to: config.drain_to.as_ref().map(ToString::to_string),
        drain_timeout: config.drain_timeout,
        keep_statistics: config.keep_statistics,
        seed: random()?,
    })
}

async fn serve_http(
    config: &Config,
    monitor: &Arc<Monitor>,
    queries: QuerySender,
    tasks: &mut JoinSet<()>,
) -> Result<Option<SocketAddr>> {
    let Some(address) = config.http else { return Ok(None) };
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("--http: {address} cannot be listened on"))?;
    let address = listener.local_addr()?;
    let monitor = Arc::clone(monitor);
    let api = Api { queries, auth: OperatorAuth { token: config.operator_token.clone() } };
    tasks.spawn(async move {
        if let Err(error) = http::serve(listener, monitor, api, std::future::pending()).await {
            tracing::error!(%error, "the HTTP side has ended");
        }
    });
    Ok(Some(address))
}
