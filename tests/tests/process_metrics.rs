//! Metrics of real relays: the number of series, and that no secret is among what is
//! logged.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tribune_client::session::oneshot::{Answer, Config, OneShotClient};
use tribune_client::session::tls::Trust;
use tribune_protocol::control::command::Govern;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::settings::RoomSettings;
use tribune_protocol::ids::SessionKey;
use tribune_tests::process::{
    Client, Metrics, Process, Relay, RelayOptions, Scratch, jwt, with_scratch,
};

const ROOM: &str = "stage";
/// Time limit of one step on a busy machine.
const LIMIT: Duration = Duration::from_secs(50);
/// Rooms on one relay, and how many of them one connection opens: people may ask for 50 things at once.
const ROOMS: usize = 500;
const ROOMS_A_HOST: usize = 25;
/// The relay's --metrics-max-series.
const MAX_SERIES: usize = 5_000;

#[test]
fn five_hundred_rooms_and_two_thousand_listeners_are_no_more_series_than_a_few() {
    with_scratch(|scratch| {
        let few = with_listeners(scratch, 10)?;
        let many = with_listeners(scratch, 2_000)?;
        println!("{} series, {} with 2,000 listeners", few.series(), many.series());
        assert_eq!(few.series(), many.series());
        assert!(many.series() < MAX_SERIES);
        assert_eq!(many.sum("tribune_relay_series", &[]), many.series() as f64);
        assert_eq!(many.sum("tribune_relay_series_limit", &[]), MAX_SERIES as f64);
        // Every room is counted, most of them under the name of the others.
        assert!(many.sum("tribune_relay_rooms", &[]) >= ROOMS as f64);
        assert_eq!(many.sum("tribune_relay_room_hands", &[]), 0.0);
        assert!(many.sum("tribune_relay_room_listeners", &[]) >= 2_000.0);
        Ok(())
    });
}

/// Opens rooms over a few connections.
async fn open_rooms(relay: &Relay) -> Result<()> {
    for host in 0..ROOMS / ROOMS_A_HOST {
        let mut one_shots = OneShotClient::new(Config {
            addresses: vec![relay.address().to_string().parse()?],
            trust: Trust::Pinned(relay.fingerprint().parse()?),
            session: SessionKey([host as u8 + 1; 16]),
            name: format!("Host {host}").parse()?,
            role: Role::Host,
            token: None,
        })?;
        for n in 0..ROOMS_A_HOST {
            let room = format!("room-{host}-{n}").parse()?;
            let act = Govern::Create { settings: RoomSettings::default() };
            let answer = tokio::time::timeout(LIMIT, one_shots.ask(&room, act)).await;
            let answer = answer.context("no answer")??;
            ensure!(matches!(answer, Answer::Done | Answer::Room(_)), "{answer:?}");
        }
    }
    Ok(())
}

/// The metrics of a relay with all those rooms while so many listen to one more.
fn with_listeners(scratch: &Scratch, listeners: u32) -> Result<Metrics> {
    let relay = RelayOptions::new(&format!("relay-{listeners}"))
        .arg(&format!("--metrics-max-series={MAX_SERIES}"))
        .start(scratch)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(open_rooms(&relay))?;
    let arguments = [
        "load".to_owned(),
        format!("--url={}", relay.address()),
        format!("--listeners={listeners}"),
        "--per-socket=100".to_owned(),
        "--join-rate=500".to_owned(),
        // It is ended before.
        "--seconds=120".to_owned(),
    ];
    let name = format!("load-{listeners}");
    let mut load = Process::start(scratch, &name, "tribune-bench", &arguments)?;
    let metrics = relay.wait_metrics("the listeners", LIMIT, |metrics| {
        metrics.sum("tribune_relay_room_listeners", &[]) >= f64::from(listeners)
    });
    load.kill()?;
    metrics
}

#[test]
fn no_secret_is_in_any_log() {
    const SECRET: &str = "a secret of more than thirty-two bytes";
    const RELAY_TOKEN: &str = "the-token-that-relays-show-each-other";
    with_scratch(|scratch| {
        let keys = scratch.file("keys.toml");
        std::fs::write(&keys, format!("[[key]]\nname = \"web\"\nsecret = \"{SECRET}\"\n"))?;
        let options = |name| {
            RelayOptions::new(name)
                .arg(&format!("--keys={}", keys.display()))
                .arg(&format!("--relay-token={RELAY_TOKEN}"))
                .arg("--log=trace")
        };
        let origin = options("origin").start(scratch)?;
        let mut below = options("below").parent(&origin).start(scratch)?;
        let token = jwt::sign("HS256", SECRET, &claims())?;
        let session = scratch.file("session");
        for (name, command) in [
            ("speak", &["speak", ROOM, "--name", "Ada", "--tone", "440", "--duration", "2s"][..]),
            ("errand", &["room", "show", ROOM]),
        ] {
            let shown = ["--token", &token, "--session", &session.display().to_string()];
            let client = Client::new(command, &below).args(&shown);
            let ended = client.start_logging_everything(scratch, name)?.wait(LIMIT)?;
            ensure!(ended.code == Some(0), "{name}: {}", ended.stderr);
        }
        below.terminate()?;
        below.process().wait(LIMIT)?;
        let signature = token.rsplit('.').next().context("a token has three parts")?;
        let key = std::fs::read_to_string(&session)?;
        for secret in [SECRET, RELAY_TOKEN, signature, key.trim()] {
            ensure!(secret.len() >= 16, "{secret:?} is no secret");
            for name in ["origin", "below", "speak", "errand"] {
                for end in ["stderr", "stdout"] {
                    let file = scratch.file(&format!("{name}.{end}"));
                    ensure!(!holds(&file, secret)?, "{} has a secret", file.display());
                }
            }
        }
        for name in ["origin", "speak"] {
            let log = scratch.file(&format!("{name}.stderr"));
            ensure!(holds(&log, "TRACE")?, "{} has everything", log.display());
        }
        Ok(())
    });
}

fn claims() -> serde_json::Value {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now_s = now.unwrap_or_default().as_secs();
    json!({
        "iss": "web", "sub": "ada@example.org", "name": "Ada", "exp": now_s + 600,
        "video": {
            "roomJoin": true, "room": ROOM, "roomCreate": true, "roomAdmin": true,
            "canPublish": true, "canSubscribe": true,
        },
    })
}

fn holds(file: &Path, text: &str) -> Result<bool> {
    let bytes = std::fs::read(file).with_context(|| format!("{} is not read", file.display()))?;
    Ok(bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}
