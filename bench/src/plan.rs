//! `tribune-bench plan`: a tree for an audience, computed from the costs of a relay: relays per layer, their
//! load, CPU, memory, traffic and price. [`costs`] chooses the costs, [`tree`] has the arithmetic, [`check`]
//! compares a prediction with a run.

mod check;
pub(crate) mod costs;
mod tree;

use std::fmt::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde::Serialize;
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::limits::{DEFAULT_TOP_N, MAX_OPUS_BYTES};

pub(crate) use self::check::{Checked, Size};
use self::costs::{Costs, MeasuredCosts, Sourced};
use self::tree::{Below, Machine, Speech, Tree};
use crate::load::plan::datagram_profile;
use crate::paths;

/// Audiences, costs and machines of a plan.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TreePlan {
    /// Listeners; several sizes may be named.
    #[arg(long, value_name = "N", num_args = 1.., default_values_t = [1_000, 100_000, 1_000_000], value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    audience: Vec<u64>,
    /// Results of a suite, for what no flag says [default: target/bench/results.json, if it is there]
    #[arg(long = "figures", value_name = "FILE")]
    results: Option<PathBuf>,
    /// Relay CPU per frame and listener, one speaker, in microseconds.
    #[arg(long, value_name = "US", value_parser = positive)]
    cpu_us_per_frame: Option<f64>,
    /// Relay CPU that each further speaker's frame in the same datagram adds, in microseconds.
    #[arg(long, value_name = "US", value_parser = not_negative)]
    cpu_us_per_further_frame: Option<f64>,
    /// Memory of a relay per listener, in KiB.
    #[arg(long, value_name = "KIB", value_parser = positive)]
    memory_kib_per_listener: Option<f64>,
    /// Relay CPU of one handshake and join, in microseconds.
    #[arg(long, value_name = "US", value_parser = positive)]
    join_cpu_us: Option<f64>,
    /// Delay that a relay adds beside serving one receiver after the other, p99, in milliseconds.
    #[arg(long, value_name = "MS", value_parser = not_negative)]
    hop_ms: Option<f64>,
    /// Cores, and so shards, of each relay.
    #[arg(long, value_name = "C", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    cores: u16,
    /// Share of a relay's CPU and link that speech may use.
    #[arg(long, value_name = "SHARE", default_value_t = 0.6, value_parser = share)]
    utilisation: f64,
    /// Memory of each relay's machine, in GiB.
    #[arg(long, value_name = "GIB", default_value_t = 2.0, value_parser = positive)]
    memory_gib: f64,
    /// Link of each relay, each way, in Gbit/s.
    #[arg(long, value_name = "GBIT", default_value_t = 10.0, value_parser = positive)]
    gbit: f64,
    /// The relays' --max-connections.
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,
    /// Opus bytes in a frame; one frame every 20 ms.
    #[arg(long, value_name = "BYTES", default_value_t = 120, value_parser = clap::value_parser!(u16).range(1..=MAX_OPUS_BYTES as i64))]
    frame_bytes: u16,
    /// Speakers who talk at the same time.
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=DEFAULT_TOP_N as i64))]
    speakers: u16,
    /// Profile of the listeners: live, or audience with three frame periods a packet.
    #[arg(long, value_name = "PROFILE", default_value_t = Profile::Live, value_parser = datagram_profile)]
    profile: Profile,
    /// Percentage of the listeners who come by a browser. They hear by the profile audience.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    web_share: u8,
    /// Relay CPU of a listener in a browser, as a multiple of another one's in the profile audience.
    #[arg(long, value_name = "FACTOR", value_parser = positive)]
    web_cpu_factor: Option<f64>,
    /// Price of a core for an hour, in any currency. Without a price there is no money in the output.
    #[arg(long, value_name = "PRICE", value_parser = not_negative)]
    price_core_hour: Option<f64>,
    /// Price of a gigabyte sent, in the same currency.
    #[arg(long, value_name = "PRICE", value_parser = not_negative)]
    price_gb: Option<f64>,
    /// Predict a tree that runs on this machine, run it, and compare.
    #[arg(long)]
    check: bool,
    /// Listeners of the tree that is run.
    #[arg(long, value_name = "N", default_value_t = 600, requires = "check", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    check_listeners: u32,
    /// Layers of the tree that is run, one relay each.
    #[arg(long, value_name = "D", default_value_t = 2, requires = "check", value_parser = clap::value_parser!(u8).range(1..=8))]
    check_depth: u8,
    /// Length of the run, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, requires = "check", value_parser = clap::value_parser!(u32).range(1..=600))]
    check_seconds: u32,
}

/// Trees for each audience. The fields are the JSON; units are in the names.
#[derive(Debug, Serialize)]
pub(crate) struct TreeReport {
    costs: Costs,
    machine: Machine,
    speech: Speech,
    wire_bytes: u32,
    price_core_hour: Option<f64>,
    price_gb: Option<f64>,
    trees: Vec<Tree>,
    prices: Vec<Price>,
}

/// Cost of a tree per hour of 1,000 listeners.
#[derive(Debug, Clone, Copy, Serialize)]
struct Price {
    core_seconds: f64,
    gigabytes: f64,
    /// Price of whole machines and of the traffic; `None` without a price.
    money: Option<f64>,
}

/// Output of the command.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum PlanReport {
    /// Trees.
    Trees(Box<TreeReport>),
    /// A prediction compared with a run.
    Check(Checked),
}

/// Plans a tree for each audience, or checks a prediction.
///
/// # Errors
/// Results that cannot be read, an audience that no tree can serve, a run that fails.
pub(crate) fn run(plan: &TreePlan) -> Result<PlanReport> {
    let costs = plan.costs()?;
    if plan.check {
        let size = Size {
            listeners: plan.check_listeners,
            depth: plan.check_depth,
            seconds: plan.check_seconds,
            frame_bytes: plan.frame_bytes,
        };
        return Ok(PlanReport::Check(check::run(&costs, size)?));
    }
    Ok(PlanReport::Trees(Box::new(trees(plan, costs)?)))
}

/// Trees for the default audiences with costs that a suite has just measured.
///
/// # Errors
/// An audience that no tree can serve.
pub(crate) fn of_measured(measured: &MeasuredCosts) -> Result<TreeReport> {
    let plan = TreePlan::of_flags(&[]);
    trees(&plan, Costs::choose(&MeasuredCosts::default(), measured))
}

/// Checks a prediction from costs that a suite has just measured.
///
/// # Errors
/// The run fails.
pub(crate) fn check_measured(measured: &MeasuredCosts, size: Size) -> Result<Checked> {
    check::run(&Costs::choose(&MeasuredCosts::default(), measured), size)
}

impl TreePlan {
    fn of_flags(flags: &[&str]) -> Self {
        #[derive(clap::Parser)]
        struct Alone {
            #[command(flatten)]
            plan: TreePlan,
        }
        let words = ["plan"].iter().chain(flags);
        <Alone as clap::Parser>::parse_from(words).plan
    }

    fn costs(&self) -> Result<Costs> {
        let flags = MeasuredCosts {
            cpu_us_per_frame: self.cpu_us_per_frame,
            cpu_us_per_further_frame: self.cpu_us_per_further_frame,
            memory_kib_per_listener: self.memory_kib_per_listener,
            join_cpu_us: self.join_cpu_us,
            // The flag gives one bound, which is used for the median too.
            hop_p50_ms: self.hop_ms,
            hop_p99_ms: self.hop_ms,
            web_cpu_factor: self.web_cpu_factor,
        };
        let usual = paths::output().join("results.json");
        let path = self.results.clone().or_else(|| usual.is_file().then_some(usual));
        let suite = path.map(|path| costs::read(&path)).transpose()?.unwrap_or_default();
        Ok(Costs::choose(&flags, &suite))
    }
}

fn trees(plan: &TreePlan, costs: Costs) -> Result<TreeReport> {
    let machine = Machine {
        cores: plan.cores,
        utilisation: plan.utilisation,
        memory_gib: plan.memory_gib,
        gbit: plan.gbit,
        connections: plan.max_connections,
    };
    let TreePlan { speakers, frame_bytes, profile, .. } = *plan;
    let web_share = f64::from(plan.web_share) / 100.0;
    let speech = Speech { speakers, frame_bytes, profile, web_share };
    let of = |audience: &u64| tree::plan(*audience, &costs, &machine, speech);
    let trees = plan.audience.iter().map(of).collect::<Result<Vec<_>>>()?;
    let (price_core_hour, price_gb) = (plan.price_core_hour, plan.price_gb);
    let prices = trees.iter().map(|tree| price(tree, plan)).collect();
    let wire_bytes = speech.wire_bytes(Below::Listeners);
    Ok(TreeReport { costs, machine, speech, wire_bytes, price_core_hour, price_gb, trees, prices })
}

fn price(tree: &Tree, plan: &TreePlan) -> Price {
    let gigabytes = tree.gb_per_1000_listener_hours();
    let core_hours = tree.relays() as f64 * f64::from(plan.cores) / (tree.audience as f64 / 1e3);
    let cores = plan.price_core_hour.map(|price| price * core_hours);
    let sent = plan.price_gb.map(|price| price * gigabytes);
    Price {
        core_seconds: tree.core_seconds_per_1000_listener_hours(),
        gigabytes,
        money: cores.or(sent).map(|_| cores.unwrap_or(0.0) + sent.unwrap_or(0.0)),
    }
}

fn number(text: &str) -> Result<f64> {
    let number: f64 = text.parse()?;
    ensure!(number.is_finite(), "it is not finite");
    Ok(number)
}

fn positive(text: &str) -> Result<f64> {
    let number = number(text)?;
    ensure!(number > 0.0, "it is not above 0");
    Ok(number)
}

fn not_negative(text: &str) -> Result<f64> {
    let number = number(text)?;
    ensure!(number >= 0.0, "it is below 0");
    Ok(number)
}

fn share(text: &str) -> Result<f64> {
    let number = number(text)?;
    ensure!(number > 0.0 && number < 1.0, "it is not between 0 and 1");
    Ok(number)
}

impl fmt::Display for PlanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trees(report) => report.fmt(f),
            Self::Check(checked) => checked.fmt(f),
        }
    }
}

impl fmt::Display for TreeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cost = |f: &mut fmt::Formatter<'_>, name: &str, cost: Sourced, unit: &str| {
            writeln!(f, "  {name:<36}{:.1} {unit} ({})", cost.value, cost.source.words())
        };
        cost(f, "CPU per frame and listener", self.costs.cpu_us_per_frame, "µs")?;
        cost(f, "  each further speaker adds", self.costs.cpu_us_per_further_frame, "µs")?;
        cost(f, "memory per listener", self.costs.memory_kib_per_listener, "KiB")?;
        cost(f, "CPU per join", self.costs.join_cpu_us, "µs")?;
        cost(f, "delay per relay, p50", self.costs.hop_p50_ms, "ms")?;
        cost(f, "delay per relay, p99", self.costs.hop_p99_ms, "ms")?;
        if self.speech.web_share > 0.0 {
            cost(f, "CPU in a browser, of another's", self.costs.web_cpu_factor, "times")?;
            let percent = self.speech.web_share * 100.0;
            writeln!(f, "  {:<36}{percent:.0} % of the listeners, by audience", "in browsers")?;
        }
        let machine = &self.machine;
        writeln!(
            f,
            "  {:<36}{} cores and {} Gbit/s, of these {:.0} % for speech; {} GiB, {} connections",
            "each relay",
            machine.cores,
            machine.gbit,
            machine.utilisation * 100.0,
            machine.memory_gib,
            machine.connections
        )?;
        writeln!(
            f,
            "  {:<36}{} speaker(s), {} Opus bytes / 20 ms, {}: {} bytes a datagram on the wire",
            "speech",
            self.speech.speakers,
            self.speech.frame_bytes,
            self.speech.profile,
            self.wire_bytes
        )?;
        for (tree, price) in self.trees.iter().zip(&self.prices) {
            write_tree(f, tree, price)?;
        }
        writeln!(f)?;
        write!(f, "The delay is that of the relays; the network between them comes on top.")
    }
}

fn write_tree(f: &mut fmt::Formatter<'_>, tree: &Tree, price: &Price) -> fmt::Result {
    writeln!(
        f,
        "\n{} listeners: {} relay(s) in {} layer(s)",
        tree.audience,
        tree.relays(),
        tree.layers.len()
    )?;
    writeln!(
        f,
        "  {:<8}{:>8}{:>12}{:>14}{:>14}{:>16}",
        "layer", "relays", "each serves", "busy cores", "memory MiB", "sends Mbit/s"
    )?;
    for layer in &tree.layers {
        writeln!(
            f,
            "  {:<8}{:>8}{:>12}{:>14.2}{:>14.1}{:>16.1}",
            layer.level,
            layer.relays,
            layer.fan_out,
            layer.busy_cores,
            layer.memory_mib,
            layer.egress_mbit
        )?;
    }
    let mut sums = format!(
        "at most {} listeners a relay (by {}), {:.2} Gbit/s and {:.1} busy cores in all",
        tree.edge_capacity.fan_out,
        tree.edge_capacity.bound.word(),
        tree.egress_gbit,
        tree.busy_cores
    );
    write!(
        sums,
        "\n  delay in relays p50 {:.1} ms, p99 {:.1} ms at most",
        tree.latency_p50_ms, tree.latency_p99_ms
    )?;
    write!(sums, "; all are in after {:.1} s if all come at once", tree.join_seconds)?;
    write!(
        sums,
        "\n  1,000 listeners for an hour: {:.0} core-seconds, {:.1} GB",
        price.core_seconds, price.gigabytes
    )?;
    if let Some(money) = price.money {
        write!(sums, ", {money:.2} at the prices given")?;
    }
    writeln!(f, "  {sums}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(flags: &[&str]) -> TreeReport {
        let plan = TreePlan::of_flags(flags);
        let flags = MeasuredCosts { hop_p99_ms: plan.hop_ms, ..MeasuredCosts::default() };
        trees(&plan, Costs::choose(&flags, &MeasuredCosts::default())).unwrap()
    }

    #[test]
    fn three_audiences_are_planned_unless_told_otherwise() {
        let report = report(&[]);
        let audiences: Vec<u64> = report.trees.iter().map(|tree| tree.audience).collect();
        assert_eq!(audiences, [1_000, 100_000, 1_000_000]);
        assert!(report.prices.iter().all(|price| price.money.is_none()));
        let text = report.to_string();
        assert!(text.contains("1000000 listeners: ") && !text.contains("prices"), "{text}");
    }

    #[test]
    fn money_is_what_the_prices_say() {
        let report = report(&["--audience", "1000", "--price-core-hour", "0.5", "--price-gb", "2"]);
        let price = report.prices[0];
        // One relay of two cores for an hour, and 206 bytes 50 times a second for 1,000 listeners.
        assert!((price.gigabytes - 206.0 * 50.0 * 3_600.0 * 1_000.0 / 1e9).abs() < 1e-9);
        assert!((price.money.unwrap() - (1.0 + 2.0 * price.gigabytes)).abs() < 1e-9);
        assert!(report.to_string().contains("at the prices given"));
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        assert!(share("1").is_err() && share("0").is_err() && share("0.6").is_ok());
        assert!(positive("0").is_err() && positive("inf").is_err() && positive("x").is_err());
        assert!(not_negative("-1").is_err() && not_negative("0").is_ok());
    }
}
