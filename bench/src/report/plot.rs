//! `--plot`: a load as an SVG: the distribution of latencies, and the CPU over the run. Its colours follow
//! the reader's light or dark scheme.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use super::LoadReport;
use crate::load::samples::Sample;

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 760.0;
/// Left and right edge of both panels.
const SIDES: (f64, f64) = (90.0, 850.0);
/// Top and bottom of the two panels.
const PANELS: [(f64, f64); 2] = [(80.0, 350.0), (450.0, 690.0)];
/// Lines across a panel.
const STEPS: u32 = 5;
/// Points of the curve in a decade of the axis.
const POINTS_PER_DECADE: u32 = 60;
/// Range of decades of the axis: it ends with the last frame's, but not before 99.9 %.
const DECADES: std::ops::RangeInclusive<u32> = 3..=7;

const STYLE: &str = "\
    text{font:13px system-ui,sans-serif;fill:#24292f}\
    .title{font-size:16px;font-weight:600}.grid{stroke:#d0d7de;stroke-width:1}\
    .line{fill:none;stroke-width:2;stroke-linejoin:round}\
    .a{stroke:#0969da}.b{stroke:#bc4c00}.at{fill:#0969da}.bt{fill:#bc4c00}.back{fill:#ffffff}\
    @media (prefers-color-scheme:dark){text{fill:#e6edf3}.grid{stroke:#3d444d}\
    .a{stroke:#58a6ff}.b{stroke:#f0883e}.at{fill:#58a6ff}.bt{fill:#f0883e}.back{fill:#0d1117}}";

/// Draws a load.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(
    path: &Path,
    report: &LoadReport,
    latency_us: Option<&Histogram<u64>>,
) -> Result<()> {
    let picture =
        draw(&report.title(), latency_us, report.setup.seconds.round(), &report.cpu_by_second);
    std::fs::write(path, picture).with_context(|| format!("--plot {}", path.display()))
}

fn draw(
    plan: &str,
    latency_us: Option<&Histogram<u64>>,
    seconds: f64,
    samples: &[Sample],
) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\">\n<title>tribune-bench load: {plan}</title>\n\
         <style>{STYLE}</style>\n<rect class=\"back\" width=\"100%\" height=\"100%\"/>\n"
    );
    text(&mut svg, "title", "start", (20.0, 24.0), "tribune-bench load");
    text(&mut svg, "", "start", (20.0, 44.0), plan);
    let latencies = latency_us.filter(|histogram| !histogram.is_empty());
    latency_panel(&mut svg, latencies);
    cpu_panel(&mut svg, seconds, samples);
    svg + "</svg>\n"
}

/// Panel with a scale at its left side.
struct Panel {
    top: f64,
    bottom: f64,
    /// Value at the top; 0 is at the bottom.
    most: f64,
}

impl Panel {
    fn open(svg: &mut String, place: usize, heading: &str, most: f64, unit: &str) -> Self {
        let (top, bottom) = PANELS[place];
        let panel = Self { top, bottom, most: round_up(most) };
        text(svg, "", "start", (20.0, top - 14.0), heading);
        for step in 0..=STEPS {
            let value = panel.most * f64::from(step) / f64::from(STEPS);
            let y = panel.y(value);
            line(svg, (SIDES.0, y), (SIDES.1, y));
            let label = format!("{} {unit}", short(value));
            text(svg, "", "end", (SIDES.0 - 8.0, y + 4.0), &label);
        }
        panel
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * (value / self.most)
    }

    /// A mark on the axis at the bottom, `at` of its length.
    fn tick(&self, svg: &mut String, at: f64, label: &str) {
        let x = x(at);
        line(svg, (x, self.top), (x, self.bottom));
        text(svg, "", "middle", (x, self.bottom + 18.0), label);
    }

    fn axis(&self, svg: &mut String, label: &str) {
        let middle = (SIDES.0 + SIDES.1) / 2.0;
        text(svg, "", "middle", (middle, self.bottom + 38.0), label);
    }

    fn curve(&self, svg: &mut String, class: &str, points: impl Iterator<Item = (f64, f64)>) {
        let points: Vec<String> =
            points.map(|(at, value)| format!("{:.1},{:.1}", x(at), self.y(value))).collect();
        let _ = writeln!(svg, "<polyline class=\"line {class}\" points=\"{}\"/>", points.join(" "));
    }
}

/// Latency over the cumulative share of frames: 90 %, 99 %, 99.9 % are equally far apart.
fn latency_panel(svg: &mut String, latency_us: Option<&Histogram<u64>>) {
    let most = latency_us.map_or(1.0, |all| all.max() as f64 / 1e3);
    let heading = "Latency, from when a frame was due to when it came off a listener's socket";
    let panel = Panel::open(svg, 0, heading, most, "ms");
    let frames = latency_us.map_or(1, Histogram::len);
    let decades = frames.ilog10().clamp(*DECADES.start(), *DECADES.end());
    for decade in 0..=decades {
        let share = 100.0 * (1.0 - 0.1_f64.powi(decade as i32));
        let digits = decade.saturating_sub(2) as usize;
        panel.tick(svg, f64::from(decade) / f64::from(decades), &format!("{share:.digits$} %"));
    }
    panel.axis(svg, "share of frames, %");
    let Some(all) = latency_us else { return };
    let points = (0..=decades * POINTS_PER_DECADE).map(|point| {
        let decade = f64::from(point) / f64::from(POINTS_PER_DECADE);
        let value = all.value_at_quantile(1.0 - 0.1_f64.powf(decade));
        (decade / f64::from(decades), value as f64 / 1e3)
    });
    panel.curve(svg, "a", points);
}

/// CPU as steps: each sample spans its period.
fn cpu_panel(svg: &mut String, seconds: f64, samples: &[Sample]) {
    let of_both = samples.iter().flat_map(|sample| [sample.relay_cores, sample.generator_cores]);
    let most = of_both.fold(0.01, f64::max) * 100.0;
    let heading = "CPU second by second, % of a core";
    let panel = Panel::open(svg, 1, heading, most, "%");
    for step in 0..=STEPS {
        let at = f64::from(step) / f64::from(STEPS);
        panel.tick(svg, at, &format!("{} s", short(seconds * at)));
    }
    panel.axis(svg, "time since the beginning of the measured span, s");
    // The last sample ends a little after the span.
    let share = |at: f64| (at / seconds).min(1.0);
    let begins = std::iter::once(0.0).chain(samples.iter().map(|sample| sample.at_seconds));
    let pieces: Vec<(f64, &Sample)> = begins.zip(samples).collect();
    for (class, cores) in [
        ("a", (|sample| sample.relay_cores) as fn(&Sample) -> f64),
        ("b", |sample| sample.generator_cores),
    ] {
        let steps = pieces.iter().flat_map(|(from, sample)| {
            let value = cores(sample) * 100.0;
            [(share(*from), value), (share(sample.at_seconds), value)]
        });
        panel.curve(svg, class, steps);
    }
    text(svg, "at", "end", (SIDES.1 - 90.0, panel.top - 14.0), "relay");
    text(svg, "bt", "end", (SIDES.1, panel.top - 14.0), "generator");
}

/// Horizontal position of a share of the axis.
fn x(at: f64) -> f64 {
    SIDES.0 + (SIDES.1 - SIDES.0) * at
}

/// Next larger value that divides well.
fn round_up(value: f64) -> f64 {
    let decade = 10_f64.powf(value.max(1e-3).log10().floor());
    let steps = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0];
    decade * steps.into_iter().find(|step| step * decade >= value).unwrap_or(10.0)
}

/// At most two decimals, without trailing zeros.
fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn text(svg: &mut String, class: &str, anchor: &str, (x, y): (f64, f64), text: &str) {
    // All texts are constants of this program without XML's special characters.
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
    );
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line class=\"grid\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use tribune_bench::contender::latencies;

    #[test]
    fn the_curve_rises_from_the_median_of_nothing_to_the_last_frame() {
        let mut all = latencies().unwrap();
        (1..=9_990_u64).for_each(|us| all.record(us).unwrap());
        let sample = |at_seconds| Sample { at_seconds, relay_cores: 0.4, generator_cores: 0.5 };
        let picture = draw("a plan", Some(&all), 2.0, &[sample(1.0), sample(2.0)]);
        let curve = picture.split("class=\"line a\" points=\"").nth(1).unwrap();
        let curve = curve.split('"').next().unwrap();
        let heights: Vec<f64> = curve
            .split(' ')
            .map(|point| point.split_once(',').unwrap().1.parse().unwrap())
            .collect();
        assert!(heights.is_sorted_by(|lower, upper| lower >= upper), "{heights:?}");
        let (top, bottom) = PANELS[0];
        assert!((heights[0] - bottom).abs() < 1.0 && (heights.last().unwrap() - top).abs() < 3.0);
        assert!(picture.contains("99.9 %") && picture.contains("10 ms"), "{picture}");
    }

    #[test]
    fn a_run_without_figures_can_be_drawn() {
        let picture = draw("nothing", None, 1.0, &[]);
        assert!(!picture.contains("NaN") && picture.ends_with("</svg>\n"), "{picture}");
    }

    #[test]
    fn scales_end_at_round_values() {
        assert_eq!([9.9, 10.0, 10.1, 0.7].map(round_up), [10.0, 10.0, 15.0, 0.75]);
        assert_eq!([2.0, 0.5, 12.345].map(short), ["2", "0.5", "12.35"]);
    }
}
