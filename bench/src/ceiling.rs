//! `tribune-bench ceiling`: the machine's upper limit of fan-out. Each datagram is sealed with a key of its
//! own, its header masked, and sent to a socket of its own, in batches; nothing else is done. The CPU of a
//! relay beyond this is the cost of QUIC and of the relay.

use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use hdrhistogram::Histogram;
use rand::TryRng;
use rand::rngs::SysRng;
use ring::aead::quic::HeaderProtectionKey;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey, quic};
use serde::Serialize;
use tokio::runtime::Runtime;
use tribune_protocol::limits::{FRAME_PERIOD, MAX_OPUS_BYTES};
use tribune_relay::drivers::socket::{BatchSocket, SEND_BATCH, bind};
use tribune_relay_core::shard::Outgoing;

use tribune_bench::accounting::{machine, this_thread_cpu};
use tribune_bench::contender::{Meter, latencies};

use crate::pool::sockets::allow_sockets;

/// Bytes of a short header (RFC 9000 section 17.3.1): flags 1, connection ID 8, packet number 2.
const HEADER_BYTES: usize = 11;
/// Bytes of the DATAGRAM frame, the media datagram and the frame in it, before the Opus bytes.
const FRAMING_BYTES: usize = 11;
/// Bytes of AES-128-GCM's tag.
const TAG_BYTES: usize = 16;
/// Start of the sample for the header's mask: as if the packet number had 4 bytes (RFC 9001 section 5.4.2).
const SAMPLE_AT: usize = HEADER_BYTES - 2 + 4;
/// Bytes of that sample.
const SAMPLE_BYTES: usize = 16;
/// Pause between two sweeps of the receivers' sockets, which are polled without a reactor.
const SWEEP: Duration = Duration::from_millis(2);

/// Receivers, length and frame size of a run.
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

/// Cost of a run. The fields are the JSON; units are in the names.
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
/// Sockets or keys cannot be created.
pub(crate) fn run(plan: &CeilingPlan) -> Result<CeilingReport> {
    let mut ceiling = Ceiling::open(plan.listeners, plan.frame_bytes)?;
    let meter = Meter::start(&[])?;
    let sent = ceiling.send(1, Duration::from_secs(plan.seconds.into()), Counted::Yes)?;
    let reading = meter.read()?;
    let seconds = reading.span.as_secs_f64();
    Ok(CeilingReport {
        machine: machine(),
        listeners: plan.listeners,
        packet_bytes: HEADER_BYTES + FRAMING_BYTES + usize::from(plan.frame_bytes) + TAG_BYTES,
        datagrams: sent.datagrams,
        seconds,
        cpu_us_per_datagram: sent.cpu.as_secs_f64() * 1e6 / sent.datagrams.max(1) as f64,
        kernel_drops: reading.drops,
        packets_refused: sent.refused,
        other_processes_cores: reading.others.as_secs_f64() / seconds,
    })
}

/// Whether the receivers count a datagram.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counted {
    /// In the measured span.
    Yes,
    /// Before and after it.
    No,
}

impl Counted {
    /// Byte of the connection ID, which is not encrypted.
    const fn mark(self) -> u8 {
        match self {
            Self::Yes => 8,
            Self::No => 7,
        }
    }
}

/// Sender on the calling thread, with its receivers on a thread of their own.
pub(crate) struct Ceiling {
    runtime: Runtime,
    socket: BatchSocket,
    lines: Vec<Line>,
    payload: Vec<u8>,
    batch: Vec<Outgoing>,
    /// Packets sent to each receiver, so that no nonce is used twice.
    number: u32,
    stop: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    sweeper: Option<JoinHandle<()>>,
}

/// Cost of sending.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Datagrams over all receivers.
    pub(crate) datagrams: u64,
    /// Datagrams that the kernel did not accept.
    pub(crate) refused: u64,
    /// CPU time of the sending thread.
    pub(crate) cpu: Duration,
    /// Lateness of a frame's first datagram, in microseconds.
    pub(crate) lateness_us: Histogram<u64>,
}

impl Ceiling {
    /// Opens a socket and creates a key for each receiver.
    ///
    /// # Errors
    /// Sockets or keys cannot be created.
    pub(crate) fn open(listeners: u32, frame_bytes: u16) -> Result<Self> {
        allow_sockets(listeners as usize)?;
        let receivers = (0..listeners).map(|_| bind(([127, 0, 0, 1], 0).into(), false));
        let receivers =
            receivers.collect::<std::io::Result<Vec<_>>>().context("a receiver's socket")?;
        let addresses = receivers.iter().map(UdpSocket::local_addr);
        let lines = addresses.map(|address| Line::new(address?)).collect::<Result<Vec<_>>>()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let socket = runtime.block_on(async {
            let socket = BatchSocket::new(bind(([127, 0, 0, 1], 0).into(), false)?)?;
            socket.writable().await?;
            anyhow::Ok(socket)
        })?;
        let mut payload = vec![0; FRAMING_BYTES + usize::from(frame_bytes)];
        SysRng.try_fill_bytes(&mut payload).context("the system gives no random numbers")?;
        let mut batch: Vec<Outgoing> = Vec::new();
        batch.resize_with(SEND_BATCH, Outgoing::default);
        let (stop, received) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let sweeper = {
            let (stop, received) = (Arc::clone(&stop), Arc::clone(&received));
            std::thread::spawn(move || sweep(&receivers, &stop, &received))
        };
        let sweeper = Some(sweeper);
        Ok(Self { runtime, socket, lines, payload, batch, number: 0, stop, received, sweeper })
    }

    /// Sends for `time`: every 20 ms a datagram of each speaker to each receiver, the speakers spread over the
    /// period.
    ///
    /// # Errors
    /// A datagram cannot be sealed.
    pub(crate) fn send(&mut self, speakers: u16, time: Duration, counted: Counted) -> Result<Sent> {
        let frames = time.as_nanos() / FRAME_PERIOD.as_nanos() * u128::from(speakers);
        let started = Instant::now();
        let cpu = this_thread_cpu()?;
        let mut sent =
            Sent { datagrams: 0, refused: 0, cpu: Duration::ZERO, lateness_us: latencies()? };
        for frame in 0..frames as u32 {
            let due = started + FRAME_PERIOD * frame / u32::from(speakers);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            sent.lateness_us.saturating_record(due.elapsed().as_micros() as u64);
            self.number = self.number.wrapping_add(1);
            for lines in self.lines.chunks(SEND_BATCH) {
                for (line, out) in lines.iter().zip(&mut self.batch) {
                    line.seal(self.number, counted, &self.payload, out)?;
                }
                let batch = &self.batch[..lines.len()];
                sent.refused += self.runtime.block_on(send_batch(&self.socket, batch))?;
                sent.datagrams += lines.len() as u64;
            }
        }
        // The last frame has its full period too.
        let end = started + FRAME_PERIOD * (frames as u32) / u32::from(speakers);
        std::thread::sleep(end.saturating_duration_since(Instant::now()));
        sent.cpu = this_thread_cpu()? - cpu;
        Ok(sent)
    }

    /// Counted datagrams that receivers received since the start.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl Drop for Ceiling {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(sweeper) = self.sweeper.take() {
            let _ = sweeper.join();
        }
    }
}

/// Returns the number of packets that the kernel did not accept.
async fn send_batch(socket: &BatchSocket, batch: &[Outgoing]) -> Result<u64> {
    let mut errors = 0;
    let sent = socket.send(batch, |_| errors += 1);
    // The reactor notices when the socket is writable again.
    if sent < batch.len() {
        socket.writable().await?;
    }
    Ok((batch.len() - sent) as u64 + errors)
}

/// Receives from all sockets until told to stop.
fn sweep(receivers: &[UdpSocket], stop: &AtomicBool, received: &AtomicU64) {
    let mut buffer = [0; 2_048];
    while !stop.load(Ordering::Relaxed) {
        for receiver in receivers {
            while receiver.recv(&mut buffer).is_ok() {
                received.fetch_add(u64::from(buffer[1] == Counted::Yes.mark()), Ordering::Relaxed);
            }
        }
        std::thread::sleep(SWEEP);
    }
}

/// Receiver at the sender: address and keys.
struct Line {
    address: SocketAddr,
    seal: LessSafeKey,
    mask: HeaderProtectionKey,
}

impl Line {
    fn new(address: SocketAddr) -> Result<Self> {
        let mut secrets = [0; 32];
        SysRng.try_fill_bytes(&mut secrets).context("the system gives no random numbers")?;
        let (seal, mask) = secrets.split_at(16);
        let seal =
            UnboundKey::new(&AES_128_GCM, seal).map_err(|_| anyhow!("16 bytes are a key"))?;
        let mask = HeaderProtectionKey::new(&quic::AES_128, mask);
        let mask = mask.map_err(|_| anyhow!("16 bytes are a key"))?;
        Ok(Self { address, seal: LessSafeKey::new(seal), mask })
    }

    /// Builds a packet as QUIC would: header, sealed payload, tag, then the header's mask.
    fn seal(
        &self,
        number: u32,
        counted: Counted,
        payload: &[u8],
        out: &mut Outgoing,
    ) -> Result<()> {
        out.destination = Some(self.address);
        let packet = &mut out.payload;
        packet.clear();
        packet.push(0x41); // fixed bit, two bytes of packet number
        packet.extend_from_slice(&[counted.mark(); 8]);
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
        line.seal(258, Counted::Yes, &payload, &mut out).unwrap();
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
