//! Arguments of `tribune-bench load`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tribune_bench::frame::SENT_STAMP_BYTES;
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::limits::{MAX_OPUS_BYTES, MAX_STAGE, MAX_TREE_DEPTH};
use tribune_relay::config::Fingerprint;

use super::churn::Arrivals;
use super::spec::LoadSpec;

/// Arguments of a load.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LoadPlan {
    /// Listeners in all.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) listeners: u32,
    /// Speakers of each room, all talking; the relay passes on its --top-n loudest.
    #[arg(long, value_name = "M", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=MAX_STAGE as i64))]
    pub(crate) speakers: u16,
    /// Rooms that the listeners are dealt over.
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) rooms: u16,
    /// Length of the measured span, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1_200))]
    pub(crate) seconds: u32,
    /// Opus bytes in a frame; one frame every 20 ms.
    #[arg(long, value_name = "BYTES", default_value_t = 120, value_parser = clap::value_parser!(u16).range(SENT_STAMP_BYTES as i64..=MAX_OPUS_BYTES as i64))]
    pub(crate) frame_bytes: u16,
    /// Joins begun in a second.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) join_rate: u32,
    /// Threads of listeners; the speakers have one of their own.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) threads: u8,
    /// Listeners that share a UDP socket, and so an address that the relay sends to.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) per_socket: u32,
    /// Round trip between listeners and relay, in milliseconds: the generator holds their packets for
    /// half of it in both directions. Latencies are taken before that, when a packet comes off its
    /// socket. Speakers are at 0.
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1_000))]
    pub(crate) rtt: u16,
    /// Packets between listeners and relay that are lost from the moment that all are in, in percent in each
    /// direction. Listeners then ask for what they miss, as participants do, and what does not come in spite
    /// of that is the path's loss.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, conflicts_with_all = ["churn", "storm"], value_parser = clap::value_parser!(u8).range(0..=50))]
    pub(crate) loss: u8,
    /// Relays in a chain: speakers at the first, listeners at the last, whose costs are reported.
    #[arg(long, value_name = "D", default_value_t = 1, conflicts_with = "url", value_parser = clap::value_parser!(u8).range(1..=MAX_TREE_DEPTH as i64))]
    pub(crate) depth: u8,
    /// Listeners that come and leave each second of the measured span, beside those who stay. Each
    /// stays for a second once it is in; what they hear is not expected of the relay.
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "storm", value_parser = clap::value_parser!(u32).range(0..=5_000))]
    pub(crate) churn: u32,
    /// Listeners that join within one second in the middle of the measured span, and stay: the gaps
    /// that this adds for those who are there are reported. Takes a span of at least 2 s.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) storm: u32,
    /// Has speakers and listeners ask for the origin's time as real participants do, each with a wrong
    /// clock of its own; speakers tell when a frame a second was captured, listeners report every 5 s,
    /// guests do not. Compares the latencies that are reported with the moments that the generator
    /// knows, and after the speech with what has come of them at the first relay, if it is started here.
    /// Nothing is played: latencies end at arrival, jitter and buffer are reported as 0, and nothing is
    /// late or made up. Takes a span of at least 5 s.
    #[arg(long)]
    pub(crate) reports: bool,
    /// Profile of the listeners: live or audience, which has three frame periods a packet.
    #[arg(long, value_name = "PROFILE", default_value_t = Profile::Live, value_parser = datagram_profile)]
    pub(crate) profile: Profile,
    /// Listeners that come as browsers, over WebTransport.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) web: u32,
    /// Draws the distribution of latencies and the CPU over the run.
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// Shards of each relay that is started: 1, so that figures per frame are those of one core.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) shards: u8,
    /// The relay's program [default: tribune-relay next to this one]
    #[arg(long, value_name = "PATH", conflicts_with = "url")]
    pub(crate) relay: Option<PathBuf>,
    /// A relay that runs already, instead of starting one.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) url: Option<String>,
    /// SHA-256 of that relay's certificate. Without it any certificate will do: a load has no secrets.
    #[arg(long, value_name = "SHA256", requires = "url")]
    pub(crate) fingerprint: Option<Fingerprint>,
    /// The process of that relay on this machine; without it there are no figures of CPU and memory.
    #[arg(long, value_name = "PID", requires = "url")]
    pub(crate) relay_pid: Option<u32>,
}

/// A profile that is carried by datagrams: streams would measure QUIC's own flow control.
///
/// # Errors
/// A sentence that names them.
pub(crate) fn datagram_profile(text: &str) -> Result<Profile, String> {
    match text.parse() {
        Ok(profile @ (Profile::Live | Profile::Audience)) => Ok(profile),
        Ok(Profile::Reliable | Profile::Unknown) | Err(_) => {
            Err(format!("{text:?} is not one of live, audience"))
        }
    }
}

impl LoadPlan {
    /// Sockets of all listeners.
    pub(crate) fn listener_sockets(&self) -> u32 {
        self.spec().listener_sockets()
    }

    /// Participants of this load.
    pub(crate) fn spec(&self) -> LoadSpec {
        LoadSpec {
            listeners: self.listeners,
            speakers: self.speakers,
            rooms: self.rooms,
            frame_bytes: self.frame_bytes,
            join_rate: self.join_rate,
            threads: self.threads,
            per_socket: self.per_socket,
            rtt: self.rtt(),
            loss: self.loss,
            other_sockets: Arrivals::sockets(self.churn, false)
                + Arrivals::sockets(self.storm, true),
            reports: self.reports,
            profile: self.profile,
            web: self.web,
        }
    }

    /// Round trip between listeners and relay.
    pub(crate) fn rtt(&self) -> Duration {
        Duration::from_millis(self.rtt.into())
    }
    /// Transient listeners of a measured span, if the plan has any.
    pub(crate) fn arrivals(&self, from: Instant, to: Instant) -> Option<Arrivals> {
        if self.storm > 0 {
            let from = from + Duration::from_secs(self.storm_second() as u64);
            return Some(Arrivals::Storm { listeners: self.storm, from });
        }
        (self.churn > 0).then_some(Arrivals::Churn { per_second: self.churn, from, to })
    }

    /// Second of the measured span in which a storm begins.
    pub(crate) const fn storm_second(&self) -> usize {
        self.seconds as usize / 2
    }
}
