//! Tokens that an independent library has made: good ones join, and each kind of bad one is refused
//! with a code of its own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tribune_tests::process::{
    Client, Ended, Process, Relay, RelayOptions, Scratch, jwt, with_scratch,
};

const ROOM: &str = "stage";
const SECRET: &str = "a secret of more than thirty-two bytes";
/// Time limit of a one-shot command on a busy machine.
const COMMAND: Duration = Duration::from_secs(20);

/// A relay with a secret called `web` and a public key called `app`, and the private half of that.
struct Keyed {
    relay: Relay,
    private: String,
    public: String,
}

impl Keyed {
    fn start(scratch: &Scratch) -> Result<Self> {
        let private = scratch.file("private.pem");
        let path = private.display().to_string();
        let arguments = ["keys", "generate", "--ed25519", "--name", "app", "--out", &path];
        let arguments = arguments.map(str::to_owned);
        let generated =
            Process::start(scratch, "keys", "tribune-relay", &arguments)?.wait(COMMAND)?;
        ensure!(generated.code == Some(0), "{}", generated.stderr);
        let block = generated.stdout.join("\n");
        let public = block.split("\"\"\"").nth(1).context("no public key")?.trim().to_owned();
        let keys = scratch.file("keys.toml");
        std::fs::write(
            &keys,
            format!("[[key]]\nname = \"web\"\nsecret = \"{SECRET}\"\n{block}\n"),
        )?;
        let keys = keys.display().to_string();
        let relay = RelayOptions::new("keyed").arg("--keys").arg(&keys).start(scratch)?;
        Ok(Self { relay, private: std::fs::read_to_string(private)?, public })
    }

    /// Speaks a moment, which opens the room where nobody has.
    fn speak(&self, scratch: &Scratch, name: &str, token: &str) -> Result<Ended> {
        let arguments = ["speak", ROOM, "--name", "Somebody", "--tone", "440", "--duration", "1s"];
        Client::new(&arguments, &self.relay).args(&["--token", token]).run(scratch, name, COMMAND)
    }

    fn refusal(&self, scratch: &Scratch, name: &str, token: &str) -> Result<String> {
        let ended = self.speak(scratch, name, token)?;
        ensure!(ended.code == Some(4), "{name} ends with {:?}: {}", ended.code, ended.stderr);
        let mut lines = ended.stdout.iter().filter_map(|line| serde_json::from_str(line).ok());
        let code = lines.find_map(|line: Value| line["error"]["code"].as_str().map(str::to_owned));
        code.with_context(|| format!("{name}: no code in {:?}", ended.stdout))
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn claims(key: &str) -> Value {
    json!({
        "iss": key,
        "sub": "ada@example.org",
        "name": "Ada",
        "nbf": now_s() - 10,
        "exp": now_s() + 600,
        "metadata": "",
        "attributes": { "followers": "612" },
        "video": {
            "roomJoin": true, "room": ROOM, "roomCreate": true, "roomAdmin": true,
            "canPublish": true, "canSubscribe": true,
        },
    })
}

fn with(key: &str, value: Value) -> Value {
    let mut claims = claims("web");
    claims[key] = value;
    claims
}

#[test]
fn a_token_of_an_independent_library_joins() {
    with_scratch(|scratch| {
        let keyed = Keyed::start(scratch)?;
        for (name, token) in [
            ("hs256", jwt::sign("HS256", SECRET, &claims("web"))?),
            ("eddsa", jwt::sign("EdDSA", &keyed.private, &claims("app"))?),
        ] {
            let ended = keyed.speak(scratch, name, &token)?;
            assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr);
        }
        // One of our own for the same key.
        let arguments = ["token", "create", "--room", ROOM, "--identity", "bob", "--role", "host"];
        let key = format!("web:{SECRET}");
        let made = Client::bare(&arguments)
            .args(&["--create", "--key", &key])
            .run_well(scratch, "create", COMMAND)?;
        let made: Value = serde_json::from_str(&made.stdout[0])?;
        let token = made["token"].as_str().context("no token")?;
        let ended = keyed.speak(scratch, "own", token)?;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let shown = Client::bare(&["token", "show", token, "--key", &key])
            .run_well(scratch, "show", COMMAND)?;
        let shown: Value = serde_json::from_str(&shown.stdout[0])?;
        assert_eq!(
            (&shown["verified"], &shown["entitles_to"]["role"]),
            (&json!(true), &json!("host"))
        );
        Ok(())
    });
}

#[test]
fn each_kind_of_bad_token_is_refused_with_its_own_code() {
    with_scratch(|scratch| {
        let keyed = Keyed::start(scratch)?;
        let sign = |claims: &Value| jwt::sign("HS256", SECRET, claims);
        let good = sign(&claims("web"))?;
        // The same header and signature around other claims.
        let other = sign(&with("sub", json!("mallory")))?;
        let middle = |token: &str| token.split('.').nth(1).unwrap_or_default().to_owned();
        let altered = good.replace(&middle(&good), &middle(&other));
        let elsewhere = json!({ "roomJoin": true, "room": "cellar", "canPublish": true });
        let unsigned = jwt::sign("none", "", &claims("web"))?;
        for (name, token, code) in [
            ("altered", altered, "token_invalid"),
            (
                "other-secret",
                jwt::sign("HS256", &SECRET.replace('a', "b"), &claims("web"))?,
                "token_invalid",
            ),
            ("expired", sign(&with("exp", json!(now_s() - 60)))?, "token_expired"),
            ("early", sign(&with("nbf", json!(now_s() + 300)))?, "token_not_yet_valid"),
            ("elsewhere", sign(&with("video", elsewhere))?, "token_wrong_room"),
            ("no-grant", sign(&with("video", json!({ "room": ROOM })))?, "token_grants_nothing"),
            ("unsigned", unsigned, "token_wrong_algorithm"),
            (
                "none",
                jwt::forge(&json!({"alg": "none"}), SECRET, &claims("web"))?,
                "token_wrong_algorithm",
            ),
            (
                "rs256",
                jwt::forge(&json!({"alg": "RS256"}), SECRET, &claims("web"))?,
                "token_wrong_algorithm",
            ),
            ("hs512", jwt::sign("HS512", SECRET, &claims("web"))?, "token_wrong_algorithm"),
            // The public key as a secret: everybody has it.
            (
                "confused",
                jwt::forge(&json!({"alg": "HS256"}), &keyed.public, &claims("app"))?,
                "token_wrong_algorithm",
            ),
            (
                "confused-too",
                jwt::forge(&json!({"alg": "EdDSA"}), &keyed.public, &claims("app"))?,
                "token_invalid",
            ),
            ("unknown", sign(&with("iss", json!("nobody")))?, "token_unknown_key"),
            (
                "no-expiry",
                sign(&with("exp", Value::Null)).or_else(|_| {
                    jwt::forge(&json!({"alg": "HS256"}), SECRET, &with("exp", Value::Null))
                })?,
                "token_malformed",
            ),
            ("no-token", "not a token".to_owned(), "token_malformed"),
        ] {
            assert_eq!(keyed.refusal(scratch, name, &token)?, code, "{name}");
        }
        // A role above the one that the token is for.
        let listener = json!({ "roomJoin": true, "room": ROOM, "canSubscribe": true });
        let listener = sign(&with("video", listener))?;
        assert_eq!(keyed.refusal(scratch, "listener", &listener)?, "not_permitted");
        Ok(())
    });
}
