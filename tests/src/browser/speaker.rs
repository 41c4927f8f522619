//! A native speaker whose packets can be broken on purpose: the relays carry them as they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use tribune_client::audio::source::Source;
use tribune_client::audio::speak::SpeakerPipeline;
use tribune_client::session::tls::Trust;
use tribune_client::session::{Config, Event, Incoming, Session, SpokenFrame, identity, start};
use tribune_protocol::control::participant::Join;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::Seq;
use tribune_protocol::media::datagram::Level;

use crate::process::{Relay, wait_for};

/// Duration of a frame.
const FRAME: Duration = Duration::from_millis(20);
/// Bits per second of the tone.
const BITRATE_BPS: u32 = 32_000;
/// An Opus packet that says that it has frames of its own number, and that the number is 0 (RFC 6716, 3.2.5: not
/// allowed).
const BROKEN: &[u8] = &[0x7b, 0x00, 0x55, 0x55];
/// Time limit of its join.
const JOIN: Duration = Duration::from_secs(20);

/// A tone in a room. It ends when this is dropped.
#[derive(Debug)]
pub struct Speaker {
    sent: Arc<AtomicU64>,
    breaks: Arc<AtomicBool>,
    _runtime: Runtime,
}

impl Speaker {
    /// Joins, and speaks without a pause from then on.
    ///
    /// # Errors
    /// If it is not let in.
    pub fn tone(relay: &Relay, room: &str, name: &str, hertz: f32) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let config = Config {
            addresses: vec![relay.address().to_string().parse()?],
            trust: Trust::Pinned(relay.fingerprint().parse()?),
            join: Join {
                room: room.parse()?,
                session: identity::new_key(),
                name: name.parse()?,
                role: Role::Speaker,
                token: None,
                returning: false,
                heard: Vec::new(),
                profile: None,
                redundancy: false,
                way: None,
                share: None,
                stay_s: None,
            },
            waits_for_room: false,
            playout_delay: None,
        };
        let (sent, breaks) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        {
            let _inside = runtime.enter();
            let (session, incoming) = start(config)?;
            let source = Source::tone(hertz)?;
            let pipeline = SpeakerPipeline::new(BITRATE_BPS, 0)?;
            tokio::spawn(follow(incoming));
            tokio::spawn(speak(session, source, pipeline, Arc::clone(&sent), Arc::clone(&breaks)));
        }
        Ok(Self { sent, breaks, _runtime: runtime })
    }

    /// Frames sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Breaks the next packet, and waits until it is sent and ten whole ones after it.
    ///
    /// # Errors
    /// If it does not speak any more.
    pub fn break_one(&self) -> Result<()> {
        self.breaks.store(true, Ordering::Relaxed);
        wait_for("a broken packet to be sent", JOIN, || {
            Ok((!self.breaks.load(Ordering::Relaxed)).then_some(()))
        })?;
        let until = self.sent() + 10;
        wait_for("whole packets after it", JOIN, || Ok((self.sent() >= until).then_some(())))
    }
}

async fn follow(mut incoming: Incoming) {
    loop {
        tokio::select! {
            // Nobody else is heard.
            Some(_) = incoming.frames.recv() => {}
            event = incoming.events.recv() => match event {
                None | Some(Event::Ended(_)) => return,
                Some(_) => {}
            },
        }
    }
}

async fn speak(
    session: Session,
    mut source: Source,
    mut pipeline: SpeakerPipeline,
    sent: Arc<AtomicU64>,
    breaks: Arc<AtomicBool>,
) -> Result<()> {
    let mut ticks = tokio::time::interval(FRAME);
    loop {
        ticks.tick().await;
        let frame = source.next_frame()?.context("a tone has no end")?;
        let Some(next) = pipeline.handle_frame(&frame, false)? else { continue };
        let is_broken = breaks.load(Ordering::Relaxed);
        let taken = session.send_frame(SpokenFrame {
            seq: Seq(next.seq),
            level: Level { voice: next.voice, minus_dbov: next.level_dbov },
            talkspurt_end: next.talkspurt_end,
            opus: if is_broken { Bytes::from_static(BROKEN) } else { next.opus },
            captured: Instant::now(),
        });
        if taken {
            sent.fetch_add(1, Ordering::Relaxed);
            if is_broken {
                breaks.store(false, Ordering::Relaxed);
            }
        }
    }
}
