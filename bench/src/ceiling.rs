//! `tribune-bench ceiling`: what the machine allows. Each datagram is sealed with a key of its own, its
//! header masked, and sent to a socket of its own, in batches; nothing else is done. What a relay
//! costs above this is the price of QUIC and of the relay.

use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rand::TryRngCore;
use rand::rngs::OsRng;
use ring::aead::quic::HeaderProtectionKey;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey, quic};
use serde::Serialize;
use tribune_protocol::limits::{FRAME_PERIOD, MAX_OPUS_BYTES};
use tribune_relay::shard::Outgoing;
use tribune_relay::shard::socket::{BatchSocket, SEND_BATCH, bind};

use tribune_bench::accounting::{
    machine, machine_cpu, process_cpu, process_drops, this_thread_cpu,
};

/// Of a short header (RFC 9000 section 17.3.1): a byte, a connection ID of 8, a packet number of 2.
const HEADER_BYTES: usize = 11;
/// Of the DATAGRAM frame, the media datagram and the frame in it, before the Opus bytes.
const FRAMING_BYTES: usize = 11;
/// Of AES-128-GCM's tag.
const TAG_BYTES: usize = 16;
/// Where the sample for the header's mask begins: as if the packet number had 4 bytes (RFC 9001
/// section 5.4.2).
const SAMPLE_AT: usize = HEADER_BYTES - 2 + 4;
/// Bytes of that sample.
const SAMPLE_BYTES: usize = 16;
/// Rest between two sweeps of the receivers: none of them is waited on.
const SWEEP: Duration = Duration::from_millis(2);

/// What to send.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CeilingPlan {
    /// Receivers, each with a key and a socket of its own.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) listeners: u32,
    /// Length of the run, in seconds; a datagram to each receiver every 20 ms.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_200))]
    pub(crate) seconds: u32,
    /// Opus bytes in a frame.
    #[arg(long, value_name = "BYTES", default_value_t = 120, value_parser = clap::value_parser!(u16).range(1..=MAX_OPUS_BYTES as i64))]
    pub(crate) frame_bytes: u16,
}

/// What it took. The fields are the JSON; units are in the names.
#[derive(Debug, Serialize)]
pub(crate) struct CeilingReport {
    pub(crate) machine: String,
    pub(crate) listeners: u32,
    pub(crate) packet_bytes: usize,
    pub(crate) datagrams: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_us_per_datagram: f64,
    pub(crate) kernel_drops: u64,
    pub(crate) packets_refused: u64,
    pub(crate) other_processes_cores: f64,
}

/// Sends on schedule, and measures the sending thread.
///
/// # Errors
/// Sockets or keys cannot be had.
pub(crate) fn run(plan: &CeilingPlan) -> Result<CeilingReport> {
    let receivers = (0..plan.listeners).map(|_| bind(([127, 0, 0, 1], 0).into(), false));
    let receivers =
        receivers.collect::<std::io::Result<Vec<_>>>().context("a receiver's socket")?;
    let addresses = receivers.iter().map(UdpSocket::local_addr);
    let addresses = addresses.collect::<std::io::Result<Vec<_>>>()?;
    let stop = Arc::new(AtomicBool::new(false));
    let received = Arc::new(AtomicU64::new(0));
    let sweeper = {
        let (stop, received) = (Arc::clone(&stop), Arc::clone(&received));
        std::thread::spawn(move || sweep(&receivers, &stop, &received))
    };
    let report = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(send(plan, &addresses));
    stop.store(true, Ordering::Relaxed);
    sweeper.join().map_err(|_| anyhow!("the receivers' thread panicked"))?;
    report
}

/// Takes what has come off all sockets, again and again.
fn sweep(receivers: &[UdpSocket], stop: &AtomicBool, received: &AtomicU64) {
    let mut buffer = [0; 2_048];
    while !stop.load(Ordering::Relaxed) {
        for receiver in receivers {
            while receiver.recv(&mut buffer).is_ok() {
                received.fetch_add(1, Ordering::Relaxed);
            }
        }
        std::thread::sleep(SWEEP);
    }
}

/// One receiver as its sender knows it.
struct Line {
    address: SocketAddr,
    seal: LessSafeKey,
    mask: HeaderProtectionKey,
}

async fn send(plan: &CeilingPlan, addresses: &[SocketAddr]) -> Result<CeilingReport> {
    let socket = BatchSocket::new(bind(([127, 0, 0, 1], 0).into(), false)?)?;
    socket.writable().await?;
    let lines = addresses.iter().map(|address| Line::new(*address)).collect::<Result<Vec<_>>>()?;
    let mut payload = vec![0; FRAMING_BYTES + usize::from(plan.frame_bytes)];
    OsRng.try_fill_bytes(&mut payload).context("the system gives no random numbers")?;
    let mut batch: Vec<Outgoing> = Vec::new();
    batch.resize_with(SEND_BATCH, Outgoing::default);

    let rounds = plan.seconds * 50;
    let own = std::process::id();
    let (started, cpu, drops) = (Instant::now(), this_thread_cpu()?, process_drops(own)?);
    let (machine_before, own_before) = (machine_cpu()?, process_cpu(own)?);
    let (mut datagrams, mut refused) = (0, 0);
    for round in 0..rounds {
        let due = started + FRAME_PERIOD * round;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        for lines in lines.chunks(SEND_BATCH) {
            for (line, out) in lines.iter().zip(&mut batch) {
                line.seal(round, &payload, out)?;
            }
            let mut errors = 0;
            let sent = socket.send(&batch[..lines.len()], |_| errors += 1);
            refused += (lines.len() - sent) as u64 + errors;
            datagrams += lines.len() as u64;
            // The reactor notices when the socket is writable again.
            if sent < lines.len() {
                socket.writable().await?;
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let cpu = this_thread_cpu()? - cpu;
    let others = (machine_cpu()? - machine_before).saturating_sub(process_cpu(own)? - own_before);
    Ok(CeilingReport {
        machine: machine(),
        listeners: plan.listeners,
        packet_bytes: HEADER_BYTES + payload.len() + TAG_BYTES,
        datagrams,
        seconds,
        cpu_us_per_datagram: cpu.as_secs_f64() * 1e6 / datagrams.max(1) as f64,
        kernel_drops: process_drops(own)? - drops,
        packets_refused: refused,
        other_processes_cores: others.as_secs_f64() / seconds,
    })
}

impl Line {
    fn new(address: SocketAddr) -> Result<Self> {
        let mut secrets = [0; 32];
        OsRng.try_fill_bytes(&mut secrets).context("the system gives no random numbers")?;
        let (seal, mask) = secrets.split_at(16);
        let seal =
            UnboundKey::new(&AES_128_GCM, seal).map_err(|_| anyhow!("16 bytes are a key"))?;
        let mask = HeaderProtectionKey::new(&quic::AES_128, mask);
        let mask = mask.map_err(|_| anyhow!("16 bytes are a key"))?;
        Ok(Self { address, seal: LessSafeKey::new(seal), mask })
    }

    /// Builds a packet as QUIC would: header, sealed payload, tag, then the header's mask.
    fn seal(&self, number: u32, payload: &[u8], out: &mut Outgoing) -> Result<()> {
        out.destination = Some(self.address);
        let packet = &mut out.payload;
        packet.clear();
        packet.push(0x41); // fixed bit, two bytes of packet number
        packet.extend_from_slice(&[7; 8]);
        packet.extend_from_slice(&(number as u16).to_be_bytes());
        packet.extend_from_slice(payload);
        let (header, body) = packet.split_at_mut(HEADER_BYTES);
        let mut nonce = [0; 12];
        nonce[8..].copy_from_slice(&number.to_be_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.seal.seal_in_place_separate_tag(nonce, Aad::from(&*header), body);
        let tag = tag.map_err(|_| anyhow!("a datagram cannot be sealed"))?;
        packet.extend_from_slice(tag.as_ref());
        let mask = self.mask.new_mask(&packet[SAMPLE_AT..SAMPLE_AT + SAMPLE_BYTES]);
        let mask = mask.map_err(|_| anyhow!("a header cannot be masked"))?;
        packet[0] ^= mask[0] & 0x1f;
        packet[HEADER_BYTES - 2] ^= mask[1];
        packet[HEADER_BYTES - 1] ^= mask[2];
        Ok(())
    }
}

impl fmt::Display for CeilingReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "  {name:<36}{value}");
        row(
            "ceiling",
            format!(
                "AES-128-GCM and header mask by {} keys, {} bytes to as many sockets / 20 ms, {:.1} s",
                self.listeners, self.packet_bytes, self.seconds
            ),
        )?;
        row("machine", self.machine.clone())?;
        row("other processes meanwhile", format!("{:.2} cores", self.other_processes_cores))?;
        row("kernel drops", format!("{}, refused {}", self.kernel_drops, self.packets_refused))?;
        row("CPU per datagram", format!("{:.1} µs", self.cpu_us_per_datagram))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_can_be_opened_again() {
        let line = Line::new(([127, 0, 0, 1], 1).into()).unwrap();
        let payload = [9; 140];
        let mut out = Outgoing::default();
        line.seal(258, &payload, &mut out).unwrap();
        let mut packet = out.payload;
        assert_eq!(packet.len(), HEADER_BYTES + payload.len() + TAG_BYTES);
        let sample = &packet[SAMPLE_AT..SAMPLE_AT + SAMPLE_BYTES];
        let mask = line.mask.new_mask(sample).unwrap();
        packet[0] ^= mask[0] & 0x1f;
        packet[9] ^= mask[1];
        packet[10] ^= mask[2];
        assert_eq!((packet[0], &packet[9..11]), (0x41, &[1, 2][..]));
        let (header, body) = packet.split_at_mut(HEADER_BYTES);
        let nonce = Nonce::assume_unique_for_key([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        let opened = line.seal.open_in_place(nonce, Aad::from(&*header), body).unwrap();
        assert_eq!(opened, payload);
    }
}
