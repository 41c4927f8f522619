//! Contents of a token, as text and as JSON.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use tribune_protocol::token::{Claims, Entitlement, Parts};

/// The last second that has four digits for its year.
const LAST_SECOND: u64 = 253_402_300_799;

pub(super) fn json(parts: &Parts<'_>, claims: &Claims, verified: bool, now_s: u64) -> Value {
    let check = claims.check_time(now_s);
    json!({
        "algorithm": parts.algorithm,
        "verified": verified,
        "valid_now": check.is_ok(),
        "why_not": check.err().map(|error| error.code().as_str()),
        "claims": claims,
        "entitles_to": if claims.grants.room_join { entitles(claims) } else { Value::Null },
    })
}

fn entitles(claims: &Claims) -> Value {
    let Entitlement { role, may_listen, may_open, hidden, .. } = claims.entitlement();
    json!({
        "room": claims.grants.room,
        "role": role,
        "may_listen": may_listen,
        "may_open": may_open,
        "hidden": hidden,
    })
}

/// Lines without the last line end. Values are quoted: a token may hold anything.
pub(super) fn text(parts: &Parts<'_>, claims: &Claims, verified: bool, now_s: u64) -> String {
    let mut out = String::new();
    let key = format!("key {:?}, {}", claims.key_name, parts.algorithm.escape_debug());
    let verdict = if verified {
        format!("The signature is right ({key}).")
    } else {
        format!("NOT verified: give a key to check the signature ({key}).")
    };
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(out, "{label:<11} {value}");
    };
    line("signature", &verdict);
    line("identity", &format!("{:?}", claims.subject));
    if let Some(name) = &claims.name {
        line("name", &format!("{name:?}"));
    }
    line("validity", &validity(claims, now_s));
    if let Some(issued_s) = claims.issued_s {
        line("made", &moment(issued_s));
    }
    for (key, value) in claims.attributes.iter() {
        line("attribute", &format!("{key:?} = {}", json!(value)));
    }
    if let Some(metadata) = claims.metadata.as_ref().filter(|text| !text.as_str().is_empty()) {
        line("metadata", &format!("{:?}", metadata.as_str()));
    }
    line("grants", &json!(claims.grants).to_string());
    line("entitles to", &entitlement(claims));
    out.truncate(out.trim_end().len());
    out
}

/// In words, at `now_s`.
fn validity(claims: &Claims, now_s: u64) -> String {
    let until = moment(claims.expires_s);
    let span = |from_s: u64, to_s: u64| {
        humantime::format_duration(Duration::from_secs(to_s.saturating_sub(from_s))).to_string()
    };
    if now_s >= claims.expires_s {
        return format!("expired {} ago, at {until}", span(claims.expires_s, now_s));
    }
    match claims.not_before_s {
        Some(from_s) if from_s > now_s => {
            format!("not yet: in {}, from {} until {until}", span(now_s, from_s), moment(from_s))
        }
        Some(_) | None => format!("for another {}, until {until}", span(now_s, claims.expires_s)),
    }
}

fn entitlement(claims: &Claims) -> String {
    if !claims.grants.room_join {
        return "nothing: video.roomJoin is not true".to_owned();
    }
    if claims.grants.room.is_empty() {
        return "nothing: video.room names no room".to_owned();
    }
    let Entitlement { role, may_listen, may_open, hidden, .. } = claims.entitlement();
    let mut text = format!("room {:?} as {role} or less", claims.grants.room);
    if claims.role.is_some_and(|asked| asked != role) {
        text += ", since the grants do not cover the role that it names";
    }
    text += if may_listen { "; to hear it" } else { "; NOT to hear it (canSubscribe)" };
    if may_open {
        text += "; to open it";
    }
    if hidden {
        text += "; not shown to others";
    }
    text
}

/// A time, in UTC.
fn moment(unix_s: u64) -> String {
    if unix_s > LAST_SECOND {
        return format!("{unix_s} s after 1970");
    }
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(unix_s)).to_string()
}

#[cfg(test)]
mod tests {
    use tribune_protocol::token::base64url;

    use super::*;

    fn shown(claims: &str, verified: bool, now_s: u64) -> (String, Value) {
        let [header, claims] =
            [r#"{"alg":"HS256"}"#, claims].map(|part| base64url::encode(part.as_bytes()));
        let token = format!("{header}.{claims}.AAAA");
        let parts = Parts::of(&token).unwrap();
        let claims = parts.claims().unwrap();
        (text(&parts, &claims, verified, now_s), json(&parts, &claims, verified, now_s))
    }

    #[test]
    fn everything_is_said() {
        let claims = r#"{"iss":"web","sub":"ada","name":"Ada","nbf":1000,"exp":4600,"iat":900,
            "metadata":"m","attributes":{"followers":612},"role":"host",
            "video":{"room":"stage","roomJoin":true,"canPublish":true,"canSubscribe":true}}"#;
        let (text, json) = shown(claims, true, 2_000);
        for part in [
            "The signature is right (key \"web\", HS256).",
            "identity    \"ada\"",
            "for another 43m 20s, until 1970-01-01T01:16:40Z",
            "made        1970-01-01T00:15:00Z",
            "\"followers\" = 612",
            "room \"stage\" as speaker or less, since the grants do not cover",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(json["entitles_to"]["role"], "speaker");
        assert_eq!(json["valid_now"], true);
        assert_eq!(json["claims"]["attributes"]["followers"], 612);
    }

    #[test]
    fn what_is_wrong_with_it_is_said() {
        let claims = r#"{"iss":"web","sub":"ada","exp":1000,"nbf":500}"#;
        let (text, json) = shown(claims, false, 1_060);
        assert!(text.contains("NOT verified"), "{text}");
        assert!(text.contains("expired 1m ago, at 1970-01-01T00:16:40Z"), "{text}");
        assert!(text.contains("entitles to nothing: video.roomJoin"), "{text}");
        assert_eq!((&json["verified"], &json["why_not"]), (&json!(false), &json!("token_expired")));
        assert_eq!(json["entitles_to"], Value::Null);
        let (text, json) = shown(claims, false, 440);
        assert!(text.contains("not yet: in 1m, from 1970-01-01T00:08:20Z"), "{text}");
        assert_eq!(json["why_not"], "token_not_yet_valid");
        let (text, _) = shown(r#"{"iss":"w\u001b[2J","sub":"a","exp":9000000000000000}"#, false, 0);
        assert!(
            text.contains("9000000000000000 s after 1970") && !text.contains('\u{1b}'),
            "{text}"
        );
    }
}
