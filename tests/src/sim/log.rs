//! Event log of a run, in order: every packet, every control message, every frame heard. Two runs
//! of one seed have equal logs.

use std::fmt;
use std::time::Duration;

use super::HostId;
use crate::fingerprint::Fingerprint;

/// Fate of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives then.
    Arrives(Duration),
    /// The link loses it.
    Lost,
    /// The link is cut.
    Cut,
    /// Nobody has the address.
    Nowhere,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Virtual time, in microseconds.
    pub at_us: u64,
    /// The host.
    pub host: HostId,
    /// The event.
    pub event: Event,
}

/// Content of an [`Entry`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The host sent a packet.
    Packet {
        /// Its receiver.
        to: Option<HostId>,
        /// Size of the UDP payload.
        bytes: usize,
        /// Its fate.
        fate: Fate,
    },
    /// The host, a client, heard a frame.
    Frame {
        /// Its track.
        track: u32,
        /// Its place in the track.
        seq: u16,
        /// The count of media datagrams of the client.
        datagram: u32,
    },
    /// A control message in words, or something that the test did.
    Note(String),
}

/// All events of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Log {
    entries: Vec<Entry>,
}

impl Log {
    /// The events in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The first event in which two logs differ, in words; `None` if they are the same.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        let at = self.entries.iter().zip(&other.entries).position(|(a, b)| a != b);
        if let Some(at) = at {
            let (a, b) = (&self.entries[at], &other.entries[at]);
            return Some(format!("event {at} differs:\n  {a}\n  {b}"));
        }
        let (a, b) = (self.entries.len(), other.entries.len());
        (a != b).then(|| format!("one has {a} events, the other {b}"))
    }

    /// One number for all events in order.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        for entry in &self.entries {
            fingerprint.add(entry.to_string().as_bytes());
        }
        fingerprint
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }
}

impl Entry {
    pub(super) fn packet(
        at: Duration,
        host: HostId,
        to: Option<HostId>,
        bytes: usize,
        fate: Fate,
    ) -> Self {
        Self { at_us: at.as_micros() as u64, host, event: Event::Packet { to, bytes, fate } }
    }

    pub(super) fn frame(at: Duration, host: HostId, track: u32, seq: u16, datagram: u32) -> Self {
        Self { at_us: at.as_micros() as u64, host, event: Event::Frame { track, seq, datagram } }
    }

    pub(super) fn note(at: Duration, host: HostId, text: String) -> Self {
        Self { at_us: at.as_micros() as u64, host, event: Event::Note(text) }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12} host {:<3} ", self.at_us, self.host.0)?;
        match &self.event {
            Event::Packet { to, bytes, fate } => {
                let to = to.map_or_else(|| "nobody".to_owned(), |to| to.0.to_string());
                match fate {
                    Fate::Arrives(at) => write!(f, "-> {to}: {bytes} B, at {}", at.as_micros()),
                    Fate::Lost => write!(f, "-> {to}: {bytes} B, lost"),
                    Fate::Cut => write!(f, "-> {to}: {bytes} B, cut off"),
                    Fate::Nowhere => write!(f, "-> {to}: {bytes} B"),
                }
            }
            Event::Frame { track, seq, datagram } => {
                write!(f, "hears track {track} frame {seq} in datagram {datagram}")
            }
            Event::Note(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}
