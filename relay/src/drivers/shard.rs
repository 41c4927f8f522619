//! Thread of a shard: its socket and channels around the machine, [`Shard`].
//!
//! A turn of the loop: packets in, messages of other shards and the hub, timers, packets out. Each step
//! is bounded, so that a turn is short and frames never wait for a storm of joins. Turns that have
//! little to do are not shorter than [`TURN_PERIOD`], so that acknowledgements, which come one by
//! one from everybody, are taken in batches.

use std::io;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender};
use tribune_relay_core::counters::DropCause;
use tribune_relay_core::messages::{ShardCommand, ShardEvent, ShardId, ShardMessage};
use tribune_relay_core::shard::{Outgoing, Shard};

use super::socket::{BatchSocket, SEND_BATCH};
use crate::monitor::Monitor;

/// Batches of packets received in one turn; each is 32 packets. All could be the second flights of
/// handshakes, some 40 µs each: a frame waits 5 ms for them at most.
const RECEIVES_PER_TURN: usize = 4;
/// The time from the beginning of one turn to that of the next, where nothing is left to do. It is the
/// most that a frame waits for at a busy shard, and saves a tenth of what a frame costs; a shard that
/// has rested longer takes the first packet at once.
const TURN_PERIOD: Duration = Duration::from_micros(500);
/// Messages from other shards taken in one turn.
const SHARD_MESSAGES_PER_TURN: usize = 512;
/// Commands of the hub taken in one turn.
const COMMANDS_PER_TURN: usize = 512;
/// Period of publication to the metrics. A scrape is no more exact than this.
const PUBLISH_PERIOD: Duration = Duration::from_millis(200);
/// Longest wait for a full socket before the packets are given up: QUIC repairs its streams, and a frame
/// is stale after a period.
const SEND_PATIENCE: Duration = Duration::from_millis(20);

/// Connections of a shard.
#[derive(Debug)]
pub struct Wiring {
    /// The shard's number.
    pub id: ShardId,
    /// Its socket.
    pub socket: BatchSocket,
    /// To the hub.
    pub events: Sender<(ShardId, ShardEvent)>,
    /// From the hub. Closed when the relay ends, and the shard with it.
    pub commands: Receiver<ShardCommand>,
    /// To every shard of the relay, by number.
    pub shards: Vec<Sender<ShardMessage>>,
    /// From the other shards.
    pub shard_messages: Receiver<ShardMessage>,
    /// Metrics and readiness.
    pub monitor: std::sync::Arc<Monitor>,
}

/// Runs the shard until the hub closes its commands.
///
/// # Errors
/// The socket's error, if it is unusable.
pub async fn run(mut shard: Shard, mut wiring: Wiring) -> io::Result<()> {
    let mut outgoing: Vec<Outgoing> = Vec::new();
    outgoing.resize_with(SEND_BATCH, Outgoing::default);
    let mut waiting_event = None;
    let mut published = Instant::now();
    let mut busy = Duration::ZERO;
    loop {
        let began = Instant::now();
        let publishes = began.duration_since(published) >= PUBLISH_PERIOD;
        if publishes {
            // Before the turn takes them off the queues.
            let counters = shard.counters();
            counters.commands_waiting = wiring.commands.len() as u64;
            counters.shard_messages_waiting = wiring.shard_messages.len() as u64;
        }
        let mut more = receive(&mut shard, &mut wiring, began)?;
        more |= take_shard_messages(&mut shard, &mut wiring, began);
        match take_commands(&mut shard, &mut wiring, began) {
            Some(full) => more |= full,
            None => {
                transmit(&mut shard, &wiring, &mut outgoing).await;
                return Ok(());
            }
        }
        shard.handle_timeout(began);
        transmit(&mut shard, &wiring, &mut outgoing).await;
        hand_over(&mut shard, &wiring.shards);
        tell_hub(&mut shard, &wiring, &mut waiting_event);
        let took = began.elapsed();
        busy += took;
        wiring.monitor.metrics().observe_turn(wiring.id.0, took);
        if publishes {
            let ended = began + took;
            shard.handle_busy(share_ppm(busy, ended.duration_since(published)));
            let counters = shard.counters();
            wiring.monitor.metrics().publish_shard(wiring.id.0, counters);
            (published, busy) = (ended, Duration::ZERO);
        }
        if !more {
            // The thread sleeps, not the task: a reactor would be woken by each packet.
            std::thread::sleep(TURN_PERIOD.saturating_sub(began.elapsed()));
            let publish_at = published + PUBLISH_PERIOD;
            wait(&mut shard, &mut wiring, waiting_event.is_some(), publish_at).await?;
        }
    }
}

/// A part of a time, in parts per million; at most all of it.
fn share_ppm(part: Duration, whole: Duration) -> u64 {
    let ppm = part.as_micros() * 1_000_000 / whole.as_micros().max(1);
    u64::try_from(ppm).unwrap_or(u64::MAX).min(1_000_000)
}

fn receive(shard: &mut Shard, wiring: &mut Wiring, now: Instant) -> io::Result<bool> {
    for _ in 0..RECEIVES_PER_TURN {
        if wiring.socket.receive(|packet| shard.handle_packet(now, packet))? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn take_shard_messages(shard: &mut Shard, wiring: &mut Wiring, now: Instant) -> bool {
    for _ in 0..SHARD_MESSAGES_PER_TURN {
        let Ok(shard_message) = wiring.shard_messages.try_recv() else { return false };
        shard.handle_shard_message(now, shard_message);
    }
    true
}

/// Whether more commands wait; `None` once the hub is gone.
fn take_commands(shard: &mut Shard, wiring: &mut Wiring, now: Instant) -> Option<bool> {
    for _ in 0..COMMANDS_PER_TURN {
        match wiring.commands.try_recv() {
            Ok(command) => shard.handle_command(now, command),
            Err(tokio::sync::mpsc::error::TryRecvError::Empty) => return Some(false),
            Err(tokio::sync::mpsc::error::TryRecvError::Disconnected) => return None,
        }
    }
    Some(true)
}

async fn transmit(shard: &mut Shard, wiring: &Wiring, outgoing: &mut [Outgoing]) {
    loop {
        let now = Instant::now();
        let mut filled = 0;
        while filled < outgoing.len() && shard.poll_transmit(now, &mut outgoing[filled]) {
            filled += 1;
        }
        if filled == 0 {
            return;
        }
        let mut sent = 0;
        loop {
            let counters = shard.counters();
            let refused = |_: &io::Error| counters.kernel_send_errors += 1;
            sent += wiring.socket.send(&outgoing[sent..filled], refused);
            if sent == filled {
                break;
            }
            let writable = tokio::time::timeout(SEND_PATIENCE, wiring.socket.writable()).await;
            if !matches!(writable, Ok(Ok(()))) {
                shard.counters().kernel_send_errors += (filled - sent) as u64;
                break;
            }
        }
    }
}

/// Hands messages to other shards. A shard never waits for another: messages that find no room are dropped
/// and counted.
pub fn hand_over(shard: &mut Shard, shards: &[Sender<ShardMessage>]) {
    while let Some((to, shard_message)) = shard.poll_shard_message() {
        let Some(channel) = shards.get(usize::from(to.0)) else { continue };
        let Err(error) = channel.try_send(shard_message) else { continue };
        let (TrySendError::Full(lost) | TrySendError::Closed(lost)) = error;
        match lost {
            ShardMessage::Frames(shared) => {
                let frames = shared.frames.len() as u64;
                shard.counters().frames_dropped.count(DropCause::ShardQueueFull, frames);
                shard.counters().shard_queue_dropped += frames;
            }
            ShardMessage::Packet(_) => shard.counters().steer_dropped += 1,
            // The one who comes back asks for what it lacks, as anybody does.
            ShardMessage::Wanted { .. } => {}
            ShardMessage::Kept { frames, .. } => {
                let frames = frames.len() as u64;
                shard.counters().frames_dropped.count(DropCause::ShardQueueFull, frames);
            }
        }
    }
}

/// Hands events to the hub as long as it takes them. The shard stops reading control streams when
/// too many wait.
fn tell_hub(shard: &mut Shard, wiring: &Wiring, waiting: &mut Option<ShardEvent>) {
    loop {
        let Some(event) = waiting.take().or_else(|| shard.poll_event()) else { return };
        if let Err(TrySendError::Full((_, event))) = wiring.events.try_send((wiring.id, event)) {
            *waiting = Some(event);
            return;
        }
    }
}

async fn wait(
    shard: &mut Shard,
    wiring: &mut Wiring,
    hub_is_full: bool,
    publish_at: Instant,
) -> io::Result<()> {
    let now = Instant::now();
    let deadline = shard.poll_timeout(now).map_or(publish_at, |at| at.min(publish_at));
    if deadline <= now {
        tokio::task::yield_now().await;
        return Ok(());
    }
    tokio::select! {
        readable = wiring.socket.readable() => readable?,
        Some(shard_message) = wiring.shard_messages.recv() => shard.handle_shard_message(Instant::now(), shard_message),
        command = wiring.commands.recv() => {
            if let Some(command) = command {
                shard.handle_command(Instant::now(), command);
            }
        }
        permit = wiring.events.reserve(), if hub_is_full => drop(permit),
        () = tokio::time::sleep_until(deadline.into()) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_time_is_at_most_all_of_it() {
        let ms = Duration::from_millis;
        assert_eq!(share_ppm(ms(50), ms(200)), 250_000);
        assert_eq!(share_ppm(ms(201), ms(200)), 1_000_000);
        assert_eq!(share_ppm(Duration::ZERO, Duration::ZERO), 0);
    }
}
