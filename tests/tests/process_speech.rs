//! Speech through trees of real relays: it is whole, in time, and the same from everywhere.

use std::time::Duration;

use anyhow::{Result, ensure};
use tribune_tests::process::sound::{
    align, conversation, correlation_by_seconds, longest_gap_ms, read_wav, write_wav,
};
use tribune_tests::process::{Client, Relay, RelayOptions, Scratch, with_scratch};

const ROOM: &str = "stage";
/// Time limit of a command beyond its `--duration`.
const SLACK: Duration = Duration::from_secs(20);

/// Three relays, each the parent of the next: the origin, a mid relay, a leaf.
fn chain(scratch: &Scratch) -> Result<[Relay; 3]> {
    let origin = RelayOptions::new("origin").start(scratch)?;
    let mid = RelayOptions::new("mid").parent(&origin).start(scratch)?;
    let leaf = RelayOptions::new("leaf").parent(&mid).start(scratch)?;
    Ok([origin, mid, leaf])
}

#[test]
fn a_talk_three_relays_deep_is_heard_whole_and_in_time() {
    with_scratch(|scratch| {
        let [origin, _mid, leaf] = chain(scratch)?;
        let talk = conversation()?;
        write_wav(&scratch.file("talk.wav"), &talk)?;
        let mut speaker = Client::speak(ROOM, "Ada", &scratch.file("talk.wav"), &origin)
            .args(&["--bitrate", "64000"])
            .enter(scratch, "speaker")?;
        let heard = scratch.file("heard.wav");
        let listener = Client::listen(ROOM, &heard, &leaf).args(&["--duration", "20s"]);
        let ended = listener.run_well(scratch, "listener", Duration::from_secs(20) + SLACK)?;
        let summary = ended.summary()?;
        println!("{summary:?}");
        ensure!(speaker.is_running()?, "the talk is shorter than the recording");
        assert_eq!(summary.depth, 3);
        assert_eq!((summary.lost, summary.late, summary.dropped), (0, 0, 0));
        // The delay is what frames need: where this machine stands still for longer, a late frame is waited for.
        assert!(summary.concealed * 20 <= summary.received, "{} made up", summary.concealed);
        let p99 = summary.e2e_ms.p99.unwrap_or(f64::INFINITY);
        assert!(p99 < 120.0, "end to end, 99 of 100 frames take up to {p99} ms");

        let heard = read_wav(&heard)?;
        assert_eq!(heard.len(), 20 * 48_000);
        let found = align(&heard, &talk);
        println!("{found:?}");
        assert!(found.overlap > 19 * 48_000, "{found:?}");
        let (heard, talk) = found.overlapping(&heard, &talk);
        let correlation = correlation_by_seconds(heard, talk, 2_400);
        // Playout that stretches time moves within a second too.
        assert!(correlation > 0.85, "{correlation}");
        // The listener joins in the middle of a word; its delay is found in the first two seconds.
        let settled = 2 * 48_000;
        assert_eq!(longest_gap_ms(&heard[settled..], &talk[settled..]), 0);
        Ok(())
    });
}

#[test]
fn a_speaker_at_a_leaf_is_heard_at_another_leaf_at_the_root_and_between() {
    with_scratch(|scratch| {
        let [origin, mid, leaf] = chain(scratch)?;
        let other = RelayOptions::new("other-leaf").parent(&mid).start(scratch)?;
        write_wav(&scratch.file("talk.wav"), &conversation()?)?;
        let _speaker = Client::speak(ROOM, "Ada", &scratch.file("talk.wav"), &leaf)
            .enter(scratch, "speaker")?;
        let places =
            [(&origin, "root", 1), (&mid, "between", 2), (&other, "far", 3), (&leaf, "near", 3)];
        let mut listeners = Vec::new();
        for (relay, name, depth) in places {
            let listener = Client::listen(ROOM, "null".as_ref(), relay)
                .args(&["--duration", "8s"])
                .start(scratch, name)?;
            listeners.push((listener, depth));
        }
        for (mut listener, depth) in listeners {
            let ended = listener.wait(Duration::from_secs(8) + SLACK)?;
            let summary = ended.summary()?;
            println!("{} {summary:?}", listener.name());
            assert_eq!((ended.code, summary.depth), (Some(0), depth));
            assert_eq!((summary.lost, summary.late), (0, 0), "{}", listener.name());
            assert!(summary.concealed * 20 <= summary.received, "{}", listener.name());
            // Eight seconds have 400 frame periods, the pauses of the talk among them.
            assert!(summary.received_of("Ada") > 250, "{}: {summary:?}", listener.name());
        }
        Ok(())
    });
}

/// Sound that is heard later on purpose is in the file where it was said, from its beginning to its end.
#[test]
fn a_recording_of_each_profile_begins_and_ends_with_what_was_said() {
    with_scratch(|scratch| {
        let relay = RelayOptions::new("relay").start(scratch)?;
        let _speaker = Client::new(&["speak", ROOM, "--tone", "440", "--name", "Ada"], &relay)
            .enter(scratch, "speaker")?;
        let mut listeners = Vec::new();
        for profile in ["live", "audience", "reliable"] {
            let out = scratch.file(&format!("{profile}.wav"));
            let listener = Client::listen(ROOM, &out, &relay)
                .args(&["--profile", profile, "--duration", "6s"])
                .start(scratch, profile)?;
            listeners.push((listener, out));
        }
        for (mut listener, out) in listeners {
            let ended = listener.wait(Duration::from_secs(6) + SLACK)?;
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            let heard = read_wav(&out)?;
            assert_eq!(heard.len(), 6 * 48_000, "{}", listener.name());
            let is_loud = |second: &[f32]| second.iter().any(|sample| sample.abs() > 0.05);
            let loud: Vec<bool> = heard.chunks(4_800).map(is_loud).collect();
            // Frames on a stream wait for five, and a machine that stands still for the first of them.
            let silent = loud.iter().take_while(|loud| !**loud).count();
            assert!(silent <= 8, "{}: begins with {silent} tenths of silence", listener.name());
            let made_silent = loud[silent..].iter().filter(|loud| !**loud).count();
            assert_eq!(made_silent, 0, "{}: {loud:?}", listener.name());
        }
        Ok(())
    });
}
