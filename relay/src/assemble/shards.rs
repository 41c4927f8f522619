//! Sockets and threads of the shards.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use tokio::sync::mpsc;
use tribune_relay_core::messages::{ShardCommand, ShardEvent, ShardId, ShardMessage};
use tribune_relay_core::shard::Shard;

use super::quic::Quic;
use super::{SHARD_MESSAGE_QUEUE, SHARD_QUEUE};
use crate::config::Config;
use crate::drivers::shard::{self as driver, Wiring};
use crate::drivers::socket::{BatchSocket, bind};
use crate::monitor::Monitor;

/// Bytes of a block that stretches a heap: below the 128 KiB from which glibc maps blocks one by one.
const HEAP_BLOCK_BYTES: usize = 96 * 1024;
/// Blocks that stretch a heap: 45 MiB of the 64 MiB that glibc lets one be, about 2,000 connections.
const HEAP_BLOCKS: usize = 480;

/// Running shards.
#[derive(Debug)]
pub(super) struct Shards {
    /// To the shards, by number. A shard ends once its sender is gone.
    pub(super) commands: Vec<mpsc::Sender<ShardCommand>>,
    /// To be joined at the end.
    pub(super) threads: Vec<JoinHandle<io::Result<()>>>,
}

/// Starts a thread for each socket.
///
/// # Errors
/// A sentence about a thread that cannot be had.
pub(super) fn start_shards(
    config: &Config,
    sockets: Vec<UdpSocket>,
    quic: &mut Quic,
    events: &mpsc::Sender<(ShardId, ShardEvent)>,
    monitor: &Arc<Monitor>,
) -> Result<Shards> {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        sockets.iter().map(|_| mpsc::channel(SHARD_QUEUE)).unzip();
    let (message_senders, message_receivers): (Vec<_>, Vec<_>) =
        sockets.iter().map(|_| mpsc::channel::<ShardMessage>(SHARD_MESSAGE_QUEUE)).unzip();
    let mut threads = Vec::new();
    let parts = sockets.into_iter().zip(receivers).zip(message_receivers);
    for (number, ((socket, commands), shard_messages)) in parts.enumerate() {
        let id = ShardId(u8::try_from(number)?);
        let shard = Shard::new(quic.shard_config(config, id)?);
        let (events, shards, monitor) =
            (events.clone(), message_senders.clone(), Arc::clone(monitor));
        let wire =
            move |socket| Wiring { id, socket, events, commands, shards, shard_messages, monitor };
        let thread = std::thread::Builder::new().name(format!("shard-{number}"));
        threads.push(thread.spawn(move || run_shard(shard, socket, wire))?);
    }
    Ok(Shards { commands: senders, threads })
}

fn run_shard(
    shard: Shard,
    socket: UdpSocket,
    wire: impl FnOnce(BatchSocket) -> Wiring,
) -> io::Result<()> {
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
/// connection; a heap that has been large before grows without. Freed blocks cost no memory.
fn stretch_heap() {
    let blocks: Vec<Vec<u8>> =
        (0..HEAP_BLOCKS).map(|_| Vec::with_capacity(HEAP_BLOCK_BYTES)).collect();
    std::hint::black_box(blocks);
}

/// Binds a socket for each shard, all to one address.
///
/// # Errors
/// A sentence about an address that cannot be listened on.
pub(super) fn bind_all(config: &Config) -> Result<Vec<UdpSocket>> {
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
