//! A leaf that drains under two hundred listeners: they go to another leaf, and miss nothing.

use std::time::Duration;

use anyhow::Result;
use tribune_tests::process::{
    Client, Drain, Listeners, Process, Relay, RelayOptions, Scratch, with_scratch,
};

const ROOM: &str = "stage";
const LISTENERS: usize = 200;
/// Time limit until every listener hears speech, on a busy machine.
const HEARD: Duration = Duration::from_secs(60);

/// Speaks without a pause, so that every missing frame shows.
fn tone(scratch: &Scratch, relay: &Relay, name: &str, hertz: &str) -> Result<Process> {
    Client::new(&["speak", ROOM, "--name", name, "--tone", hertz], relay).enter(scratch, name)
}

/// origin ⟶ mid ⟶ leaf and next, of which the leaf drains. One speaker is at the origin, another one
/// at the leaf, and moves with the listeners.
#[test]
fn nobody_at_a_leaf_that_drains_misses_a_frame() {
    with_scratch(|scratch| {
        let origin = RelayOptions::new("origin").start(scratch)?;
        let mid = RelayOptions::new("mid").parent(&origin).start(scratch)?;
        let next = RelayOptions::new("next").parent(&mid).start(scratch)?;
        let leaf = RelayOptions::new("leaf")
            .parent(&mid)
            .arg("--drain-to")
            .arg(&next.address().to_string())
            .arg("--drain-timeout=60s")
            .start(scratch)?;
        let _host = tone(scratch, &origin, "host", "440")?;
        let mut guest = tone(scratch, &leaf, "guest", "880")?;
        let listeners = Listeners::join(&leaf, ROOM, LISTENERS)?;
        listeners
            .wait("both speakers to be heard", HEARD, |record| record.tracks().count() == 2)?;

        let drain = Drain::of(leaf, &listeners)?;
        drain.report("a leaf");
        let moves = drain.moves("next")?;
        println!(
            "let in at the other leaf after {} to {} ms, half of them after {} ms",
            moves[0].as_millis(),
            moves[LISTENERS - 1].as_millis(),
            moves[LISTENERS / 2].as_millis(),
        );
        guest.wait_event("joined", HEARD, |event| event["relay"] == "next")?;
        drain.ensure_whole()?;
        let duplicates: u64 = drain.records().iter().map(|record| record.duplicates).sum();
        assert!(duplicates > 0, "both relays were listened to for a while");
        assert_eq!(next.metrics()?.sum("tribune_relay_participants", &[]), LISTENERS as f64 + 1.0);
        Ok(())
    });
}
