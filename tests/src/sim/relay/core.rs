//! The inside of a simulated relay: the production shards and hub, the queues between them, and a
//! turn of each. Used by [`super::SimRelay`].

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, Sender};
use tribune_protocol::codes::CloseCode;
use tribune_relay::drivers::shard::hand_over;
use tribune_relay_core::hub::{Hub, HubEffect};
use tribune_relay_core::messages::{Packet, ShardCommand, ShardEvent, ShardId, ShardMessage};
use tribune_relay_core::query::Answer;
use tribune_relay_core::shard::{Outgoing, Shard};
use tribune_relay_core::store::{MemoryStore, Store, StoreReply, StoreRequest};
use tribune_relay_core::tree::query::Ticket;
use tribune_relay_core::tree::target::Target;

use crate::sim::log::{Entry, Log};
use crate::sim::{HostId, Sent};

/// Events that the hub takes in one turn, as in `run`.
const EVENTS_PER_TURN: usize = 256;

#[derive(Debug)]
pub(super) struct Core {
    pub(super) shards: Vec<ShardHost>,
    /// To each shard, as the driver has it: what finds no room is dropped.
    pub(super) to_shards: Vec<Sender<ShardMessage>>,
    pub(super) hub: Hub,
    pub(super) to_hub: VecDeque<(ShardId, ShardEvent)>,
    pub(super) drained: bool,
    /// Answers to operators.
    pub(super) answers: BTreeMap<Ticket, Answer>,
}

/// A shard and what waits for it.
#[derive(Debug)]
pub(super) struct ShardHost {
    pub(super) shard: Shard,
    pub(super) packets: VecDeque<Packet>,
    pub(super) shard_messages: Receiver<ShardMessage>,
    pub(super) commands: VecDeque<ShardCommand>,
}

/// Work done in a shard's turn.
pub(super) struct Outcome {
    pub(super) packets: u32,
    pub(super) admitted: u32,
}

impl Core {
    /// The driver's turn: packets, other shards, the hub, timers, packets out, other shards, the hub.
    pub(super) fn turn_shard(
        &mut self,
        at: Instant,
        number: usize,
        packets: &mut usize,
        address: SocketAddr,
        sent: &mut Vec<Sent>,
    ) -> Outcome {
        let host = &mut self.shards[number];
        let mut outcome = Outcome { packets: 0, admitted: 0 };
        while *packets > 0
            && let Some(packet) = host.packets.pop_front()
        {
            *packets -= 1;
            outcome.packets += 1;
            host.shard.handle_packet(at, packet);
        }
        while let Ok(shard_message) = host.shard_messages.try_recv() {
            host.shard.handle_shard_message(at, shard_message);
        }
        while let Some(command) = host.commands.pop_front() {
            host.shard.handle_command(at, command);
        }
        let before = host.shard.counters().connections;
        host.shard.handle_timeout(at);
        outcome.admitted = host.shard.counters().connections.saturating_sub(before) as u32;
        let mut out = Outgoing::default();
        while host.shard.poll_transmit(at, &mut out) {
            if let Some(to) = out.destination {
                sent.push(Sent { from: address, to, payload: out.payload.clone() });
            }
        }
        hand_over(&mut host.shard, &self.to_shards);
        while let Some(event) = host.shard.poll_event() {
            self.to_hub.push_back((ShardId(number as u8), event));
        }
        outcome
    }

    pub(super) fn turn_hub(
        &mut self,
        at: Instant,
        now: Duration,
        host: HostId,
        parents: &[SocketAddr],
        disk: &mut MemoryStore,
        log: &mut Log,
    ) {
        self.carry_out(at, parents, disk);
        for _ in 0..EVENTS_PER_TURN {
            let Some((shard, event)) = self.to_hub.pop_front() else { break };
            if let Some(text) = in_words(&event) {
                log.push(Entry::note(now, host, text));
            }
            self.hub.handle_event(at, shard, event);
        }
        if self.hub.poll_timeout().is_some_and(|due| due <= at) {
            self.hub.handle_timeout(at);
        }
        self.carry_out(at, parents, disk);
    }

    fn carry_out(&mut self, at: Instant, parents: &[SocketAddr], disk: &mut MemoryStore) {
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                HubEffect::Store(request) => self.hub.handle_stored(at, store(disk, request)),
                HubEffect::Shard(shard, command) => {
                    self.shards[usize::from(shard.0)].commands.push_back(command);
                }
                HubEffect::Dial { dial, target: Target { parent, to } } => {
                    let named = to.and_then(|to| to.to_string().parse().ok());
                    let address = named.unwrap_or(parents[parent]);
                    let server_name = "localhost".to_owned();
                    let command = ShardCommand::Dial { dial, parent, address, server_name };
                    self.shards[0].commands.push_back(command);
                }
                HubEffect::Answer { ticket, answer } => {
                    self.answers.insert(ticket, answer);
                }
                HubEffect::Drained => {
                    self.drained = true;
                    for shard in &mut self.shards {
                        shard.commands.push_back(ShardCommand::CloseAll(CloseCode::Draining));
                    }
                }
            }
        }
    }

    pub(super) fn is_quiet(&self, packets: usize, hub_hangs: bool) -> bool {
        let idle = |host: &ShardHost| {
            (host.packets.is_empty() || packets == 0)
                && host.shard_messages.is_empty()
                && host.commands.is_empty()
        };
        (self.to_hub.is_empty() || hub_hangs) && self.shards.iter().all(idle)
    }

    pub(super) fn next(&self, base: Instant, at: Instant, hub_hangs: bool) -> Option<Duration> {
        let shards = self.shards.iter().filter_map(|host| host.shard.poll_timeout(at));
        let hub = self.hub.poll_timeout().filter(|_| !hub_hangs);
        let next = shards.chain(hub).min()?;
        Some(next.saturating_duration_since(base))
    }
}

/// A hub event for the log; what comes every second from each shard is left out.
fn in_words(event: &ShardEvent) -> Option<String> {
    match event {
        ShardEvent::FromParticipant { link, request, message, .. } => {
            let request = request.map(|request| request.0);
            Some(format!(
                "from participant {}/{}: {request:?} {message:?}",
                link.shard.0, link.slot
            ))
        }
        ShardEvent::FromChild { link, message, .. } => {
            Some(format!("from child {}/{}: {message:?}", link.shard.0, link.slot))
        }
        ShardEvent::FromParent { message, .. } => Some(format!("from parent: {message:?}")),
        ShardEvent::Dialled { dial, .. } => Some(format!("dial {} is up", dial.0)),
        ShardEvent::DialFailed { dial, why } => Some(format!("dial {} failed: {why}", dial.0)),
        ShardEvent::Closed { link, why } => {
            Some(format!("{}/{} closed: {why}", link.shard.0, link.slot))
        }
        ShardEvent::LastHeard { room, heard } => {
            Some(format!("last heard in {}: {heard:?}", room.0))
        }
        ShardEvent::InForce { .. } | ShardEvent::Talk { .. } | ShardEvent::Clock { .. } => None,
    }
}

/// A disk that takes no time.
fn store(disk: &mut MemoryStore, request: StoreRequest) -> StoreReply {
    match request {
        StoreRequest::Write { id, batch } => {
            StoreReply::Written { id, result: disk.write(&[batch]) }
        }
        StoreRequest::ReadLog { id, room, from, limit } => {
            StoreReply::Log { id, result: disk.read_log(&room, from, limit) }
        }
        StoreRequest::ReadStatistics { id, room, run } => {
            StoreReply::Statistics { id, result: disk.read_statistics(&room, run) }
        }
        StoreRequest::ForgetStatistics { before_ms } => {
            StoreReply::Forgotten { result: disk.forget_statistics(before_ms) }
        }
    }
}
