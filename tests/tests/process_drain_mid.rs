//! A relay between origin and leaf that drains under two hundred listeners: the leaf takes its standby,
//! and nobody misses anything.

use std::time::Duration;

use anyhow::ensure;
use tribune_tests::process::{Client, Drain, Listeners, RelayOptions, with_scratch};

const ROOM: &str = "stage";
const LISTENERS: usize = 200;
/// Time limit until every listener hears speech, on a busy machine.
const HEARD: Duration = Duration::from_secs(60);

/// origin ⟶ mid ⟶ leaf, with another relay in the middle that stands by. One speaker is at the origin;
/// another one at the leaf has to be heard at the origin all the time too.
#[test]
fn nobody_below_a_relay_that_drains_misses_a_frame() {
    with_scratch(|scratch| {
        let origin = RelayOptions::new("origin").start(scratch)?;
        let mid =
            RelayOptions::new("mid").parent(&origin).arg("--drain-timeout=60s").start(scratch)?;
        let standby = RelayOptions::new("standby").parent(&origin).start(scratch)?;
        let leaf = RelayOptions::new("leaf").parent(&mid).parent(&standby).start(scratch)?;
        let tone = |relay, name, hertz| {
            Client::new(&["speak", ROOM, "--name", name, "--tone", hertz], relay)
                .enter(scratch, name)
        };
        let _host = tone(&origin, "host", "440")?;
        let _guest = tone(&leaf, "guest", "880")?;
        let listeners = Listeners::join(&leaf, ROOM, LISTENERS)?;
        let above = Listeners::join(&origin, ROOM, 5)?;
        for listeners in [&listeners, &above] {
            listeners.wait("both speakers to be heard", HEARD, |one| one.tracks().count() == 2)?;
        }

        let drain = Drain::of(mid, &listeners)?;
        above.wait("those above to hear on", HEARD, |record| {
            record.last_heard().is_some_and(|at| at > drain.end_of_margin())
        })?;
        let above = drain.seen_by(&above);
        leaf.wait_metrics("the standby to be taken", HEARD, |metrics| {
            metrics.sum("tribune_relay_attached", &[]) == 1.0
        })?;
        for (seen, where_from) in [(&drain, "below"), (&above, "above")] {
            seen.report(&format!("a relay in the middle, seen from {where_from},"));
            let moved = seen.records().iter().any(|record| record.joined.len() != 1);
            ensure!(!moved, "{where_from}, a listener has moved, whose relay has not");
            seen.ensure_whole()?;
        }
        assert_eq!(standby.metrics()?.sum("tribune_relay_children", &[]), 1.0);
        Ok(())
    });
}
