//! Results of the rounds: medians over windows, and ratios within a round, so that a slow minute of the
//! machine slows both sides of a ratio.

use std::fmt;

use serde::Serialize;
use tribune_bench::contender::{Ready, Window};

use super::rounds::{Flaw, Taken, Turn};
use crate::spread::Spread;
use crate::text_table::TextTable;

/// Share of due frames that a contender must deliver to have kept up, in percent.
const KEPT_UP_PERCENT: f64 = 99.0;

/// Results of one contender at one size with one number of speakers.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    /// Name of the contender.
    pub(crate) contender: &'static str,
    pub(crate) label: &'static str,
    pub(crate) listeners: u32,
    pub(crate) speakers: u16,
    /// Its description of itself.
    pub(crate) about: Ready,
    /// Server CPU per frame that a listener received, in microseconds.
    pub(crate) cpu_us_per_frame: Option<Spread>,
    /// CPU per frame ÷ the ceiling's of the same round.
    pub(crate) over_ceiling: Option<Spread>,
    /// The ceiling's of the same round ÷ CPU per frame.
    pub(crate) ceiling_share: Option<Spread>,
    /// CPU per frame ÷ Tribune's of the same round with as many speakers.
    pub(crate) over_tribune: Option<Spread>,
    /// Medians over the windows of their median and 99th percentile latency, in milliseconds.
    pub(crate) latency_p50_ms: Option<f64>,
    pub(crate) latency_p99_ms: Option<f64>,
    /// CPU of the load client per frame, in microseconds: the cost of the measurement itself.
    pub(crate) generator_us_per_frame: Option<Spread>,
    /// Share of due frames that were delivered.
    pub(crate) delivered_percent: f64,
    /// Less than 99 % of due frames arrived, and the machine was not the cause.
    pub(crate) did_not_keep_up: bool,
    /// Flaws of its windows, if none is without one.
    pub(crate) flaws: Vec<Flaw>,
    /// Windows that were repeated.
    pub(crate) repeated: u32,
    /// Reason why it was not measured in all rounds.
    pub(crate) out: Option<String>,
    pub(crate) windows: Vec<Taken>,
}

impl Entry {
    /// Results from a contender's windows and those that it is compared with.
    pub(crate) fn new(
        (contender, label): (&'static str, &'static str),
        about: &Ready,
        turn: &Turn,
        ceiling: Option<&Turn>,
        tribune: Option<&Turn>,
    ) -> Self {
        let used = usable(&turn.taken);
        let cpu = |taken: &&Taken| taken.window.cpu_us_per_frame();
        let ratios = |reference: Option<&Turn>, flip: bool| {
            let reference = reference.map(|reference| usable(&reference.taken))?;
            Spread::of(used.iter().filter_map(|taken| {
                let other = reference.iter().find(|other| other.round == taken.round)?;
                let ratio = cpu(taken) / cpu(other);
                Some(if flip { 1.0 / ratio } else { ratio })
            }))
        };
        let latency = |of: fn(&Window) -> u64| {
            let known = used.iter().filter(|taken| taken.window.latency_us.max > 0);
            Spread::of(known.map(|taken| of(&taken.window) as f64 / 1e3)).map(|ms| ms.median)
        };
        let sum = |of: fn(&Window) -> u64| used.iter().map(|taken| of(&taken.window)).sum::<u64>();
        let (delivered, expected) = (sum(|w| w.frames_delivered), sum(|w| w.frames_expected));
        let flawless = used.iter().all(|taken| taken.flaws.is_empty());
        let mut flaws: Vec<Flaw> = Vec::new();
        for flaw in used.iter().flat_map(|taken| &taken.flaws).filter(|_| !flawless) {
            if !flaws.contains(flaw) {
                flaws.push(*flaw);
            }
        }
        Self {
            contender,
            label,
            listeners: about.listeners,
            speakers: turn.speakers,
            about: about.clone(),
            cpu_us_per_frame: Spread::of(used.iter().map(cpu)),
            over_ceiling: ratios(ceiling, false),
            ceiling_share: ratios(ceiling, true),
            over_tribune: ratios(tribune, false),
            latency_p50_ms: latency(|window| window.latency_us.p50),
            latency_p99_ms: latency(|window| window.latency_us.p99),
            generator_us_per_frame: Spread::of(used.iter().map(|taken| {
                taken.window.generator_cpu_us / taken.window.frames_delivered.max(1) as f64
            })),
            delivered_percent: delivered as f64 / expected.max(1) as f64 * 100.0,
            did_not_keep_up: used.iter().any(|taken| taken.saturated()),
            flaws,
            repeated: turn.repeated,
            out: turn.out.clone(),
            windows: turn.taken.clone(),
        }
    }

    fn remarks(&self) -> String {
        let mut remarks = Vec::new();
        if self.did_not_keep_up {
            remarks.push("did not keep up".to_owned());
        }
        remarks.extend(self.out.iter().filter(|out| *out != "did not keep up").cloned());
        remarks.extend(self.flaws.iter().map(|flaw| flaw.words().to_owned()));
        remarks.join("; ")
    }
}

/// Windows without a flaw, or all if there are none.
fn usable(taken: &[Taken]) -> Vec<&Taken> {
    let flawless = |taken: &&Taken| taken.flaws.is_empty();
    let any = taken.iter().any(|taken| taken.flaws.is_empty());
    taken.iter().filter(|taken| !any || flawless(taken)).collect()
}

/// Contender that was not measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Missing {
    pub(crate) contender: &'static str,
    pub(crate) label: &'static str,
    pub(crate) listeners: u32,
    /// Reason, one sentence.
    pub(crate) why: String,
}

/// All systems at all sizes. The fields are the JSON; units are in the names.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PeersReport {
    pub(crate) machine: String,
    pub(crate) sizes: Vec<u32>,
    pub(crate) rounds: u32,
    pub(crate) window_seconds: u32,
    pub(crate) took_seconds: f64,
    /// Rounds that were left out for want of time.
    pub(crate) cut_short: Vec<String>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) missing: Vec<Missing>,
}

impl PeersReport {
    /// Entry of the largest size at which a contender kept up with `speakers`: cost per frame means little
    /// where most frames are lost, whatever the cause.
    pub(crate) fn largest(&self, contender: &str, speakers: u16) -> Option<&Entry> {
        let fits = |entry: &&Entry| {
            let kept_up = !entry.did_not_keep_up && entry.delivered_percent >= KEPT_UP_PERCENT;
            let asked = entry.contender == contender && entry.speakers == speakers;
            asked && kept_up && entry.cpu_us_per_frame.is_some()
        };
        self.entries.iter().filter(fits).max_by_key(|entry| entry.listeners)
    }

    /// Reason why there is no such entry.
    pub(crate) fn why_not(&self, contender: &str) -> String {
        let missing = self.missing.iter().find(|missing| missing.contender == contender);
        let entry = self.entries.iter().find(|entry| entry.contender == contender);
        match (missing, entry) {
            (_, Some(entry)) if !entry.remarks().is_empty() => entry.remarks(),
            (Some(missing), _) => missing.why.clone(),
            (None, _) => format!("{contender} was not asked"),
        }
    }

    /// Table of metrics, a row per entry.
    pub(crate) fn metrics_table(&self) -> TextTable {
        let mut table = TextTable::new(&[
            "listeners",
            "system",
            "speakers",
            "server CPU per frame, µs",
            "÷ ceiling",
            "÷ Tribune",
            "latency p50 / p99, ms",
            "KiB a listener",
            "delivered",
            "load client, µs a frame",
            "remarks",
        ]);
        let words = |spread: &Option<Spread>, digits| {
            spread.as_ref().map_or_else(|| "–".to_owned(), |spread| spread.words(digits))
        };
        for entry in &self.entries {
            let ms = entry.latency_p50_ms.zip(entry.latency_p99_ms);
            table.row([
                entry.listeners.to_string(),
                entry.label.to_owned(),
                entry.speakers.to_string(),
                words(&entry.cpu_us_per_frame, 1),
                words(&entry.over_ceiling, 2),
                words(&entry.over_tribune, 2),
                ms.map_or_else(|| "–".to_owned(), |(p50, p99)| format!("{p50:.1} / {p99:.1}")),
                format!("{:.1}", entry.about.memory_kib_per_listener),
                format!("{:.1} %", entry.delivered_percent),
                words(&entry.generator_us_per_frame, 1),
                entry.remarks(),
            ]);
        }
        table
    }

    /// Table of systems: version, encryption, what they do not do.
    pub(crate) fn systems_table(&self) -> TextTable {
        let mut table = TextTable::new(&["system", "version", "encrypted", "does not do"]);
        let mut listed: Vec<&str> = Vec::new();
        for entry in &self.entries {
            if !listed.contains(&entry.contender) {
                listed.push(entry.contender);
                let Ready { system, encrypted, lacks, .. } = &entry.about;
                let cells = [system, encrypted, lacks].map(String::clone);
                let [system, encrypted, lacks] = cells;
                table.row([entry.label.to_owned(), system, encrypted, lacks]);
            }
        }
        table
    }

    /// Contenders that are not in the tables, with reasons, and rounds that were left out.
    pub(crate) fn absent(&self) -> Vec<String> {
        let missing = self.missing.iter().map(|missing| {
            format!("{} at {} listeners: {}", missing.label, missing.listeners, missing.why)
        });
        missing.chain(self.cut_short.iter().cloned()).collect()
    }
}

impl fmt::Display for PeersReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}; median (least–most) of {} rounds of {} s, {:.0} s in all",
            self.machine, self.rounds, self.window_seconds, self.took_seconds
        )?;
        writeln!(f, "\n{}", self.metrics_table().text())?;
        write!(f, "{}", self.systems_table().text())?;
        for absent in self.absent() {
            write!(f, "\nNot measured: {absent}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::rounds::flaws;
    use super::super::rounds::tests::window;
    use super::*;

    pub(crate) fn ready(listeners: u32) -> Ready {
        Ready {
            system: "x 1".to_owned(),
            encrypted: "yes".to_owned(),
            lacks: "nothing".to_owned(),
            listeners,
            join_seconds: 1.0,
            memory_kib_per_listener: 2.0,
        }
    }

    fn turn(windows: Vec<Window>) -> Turn {
        let mut turn = Turn::new(0, 1, false);
        let rounds = (1..).zip(windows);
        turn.taken =
            rounds.map(|(round, window)| Taken { round, flaws: flaws(&window), window }).collect();
        turn
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine is twice as slow in the second round; the ratio is not.
        let mine = turn(vec![window(10.0), window(20.0), window(10.0)]);
        let ceiling = turn(vec![window(4.0), window(8.0)]);
        let entry = Entry::new(("a", "A"), &ready(5), &mine, Some(&ceiling), None);
        assert_eq!(entry.over_ceiling, Some(Spread { median: 2.5, min: 2.5, max: 2.5 }));
        assert_eq!(entry.ceiling_share.unwrap().median, 0.4);
        assert_eq!(entry.cpu_us_per_frame.unwrap().max, 20.0);
        assert_eq!((entry.over_tribune, entry.latency_p50_ms), (None, None));
    }

    #[test]
    fn a_flawed_window_counts_only_where_there_is_no_other() {
        let disturbed = || Window { others_cores: 1.0, ..window(50.0) };
        let entry =
            Entry::new(("a", "A"), &ready(5), &turn(vec![window(10.0), disturbed()]), None, None);
        assert_eq!(entry.cpu_us_per_frame.unwrap().max, 10.0);
        assert_eq!((&entry.flaws[..], entry.remarks().as_str()), (&[][..], ""));
        let entry = Entry::new(("a", "A"), &ready(5), &turn(vec![disturbed()]), None, None);
        assert_eq!(entry.cpu_us_per_frame.unwrap().max, 50.0);
        assert_eq!(entry.remarks(), "others used more than 0.3 cores");
    }

    #[test]
    fn who_did_not_keep_up_is_marked_and_no_figure_to_compare_with() {
        let slow = Window { frames_delivered: 9_000, ..window(1.0) };
        let entry = Entry::new(("a", "A"), &ready(5), &turn(vec![slow]), None, None);
        assert!(entry.did_not_keep_up && entry.delivered_percent == 90.0);
        let report = PeersReport {
            machine: String::new(),
            sizes: vec![5],
            rounds: 1,
            window_seconds: 1,
            took_seconds: 1.0,
            cut_short: Vec::new(),
            entries: vec![entry],
            missing: vec![Missing {
                contender: "b",
                label: "B",
                listeners: 5,
                why: "not built".to_owned(),
            }],
        };
        assert!(report.largest("a", 1).is_none());
        assert_eq!(report.why_not("a"), "did not keep up");
        assert_eq!(report.why_not("b"), "not built");
        assert!(report.to_string().contains("Not measured: B at 5 listeners: not built"));
    }
}
