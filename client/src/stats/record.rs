//! A run's statistics for programs: JSON, and the course as CSV. Pure.

use serde_json::{Map, Value, json};
use tribune_protocol::statistics::{Mark, RunListing, Statistics};

use super::RunReport;
use crate::session::words;

/// Columns of the course, in JSON and CSV.
const COLUMNS: [&str; 9] = [
    "at",
    "after_s",
    "listeners",
    "joins",
    "leaves",
    "reactions",
    "messages",
    "hands",
    "speech_ms",
];

/// The numbers, the course and what happened in it, as one object. Ids are text, estimates are `{value, error_ppm}`.
pub(crate) fn json(report: &RunReport) -> Value {
    let mut object = numbers(&report.numbers);
    // These are the lengths of the lists below.
    object.remove("buckets");
    object.insert("runs".to_owned(), runs(&report.runs));
    object.insert("course".to_owned(), course(report));
    let mark = |mark: &Mark| {
        let at = words::rfc3339(report.numbers.began_at_s + u64::from(mark.after_s));
        json!({ "at": at, "after_s": mark.after_s, "kind": mark.kind, "name": mark.name })
    };
    object.insert("marks".to_owned(), report.marks.iter().map(mark).collect());
    Value::Object(object)
}

/// A list of runs.
pub(crate) fn runs(runs: &[RunListing]) -> Value {
    let run = |run: &RunListing| {
        let ended = (run.ended_at_s > 0).then_some(run.ended_at_s);
        json!({
            "run": run.run,
            "began_at_s": run.began_at_s,
            "ended_at_s": ended,
            "lasted_s": ended.map(|ended_at_s| ended_at_s.saturating_sub(run.began_at_s)),
        })
    };
    runs.iter().map(run).collect()
}

/// The course, a line for each bucket, the header first.
///
/// # Errors
/// None that a buffer in memory has.
pub(crate) fn csv(report: &RunReport) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for cells in rows(report) {
        let cells = cells.map(|cell| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned));
        writer.write_record(cells)?;
    }
    let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn course(report: &RunReport) -> Value {
    let line = |cells: [Value; COLUMNS.len()]| {
        let named = COLUMNS.iter().map(|name| (*name).to_owned()).zip(cells);
        Value::Object(named.collect())
    };
    rows(report).map(line).collect()
}

fn rows(report: &RunReport) -> impl Iterator<Item = [Value; COLUMNS.len()]> {
    let Statistics { began_at_s, bucket_s, .. } = report.numbers;
    report.buckets.iter().zip(0_u64..).map(move |(bucket, place)| {
        let after_s = place * u64::from(bucket_s);
        [
            words::rfc3339(began_at_s + after_s).into(),
            after_s.into(),
            bucket.listeners.into(),
            bucket.joins.into(),
            bucket.leaves.into(),
            bucket.reactions.into(),
            bucket.texts.into(),
            bucket.hands.into(),
            bucket.speech_ms.into(),
        ]
    })
}

/// The numbers as they are on the wire, with ids as text: 64 bits are more than a program's numbers may hold.
fn numbers(numbers: &Statistics) -> Map<String, Value> {
    let mut value = json!(numbers);
    for (line, relay) in lines(&mut value["relays"]).zip(&numbers.relays) {
        line["relay"] = relay.relay.to_string().into();
    }
    for (line, question) in lines(&mut value["questions"]).zip(&numbers.questions) {
        line["participant"] = question.participant.to_string().into();
        line["answered"] = question.answered.into();
    }
    for (line, link) in lines(&mut value["shares"]["links"]).zip(&numbers.shares.links) {
        line["share"] = link.share.to_string().into();
        line["parent"] = link.parent.map(|parent| parent.to_string()).into();
        line["tag"] = link.tag.as_str().into();
    }
    value["ended_at_s"] = numbers.ended_at_s.into();
    match value {
        Value::Object(object) => object,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

fn lines(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value.as_array_mut().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{beginning, evening};
    use super::*;

    #[test]
    fn json_has_numbers_course_and_marks() {
        let json = json(&evening());
        assert_eq!((&json["room"], &json["run"]), (&"agora".into(), &3.into()));
        let unique = json!({ "value": 1_001, "error_ppm": 16_000 });
        assert_eq!(json["audience"]["unique"], unique);
        assert_eq!(json["audience"]["ways"]["command_line"], 24);
        assert_eq!(json["reactions"], json!({ "clap": 1_200, "heart": 34 }));
        assert_eq!(json["relays"][0]["relay"], "0000000000000007");
        assert_eq!(json["questions"][0]["participant"], "0000000000000005");
        let links = &json["shares"]["links"];
        assert!(links[0]["share"].as_str().is_some_and(|share| share.len() == 12), "{links}");
        assert_eq!((&links[0]["parent"], &links[1]["parent"]), (&Value::Null, &links[0]["share"]));
        let course = json["course"].as_array().unwrap();
        assert_eq!(course.len(), 720);
        let third = json!({
            "at": "2027-01-15T08:00:20Z", "after_s": 20, "listeners": 3, "joins": 2, "leaves": 0,
            "reactions": 2, "messages": 0, "hands": 0, "speech_ms": 5_000,
        });
        assert_eq!(course[2], third);
        let mark = json!({
            "at": "2027-01-15T08:15:00Z", "after_s": 900, "kind": "on_stage", "name": "Bob & Eve",
        });
        assert_eq!(json["marks"][1], mark);
        assert_eq!(json["runs"][1]["lasted_s"], 3_600);
        assert!(json.get("buckets").is_none());
    }

    #[test]
    fn a_run_that_is_on_has_no_end() {
        let json = json(&beginning());
        assert_eq!(json["ended_at_s"], Value::Null);
        assert_eq!((&json["course"], &json["marks"]), (&json!([]), &json!([])));
    }

    #[test]
    fn csv_has_a_header_and_a_line_for_each_bucket() {
        let text = csv(&evening()).unwrap();
        let mut lines = text.lines();
        let header = "at,after_s,listeners,joins,leaves,reactions,messages,hands,speech_ms";
        assert_eq!(lines.next(), Some(header));
        assert_eq!(lines.next(), Some("2027-01-15T08:00:00Z,0,0,2,0,0,0,1,5000"));
        assert_eq!(lines.count(), 719);
        assert_eq!(csv(&beginning()).unwrap().lines().count(), 1);
    }
}
