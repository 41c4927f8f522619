//! Small loads over real processes: the printed counts add up. Costs are not judged here.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const BENCH: &str = env!("CARGO_BIN_EXE_tribune-bench");

#[test]
fn a_small_load_loses_nothing_and_says_so() {
    let report = load(&["--listeners=20", "--rooms=2", "--speakers=2", "--per-socket=7"]);
    // 50 frames of each of two speakers, for each listener of their room.
    assert_eq!(report["frames_expected"], 20 * 2 * 50, "{report}");
    assert_all_came(&report);
    assert_eq!(report["listener_sockets"], 3, "{report}");
    assert!(is_positive(&report["relay_cpu_us_per_frame"]), "{report}");
    assert!(is_positive(&report["generator_core_percent_per_1000_listeners"]), "{report}");
    let (delay, latency) = (&report["added_delay_p99_us"], &report["latency_us"]["p99"]);
    assert!(delay.as_u64() > Some(0) && delay.as_u64() <= latency.as_u64(), "{report}");
}

#[test]
fn a_distant_audience_joins_later_and_hears_as_soon() {
    let report = load(&["--listeners=10", "--rtt=600"]);
    assert_eq!(report["rtt_ms"], 600, "{report}");
    assert_eq!(report["listener_sockets"], 10, "each has a socket of its own: {report}");
    assert_all_came(&report);
    // A handshake and a join take two round trips, whatever the machine does meanwhile.
    assert!(report["join_seconds"].as_f64() >= Some(1.2), "{report}");
    assert!(report["latency_us"]["p50"].as_u64() < Some(300_000), "taken off the socket: {report}");
}

#[test]
fn a_chain_of_relays_carries_what_one_does() {
    let report = load(&["--listeners=10", "--depth=2"]);
    assert_eq!((&report["depth"], &report["frames_expected"]), (&2.into(), &500.into()));
    assert_all_came(&report);
    assert!(report["relays_above_cpu_us_per_frame"].is_number(), "{report}");
}

#[test]
fn transient_listeners_come_and_leave_beside_those_who_stay() {
    let report = load(&["--listeners=10", "--churn=20", "--seconds=2"]);
    assert_eq!(
        report["frames_expected"],
        10 * 100,
        "transient listeners are not counted: {report}"
    );
    assert_all_came(&report);
    let churn = &report["churn"];
    assert_eq!((&churn["begun"], &churn["joined"]), (&40.into(), &40.into()), "{report}");
    // Each stays for a second, so that those of the first one have left when the round ends.
    assert!(churn["left"].as_u64() >= Some(20), "{report}");
    assert_eq!(churn["failed"], 0, "{report}");
}

#[test]
fn listeners_in_browsers_hear_what_the_others_hear() {
    let report = load(&["--listeners=10", "--web=6", "--seconds=2", "--profile=audience"]);
    assert_eq!(report["web"], 6, "{report}");
    assert_all_came(&report);
    let output = run(&["load", "--listeners=5", "--web=6"], "");
    assert!(String::from_utf8_lossy(&output.stderr).contains("at most the 5 of --listeners"));
}

#[test]
fn a_storm_is_measured_at_those_who_were_there() {
    let report = load(&["--listeners=10", "--storm=30", "--seconds=2"]);
    assert_eq!(report["frames_expected"], 10 * 100, "{report}");
    assert_all_came(&report);
    let joins = &report["storm_guests"];
    assert_eq!((&joins["begun"], &joins["joined"]), (&30.into(), &30.into()), "{report}");
    assert_eq!(joins["left"], 0, "{report}");
    let (storm, p99) =
        (&report["storm"], |piece: &Value| piece["p99"].as_i64().expect("microseconds"));
    let added = p99(&storm["gap_during_us"]) - p99(&storm["gap_before_us"]);
    assert_eq!(storm["added_gap_p99_us"], added, "{report}");
    assert!(storm["generator_sweep_max_before_us"].as_u64() > Some(0), "{report}");
}

#[test]
fn listeners_report_the_latency_that_the_generator_knows() {
    let report = load(&["--listeners=20", "--depth=4", "--seconds=12", "--reports"]);
    assert_all_came(&report);
    let (reported, origin) = (&report["reported"], &report["origin_reports"]);
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{report}"));
    // Over 12 seconds per listener: two reports at least, and one capture time per second.
    assert!(reported["reports"].as_u64() >= Some(2 * 20), "{report}");
    assert!(reported["stamped_frames"].as_u64() >= Some(11 * 20), "{report}");
    // Every clock is minutes off; the remaining difference is the error of its estimate. Both ages are of the
    // same frame at the same instant, so that a slow machine lengthens both.
    assert_eq!(reported["share_within_bound"], 1.0, "{report}");
    assert!(number(&reported["worst_listener_mean_difference_us"]) < 2_000.0, "{report}");
    assert!(number(&reported["max_error_us"]) > 0.0, "clocks are never known for sure: {report}");
    // All reports have come up three hops, and their sums are the same there.
    assert_eq!(origin["reports"], reported["reports"], "{report}");
    assert_eq!(origin["reports_sent"], reported["reports"], "{report}");
    assert_eq!(origin["frames_received"], origin["frames_received_sent"], "{report}");
    assert_eq!(origin["frames_lost"], origin["frames_lost_sent"], "{report}");
    let (there, by_stamp) =
        (number(&origin["mean_latency_us"]), number(&origin["mean_by_stamp_us"]));
    assert!(by_stamp > 0.0 && (there - by_stamp).abs() < 2_000.0, "{report}");
}

#[test]
fn reports_take_a_span_that_has_one() {
    let output = run(&["load", "--reports", "--seconds=4"], "");
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("--reports takes --seconds 5 or more"), "{stderr}");
}

#[test]
fn a_plot_is_a_picture_of_the_run() {
    let file = tempfile::NamedTempFile::with_suffix(".svg").unwrap();
    let report = load(&["--listeners=10", &format!("--plot={}", file.path().display())]);
    assert_all_came(&report);
    let picture = std::fs::read_to_string(file.path()).unwrap();
    assert_well_formed(&picture);
    assert_eq!(picture.matches("<polyline").count(), 3, "{picture}");
    assert!(picture.contains("10 listeners, 1 speaker"), "{picture}");
}

#[test]
fn contenders_measure_a_window_for_each_line() {
    for (contender, stderr) in [("tribune", "tribune-relay"), ("ceiling", "ceiling")] {
        let asks = "{\"speakers\":1,\"seconds\":1}\n{\"speakers\":4,\"seconds\":1}\n";
        let output = run(&["contend", contender, "--listeners=10"], asks);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        let said: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [ready, one, four] = &said[..] else { panic!("{lines}") };
        assert_eq!((&ready["event"], &ready["listeners"]), (&"ready".into(), &10.into()));
        assert!(ready["system"].as_str().unwrap().contains(stderr), "{ready}");
        for (window, speakers) in [(one, 1), (four, 4)] {
            assert_eq!(window["event"], "window", "{window}");
            assert_eq!(window["frames_expected"], speakers * 10 * 50, "{window}");
            assert_eq!(window["frames_delivered"], window["frames_expected"], "{window}");
            assert_eq!(window["kernel_drops"], 0, "{window}");
        }
    }
}

#[test]
fn a_window_that_cannot_be_had_is_refused() {
    let ask = "{\"speakers\":5,\"seconds\":1}\n";
    let output = run(&["contend", "ceiling", "--listeners=2"], ask);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("5 speakers"), "{stderr}");
}

#[test]
fn a_relay_that_cannot_be_started_is_named() {
    let output = run(&["load", "--relay", "/nowhere/tribune-relay"], "");
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("/nowhere/tribune-relay"), "{stderr}");
}

/// Runs a load that must be good; one second unless `arguments` has another length.
fn load(args: &[&str]) -> Value {
    let seconds = if args.iter().any(|arg| arg.starts_with("--seconds")) {
        &[][..]
    } else {
        &["--seconds=1"]
    };
    let output = run(&[&["load", "--json"], seconds, args].concat(), "");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).expect(&stderr);
    assert_eq!(report["verdict"], "good", "{report} {stderr}");
    assert!(output.status.success(), "{stderr}");
    report
}

fn run(args: &[&str], input: &str) -> Output {
    let relay = Path::new(BENCH).with_file_name("tribune-relay");
    assert!(relay.is_file(), "{} is not built: run `make test`", relay.display());
    let mut child = Command::new(BENCH)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tribune-bench starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn assert_all_came(report: &Value) {
    assert_eq!(report["frames_delivered"], report["frames_expected"], "{report}");
    assert_eq!(report["frames_foreign"], 0, "{report}");
    assert_eq!(report["frames_duplicated"], 0, "{report}");
}

fn is_positive(value: &Value) -> bool {
    value.as_f64().is_some_and(|value| value > 0.0)
}

/// Every tag that is opened is closed, in order, and quotes come in pairs.
fn assert_well_formed(xml: &str) {
    let mut open = Vec::new();
    for piece in xml.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').expect("a tag ends");
        assert!(!text.contains('>') && tag.matches('"').count() % 2 == 0, "{piece}");
        match (tag.strip_prefix('/'), tag.ends_with('/')) {
            (Some(name), _) => assert_eq!(open.pop(), Some(name), "{piece}"),
            (None, true) => {}
            (None, false) => open.push(tag.split(' ').next().expect("a name")),
        }
    }
    assert!(xml.starts_with("<svg ") && open.is_empty(), "{open:?}");
}
