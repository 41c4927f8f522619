//! Pictures in SVG: a plot with two axes, and bars, lines and marks in it. All text is escaped. Pure.

use std::fmt::{Display, Write};

use super::axis::Scale;
use super::phrases::count;

/// Width of a picture that stands beside another one, in its own units; the page scales it.
pub(super) const HALF: f64 = 640.0;
/// Width of a picture that takes the whole width of the page: its letters are as large as those of others.
pub(super) const WHOLE: f64 = 1_320.0;
/// Room on the left for labels of numbers.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 20.0;
/// Room below for labels and the name of the axis.
const BOTTOM: f64 = 38.0;

/// A picture that is being drawn.
#[derive(Debug)]
pub(super) struct Picture {
    id: &'static str,
    title: String,
    description: String,
    width: f64,
    height: f64,
    left: f64,
    body: String,
}

impl Picture {
    /// An empty picture. Title and description are for those who cannot see it.
    pub(super) fn new(
        id: &'static str,
        title: &str,
        description: String,
        (width, height): (f64, f64),
    ) -> Self {
        let title = title.to_owned();
        Self { id, title, description, width, height, left: LEFT, body: String::new() }
    }

    /// The same with another room on the left.
    pub(super) fn with_left(self, left: f64) -> Self {
        Self { left, ..self }
    }

    /// Horizontal lines with the numbers of a scale, from `floor` (0 at the bottom, 0.5 in the middle) upwards.
    pub(super) fn count_axis(&mut self, scale: Scale, floor: f64, unit: &str) {
        for tick in scale.ticks() {
            let part = floor + scale.part(tick) * (1.0 - floor);
            self.grid_line(part, &count(tick));
            if floor > 0.0 && tick > 0 {
                self.grid_line(floor - scale.part(tick) * (1.0 - floor), &count(tick));
            }
        }
        self.text(4.0, TOP - 8.0, "unit", unit);
    }

    /// Labels of the horizontal axis, each at its part of the width.
    pub(super) fn across_axis(&mut self, ticks: impl Iterator<Item = (f64, String)>, unit: &str) {
        let bottom = self.height - BOTTOM;
        for (part, label) in ticks {
            let x = self.x(part);
            let _ = writeln!(
                self.body,
                r#"<line class="tick" x1="{x:.1}" x2="{x:.1}" y1="{bottom:.1}" y2="{:.1}"/>"#,
                bottom + 4.0
            );
            self.text(x, bottom + 16.0, "label middle", &label);
        }
        self.text(self.width - RIGHT, self.height - 6.0, "unit end", unit);
    }

    /// A line through points, each given by its parts of width and height, and the area below it.
    pub(super) fn area(&mut self, class: &str, points: &[(f64, f64)]) {
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
        let mut path = String::new();
        for (across, up) in points {
            let _ = write!(path, "L{:.1} {:.1}", self.x(*across), self.y(*up));
        }
        let (from, to, bottom) = (self.x(first.0), self.x(last.0), self.y(0.0));
        let line = path.replacen('L', "M", 1);
        let _ = writeln!(
            self.body,
            r#"<path class="area {class}" d="M{from:.1} {bottom:.1}{path}L{to:.1} {bottom:.1}Z"/>"#
        );
        let _ = writeln!(self.body, r#"<path class="line {class}" d="{line}"/>"#);
    }

    /// A dot at a point, which says what it is.
    pub(super) fn dot(&mut self, class: &str, (across, up): (f64, f64), says: &str) {
        let (x, y) = (self.x(across), self.y(up));
        let says = escaped(says);
        let _ = writeln!(
            self.body,
            r#"<circle class="dot {class}" cx="{x:.1}" cy="{y:.1}" r="3.5"><title>{says}</title></circle>"#
        );
    }

    /// A bar from one height to another, which says what it is.
    pub(super) fn bar(
        &mut self,
        class: &str,
        (from, to): (f64, f64),
        (low, high): (f64, f64),
        says: &str,
    ) {
        let (x, width) = (self.x(from), (self.x(to) - self.x(from) - 0.5).max(0.5));
        let (y, height) = (self.y(high), self.y(low) - self.y(high));
        let says = escaped(says);
        let _ = writeln!(
            self.body,
            r#"<rect class="bar {class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}"><title>{says}</title></rect>"#
        );
    }

    /// A vertical line with a head at the top, which says what has happened there.
    pub(super) fn mark(&mut self, class: &str, across: f64, says: &str) {
        let (x, top, bottom) = (self.x(across), self.y(1.0), self.y(0.0));
        let says = escaped(says);
        let _ = writeln!(
            self.body,
            r#"<g class="mark {class}"><title>{says}</title><line x1="{x:.1}" x2="{x:.1}" y1="{top:.1}" y2="{bottom:.1}"/><circle cx="{x:.1}" cy="{top:.1}" r="4"/></g>"#
        );
    }

    /// A horizontal bar with its name on the left and its value at its end.
    pub(super) fn named_bar(&mut self, row: (usize, usize), name: &str, part: f64, value: &str) {
        let (place, rows) = row;
        let each = self.height / rows.max(1) as f64;
        let y = each * place as f64;
        let (thick, middle) = (each * 0.7, y + each * 0.5 + 4.0);
        // The value stands behind the longest bar.
        let width = (part * (self.width - self.left - 110.0)).max(1.0);
        let (says, left) = (escaped(format_args!("{name}: {value}")), self.left);
        let _ = writeln!(
            self.body,
            r#"<rect class="bar talk" x="{left:.1}" y="{:.1}" width="{width:.1}" height="{thick:.1}"><title>{says}</title></rect>"#,
            y + each * 0.15
        );
        self.text(left - 6.0, middle, "label end", name);
        self.text(left + width + 6.0, middle, "label", value);
    }

    /// The picture.
    pub(super) fn finish(self) -> String {
        let Self { id, title, description, width, height, body, .. } = self;
        let (title, description) = (escaped(title), escaped(description));
        format!(
            "<svg role=\"img\" viewBox=\"0 0 {width:.0} {height:.0}\" aria-labelledby=\"{id}-t {id}-d\">\n\
             <title id=\"{id}-t\">{title}</title>\n<desc id=\"{id}-d\">{description}</desc>\n{body}</svg>\n"
        )
    }

    fn grid_line(&mut self, part: f64, label: &str) {
        let (y, left) = (self.y(part), self.left);
        let _ = writeln!(
            self.body,
            r#"<line class="grid" x1="{left:.1}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/>"#,
            self.width - RIGHT
        );
        self.text(left - 6.0, y + 4.0, "label end", label);
    }

    fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let text = escaped(text);
        let _ = writeln!(self.body, r#"<text class="{class}" x="{x:.1}" y="{y:.1}">{text}</text>"#);
    }

    fn x(&self, part: f64) -> f64 {
        self.left + part.clamp(0.0, 1.0) * (self.width - self.left - RIGHT)
    }

    fn y(&self, part: f64) -> f64 {
        let bottom = self.height - BOTTOM;
        bottom - part.clamp(0.0, 1.0) * (bottom - TOP)
    }
}

/// Text with no character that has a meaning in HTML or SVG.
pub(super) fn escaped(value: impl Display) -> String {
    let text = value.to_string();
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_within_the_plot_and_text_is_escaped() {
        let mut picture = Picture::new("p", "A & B", "less < more".to_owned(), (HALF, 200.0));
        picture.count_axis(Scale::up_to(10), 0.0, "people");
        picture.area("listeners", &[(0.0, 0.0), (0.5, 2.0), (1.5, 1.0)]);
        picture.mark("moderated", 0.5, "\"<Eve>\"");
        let svg = picture.finish();
        for part in [
            "<title id=\"p-t\">A &amp; B</title>",
            "<desc id=\"p-d\">less &lt; more</desc>",
            "d=\"M58.0 162.0L337.0 20.0L616.0 20.0\"",
            "<title>&quot;&lt;Eve&gt;&quot;</title>",
        ] {
            assert!(svg.contains(part), "no {part} in\n{svg}");
        }
    }

    #[test]
    fn an_empty_course_draws_no_line() {
        let mut picture = Picture::new("p", "", String::new(), (HALF, 200.0));
        picture.area("listeners", &[]);
        assert!(!picture.finish().contains("<path"));
    }
}
