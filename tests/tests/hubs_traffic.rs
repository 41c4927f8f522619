//! The hubs' network: what the origin sends and receives on its trunks does not grow with the silent
//! audience. A hundred, a thousand and ten thousand listeners who all report how they hear, two speakers who
//! switch their microphones off and on, joins and leaves going on. Prints a table (`--nocapture`).

use std::time::Duration;

use rand::RngExt;
use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::domain::role::Role;
use tribune_protocol::quality::report::Report;
use tribune_tests::hubs::people::{Answer, ConnNo};
use tribune_tests::hubs::seeds::over_seeds;
use tribune_tests::hubs::tree::Tree;
use tribune_tests::hubs::trunk::{Traffic, Weather};
use tribune_tests::hubs::{HubNet, RelayNo};

const SECOND: Duration = Duration::from_secs(1);
const AUDIENCES: [u64; 3] = [100, 1_000, 10_000];
/// Measuring period, in seconds.
const MEASURED_S: u32 = 60;
/// A speaker's microphone is switched that often.
const SWITCHED: Duration = Duration::from_secs(2);
/// Messages that carry a count: one a second on each of two trunks, each way, at most.
const COUNTS: u64 = 4 * MEASURED_S as u64;
/// Counts in the sums of reports that go up: each bucket's, and of each measure the sum; one message in
/// five seconds on each of two trunks.
const COUNTS_OF_REPORTS: u64 = 2 * MEASURED_S as u64 / 5 * (88 + 13);
/// Counts in tallies: those inside, their time, joins, stays that are over, of each of four leaves at most every
/// 750 ms, and twice a minute the lengths of stays.
const COUNTS_OF_TALLIES: u64 = 4 * (MEASURED_S as u64 * 4 / 3 * 4 + 2 * 2 * 18);
/// Sketches of distinct persons, two in a minute on each of two trunks where new ones come, of 2 KiB at most.
const SKETCHES: u64 = 2 * 2 * 2_200;
/// A count of 10,000 takes three bytes, one of 100 takes two, one below 24 takes one (RFC 8949).
const COUNT_GROWS_BY: u64 = 2;

/// Joins and leaves.
#[derive(Debug, Clone, Copy)]
enum Churn {
    /// So many a second, half of them joins, whatever the audience.
    Each(u32),
    /// So many per cent of the audience a second.
    Percent(u32),
}

/// On the origin's trunks, in the measured time.
#[derive(Debug, Clone, Copy)]
struct Measured {
    audience: u64,
    up: Traffic,
    down: Traffic,
}

#[test]
fn the_origins_control_traffic_does_not_grow_with_the_audience() {
    for churn in [Churn::Each(0), Churn::Each(20), Churn::Percent(10)] {
        let measured = AUDIENCES.map(|audience| {
            let runs = over_seeds(1, |seed| measure(seed, audience, churn));
            let count = runs.len() as u64;
            Measured {
                audience,
                up: mean(runs.iter().map(|(up, _)| *up), count),
                down: mean(runs.iter().map(|(_, down)| *down), count),
            }
        });
        println!("{churn:?}");
        measured.iter().for_each(Measured::print);
        let [small, _, _] = &measured;
        for large in &measured[1..] {
            for (large, small) in [(large.up, small.up), (large.down, small.down)] {
                let differ = large.messages.abs_diff(small.messages);
                assert!(differ * 10 < small.messages, "{large:?} against {small:?}");
                let differ = large.bytes.abs_diff(small.bytes);
                let counts = (COUNTS / 2 + COUNTS_OF_REPORTS + COUNTS_OF_TALLIES) * COUNT_GROWS_BY;
                let may = counts + SKETCHES;
                assert!(differ * 10 < small.bytes + may * 10, "{large:?} against {small:?}");
            }
        }
    }
}

/// A run: what came to the origin from its children, and what went to them, in the measured time.
fn measure(seed: u64, audience: u64, churn: Churn) -> (Traffic, Traffic) {
    let mut net = HubNet::new(seed, Weather::clean());
    let tree = Tree::of_seven(&mut net, 1);
    let speakers =
        [(tree.origin, Role::Host), (tree.leaves[0], Role::Speaker)].map(|(at, role)| {
            let person = net.person(role.as_str());
            net.talk(person);
            let conn = net.join(person, at, role);
            assert!(net.run_until(10 * SECOND, |net| net.joined(conn) == Some(Answer::Done)));
            conn
        });
    let mut listeners: Vec<_> = (0..audience).map(|_| come_in(&mut net, &tree.leaves)).collect();
    net.run_for(5 * SECOND);
    assert_eq!(
        net.room(tree.origin).map(tribune_relay_core::room::Room::listeners),
        Some(audience)
    );

    let per_second = match churn {
        Churn::Each(count) => count,
        Churn::Percent(share) => (audience * u64::from(share) / 100) as u32,
    };
    let (up_before, down_before) = net.traffic(tree.origin);
    let begin = net.now();
    let mut switched = 0;
    let mut moves = Vec::new();
    for _ in 0..MEASURED_S * per_second {
        moves.push(net.chance().random_range(begin..begin + MEASURED_S * SECOND));
    }
    moves.sort_unstable();
    let mut moves = moves.into_iter().peekable();
    while net.now() < begin + MEASURED_S * SECOND {
        let switch = begin + switched * SWITCHED;
        let next = moves.peek().copied().filter(|next| *next <= switch);
        let until = next.unwrap_or(switch).min(begin + MEASURED_S * SECOND);
        net.run_for(until - net.now());
        if next.is_some() {
            moves.next();
            come_or_go(&mut net, &tree.leaves, &mut listeners, audience);
        } else {
            for conn in speakers {
                net.request(conn, &FromParticipant::OwnMute { muted: switched % 2 == 0 });
            }
            // Two fifths of the audience every two seconds: everybody every five.
            let turns = [2 * switched as usize % 5, (2 * switched as usize + 1) % 5];
            for (place, conn) in listeners.iter().enumerate() {
                if turns.contains(&(place % 5)) {
                    let report = report(net.chance());
                    net.say(*conn, &FromParticipant::Report(report));
                }
            }
            switched += 1;
        }
    }
    let (up, down) = net.traffic(tree.origin);
    net.run_for(15 * SECOND);
    let heard = net.quality(tree.origin).map_or(0, |heard| heard.reports);
    assert!(heard > 2 * audience, "{heard} reports have come up in half a minute");
    net.judge_rest(tree.origin);
    assert_eq!(net.faults(), [""; 0], "seed {seed}");
    (difference(up, up_before), difference(down, down_before))
}

/// A listener comes or one goes, so that there are about as many as at the beginning.
fn come_or_go(net: &mut HubNet, leaves: &[RelayNo], listeners: &mut Vec<ConnNo>, audience: u64) {
    let few = listeners.len() as u64 <= audience - audience / 10;
    let many = listeners.len() as u64 >= audience + audience / 10;
    if few || !many && net.chance().random_bool(0.5) {
        listeners.push(come_in(net, leaves));
    } else {
        let leaver = net.chance().random_range(0..listeners.len());
        net.vanish(listeners.swap_remove(leaver));
    }
}

fn come_in(net: &mut HubNet, leaves: &[RelayNo]) -> ConnNo {
    let person = net.person("listener");
    let at = leaves[net.chance().random_range(0..leaves.len())];
    net.join(person, at, Role::Listener)
}

/// A report like those of a mixed audience.
fn report(chance: &mut impl RngExt) -> Report {
    let lost = chance.random_range(0..25u32).saturating_sub(15);
    let latency = chance.random_range(60_000..400_000);
    Report {
        received: 250 - lost,
        lost,
        concealed: lost,
        buffer_us: chance.random_range(20_000..200_000),
        jitter_us: chance.random_range(500..40_000),
        rtt_us: chance.random_range(1_000..200_000),
        latency_us: Some(latency),
        latency_max_us: Some(latency + 20_000),
        latency_error_us: Some(chance.random_range(200..20_000)),
        ..Report::default()
    }
}

fn difference(after: Traffic, before: Traffic) -> Traffic {
    let (messages, bytes) = (after.messages - before.messages, after.bytes - before.bytes);
    Traffic { messages, bytes }
}

fn mean(of: impl Iterator<Item = Traffic> + Clone, count: u64) -> Traffic {
    let messages = of.clone().map(|traffic| traffic.messages).sum::<u64>() / count;
    Traffic { messages, bytes: of.map(|traffic| traffic.bytes).sum::<u64>() / count }
}

impl Measured {
    fn print(&self) {
        let each = |count: u64| count as f64 / f64::from(MEASURED_S);
        println!(
            "{:>7} listeners: to the origin {:>5.2} messages/s {:>7.1} B/s, \
             from it {:>5.2} messages/s {:>7.1} B/s",
            self.audience,
            each(self.up.messages),
            each(self.up.bytes),
            each(self.down.messages),
            each(self.down.bytes),
        );
    }
}
