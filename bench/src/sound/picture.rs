//! The matrix as an SVG: frames playable and PESQ over random loss, a curve for each hop, a row of panels for
//! each profile and round trip. Its colours follow the reader's light or dark scheme.

use std::fmt::Write;

use super::cell::{Cell, Figure};

const WIDTH: f64 = 880.0;
const HEAD: f64 = 76.0;
/// Height of a row of panels, and the top and bottom of a panel in it.
const ROW: f64 = 290.0;
const PANEL: (f64, f64) = (34.0, 228.0);
/// Left and right edges of the panels of a row.
const SIDES: [(f64, f64); 2] = [(70.0, 425.0), (505.0, 860.0)];
/// Loss at the right edge, in percent.
const LOSS_MOST: f64 = 30.0;
/// Lines across a panel.
const STEPS: u32 = 5;
/// Hops and the classes of their curves.
const HOPS: [(&str, &str); 4] =
    [("last hop", "a"), ("first hop", "b"), ("trunk", "c"), ("three hops", "d")];
const FAULTS: [(&str, f64); 4] =
    [("no loss", 0.0), ("10 % random", 10.0), ("20 % random", 20.0), ("30 % random", 30.0)];

const STYLE: &str = "\
    text{font:13px system-ui,sans-serif;fill:#24292f}\
    .title{font-size:16px;font-weight:600}.grid{stroke:#d0d7de;stroke-width:1}\
    .line{fill:none;stroke-width:2;stroke-linejoin:round}\
    .a{stroke:#0969da}.b{stroke:#bc4c00}.c{stroke:#1a7f37}.d{stroke:#8250df}\
    .at{fill:#0969da}.bt{fill:#bc4c00}.ct{fill:#1a7f37}.dt{fill:#8250df}.back{fill:#ffffff}\
    @media (prefers-color-scheme:dark){text{fill:#e6edf3}.grid{stroke:#3d444d}\
    .a{stroke:#58a6ff}.b{stroke:#f0883e}.c{stroke:#3fb950}.d{stroke:#bc8cff}\
    .at{fill:#58a6ff}.bt{fill:#f0883e}.ct{fill:#3fb950}.dt{fill:#bc8cff}.back{fill:#0d1117}}";

/// Draws the cells with random loss.
pub(crate) fn draw(cells: &[Cell]) -> String {
    let mut rows: Vec<(&str, u32)> = Vec::new();
    // A row is for what was measured up to the right edge.
    let whole = |cell: &&Cell| cell.speakers == 1 && cell.fault == FAULTS[3].0;
    for cell in cells.iter().filter(whole) {
        let row = (cell.profile.as_str(), cell.rtt_ms);
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    rows.sort_unstable();
    let height = HEAD + ROW * rows.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n<title>tribune-bench sound</title>\n\
         <style>{STYLE}</style>\n<rect class=\"back\" width=\"100%\" height=\"100%\"/>\n"
    );
    text(&mut svg, "title", "start", (20.0, 24.0), "tribune-bench sound: random loss");
    for (n, (hop, class)) in HOPS.iter().enumerate() {
        text(&mut svg, &format!("{class}t"), "start", (20.0 + 110.0 * n as f64, 46.0), hop);
    }
    for (n, row) in rows.into_iter().enumerate() {
        draw_row(&mut svg, HEAD + ROW * n as f64, row, cells);
    }
    svg + "</svg>\n"
}

fn draw_row(svg: &mut String, top: f64, (profile, rtt_ms): (&str, u32), cells: &[Cell]) {
    let curves = |value: fn(&Cell) -> Option<Figure>| {
        HOPS.map(|(hop, class)| {
            let points = FAULTS.iter().filter_map(|(fault, loss)| {
                let cell = cells.iter().find(|cell| {
                    (cell.profile.as_str(), cell.rtt_ms, cell.speakers) == (profile, rtt_ms, 1)
                        && (cell.hop.as_str(), cell.fault.as_str()) == (hop, *fault)
                })?;
                Some((*loss, value(cell)?.mean))
            });
            (class, points.collect::<Vec<_>>())
        })
    };
    let heading = |what: &str| format!("{profile}, RTT {rtt_ms} ms: {what}");
    let playable = curves(|cell| cell.playable_percent);
    let least = playable.iter().flat_map(|(_, points)| points).map(|(_, share)| *share);
    // At least a percent, so that a flat curve does not look steep.
    let floor = least.fold(99.0, f64::min).floor();
    Panel { top, sides: SIDES[0], range: (floor, 100.0) }.draw(
        svg,
        &heading("% playable"),
        &playable,
    );
    let pesq = curves(|cell| cell.pesq);
    Panel { top, sides: SIDES[1], range: (1.0, 4.6) }.draw(svg, &heading("PESQ"), &pesq);
}

/// A panel of a row.
struct Panel {
    top: f64,
    sides: (f64, f64),
    /// Values at the bottom and the top.
    range: (f64, f64),
}

impl Panel {
    fn draw(&self, svg: &mut String, heading: &str, curves: &[(&str, Vec<(f64, f64)>)]) {
        let (least, most) = self.range;
        text(svg, "", "start", (self.sides.0 - 50.0, self.top + PANEL.0 - 14.0), heading);
        for step in 0..=STEPS {
            let value = least + (most - least) * f64::from(step) / f64::from(STEPS);
            let y = self.y(value);
            line(svg, (self.sides.0, y), (self.sides.1, y));
            text(svg, "", "end", (self.sides.0 - 8.0, y + 4.0), &format!("{value:.1}"));
        }
        for (_, loss) in FAULTS {
            let x = self.x(loss);
            line(svg, (x, self.top + PANEL.0), (x, self.top + PANEL.1));
            text(svg, "", "middle", (x, self.top + PANEL.1 + 18.0), &format!("{loss:.0} %"));
        }
        for (class, points) in curves.iter().filter(|(_, points)| !points.is_empty()) {
            let points: Vec<String> = points
                .iter()
                .map(|(loss, value)| format!("{:.1},{:.1}", self.x(*loss), self.y(*value)))
                .collect();
            let points = points.join(" ");
            let _ = writeln!(svg, "<polyline class=\"line {class}\" points=\"{points}\"/>");
        }
    }

    fn x(&self, loss: f64) -> f64 {
        self.sides.0 + (self.sides.1 - self.sides.0) * loss / LOSS_MOST
    }

    fn y(&self, value: f64) -> f64 {
        let (least, most) = self.range;
        let (top, bottom) = (self.top + PANEL.0, self.top + PANEL.1);
        bottom - (bottom - top) * (value - least) / (most - least)
    }
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
    use super::super::condition::Condition;
    use super::super::profile::Profile;
    use super::*;

    #[test]
    fn a_curve_falls_with_the_loss_and_stays_in_its_panel() {
        let mut cells: Vec<Cell> = Condition::matrix(Profile::Live)
            .into_iter()
            .map(|condition| Cell::new(Profile::Live, condition, &[]))
            .collect();
        for (fault, loss) in FAULTS {
            let share = 100.0 - loss / 10.0;
            for cell in cells.iter_mut().filter(|cell| cell.fault == fault) {
                cell.playable_percent = Some(Figure { mean: share, worst: share, worst_seed: 1 });
            }
        }
        let picture = draw(&cells);
        assert_eq!(picture.matches("<polyline").count(), 8, "two round trips, four hops");
        let curve = picture.split("class=\"line a\" points=\"").nth(1).unwrap();
        let heights: Vec<f64> = curve
            .split('"')
            .next()
            .unwrap()
            .split(' ')
            .map(|point| point.split_once(',').unwrap().1.parse().unwrap())
            .collect();
        assert_eq!(heights, [HEAD + PANEL.0, 174.7, 239.3, HEAD + PANEL.1]);
    }

    #[test]
    fn nothing_measured_can_be_drawn() {
        let picture = draw(&[]);
        assert!(!picture.contains("NaN") && picture.ends_with("</svg>\n"), "{picture}");
    }
}
