//! Reception in a room: a summary in lines, the listeners in a table. Pure.

use tribune_protocol::quality::report::Report;

use super::answer::{Listener, Quality};
use super::phrases::{age, ms, ms_or_unknown, percent, printable, spread};
use super::table::{Column, Table};

/// Summary of the reports, in lines.
pub(crate) fn quality_lines(quality: Option<&Quality>) -> Vec<String> {
    let Some(quality) = quality else {
        return vec!["no reports in the last minute".to_owned()];
    };
    let error = match quality.latency_error_us {
        Some(error_us) => format!(" (± {})", ms(error_us)),
        None => String::new(),
    };
    vec![
        format!(
            "{} reports in the last minute: {} frames received, {} % lost, {} % made up, {} \
             repaired, {} late",
            quality.reports,
            quality.received,
            percent(quality.loss_ppm),
            percent(quality.concealed_ppm),
            quality.repaired,
            quality.late,
        ),
        format!(
            "p50/p99 in ms: latency {}{error}, jitter {}, buffer {}, round trip {}",
            spread(quality.latency_us),
            spread(quality.jitter_us),
            spread(quality.buffer_us),
            spread(quality.rtt_us),
        ),
    ]
}

/// Table of listeners, in the order given. Times are in ms, counts those of the last report.
pub(crate) fn table(listeners: &[Listener]) -> Table<15> {
    let mut table = Table::new([
        Column::Left("name"),
        Column::Left("id"),
        Column::Left("relay"),
        Column::Left("profile"),
        Column::Right("age"),
        Column::Right("received"),
        Column::Right("lost %"),
        Column::Right("made up %"),
        Column::Right("repaired"),
        Column::Right("late"),
        Column::Right("latency"),
        Column::Right("±"),
        Column::Right("jitter"),
        Column::Right("buffer"),
        Column::Right("rtt"),
    ]);
    for listener in listeners {
        let Report { received, repaired, late, buffer_us, jitter_us, rtt_us, .. } = listener.report;
        table.push([
            printable(listener.name.as_str()),
            listener.participant.to_string(),
            printable(listener.relay.as_str()),
            listener.profile.to_string(),
            age(listener.age_ms.into()),
            received.to_string(),
            percent(listener.report.loss_ppm()),
            percent(listener.report.concealed_ppm()),
            repaired.to_string(),
            late.to_string(),
            ms_or_unknown(listener.report.latency_us),
            ms_or_unknown(listener.report.latency_error_us),
            ms(jitter_us),
            ms(buffer_us),
            ms_or_unknown(Some(rtt_us).filter(|rtt_us| *rtt_us > 0)),
        ]);
    }
    table
}

/// Note about relays that did not answer; `None` if all did.
pub(crate) fn missing(relays: u32) -> Option<String> {
    match relays {
        0 => None,
        1 => Some("1 relay has not answered in time: its listeners are left out".to_owned()),
        _ => {
            Some(format!("{relays} relays have not answered in time: their listeners are left out"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::answer::Spread;

    #[test]
    fn a_summary_says_how_far_its_latencies_can_be_off() {
        let spread = |p50, p99| Some(Spread { p50, p99, mean: p50 });
        let quality = Quality {
            reports: 20,
            received: 4_980,
            lost: 20,
            repaired: 3,
            concealed: 5,
            late: 1,
            loss_ppm: 4_000,
            concealed_ppm: 1_000,
            latency_us: spread(82_100, 131_000),
            latency_error_us: Some(640),
            jitter_us: spread(2_100, 8_800),
            buffer_us: spread(40_000, 80_000),
            rtt_us: None,
        };
        let lines = quality_lines(Some(&quality));
        assert_eq!(
            lines[0],
            "20 reports in the last minute: 4980 frames received, 0.40 % lost, 0.10 % made up, 3 \
             repaired, 1 late"
        );
        assert_eq!(
            lines[1],
            "p50/p99 in ms: latency 82.1/131 (± 0.6), jitter 2.1/8.8, buffer 40.0/80.0, round trip -"
        );
        assert_eq!(quality_lines(None), ["no reports in the last minute"]);
    }

    #[test]
    fn a_listener_is_a_row() {
        let report = Report {
            received: 240,
            lost: 10,
            concealed: 5,
            jitter_us: 2_000,
            buffer_us: 40_000,
            latency_us: Some(91_000),
            latency_error_us: Some(500),
            ..Report::default()
        };
        let listener = Listener {
            participant: tribune_protocol::ids::ParticipantId(0xfe),
            name: "Eve".parse().unwrap(),
            role: tribune_protocol::domain::role::Role::Listener,
            relay: "edge-1".parse().unwrap(),
            profile: tribune_protocol::domain::profile::Profile::Audience,
            age_ms: 1_200,
            report,
        };
        let lines = table(&[listener]).lines(0);
        let words: Vec<&str> =
            lines[1].split("  ").map(str::trim).filter(|w| !w.is_empty()).collect();
        assert_eq!(
            words,
            [
                "Eve",
                "00000000000000fe",
                "edge-1",
                "audience",
                "1.2 s",
                "240",
                "4.00",
                "2.00",
                "0",
                "0",
                "91.0",
                "0.5",
                "2.0",
                "40.0",
                "-"
            ]
        );
    }

    #[test]
    fn relays_that_are_missing_are_told() {
        assert_eq!(missing(0), None);
        assert!(missing(1).unwrap().starts_with("1 relay has not"));
        assert!(missing(3).unwrap().starts_with("3 relays have not"));
    }
}
