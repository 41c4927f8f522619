//! Sections of a run's statistics: the numbers in words, the same for a terminal and for a page. Pure.

use tribune_protocol::log::span;
use tribune_protocol::statistics::Statistics;

use super::RunReport;
use super::phrases::{count, estimate, minute, share, time_ms, way};
use crate::session::words;
use crate::status::answer::Quality;
use crate::status::phrases::{ms, percent, spread};

/// A note on all numbers.
pub(crate) const ESTIMATES: &str = "Numbers with ~ are estimates; the error stands beside them where it is known. All others are counted.";

/// A part of the statistics: facts, and a table where there are several of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    /// Names and values.
    pub(crate) facts: Vec<(String, String)>,
    pub(crate) table: Option<Table>,
    /// A sentence below.
    pub(crate) note: Option<String>,
}

/// Rows of as many cells as there are columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// Head of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// Words.
    Words(&'static str),
    /// Numbers.
    Numbers(&'static str),
}

impl Column {
    /// The head.
    pub(crate) const fn head(self) -> &'static str {
        match self {
            Self::Words(head) | Self::Numbers(head) => head,
        }
    }

    /// Whether it holds numbers.
    pub(crate) const fn is_numbers(self) -> bool {
        matches!(self, Self::Numbers(_))
    }
}

impl Section {
    fn new(title: &'static str) -> Self {
        Self { title, facts: Vec::new(), table: None, note: None }
    }

    fn fact(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.facts.push((name.into(), value.into()));
        self
    }

    fn fact_if(self, is_known: bool, name: &str, value: impl FnOnce() -> String) -> Self {
        if is_known { self.fact(name, value()) } else { self }
    }

    /// Adds a table, if it has rows.
    fn table<const N: usize>(
        mut self,
        columns: [Column; N],
        rows: impl Iterator<Item = [String; N]>,
    ) -> Self {
        let rows: Vec<Vec<String>> = rows.map(Vec::from).collect();
        self.table = (!rows.is_empty()).then(|| Table { columns: columns.to_vec(), rows });
        self
    }

    fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.table.is_none() && self.note.is_none()
    }
}

/// Title and time of a run.
pub(crate) fn heading(report: &RunReport) -> (String, String) {
    let numbers = report.numbers();
    let title = match numbers.title.as_str() {
        "" => format!("{}, run {}", numbers.room, numbers.run),
        title => format!("{title} ({}, run {})", numbers.room, numbers.run),
    };
    let (from, lasted) = (minute(numbers.began_at_s), span(report.lasted_s()));
    let time = match numbers.ended_at_s {
        Some(ended_at_s) => format!("From {from} to {}: {lasted}.", minute(ended_at_s)),
        None => format!("On since {from}, for {lasted}."),
    };
    (title, time)
}

/// All sections that have something to say.
pub(crate) fn sections(report: &RunReport) -> Vec<Section> {
    let numbers = report.numbers();
    let all = [
        people(report),
        arrivals(numbers),
        retention(numbers),
        talk(numbers),
        hands(numbers),
        reactions(numbers),
        texts(numbers),
        shares(numbers),
        moderation(numbers),
        reception(numbers),
        moments(numbers),
    ];
    all.into_iter().filter(|section| !section.is_empty()).collect()
}

fn people(report: &RunReport) -> Section {
    let audience = &report.numbers().audience;
    let is_on = !report.is_over();
    Section::new("People")
        .fact_if(is_on, "listening now", || count(audience.listeners))
        .fact_if(is_on, "in the room now, with the stage", || count(audience.inside))
        .fact(
            "most listeners at a time",
            match audience.peak {
                0 => "0".to_owned(),
                peak => format!("{}, at {}", count(peak), minute(audience.peak_at_s)),
            },
        )
        .fact("joins", count(audience.joins))
        .fact("leaves", count(audience.leaves))
        .fact("different people", estimate(audience.unique))
        .fact("time of all stays", span(audience.listened_s))
        .fact("average stay", span(audience.average_s))
        .fact_if(audience.interested > 0, "asked to be told beforehand", || {
            count(audience.interested)
        })
}

fn arrivals(numbers: &Statistics) -> Section {
    let joins = numbers.audience.joins;
    let section = Section::new("How they came");
    let section = numbers.audience.ways.iter().fold(section, |section, (by, joined)| {
        section.fact(way(*by), format!("{} ({})", count(*joined), share(*joined, joins)))
    });
    let columns = [Column::Words("relay"), Column::Numbers("joins"), Column::Numbers("stays")];
    let rows = numbers
        .relays
        .iter()
        .map(|relay| [relay.name.to_string(), count(relay.joins), span(relay.listened_s)]);
    let section = section.table(columns, rows);
    match numbers.more_relays {
        0 => section,
        1 => section.note("And 1 more relay."),
        more => section.note(format!("And {more} more relays.")),
    }
}

fn retention(numbers: &Statistics) -> Section {
    let columns = [
        Column::Words("stayed for"),
        Column::Numbers("stays"),
        Column::Numbers("of"),
        Column::Numbers("share"),
    ];
    let rows = numbers.retention.iter().map(|point| {
        let (stayed, of) = (point.stayed, point.of);
        [span(point.after_s.into()), count(stayed), count(of), share(stayed, of)]
    });
    Section::new("How long they stayed").table(columns, rows)
}

fn talk(numbers: &Statistics) -> Section {
    let talk = &numbers.talk;
    if talk.speech_ms == 0 && talk.speakers.is_empty() {
        return Section::new("Talk").note("Nobody has spoken.");
    }
    let columns = [
        Column::Words("speaker"),
        Column::Numbers("talk"),
        Column::Numbers("share"),
        Column::Numbers("turns"),
        Column::Numbers("longest turn"),
    ];
    let all: u64 = talk.speakers.iter().map(|speaker| speaker.talk_ms).sum();
    let rows = talk.speakers.iter().map(|speaker| {
        [
            speaker.name.to_string(),
            time_ms(speaker.talk_ms),
            share(speaker.talk_ms, all),
            count(speaker.turns.into()),
            time_ms(speaker.longest_ms),
        ]
    });
    Section::new("Talk")
        .fact("somebody spoke for", time_ms(talk.speech_ms))
        .fact("two or more at once for", time_ms(talk.overlap_ms))
        .fact_if(talk.silence_ms > 0, "longest silence", || {
            format!("{}, at {}", time_ms(talk.silence_ms), minute(talk.silence_at_s))
        })
        .table(columns, rows)
}

fn hands(numbers: &Statistics) -> Section {
    let (hands, invitations) = (&numbers.hands, &numbers.invitations);
    let section = Section::new("Hands and invitations");
    let section = if hands.raised == 0 {
        section
    } else {
        section
            .fact("hands raised", count(hands.raised))
            .fact("granted", count(hands.granted))
            .fact("denied", count(hands.denied))
            .fact("lowered otherwise", count(hands.lowered))
            .fact_if(hands.up > 0, "still up", || count(hands.up))
            .fact_if(hands.granted > 0, "wait of those granted, average", || time_ms(hands.wait_ms))
            .fact_if(hands.granted > 0, "wait of those granted, longest", || {
                time_ms(hands.longest_wait_ms)
            })
    };
    section.fact_if(invitations.made > 0, "invitations to the stage", || {
        let (made, accepted) = (count(invitations.made), count(invitations.accepted));
        format!("{made}: {accepted} accepted, {} declined", count(invitations.declined))
    })
}

fn reactions(numbers: &Statistics) -> Section {
    numbers.reactions.iter().fold(Section::new("Reactions"), |section, (reaction, times)| {
        section.fact(words::reaction(*reaction), count(*times))
    })
}

fn texts(numbers: &Statistics) -> Section {
    let texts = &numbers.texts;
    let section = Section::new("Messages and questions");
    if (texts.written, texts.asked) == (0, 0) {
        return section;
    }
    let columns = [
        Column::Numbers("votes"),
        Column::Words("asked by"),
        Column::Words("question"),
        Column::Words(""),
    ];
    let rows = numbers.questions.iter().map(|question| {
        let answered = if question.answered { "answered" } else { "open" };
        [
            count(question.votes),
            question.name.to_string(),
            question.text.to_string(),
            answered.to_owned(),
        ]
    });
    section
        .fact("messages", count(texts.written))
        .fact("questions", format!("{}, {} answered", count(texts.asked), count(texts.answered)))
        .fact("votes", count(texts.votes))
        .fact_if(texts.hidden > 0, "hidden by moderators", || count(texts.hidden))
        .table(columns, rows)
}

fn shares(numbers: &Statistics) -> Section {
    let shares = &numbers.shares;
    let section = Section::new("Shared links");
    if shares.joins == 0 && shares.links.is_empty() {
        return section;
    }
    let section = section.fact("joins by links", count(shares.joins));
    let generations = shares.generations.iter().enumerate();
    let section = generations.fold(section, |section, (place, joins)| {
        let name = format!("by a link of generation {}", place + 1);
        section.fact(name, count(*joins))
    });
    let columns = [
        Column::Words("shared at"),
        Column::Numbers("link"),
        Column::Numbers("came by"),
        Column::Numbers("generation"),
        Column::Numbers("joins"),
    ];
    let rows = shares.links.iter().map(|link| {
        let parent = link.parent.map_or_else(|| "–".to_owned(), |parent| parent.to_string());
        let tag = if link.tag.is_empty() { "–" } else { link.tag.as_str() };
        let (id, generation) = (link.share.to_string(), link.generation.to_string());
        [tag.to_owned(), id, parent, generation, count(link.joins)]
    });
    section
        .fact_if(shares.other > 0, "by links beyond those kept apart", || count(shares.other))
        .table(columns, rows)
}

fn moderation(numbers: &Statistics) -> Section {
    numbers.moderation.iter().fold(Section::new("Moderation log"), |section, (action, times)| {
        section.fact(action.as_str().replace('_', " "), count(*times))
    })
}

fn reception(numbers: &Statistics) -> Section {
    let section = Section::new("How well it was heard");
    let Some(quality) = numbers.quality.map(Quality::from) else { return section };
    let error = match quality.latency_error_us {
        Some(error_us) => format!(" (± {} ms)", ms(error_us)),
        None => String::new(),
    };
    let milliseconds = |value| format!("~{} ms", spread(value));
    section
        .fact("reports of listeners", count(quality.reports))
        .fact("frames received", count(quality.received))
        .fact("never received", format!("{} %", percent(quality.loss_ppm)))
        .fact("made up", format!("{} %", percent(quality.concealed_ppm)))
        .fact("repaired", count(quality.repaired))
        .fact("too late", count(quality.late))
        .fact_if(quality.latency_us.is_some(), "latency, p50/p99", || {
            format!("{}{error}", milliseconds(quality.latency_us))
        })
        .fact_if(quality.jitter_us.is_some(), "jitter, p50/p99", || milliseconds(quality.jitter_us))
        .fact_if(quality.buffer_us.is_some(), "buffer, p50/p99", || milliseconds(quality.buffer_us))
        .fact_if(quality.rtt_us.is_some(), "round trip, p50/p99", || milliseconds(quality.rtt_us))
}

fn moments(numbers: &Statistics) -> Section {
    let columns =
        [Column::Words("minute from"), Column::Numbers("reactions"), Column::Numbers("messages")];
    let rows = numbers
        .moments
        .iter()
        .map(|moment| [minute(moment.at_s), count(moment.reactions), count(moment.texts)]);
    Section::new("Moments that moved people").table(columns, rows)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{beginning, evening};
    use super::*;

    fn fact(sections: &[Section], name: &str) -> String {
        let facts = || sections.iter().flat_map(|section| &section.facts);
        let found = facts().find(|(found, _)| found == name);
        found
            .unwrap_or_else(|| panic!("no {name:?} in {:?}", facts().collect::<Vec<_>>()))
            .1
            .clone()
    }

    #[test]
    fn every_number_has_its_place_and_estimates_are_marked() {
        let sections = sections(&evening());
        let titles: Vec<&str> = sections.iter().map(|section| section.title).collect();
        let expected = [
            "People",
            "How they came",
            "How long they stayed",
            "Talk",
            "Hands and invitations",
            "Reactions",
            "Messages and questions",
            "Shared links",
            "Moderation log",
            "How well it was heard",
            "Moments that moved people",
        ];
        assert_eq!(titles, expected);
        for (name, value) in [
            ("most listeners at a time", "640, at 2027-01-15 09:00 UTC"),
            ("different people", "~1,001 (± 1.60 %)"),
            ("browser", "600 (58.6 %)"),
            ("average stay", "40 min 41 s"),
            ("wait of those granted, longest", "2 min 10 s"),
            ("invitations to the stage", "3: 2 accepted, 1 declined"),
            ("by a link of generation 2", "100"),
            ("silenced", "2"),
            ("latency, p50/p99", "~82.0/131 ms (± 2.0 ms)"),
        ] {
            assert_eq!(fact(&sections, name), value, "{name}");
        }
        let marked: Vec<&str> = sections
            .iter()
            .flat_map(|section| &section.facts)
            .filter(|(_, value)| value.starts_with('~'))
            .map(|(name, _)| name.as_str())
            .collect();
        let estimates =
            ["different people", "latency, p50/p99", "jitter, p50/p99", "round trip, p50/p99"];
        assert_eq!(marked, estimates);
    }

    #[test]
    fn a_room_that_has_just_begun_says_little() {
        let report = beginning();
        let titles: Vec<&str> = sections(&report).iter().map(|section| section.title).collect();
        assert_eq!(titles, ["People", "Talk"]);
        assert_eq!(fact(&sections(&report), "listening now"), "0");
        assert_eq!(heading(&report).1, "On since 2027-01-15 08:00 UTC, for 1 s.");
        let expected = "From 2027-01-15 08:00 UTC to 2027-01-15 10:00 UTC: 2 h.";
        assert_eq!(heading(&evening()).1, expected);
    }
}
