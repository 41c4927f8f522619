//! Speakers: one connection that announces a broadcast with a track per speaker, and a thread that writes
//! frames when they are due.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use hdrhistogram::Histogram;
use moq_net::bytes::Bytes;
use moq_net::{Timestamp, group, track};
use moq_tokio::Connection;
use tribune_bench::contender::latencies;
use tribune_bench::frame::Stamp;

use crate::heard::Span;
use crate::relay::Relay;

/// Name of the broadcast.
pub(crate) const BROADCAST: &str = "speech";
/// Most speakers: each is a subscription of each listener.
pub(crate) const MAX_SPEAKERS: u16 = 16;
/// Time for the relay to accept the broadcast.
const OPEN_WITHIN: Duration = Duration::from_secs(10);

/// Period in which a lost connection is polled.
const GLANCE: Duration = Duration::from_millis(10);

/// Transport of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Groups, a QUIC stream each.
    Groups {
        /// Frames in a group.
        frames: u32,
    },
    /// QUIC datagrams, one each.
    Datagrams,
}

/// Name of a speaker's track.
pub(crate) fn track_name(speaker: u16) -> String {
    format!("speaker-{speaker}")
}

/// Speakers, silent between windows.
pub(crate) struct Stage {
    voices: Vec<Voice>,
    frame: Vec<u8>,
    delivery: Delivery,
    windows: u16,
    connection: Connection,
}

/// Track of a speaker, with its open group.
struct Voice {
    track: track::Producer,
    group: Option<group::Producer>,
}

impl Stage {
    /// Announces the broadcast.
    ///
    /// # Errors
    /// The relay is not reached within ten seconds.
    pub(crate) fn open(relay: &Relay, delivery: Delivery, frame_bytes: usize) -> Result<Self> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let (url, certificate) = (relay.url()?, relay.certificate());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let hold = async move {
            let opened = async {
                let origin = moq_tokio::origin::spawn();
                let broadcast = origin.create_broadcast(BROADCAST)?;
                let tracks = (0..MAX_SPEAKERS)
                    .map(|speaker| Ok(broadcast.create_track(track_name(speaker), None)?))
                    .collect::<Result<Vec<_>>>()?;
                broadcast.announce(moq_net::origin::Route::default())?;
                let client = crate::relay::client(&certificate)?.with_publisher(&origin);
                let connection = client.connect(url).established().await?;
                anyhow::Ok((tracks, (origin, broadcast, client, connection)))
            };
            match opened.await {
                Ok((tracks, (_origin, _broadcast, _client, connection))) => {
                    let _ = sender.send(Ok((tracks, connection.clone())));
                    if let Err(error) = connection.closed().await {
                        eprintln!("the speakers are cut off: {error}");
                    }
                }
                Err(error) => drop(sender.send(Err(error))),
            }
        };
        let thread = std::thread::Builder::new().name("speakers".to_owned());
        thread.spawn(move || runtime.block_on(hold))?;
        let tracks = receiver.recv_timeout(OPEN_WITHIN);
        let (tracks, connection) =
            tracks.map_err(|_| anyhow!("no relay within {OPEN_WITHIN:?}"))??;
        let voices = tracks.into_iter().map(|track| Voice { track, group: None }).collect();
        Ok(Self { voices, frame: vec![0x5a; frame_bytes], delivery, windows: 0, connection })
    }

    /// Waits until the speakers are connected, ten seconds at most: an overloaded relay loses them, and they
    /// redial by themselves.
    pub(crate) fn wait_for_relay(&self) {
        let began = Instant::now();
        while !self.connection.connected() && began.elapsed() < OPEN_WITHIN {
            std::thread::sleep(GLANCE);
        }
    }

    /// Number of the next window, so that frames of different windows are told apart.
    pub(crate) const fn next_window(&mut self) -> u16 {
        self.windows = self.windows.wrapping_add(1);
        self.windows
    }

    /// Writes a window's frames on an open-loop schedule. Returns their lateness, in microseconds.
    ///
    /// # Errors
    /// The track is closed.
    pub(crate) fn speak(&mut self, span: &Span, speakers: u16) -> Result<Histogram<u64>> {
        let mut late = latencies()?;
        let schedule = &span.schedule;
        for index in 0..schedule.frames() {
            for (speaker, voice) in (0..speakers).zip(&mut self.voices) {
                let due = schedule.due(index, speaker.into(), speakers.into());
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let due_ns = (due - schedule.start).as_nanos() as u64;
                Stamp { room: span.number, speaker, index, due_ns }.write(&mut self.frame);
                let delay = Instant::now().saturating_duration_since(due);
                late.saturating_record(delay.as_micros() as u64);
                let frame = Bytes::copy_from_slice(&self.frame);
                let last = index + 1 == schedule.frames();
                voice.say(frame, self.delivery, last).context("the relay takes no more frames")?;
            }
        }
        Ok(late)
    }
}

impl Voice {
    fn say(&mut self, frame: Bytes, delivery: Delivery, last: bool) -> Result<(), moq_net::Error> {
        let now = Timestamp::now();
        let frames = match delivery {
            Delivery::Groups { frames } => frames,
            Delivery::Datagrams => return self.track.append_datagram(now, frame).map(drop),
        };
        let mut group = match self.group.take() {
            Some(group) => group,
            None => self.track.append_group()?,
        };
        group.write_frame(now, frame)?;
        if last || group.frame_count() >= frames as usize {
            return group.finish();
        }
        self.group = Some(group);
        Ok(())
    }
}
