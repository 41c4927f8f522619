//! The pictures of a run: listeners, joins and leaves, what moved people, retention, talk, hands. Pure.

use tribune_protocol::log::span;
use tribune_protocol::statistics::{Bucket, MarkKind};

use super::RunReport;
use super::axis::{Scale, time_ticks};
use super::phrases::{count, mark, minute, share, time_ms, time_of_day};
use super::svg::{HALF, Picture, WHOLE};

/// Bars in one picture: more are too narrow to be told apart.
const BARS_MAX: usize = 72;
/// Labels of the time axis of a picture that stands beside another one.
const TIME_LABELS: u64 = 8;
/// Speakers in the picture of talk; the table has them all.
const SPEAKERS_SHOWN: usize = 8;
/// Characters of a name in the picture of talk.
const NAME_CHARS: usize = 18;
/// Name of a time axis.
const TIME_UNIT: &str = "time of day (UTC)";

/// A picture, and its colours' meaning.
#[derive(Debug)]
pub(super) struct Figure {
    pub(super) title: &'static str,
    /// Classes, and what has their colour.
    pub(super) keys: Vec<(&'static str, &'static str)>,
    pub(super) svg: String,
    /// Whether it takes the whole width.
    pub(super) is_wide: bool,
}

/// All pictures that have something to show.
pub(super) fn figures(report: &RunReport) -> Vec<Figure> {
    let course = (!report.buckets.is_empty())
        .then(|| [listeners(report), comings(report), moved(report), hands(report)]);
    let [first, rest @ ..] = course.map_or_else(Default::default, |course| course.map(Some));
    let [comings, moved, hands] = rest;
    [first, retention(report), comings, moved, talk(report), hands].into_iter().flatten().collect()
}

fn listeners(report: &RunReport) -> Figure {
    let numbers = report.numbers();
    let title = "Listeners over time";
    let audience = &numbers.audience;
    let description = format!(
        "From {} to {}. At most {} listeners at a time, at {}.",
        minute(numbers.began_at_s),
        minute(numbers.began_at_s + report.lasted_s()),
        count(audience.peak),
        minute(audience.peak_at_s),
    );
    let mut picture = Picture::new("listeners", title, description, (WHOLE, 300.0));
    let buckets = &report.buckets;
    let scale = Scale::up_to(buckets.iter().map(|bucket| bucket.listeners).max().unwrap_or(0));
    picture.count_axis(scale, 0.0, "listeners");
    time_axis(&mut picture, report, TIME_LABELS * 2);
    // A bucket's peak stands at its middle, and the line reaches both ends.
    let length_s = report.lasted_s() as f64;
    let bucket_s = f64::from(numbers.bucket_s.max(1));
    let at = |place: usize| ((place as f64 + 0.5) * bucket_s / length_s).min(1.0);
    let mut points: Vec<(f64, f64)> = buckets
        .iter()
        .enumerate()
        .map(|(place, bucket)| (at(place), scale.part(bucket.listeners)))
        .collect();
    if let (Some(first), Some(last)) = (points.first().copied(), points.last().copied()) {
        points.insert(0, (0.0, first.1));
        points.push((1.0, last.1));
    }
    picture.area("listeners", &points);
    for event in &report.marks {
        let after_s = u64::from(event.after_s);
        let at_s = numbers.began_at_s + after_s;
        let says = format!("{} {}", time_of_day(at_s), mark(event));
        picture.mark(mark_class(event.kind), after_s as f64 / length_s, &says);
    }
    let kinds = [
        MarkKind::OnStage,
        MarkKind::OffStage,
        MarkKind::Moderated,
        MarkKind::Pinned,
        MarkKind::Answered,
    ];
    let used = |kind: &MarkKind| report.marks.iter().any(|event| event.kind == *kind);
    let key = |kind: MarkKind| (mark_class(kind), mark_key(kind));
    let keys = kinds.into_iter().filter(used).map(key).collect();
    Figure { title, keys, svg: picture.finish(), is_wide: true }
}

fn comings(report: &RunReport) -> Figure {
    let title = "Joins and leaves";
    let (part_s, parts) = report.parts(BARS_MAX);
    let audience = &report.numbers().audience;
    let (joins, leaves) = (count(audience.joins), count(audience.leaves));
    let description = format!("{joins} joins and {leaves} leaves, in parts of {}.", span(part_s));
    let mut picture = Picture::new("comings", title, description, (HALF, 220.0));
    let most = parts.iter().map(|part| part.joins.max(part.leaves)).max().unwrap_or(0);
    let scale = Scale::up_to(most);
    picture.count_axis(scale, 0.5, &format!("people in {}", span(part_s)));
    time_axis(&mut picture, report, TIME_LABELS);
    bars(&mut picture, report, part_s, &parts, |picture, across, when, part| {
        let height = |count| 0.5 * scale.part(count);
        let says = format!("{when}: {} joins, {} leaves", count(part.joins), count(part.leaves));
        picture.bar("joins", across, (0.5, 0.5 + height(part.joins)), &says);
        picture.bar("leaves", across, (0.5 - height(part.leaves), 0.5), &says);
    });
    let keys = vec![("joins", "joins, upwards"), ("leaves", "leaves, downwards")];
    Figure { title, keys, svg: picture.finish(), is_wide: false }
}

fn moved(report: &RunReport) -> Figure {
    let title = "Reactions and messages";
    let (part_s, parts) = report.parts(BARS_MAX);
    let numbers = report.numbers();
    let reactions: u64 = numbers.reactions.values().sum();
    let description = format!(
        "{} reactions and {} messages, in parts of {}.",
        count(reactions),
        count(numbers.texts.written),
        span(part_s)
    );
    let mut picture = Picture::new("moved", title, description, (HALF, 220.0));
    let scale =
        Scale::up_to(parts.iter().map(|part| part.reactions + part.texts).max().unwrap_or(0));
    picture.count_axis(scale, 0.0, &format!("in {}", span(part_s)));
    time_axis(&mut picture, report, TIME_LABELS);
    bars(&mut picture, report, part_s, &parts, |picture, across, when, part| {
        let (reactions, texts) = (part.reactions, part.texts);
        let says = format!("{when}: {} reactions, {} messages", count(reactions), count(texts));
        let first = scale.part(reactions);
        picture.bar("reactions", across, (0.0, first), &says);
        picture.bar("messages", across, (first, scale.part(reactions + texts)), &says);
    });
    let keys = vec![("reactions", "reactions"), ("messages", "messages")];
    Figure { title, keys, svg: picture.finish(), is_wide: false }
}

fn hands(report: &RunReport) -> Figure {
    let title = "Hands raised";
    let (part_s, parts) = report.parts(BARS_MAX);
    let hands = &report.numbers().hands;
    let (raised, granted) = (count(hands.raised), count(hands.granted));
    let description =
        format!("{raised} hands raised, {granted} granted, in parts of {}.", span(part_s));
    let mut picture = Picture::new("hands", title, description, (HALF, 220.0));
    let scale = Scale::up_to(parts.iter().map(|part| part.hands.into()).max().unwrap_or(0));
    picture.count_axis(scale, 0.0, &format!("hands in {}", span(part_s)));
    time_axis(&mut picture, report, TIME_LABELS);
    bars(&mut picture, report, part_s, &parts, |picture, across, when, part| {
        let raised = u64::from(part.hands);
        let says = format!("{when}: {} hands", count(raised));
        picture.bar("hands", across, (0.0, scale.part(raised)), &says);
    });
    Figure { title, keys: Vec::new(), svg: picture.finish(), is_wide: false }
}

/// The lengths of stay are at equal distances: they are chosen to be about twice as long each.
fn retention(report: &RunReport) -> Option<Figure> {
    let title = "How long they stayed";
    let points = &report.numbers().retention;
    let last = points.last()?;
    let description = format!(
        "{} of those who could have stayed for {}.",
        share(last.stayed, last.of),
        span(last.after_s.into())
    );
    let mut picture = Picture::new("retention", title, description, (HALF, 220.0));
    picture.count_axis(Scale { top: 100, step: 25 }, 0.0, "% of stays");
    let at = |place: usize| (place as f64 + 0.5) / points.len() as f64;
    let every = points.len().div_ceil(9);
    let labelled = points.iter().enumerate().step_by(every);
    let ticks = labelled.map(|(place, point)| (at(place), span(point.after_s.into())));
    picture.across_axis(ticks, "length of stay");
    let part = |stayed: u64, of: u64| if of == 0 { 0.0 } else { stayed as f64 / of as f64 };
    let curve: Vec<(f64, f64)> = points
        .iter()
        .enumerate()
        .map(|(place, point)| (at(place), part(point.stayed, point.of)))
        .collect();
    picture.area("retention", &curve);
    for (at, point) in curve.iter().zip(points) {
        let (after, stayed, of) = (span(point.after_s.into()), point.stayed, point.of);
        let says = format!("{after}: {} ({} of {})", share(stayed, of), count(stayed), count(of));
        picture.dot("retention", *at, &says);
    }
    Some(Figure { title, keys: Vec::new(), svg: picture.finish(), is_wide: false })
}

fn talk(report: &RunReport) -> Option<Figure> {
    let title = "Talk by speaker";
    let speakers = &report.numbers().talk.speakers;
    let most = speakers.iter().map(|speaker| speaker.talk_ms).max().filter(|most| *most > 0)?;
    let shown = &speakers[..speakers.len().min(SPEAKERS_SHOWN)];
    let description = match speakers.len() - shown.len() {
        0 => format!("{} speakers, the most talk first.", shown.len()),
        more => format!("The {} with the most talk; {more} more spoke.", shown.len()),
    };
    // A row is as thick as ever, however few there are.
    let rows = shown.len().max(5);
    let mut picture =
        Picture::new("talk", title, description, (HALF, 30.0 * rows as f64)).with_left(150.0);
    for (place, speaker) in shown.iter().enumerate() {
        let mut name: String = speaker.name.as_str().chars().take(NAME_CHARS).collect();
        if name.len() < speaker.name.as_str().len() {
            name.push('…');
        }
        let part = speaker.talk_ms as f64 / most as f64;
        picture.named_bar((place, rows), &name, part, &time_ms(speaker.talk_ms));
    }
    Some(Figure { title, keys: Vec::new(), svg: picture.finish(), is_wide: false })
}

fn time_axis(picture: &mut Picture, report: &RunReport, labels: u64) {
    let (began_at_s, lasted_s) = (report.numbers().began_at_s, report.lasted_s());
    let ticks = time_ticks(began_at_s, lasted_s, labels);
    let across = |(after_s, label): (u64, String)| (after_s as f64 / lasted_s as f64, label);
    picture.across_axis(ticks.into_iter().map(across), TIME_UNIT);
}

/// Draws a bar for each part of the course.
fn bars(
    picture: &mut Picture,
    report: &RunReport,
    part_s: u64,
    parts: &[Bucket],
    mut draw: impl FnMut(&mut Picture, (f64, f64), &str, &Bucket),
) {
    let (began_at_s, lasted_s) = (report.numbers().began_at_s, report.lasted_s() as f64);
    for (place, part) in (0_u64..).zip(parts) {
        let (from_s, to_s) = (place * part_s, (place + 1) * part_s);
        let across = (from_s as f64 / lasted_s, (to_s as f64 / lasted_s).min(1.0));
        draw(picture, across, &time_of_day(began_at_s + from_s), part);
    }
}

const fn mark_class(kind: MarkKind) -> &'static str {
    match kind {
        MarkKind::OnStage => "on-stage",
        MarkKind::OffStage => "off-stage",
        MarkKind::Moderated => "moderated",
        MarkKind::Pinned => "pinned",
        MarkKind::Answered => "answered",
        MarkKind::Unknown => "other",
    }
}

const fn mark_key(kind: MarkKind) -> &'static str {
    match kind {
        MarkKind::OnStage => "came on the stage",
        MarkKind::OffStage => "left the stage",
        MarkKind::Moderated => "moderated",
        MarkKind::Pinned => "pinned",
        MarkKind::Answered => "question answered",
        MarkKind::Unknown => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{beginning, evening};
    use super::*;

    #[test]
    fn an_evening_has_six_pictures_with_axes_and_descriptions() {
        let figures = figures(&evening());
        let titles: Vec<&str> = figures.iter().map(|figure| figure.title).collect();
        let expected = [
            "Listeners over time",
            "How long they stayed",
            "Joins and leaves",
            "Reactions and messages",
            "Talk by speaker",
            "Hands raised",
        ];
        assert_eq!(titles, expected);
        for figure in &figures {
            assert!(figure.svg.contains("role=\"img\""), "{}", figure.title);
            assert!(figure.svg.contains(&format!("-t\">{}</title>", figure.title)));
            let is_timed = figure.svg.contains(TIME_UNIT);
            assert_eq!(
                is_timed,
                !["How long they stayed", "Talk by speaker"].contains(&figure.title)
            );
        }
        let listeners = &figures[0].svg;
        assert!(listeners.contains("At most 640 listeners at a time, at 2027-01-15 09:00 UTC."));
        assert!(listeners.contains("<title>08:15:00 Bob &amp; Eve came on the stage</title>"));
        assert_eq!(listeners.matches("class=\"mark ").count(), 5);
        assert_eq!(figures[0].keys.len(), 4);
        let joins = figures[2].svg.matches("class=\"bar joins\"").count();
        assert_eq!(joins, 72);
    }

    #[test]
    fn a_room_that_has_just_begun_has_none() {
        assert!(figures(&beginning()).is_empty());
    }
}
