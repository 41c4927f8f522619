//! Starts a relay and ends it: sockets, a thread per shard, a task for the hub, the HTTP side,
//! signals. Everything that decides is elsewhere, without I/O.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use quinn_proto::{ClientConfig, EndpointConfig, ServerConfig};
use rand::TryRng;
use rand::rngs::SysRng;
use tokio::sync::mpsc;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::ids::Revision;

use crate::api::auth::Entitlement;
use crate::api::http;
use crate::api::query_channel::{QueryReceiver, QuerySender, desk};
use crate::api::routes::Api;
use crate::config::Config;
use crate::config::keys_file;
use crate::drivers::dials::Dials;
use crate::drivers::shard::{self as driver, Wiring};
use crate::drivers::signals::signals;
use crate::drivers::socket::{BatchSocket, bind};
use crate::identity::{log_key, master_keys, relay_id};
use crate::ops::Ops;
use crate::store::SqliteStore;
use crate::store::worker::{self, Requests, Worker};
use crate::tls::{TlsIdentity, server_crypto, trunk_client_crypto};
use tribune_relay_core::auth::Auth;
use tribune_relay_core::auth::keys::Keys;
use tribune_relay_core::clock::WallClock;
use tribune_relay_core::counters::Queue;
use tribune_relay_core::counters::load::LoadMeter;
use tribune_relay_core::hub::{Hub, HubConfig, HubEffect};
use tribune_relay_core::messages::{ShardCommand, ShardEvent, ShardId, ShardMessage};
use tribune_relay_core::query::Readiness;
use tribune_relay_core::room::context::RoomContext;
use tribune_relay_core::shard::keys::MasterKeys;
use tribune_relay_core::shard::limits::{EVENTS_WAITING, accepting_transport, dialling_transport};
use tribune_relay_core::shard::steering::{ShardCids, SteeringKey};
use tribune_relay_core::shard::{Shard, ShardConfig};
use tribune_relay_core::store::{MemoryStore, Store, StoreReply};

/// Events that wait for the hub. Behind them the shards hold back, and QUIC's flow control.
const HUB_QUEUE: usize = 8 * 1024;
/// Commands that wait for a shard. The hub waits when it is full; a shard never waits for the hub.
const SHARD_QUEUE: usize = 8 * 1024;
/// Messages between shards that wait; more are dropped and counted.
const CROSSING_QUEUE: usize = 4 * 1024;
/// Bytes of a block that stretches a heap: below the 128 KiB from which glibc maps blocks one by one.
const HEAP_BLOCK_BYTES: usize = 96 * 1024;
/// Blocks that stretch a heap: 45 MiB of the 64 MiB that glibc lets one be, about 2,000 connections.
const HEAP_BLOCKS: usize = 480;
/// Events that the hub takes before it looks at the time and the signals again.
const EVENTS_PER_TURN: usize = 256;
/// How often the hub's gauges reach the metrics.
const PUBLISH_PERIOD: Duration = Duration::from_millis(500);
/// How often those of rooms do, of which there may be thousands.
const ROOMS_PERIOD: Duration = Duration::from_secs(1);
/// How long the last closes may take to leave the sockets.
const FAREWELL: Duration = Duration::from_millis(200);

/// Runs a relay until it has drained after SIGTERM or SIGINT, or until a second signal.
///
/// # Errors
/// A sentence about what could not be had: a certificate, a port, a file.
pub async fn run(config: Config) -> Result<()> {
    let started = start(&config).await?;
    let Started { mut hub, shards, mut events, store, dials, ops, mut counter, threads } = started;
    let Worker { requests, mut replies, thread: store } = store;
    let mut inputs = Inputs { events: &mut events, replies: &mut replies, counter: &mut counter };
    let outcome = tokio::select! {
        outcome = hub_loop(&config, &mut hub, &shards, &mut inputs, &requests, dials, &ops) => outcome,
        () = signals(2) => {
            tracing::warn!("a second signal: the relay ends at once");
            close_down(&shards, CloseCode::Shutdown).await;
            Ok(())
        }
    };
    drop(shards);
    drop(events);
    // What the store has been asked to keep, it keeps; nobody waits for its answers any more.
    drop(requests);
    drop(replies);
    let ended = tokio::task::spawn_blocking(move || {
        store.join().map_err(|_| anyhow!("the store has panicked"))?;
        threads.into_iter().try_for_each(|thread| {
            thread.join().map_err(|_| anyhow!("a shard has panicked"))?.context("a shard ended")
        })
    });
    outcome.and(ended.await?)
}

struct Started {
    hub: Hub,
    shards: Vec<mpsc::Sender<ShardCommand>>,
    events: mpsc::Receiver<(ShardId, ShardEvent)>,
    store: Worker,
    dials: Dials,
    ops: Arc<Ops>,
    counter: QueryReceiver,
    threads: Vec<std::thread::JoinHandle<std::io::Result<()>>>,
}

/// What the hub's loop takes besides time and signals.
struct Inputs<'a> {
    events: &'a mut mpsc::Receiver<(ShardId, ShardEvent)>,
    replies: &'a mut mpsc::Receiver<StoreReply>,
    counter: &'a mut QueryReceiver,
}

async fn start(config: &Config) -> Result<Started> {
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let identity = TlsIdentity::from_config(config)?;
    let keys = keys(config)?;
    let relay = relay_id(config.data.as_deref())?;
    let ops = Arc::new(Ops::new(config.shards, config.series)?);
    let now = Instant::now();
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall = WallClock { at: now, unix_us: unix.as_micros() as u64 };
    let (key, policy) = (log_key(config.data.as_deref())?, Arc::new(config.policy.clone()));
    let setup = Arc::new(RoomContext { wall, key, policy });
    let mut hub = Hub::new(hub_config(config, relay, keys, setup)?, now);
    let store = open_store(config, &mut hub, now, &ops)?;
    say_capacities(config, &ops, &store.requests);

    let sockets = bind_all(config)?;
    let listen = sockets[0].local_addr()?;
    let (desk, counter) = desk();
    let http = serve_http(config, &ops, desk).await?;

    let mut quic = Quic::new(config, &identity, wall)?;
    let (event_sender, events) = mpsc::channel(HUB_QUEUE);
    let (shards, commands): (Vec<_>, Vec<_>) =
        sockets.iter().map(|_| mpsc::channel(SHARD_QUEUE)).unzip();
    let (shard_messages, crossing_receivers): (Vec<_>, Vec<_>) =
        sockets.iter().map(|_| mpsc::channel::<ShardMessage>(CROSSING_QUEUE)).unzip();
    let mut threads = Vec::new();
    let parts = sockets.into_iter().zip(commands).zip(crossing_receivers);
    for (number, ((socket, commands), crossing_receiver)) in parts.enumerate() {
        let id = ShardId(u8::try_from(number)?);
        let shard = Shard::new(quic.shard_config(config, id)?);
        let (events, shards, ops) =
            (event_sender.clone(), shard_messages.clone(), Arc::clone(&ops));
        let wire = move |socket| Wiring {
            id,
            socket,
            events,
            commands,
            shards,
            shard_messages: crossing_receiver,
            ops,
        };
        let thread = std::thread::Builder::new().name(format!("shard-{number}"));
        threads.push(thread.spawn(move || run_shard(shard, socket, wire))?);
    }
    let fingerprint = identity.fingerprint();
    announce(config, listen, http, &format!("{relay}"), &format!("{fingerprint}"));
    let from_ipv6 = listen.is_ipv6();
    let dials = Dials::new(config, from_ipv6, event_sender);
    Ok(Started { hub, shards, events, store, dials, ops, counter, threads })
}

/// Tells the metrics what the queues can hold, those of all shards together.
fn say_capacities(config: &Config, ops: &Ops, requests: &Requests) {
    let shards = usize::from(config.shards.get());
    for (queue, capacity) in [
        (Queue::Events, HUB_QUEUE),
        (Queue::Commands, SHARD_QUEUE * shards),
        (Queue::Crossings, CROSSING_QUEUE * shards),
        (Queue::Store, requests.capacity()),
        (Queue::HubWaiting, EVENTS_WAITING * shards),
    ] {
        ops.metrics.set_queue_capacity(queue, capacity);
    }
}

/// Opens the store, gives the hub what an earlier life has left in it, and sets it to work. Only an
/// origin decides what is to be kept.
fn open_store(config: &Config, hub: &mut Hub, now: Instant, ops: &Arc<Ops>) -> Result<Worker> {
    let mut store: Box<dyn Store> = match &config.data {
        Some(directory) if config.parents.is_empty() => Box::new(SqliteStore::open(directory)?),
        Some(_) | None => Box::new(MemoryStore::default()),
    };
    hub.restore(store.load()?, now).map_err(|why| anyhow!(why))?;
    worker::spawn(store, Arc::clone(ops)).context("the store's thread cannot be started")
}

/// What participants' tokens are checked with.
fn keys(config: &Config) -> Result<Keys> {
    let Some(path) = &config.keys else { return Ok(Keys::default()) };
    let (keys, warning) = keys_file::load(path)?;
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
    }
    Ok(keys)
}

/// One line on standard output, for people and for scripts that start relays on ports that the
/// system chooses.
fn announce(
    config: &Config,
    listen: SocketAddr,
    http: Option<SocketAddr>,
    relay: &str,
    fingerprint: &str,
) {
    use std::io::Write as _;
    let http = http.map_or_else(|| "off".to_owned(), |http| http.to_string());
    let name = &config.name;
    let mut out = std::io::stdout();
    let _ = writeln!(
        out,
        "ready listen={listen} http={http} name={name} relay={relay} fingerprint={fingerprint}"
    );
    let _ = out.flush();
}

/// What the configuration asks of participants and children, with the keys that it names.
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
    relay: tribune_protocol::ids::RelayId,
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
        seed: random()?,
    })
}

fn run_shard(
    shard: Shard,
    socket: std::net::UdpSocket,
    wire: impl FnOnce(BatchSocket) -> Wiring,
) -> std::io::Result<()> {
    stretch_heap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let socket = BatchSocket::new(socket)?;
        driver::run(shard, wire(socket)).await
    })
}

/// Has the allocator reserve address space for this thread's connections, without using it yet.
///
/// glibc lets the heap of a thread grow by a system call for every few kilobytes, several for each
/// connection; a heap that has been large before grows without. What is given back costs no memory.
fn stretch_heap() {
    let blocks: Vec<Vec<u8>> =
        (0..HEAP_BLOCKS).map(|_| Vec::with_capacity(HEAP_BLOCK_BYTES)).collect();
    std::hint::black_box(blocks);
}

fn bind_all(config: &Config) -> Result<Vec<std::net::UdpSocket>> {
    let shared = config.shards.get() > 1;
    let mut address = config.listen;
    if shared {
        // Another relay that shares the address would take half of the packets: only a socket that
        // shares with nobody finds out.
        let alone = bind(address, false);
        drop(alone.with_context(|| format!("--listen: {address} cannot be listened on"))?);
    }
    let mut sockets = Vec::new();
    for _ in 0..config.shards.get() {
        let socket = bind(address, shared)
            .with_context(|| format!("--listen: {address} cannot be listened on"))?;
        // With port 0 the first one chooses for all.
        address = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok(sockets)
}

async fn serve_http(
    config: &Config,
    ops: &Arc<Ops>,
    desk: QuerySender,
) -> Result<Option<SocketAddr>> {
    let Some(address) = config.http else { return Ok(None) };
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("--http: {address} cannot be listened on"))?;
    let address = listener.local_addr()?;
    let ops = Arc::clone(ops);
    let api = Api { desk, entitlement: Entitlement { token: config.operator_token.clone() } };
    // It serves until the process ends, also while the relay drains.
    tokio::spawn(async move {
        if let Err(error) = http::serve(listener, ops, api, std::future::pending()).await {
            tracing::error!(%error, "the HTTP side has ended");
        }
    });
    Ok(Some(address))
}

/// What the shards' QUIC endpoints have in common.
struct Quic {
    keys: MasterKeys,
    server: Arc<ServerConfig>,
    clients: Vec<ClientConfig>,
    steering: SteeringKey,
    wall: WallClock,
}

impl Quic {
    fn new(config: &Config, identity: &TlsIdentity, wall: WallClock) -> Result<Self> {
        let keys = master_keys(config.data.as_deref())?;
        let mut server = ServerConfig::new(server_crypto(config, identity)?, keys.retry_key());
        server.transport_config(accepting_transport());
        let clients = config.parents.iter().map(|parent| {
            let mut client = ClientConfig::new(trunk_client_crypto(config, identity, parent)?);
            client.transport_config(dialling_transport());
            Ok(client)
        });
        let clients = clients.collect::<Result<_>>()?;
        let steering = keys.steering();
        Ok(Self { keys, server: Arc::new(server), clients, steering, wall })
    }

    fn shard_config(&mut self, config: &Config, id: ShardId) -> Result<ShardConfig> {
        let mut endpoint = EndpointConfig::new(self.keys.reset_key());
        let (steering, seed) = (self.steering, random()?);
        endpoint.cid_generator(move || Box::new(ShardCids::new(id, steering, seed)));
        Ok(ShardConfig {
            id,
            endpoint: Arc::new(endpoint),
            server: Arc::clone(&self.server),
            clients: if id == ShardId(0) { self.clients.clone() } else { Vec::new() },
            steering,
            wall: self.wall,
            top_n: config.top_n,
            max_connections: config.max_connections.div_ceil(usize::from(config.shards.get())),
        })
    }
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).context("the system gives no random numbers")?;
    Ok(bytes)
}

/// The hub's turn: events, time, effects, until it has drained.
async fn hub_loop(
    config: &Config,
    hub: &mut Hub,
    shards: &[mpsc::Sender<ShardCommand>],
    inputs: &mut Inputs<'_>,
    requests: &Requests,
    dials: Dials,
    ops: &Arc<Ops>,
) -> Result<()> {
    let Inputs { events, replies, counter } = inputs;
    let mut batch = Vec::with_capacity(EVENTS_PER_TURN);
    let mut publish = tokio::time::interval(PUBLISH_PERIOD);
    let mut meter = LoadMeter::new(Instant::now());
    let mut publish_rooms = tokio::time::interval(ROOMS_PERIOD);
    let mut signalled = Box::pin(signals(1));
    let mut draining = false;
    loop {
        ops.set_readiness(hub.readiness());
        while let Some(effect) = hub.poll_effect() {
            match effect {
                // A shard that is behind holds the hub up, never the other way round.
                HubEffect::Shard(shard, command) => {
                    let channel = &shards[usize::from(shard.0)];
                    channel
                        .send(command)
                        .await
                        .map_err(|_| anyhow!("shard {} is gone", shard.0))?;
                }
                HubEffect::Store(request) => {
                    if let Err(refused) = requests.hand_in(request) {
                        hub.handle_stored(Instant::now(), refused);
                    }
                }
                HubEffect::Dial { dial, target } => dials.dial(dial, &target, &shards[0]),
                HubEffect::Answer { ticket, answer } => counter.answer(ticket, answer),
                HubEffect::Drained => {
                    close_down(shards, CloseCode::Draining).await;
                    return Ok(());
                }
            }
        }
        let deadline = hub.poll_timeout().unwrap_or_else(|| Instant::now() + PUBLISH_PERIOD);
        tokio::select! {
            count = events.recv_many(&mut batch, EVENTS_PER_TURN) => {
                anyhow::ensure!(count > 0, "all shards are gone");
                let now = Instant::now();
                for (shard, event) in batch.drain(..) {
                    hub.handle_event(now, shard, event);
                }
            }
            reply = replies.recv() => {
                let reply = reply.context("the store has ended")?;
                hub.handle_stored(Instant::now(), reply);
            }
            (ticket, query) = counter.next() => hub.handle_query(Instant::now(), ticket, query),
            () = tokio::time::sleep_until(deadline.into()) => hub.handle_timeout(Instant::now()),
            _ = publish.tick() => {
                ops.metrics.set_queue_length(Queue::Events, events.len());
                ops.metrics.set_queue_length(Queue::Store, requests.waiting());
                ops.metrics.publish_hub(hub.counters());
            }
            _ = publish_rooms.tick() => {
                let now = Instant::now();
                if let Some(load) = meter.handle_totals(now, ops.metrics.totals()) {
                    hub.handle_load(load);
                }
                ops.metrics.publish_rooms(&hub.room_metrics(now).collect::<Vec<_>>());
                ops.metrics.publish_quality(hub.heard());
            }
            () = &mut signalled, if !draining => {
                draining = true;
                tracing::info!(within = ?config.drain_timeout, "draining");
                ops.set_readiness(Readiness::Draining);
                hub.handle_drain(Instant::now(), None, None);
            }
        }
    }
}

/// Gives the shards' last packets a moment.
async fn close_down(shards: &[mpsc::Sender<ShardCommand>], code: CloseCode) {
    for shard in shards {
        let _ = shard.try_send(ShardCommand::CloseAll(code));
    }
    tokio::time::sleep(FAREWELL).await;
}
