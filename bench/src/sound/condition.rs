//! Conditions: what is wrong with which hop of the chain, and how far away its ends are.

use std::time::Duration;

use tribune_tests::sim::network::{Blackouts, Link};

use super::profile::Profile;

/// One-way delay of a hop that has nothing wrong: machines of one rack.
const NEAR: Duration = Duration::from_micros(500);
/// Length of the bursts that follow the clock and not the packets.
const CLOCK_BURST: Duration = Duration::from_millis(60);
/// Packets in a row of the other bursts.
const BURST_PACKETS: u32 = 3;
/// Beginning of the jitter that ends, since the speech began.
pub(crate) const JITTER_BEGINS: Duration = Duration::from_secs(5);
/// End of the jitter.
pub(crate) const JITTER_ENDS: Duration = Duration::from_secs(17);
/// Beginnings of the outages, since the speech began.
pub(crate) const OUTAGES: [Duration; 3] =
    [Duration::from_secs(6), Duration::from_secs(15), Duration::from_secs(24)];

/// A hop of speaker → origin → mid → leaf → listener, or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hop {
    /// Leaf to listener.
    Last,
    /// Speaker to origin.
    First,
    /// Mid to leaf.
    Trunk,
    /// The three below the origin: both trunks and the last hop.
    Three,
}

/// Two neighbours of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Neighbours {
    SpeakerOrigin,
    OriginMid,
    MidLeaf,
    LeafListener,
}

impl Hop {
    const ALL: [Self; 4] = [Self::Last, Self::First, Self::Trunk, Self::Three];

    const fn name(self) -> &'static str {
        match self {
            Self::Last => "last hop",
            Self::First => "first hop",
            Self::Trunk => "trunk",
            Self::Three => "three hops",
        }
    }

    /// The neighbours that it lies between.
    pub(crate) const fn between(self) -> &'static [Neighbours] {
        match self {
            Self::Last => &[Neighbours::LeafListener],
            Self::First => &[Neighbours::SpeakerOrigin],
            Self::Trunk => &[Neighbours::MidLeaf],
            Self::Three => &[Neighbours::OriginMid, Neighbours::MidLeaf, Neighbours::LeafListener],
        }
    }
}

/// Fault of a hop, both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// None: it is only far.
    Clean,
    /// So many packets in a hundred, each by itself.
    Random { percent: u32 },
    /// The same, three packets in a row.
    Bursts { percent: u32 },
    /// Everything, so much of the time, in spans of 60 ms.
    Clock { percent: u32 },
    /// Everything, three times for so long.
    Outages { ms: u32 },
    /// No packet; each takes up to so much longer for some seconds, in order.
    Jitter { ms: u32 },
}

impl Fault {
    /// Its name in tables and results.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Clean => "no loss".to_owned(),
            Self::Random { percent } => format!("{percent} % random"),
            Self::Bursts { percent } => format!("{percent} % in bursts of {BURST_PACKETS}"),
            Self::Clock { percent } => {
                format!("{percent} % in bursts of {} ms", CLOCK_BURST.as_millis())
            }
            Self::Outages { ms } => format!("outages of {ms} ms"),
            Self::Jitter { ms } => format!("jitter of {ms} ms that ends"),
        }
    }

    /// The link when the fault is there.
    fn on(self, link: Link) -> Link {
        let share = |percent: u32| f64::from(percent) / 100.0;
        match self {
            Self::Clean | Self::Outages { .. } => link,
            Self::Random { percent } => link.losing(share(percent)),
            Self::Bursts { percent } => link.losing_bursts(share(percent), BURST_PACKETS),
            Self::Clock { percent } => {
                let blackouts = Blackouts { share: share(percent), length: CLOCK_BURST };
                Link { blackouts: Some(blackouts), ..link }
            }
            Self::Jitter { ms } => Link { jitter: Duration::from_millis(ms.into()), ..link },
        }
    }

    /// Whether it is there from the beginning to the end.
    pub(crate) const fn is_steady(self) -> bool {
        match self {
            Self::Clean | Self::Random { .. } | Self::Bursts { .. } | Self::Clock { .. } => true,
            Self::Outages { .. } | Self::Jitter { .. } => false,
        }
    }
}

/// One condition of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Condition {
    pub(crate) hop: Hop,
    pub(crate) fault: Fault,
    /// Round trip of each hop named, in milliseconds.
    pub(crate) rtt_ms: u32,
    /// Speakers that talk at the same time.
    pub(crate) speakers: u8,
}

impl Condition {
    const fn new(hop: Hop, fault: Fault, rtt_ms: u32) -> Self {
        Self { hop, fault, rtt_ms, speakers: 1 }
    }

    /// The hop, in words.
    pub(crate) fn place(self) -> String {
        match self.speakers {
            1 => self.hop.name().to_owned(),
            speakers => format!("{} of {speakers} tracks", self.hop.name()),
        }
    }

    /// Its name without the profile.
    pub(crate) fn name(self) -> String {
        format!("{}, {}, RTT {}", self.place(), self.fault.name(), self.rtt_ms)
    }

    /// Its name in results and for `--only`.
    pub(crate) fn name_in(self, profile: Profile) -> String {
        format!("{}: {}", profile.name(), self.name())
    }

    /// The condition without its fault, which it is compared with.
    pub(crate) const fn clean(self) -> Self {
        Self { fault: Fault::Clean, ..self }
    }

    /// The link of the hop with or without the fault.
    pub(crate) fn link(self, has_fault: bool) -> Link {
        let link = Link::of(Duration::from_micros(500 * u64::from(self.rtt_ms)));
        if has_fault { self.fault.on(link) } else { link }
    }

    /// The link of the other hops.
    pub(crate) fn near() -> Link {
        Link::of(NEAR)
    }

    /// Everything that is measured of a profile.
    pub(crate) fn matrix(profile: Profile) -> Vec<Self> {
        match profile {
            Profile::Live => Self::of_live(),
            Profile::Audience => Self::of_audience(),
            Profile::AudienceLate => Self::outages(&[300, 1_000]),
            Profile::Reliable => {
                let mut all = Self::outages(&[300, 1_000]);
                all.extend(Self::of_audience().into_iter().filter(|other| other.rtt_ms == 60));
                all
            }
        }
    }

    /// A few of them, one of each kind, with those that they are compared with.
    pub(crate) fn quick(profile: Profile) -> Vec<Self> {
        let percent = 10;
        match profile {
            Profile::Live => vec![
                Self::new(Hop::Last, Fault::Clean, 10),
                Self::new(Hop::Last, Fault::Clean, 60),
                Self::new(Hop::Three, Fault::Clean, 10),
                Self::new(Hop::Last, Fault::Random { percent: 30 }, 60),
                Self::new(Hop::First, Fault::Random { percent: 20 }, 10),
                Self::new(Hop::Three, Fault::Random { percent }, 10),
                Self::new(Hop::Three, Fault::Bursts { percent }, 10),
                Self::new(Hop::Last, Fault::Clock { percent }, 60),
                Self::new(Hop::Last, Fault::Outages { ms: 300 }, 10),
                Self::new(Hop::Last, Fault::Jitter { ms: 100 }, 10),
                Self { speakers: 8, ..Self::new(Hop::Trunk, Fault::Random { percent }, 60) },
            ],
            Profile::Audience => vec![
                Self::new(Hop::Last, Fault::Clean, 10),
                Self::new(Hop::Three, Fault::Clean, 10),
                Self::new(Hop::Three, Fault::Random { percent }, 10),
                Self::new(Hop::Three, Fault::Bursts { percent }, 10),
            ],
            Profile::AudienceLate | Profile::Reliable => Self::outages(&[300]),
        }
    }

    fn of_live() -> Vec<Self> {
        let percent = 10;
        let mut faults = vec![Fault::Clean];
        faults.extend([10, 20, 30].map(|percent| Fault::Random { percent }));
        faults.extend([Fault::Bursts { percent }, Fault::Clock { percent }]);
        let mut all = Vec::new();
        for fault in faults {
            for hop in Hop::ALL {
                all.extend([10, 60].map(|rtt_ms| Self::new(hop, fault, rtt_ms)));
            }
        }
        all.extend([300, 1_000].map(|ms| Self::new(Hop::Last, Fault::Outages { ms }, 10)));
        all.push(Self::new(Hop::Last, Fault::Jitter { ms: 100 }, 10));
        let eight = |fault| Self { speakers: 8, ..Self::new(Hop::Trunk, fault, 60) };
        all.extend([eight(Fault::Clean), eight(Fault::Random { percent })]);
        all
    }

    fn of_audience() -> Vec<Self> {
        let percent = 10;
        let mut all = vec![Self::new(Hop::Last, Fault::Clean, 10)];
        for fault in [Fault::Clean, Fault::Random { percent }, Fault::Bursts { percent }] {
            all.extend([10, 60].map(|rtt_ms| Self::new(Hop::Three, fault, rtt_ms)));
        }
        all
    }

    fn outages(lengths_ms: &[u32]) -> Vec<Self> {
        let mut all = vec![Self::new(Hop::Last, Fault::Clean, 10)];
        let outages = lengths_ms.iter().map(|&ms| Self::new(Hop::Last, Fault::Outages { ms }, 10));
        all.extend(outages);
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_condition_has_a_name_of_its_own_and_a_clean_one_beside_it() {
        for &profile in <Profile as clap::ValueEnum>::value_variants() {
            let (whole, quick) = (Condition::matrix(profile), Condition::quick(profile));
            for all in [&whole, &quick] {
                let names: BTreeSet<String> =
                    all.iter().map(|condition| condition.name()).collect();
                assert_eq!(names.len(), all.len());
            }
            assert!(whole.iter().all(|condition| whole.contains(&condition.clean())));
            assert!(quick.iter().all(|condition| whole.contains(condition)));
        }
    }

    #[test]
    fn a_fault_changes_nothing_but_its_part_of_the_link() {
        let condition = Condition::new(Hop::Three, Fault::Random { percent: 20 }, 60);
        assert_eq!(condition.link(true).loss, 0.2);
        assert_eq!(condition.link(false), condition.clean().link(true));
        assert_eq!(condition.link(true).latency, Duration::from_millis(30));
        assert_eq!(condition.hop.between().len(), 3);
    }
}
