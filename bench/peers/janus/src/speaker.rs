//! Speaker: RTP packets with stamped frames to Janus's mountpoint, each when it is due.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Instant;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use tribune_bench::contender::latencies;
use tribune_bench::frame::{Schedule, Stamp};

/// RTP payload type of Opus: the number that browsers use.
pub(crate) const PAYLOAD_TYPE: u8 = 111;
/// Bytes of an RTP header without extensions (RFC 3550 section 5.1).
const HEADER_BYTES: usize = 12;
/// RTP timestamp units of a 20 ms frame: Opus has a 48 kHz clock (RFC 7587 section 4.1).
const TICKS_PER_FRAME: u32 = 960;
/// SSRC of the only stream.
const SOURCE: u32 = 0x7472_6962;

/// RTP state of the speaker, kept across windows.
#[derive(Debug)]
pub(crate) struct Speaker {
    socket: UdpSocket,
    /// Packets sent so far.
    sent: u32,
    packet: Vec<u8>,
}

impl Speaker {
    /// Speaker of a mountpoint.
    ///
    /// # Errors
    /// No socket can be opened.
    pub(crate) fn new(mountpoint: SocketAddr, frame_bytes: usize) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("the speaker's socket")?;
        socket.connect(mountpoint).context("the speaker's socket")?;
        // The content is arbitrary: Janus does not decode Opus.
        Ok(Self { socket, sent: 0, packet: vec![0xa5; HEADER_BYTES + frame_bytes] })
    }

    /// Sends all frames of a window. Returns the lateness of the measured ones, in microseconds.
    ///
    /// # Errors
    /// The mountpoint has closed its port.
    pub(crate) fn speak(&mut self, schedule: &Schedule, window: u16) -> Result<Histogram<u64>> {
        let mut lateness_us = latencies()?;
        for index in 0..schedule.frames() {
            let due = schedule.due(index, 0, 1);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let due_ns = (due - schedule.start).as_nanos() as u64;
            self.write(&Stamp { room: window, speaker: 0, index, due_ns });
            if schedule.measured_place(index).is_some() {
                lateness_us.saturating_record(due.elapsed().as_micros() as u64);
            }
            self.socket.send(&self.packet).context("Janus's mountpoint takes no RTP")?;
            self.sent = self.sent.wrapping_add(1);
        }
        Ok(lateness_us)
    }

    fn write(&mut self, stamp: &Stamp) {
        let (header, frame) = self.packet.split_at_mut(HEADER_BYTES);
        header[0] = 2 << 6; // the version
        header[1] = PAYLOAD_TYPE;
        header[2..4].copy_from_slice(&(self.sent as u16).to_be_bytes());
        header[4..8].copy_from_slice(&self.sent.wrapping_mul(TICKS_PER_FRAME).to_be_bytes());
        header[8..].copy_from_slice(&SOURCE.to_be_bytes());
        stamp.write(frame);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_window_is_said_in_order_and_the_next_one_goes_on() {
        let mountpoint = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        mountpoint.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut speaker = Speaker::new(mountpoint.local_addr().unwrap(), 30).unwrap();
        let mut packet = [0; 100];
        for window in 1..=2 {
            let schedule = Schedule { start: Instant::now(), before: 1, measured: 2, after: 0 };
            assert_eq!(speaker.speak(&schedule, window).unwrap().len(), 2);
            for index in 0..3 {
                let bytes = mountpoint.recv(&mut packet).unwrap();
                assert_eq!((bytes, packet[0], packet[1]), (42, 0x80, 111));
                let sent = index + 3 * (u32::from(window) - 1);
                assert_eq!(packet[2..4], (sent as u16).to_be_bytes());
                assert_eq!(packet[4..8], (sent * 960).to_be_bytes());
                let stamp = Stamp::read(&packet[HEADER_BYTES..bytes]).unwrap();
                assert_eq!((stamp.room, stamp.index), (window, index));
                assert_eq!(stamp.due_ns, u64::from(index) * 20_000_000);
            }
        }
    }
}
