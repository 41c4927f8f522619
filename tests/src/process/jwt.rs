//! Tokens made by a library of another language: PyJWT, which `scripts/setup test` installs.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// The system's own: it is where the system's packages are, whatever else is in `PATH`.
const PYTHON: &str = "/usr/bin/python3";

/// Takes one JSON object on standard input and prints the token. With "forge" the header is written by
/// hand and signed with HMAC, since the library refuses to do such a thing.
const SCRIPT: &str = r#"
import base64, hashlib, hmac, json, sys
import cryptography, jwt
job = json.load(sys.stdin)
if "forge" in job:
    part = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
    parts = [part(json.dumps(job[name]).encode()) for name in ("forge", "claims")]
    signed = b".".join(parts)
    mac = part(hmac.new(job["key"].encode(), signed, hashlib.sha256).digest())
    print((signed + b"." + mac).decode())
else:
    print(jwt.encode(job["claims"], job["key"], algorithm=job["alg"]))
"#;

/// A token with these claims, signed by PyJWT; `key` is a secret, or a private key in PEM.
///
/// # Errors
/// If Python, PyJWT or what it needs for Ed25519 is missing.
pub fn sign(algorithm: &str, key: &str, claims: &Value) -> Result<String> {
    run(&json!({ "alg": algorithm, "key": key, "claims": claims }))
}

/// A token with any header, signed with HMAC-SHA-256 whatever the header says.
///
/// # Errors
/// As [`sign`].
pub fn forge(header: &Value, key: &str, claims: &Value) -> Result<String> {
    run(&json!({ "forge": header, "key": key, "claims": claims }))
}

fn run(job: &Value) -> Result<String> {
    const MISSING: &str =
        "PyJWT or cryptography is missing for /usr/bin/python3: make setup (on macOS, by pip)";
    let mut child = Command::new(PYTHON)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context(MISSING)?;
    child.stdin.take().context("no standard input")?.write_all(job.to_string().as_bytes()).ok();
    let output = child.wait_with_output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(!errors.contains("ModuleNotFoundError"), MISSING);
    ensure!(output.status.success(), "PyJWT refuses: {errors}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
