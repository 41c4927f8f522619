//! Views of operators and moderators on real relays and clients, and the orders they may give: the tree
//! and its listeners at any relay, single listeners for those entitled, a drain over HTTP.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tribune_tests::process::{
    Client, Ended, Process, Relay, RelayOptions, Scratch, sound, wait_for, with_scratch,
};

const ROOM: &str = "agora";
const OPERATOR: &str = "Bearer an-operators-token";
const KEY: &str = "web:a secret of more than thirty-two bytes";
/// Time limit of a command on a busy machine.
const COMMAND: Duration = Duration::from_secs(20);
/// How soon a listener's first report has to show everywhere: it is sent after 5 s, and the edge tells
/// its parent within 5 s more.
const REPORTED: Duration = Duration::from_secs(20);

/// origin ⟶ leaf, a host at the origin and a listener at the leaf, where orders take a token.
struct OperatedTree<'a> {
    scratch: &'a Scratch,
    origin: Relay,
    leaf: Relay,
    _host: Process,
    listener: Process,
}

impl<'a> OperatedTree<'a> {
    fn open(scratch: &'a Scratch) -> Result<Self> {
        let keys = scratch.file("keys.toml");
        let (name, secret) = KEY.split_once(':').context("a key has a name")?;
        std::fs::write(&keys, format!("[[key]]\nname = \"{name}\"\nsecret = \"{secret}\"\n"))?;
        let keys = keys.display().to_string();
        let origin = RelayOptions::new("origin").arg("--keys").arg(&keys).start(scratch)?;
        let token = OPERATOR.trim_start_matches("Bearer ");
        let leaf = RelayOptions::new("leaf")
            .parent(&origin)
            .arg("--keys")
            .arg(&keys)
            .arg(&format!("--operator-token={token}"))
            .start(scratch)?;
        let session = scratch.file("ada.session").display().to_string();
        let host = Client::speak(ROOM, "Ada", &sound::clip("ada"), &origin)
            .args(&["--loop", "--role", "host", "--session", &session])
            .enter(scratch, "host")?;
        let listener = Client::new(&["listen", ROOM, "--out", "null", "--name", "Eve"], &leaf)
            .enter(scratch, "listener")?;
        Ok(Self { scratch, origin, leaf, _host: host, listener })
    }

    /// One snapshot of `tribune top`.
    fn top(&self, relay: &Relay, more: &[&str]) -> Result<Value> {
        let http = relay.http().to_string();
        let command = Client::bare(&["top", "--once", "--http", &http]).args(more);
        let ended = command.run_well(self.scratch, &format!("top-{}", relay.name()), COMMAND)?;
        json(&ended)
    }

    /// `tribune listeners` as the host, or with a token.
    fn listeners(&self, name: &str, more: &[&str]) -> Result<Ended> {
        Client::new(&["listeners", ROOM], &self.leaf).args(more).run(self.scratch, name, COMMAND)
    }

    /// The same as the host.
    fn listeners_as_host(&self, name: &str, more: &[&str]) -> Result<Ended> {
        let session = self.scratch.file("ada.session").display().to_string();
        self.listeners(name, &[more, &["--session", &session]].concat())
    }
}

fn json(ended: &Ended) -> Result<Value> {
    let line = ended.stdout.last().with_context(|| format!("nothing: {}", ended.stderr))?;
    Ok(serde_json::from_str(line)?)
}

/// Each relay's name, its listeners, and how many reports its own ones have sent.
fn relays(seen: &Value) -> Vec<(String, u64, u64)> {
    let relays = seen["tree"]["relays"].as_array().cloned().unwrap_or_default();
    let row = |relay: &Value| {
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let name = relay["name"].as_str().unwrap_or_default().to_owned();
        (name, number(&relay["listeners"]), number(&relay["quality"]["reports"]))
    };
    relays.iter().map(row).collect()
}

#[test]
fn any_relay_shows_the_tree_and_those_entitled_see_its_listeners() {
    with_scratch(|scratch| {
        let tree = OperatedTree::open(scratch)?;
        for relay in [&tree.origin, &tree.leaf] {
            let what = format!("the listener's report in the tree at {}", relay.name());
            wait_for(&what, REPORTED, || {
                let seen = tree.top(relay, &[])?;
                ensure!(seen["tree"]["rooted"] == true, "{seen}");
                let relays = relays(&seen);
                let [(origin, 1, _), (leaf, 1, 1..)] = &relays[..] else { return Ok(None) };
                Ok((origin == "origin" && leaf == "leaf").then_some(()))
            })?;
        }

        // At the leaf it takes its token; at the origin, which has none, this machine is enough.
        let at_leaf = tree.top(&tree.leaf, &["--room", ROOM])?;
        assert_eq!(at_leaf["room"]["speakers"][0]["name"], "Ada");
        assert!(at_leaf["listeners_refused"].as_str().unwrap_or_default().contains("token"));
        let token = ["--operator-token", OPERATOR.trim_start_matches("Bearer ")];
        let at_leaf = tree.top(&tree.leaf, &[["--room", ROOM], token].concat())?;
        assert_eq!(at_leaf["listeners"]["listeners"][0]["name"], "Eve", "{at_leaf}");
        let at_origin = tree.top(&tree.origin, &["--room", ROOM])?;
        assert_eq!(at_origin["listeners"]["listeners"][0]["relay"], "leaf", "{at_origin}");

        // The edge answers for its listeners at once, and tells the origin of the room every 5 s.
        let seen = wait_for("the room's summary at the origin", REPORTED, || {
            let seen = tree.listeners_as_host("listeners-host", &["--by", "latency"])?;
            ensure!(seen.code == Some(0), "{}", seen.stderr);
            Ok(Some(json(&seen)?).filter(|seen| seen["quality"]["reports"].as_u64() >= Some(1)))
        })?;
        let eve = &seen["listeners"][0];
        assert_eq!((&eve["name"], &eve["relay"]), (&"Eve".into(), &"leaf".into()), "{seen}");
        assert!(eve["report"]["received"].as_u64() >= Some(1), "{seen}");
        let id = eve["participant"].as_str().context("no id")?;
        for who in [id, "eve"] {
            let one = tree.listeners_as_host("listeners-one", &["--listener", who])?;
            assert_eq!(json(&one)?["listeners"][0]["participant"], id, "{who}");
        }
        let nobody = tree.listeners_as_host("listeners-nobody", &["--listener", "Zoe"])?;
        assert_eq!(nobody.code, Some(4));
        assert_eq!(json(&nobody)?["error"]["code"], "no_such_participant");

        let create = ["token", "create", "--room", ROOM, "--identity", "gil", "--key", KEY];
        let made = Client::bare(&create).run_well(scratch, "token", COMMAND)?;
        let guest = json(&made)?["token"].as_str().context("no token")?.to_owned();
        let refused = tree.listeners("listeners-guest", &["--token", &guest])?;
        assert_eq!(refused.code, Some(4), "{}", refused.stderr);
        assert_eq!(json(&refused)?["error"]["code"], "not_permitted");
        Ok(())
    });
}

#[test]
fn a_relay_that_cannot_be_asked_is_said_in_one_sentence() {
    with_scratch(|scratch| {
        // A port that was free a moment ago, and that nobody listens on.
        let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        for (name, http, code, said) in [
            ("gone", free.as_str(), 3, "Cannot reach http://127.0.0.1:"),
            ("tls", "https://127.0.0.1", 2, "speaks no TLS"),
        ] {
            let ended =
                Client::bare(&["top", "--once", "--http", http]).run(scratch, name, COMMAND)?;
            assert_eq!(ended.code, Some(code), "{name}: {}", ended.stderr);
            assert!(ended.stderr.contains(said), "{name}: {}", ended.stderr);
        }
        Ok(())
    });
}

#[test]
fn a_drain_over_http_takes_the_right_to_it() {
    with_scratch(|scratch| {
        let mut tree = OperatedTree::open(scratch)?;
        let nothing: &[(&str, &str)] = &[];
        let entitled: &[(&str, &str)] = &[("Authorization", OPERATOR)];
        let other: &[(&str, &str)] = &[("Authorization", "Bearer another-operators-token")];
        let page: &[(&str, &str)] = &[("Origin", "https://example.net")];
        let rebound: &[(&str, &str)] = &[("Host", "relay.example.net")];
        let listeners = format!("/api/rooms/{ROOM}/listeners");
        let absent = "/api/rooms/elsewhere/listeners";
        let worst = format!("{listeners}?worst=31");
        let by = format!("{listeners}?by=loudness");
        for (relay, method, path, headers, status, code) in [
            (&tree.leaf, "POST", "/drain", nothing, 401, "token_missing"),
            (&tree.leaf, "POST", "/drain", other, 401, "token_wrong"),
            (&tree.leaf, "GET", listeners.as_str(), nothing, 401, "token_missing"),
            (&tree.leaf, "GET", listeners.as_str(), other, 401, "token_wrong"),
            (&tree.origin, "POST", "/drain", page, 403, "not_entitled"),
            (&tree.origin, "POST", "/drain", rebound, 403, "not_entitled"),
            (&tree.origin, "GET", listeners.as_str(), page, 403, "not_entitled"),
            (&tree.leaf, "POST", "/drain?within=soon", entitled, 400, "bad_request"),
            (&tree.leaf, "POST", "/drain?to=nowhere", entitled, 400, "bad_request"),
            (&tree.leaf, "POST", "/drain?now=1", entitled, 400, "bad_request"),
            (&tree.leaf, "GET", worst.as_str(), entitled, 400, "bad_request"),
            (&tree.leaf, "GET", by.as_str(), entitled, 400, "bad_request"),
            (&tree.leaf, "GET", absent, entitled, 404, "not_found"),
        ] {
            let answer = relay.ask(method, path, headers)?;
            let what = format!("{method} {path} at {}: {answer:?}", relay.name());
            let said: Value = serde_json::from_str(&answer.body).context(what.clone())?;
            assert_eq!((answer.status, said["code"].as_str()), (status, Some(code)), "{what}");
            assert!(said["message"].as_str().is_some_and(|text| text.ends_with('.')), "{what}");
        }
        let by_get = tree.leaf.ask("GET", "/drain", entitled)?;
        assert_eq!(by_get.status, 405, "an order is not a look");
        for relay in [&tree.origin, &tree.leaf] {
            assert_eq!(relay.get("/readyz")?.status, 200, "{} drains", relay.name());
        }

        let to = tree.origin.address();
        let answer = tree.leaf.ask("POST", &format!("/drain?to={to}&within=10s"), entitled)?;
        assert_eq!(answer.status, 202, "{answer:?}");
        let said: Value = serde_json::from_str(&answer.body)?;
        assert_eq!(said["to"], to.to_string(), "{said}");
        assert_eq!(said["within_ms"], 10_000, "{said}");
        tree.listener.wait_event("joined", COMMAND, |event| event["relay"] == "origin")?;
        let ended = tree.leaf.process().wait(COMMAND)?;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        wait_for("the tree without the leaf", COMMAND, || {
            let relays = relays(&tree.top(&tree.origin, &[])?);
            Ok((relays.len() == 1 && relays[0].1 == 1).then_some(()))
        })
    });
}
