//! Headers of every answer to a browser: what its page may load, where it may connect to, who may frame it.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use tribune_relay_core::tree::host_port::HostPort;

use super::host::Host;
use crate::config::EmbedOrigin;

/// Headers that are the same for all.
const FIXED: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Links and tokens are nobody else's business.
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), display-capture=(), geolocation=(), microphone=(self)",
    ),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Sources that a page loads from: files of this relay alone, no script or style in the page itself.
const LOADS: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                     font-src 'none'; worker-src 'self'; media-src 'self' blob:; base-uri 'none'; \
                     form-action 'none'";

/// Sets the headers of an answer. Each file has them: a worker is under the policy of its own file.
pub(super) fn protect(headers: &mut HeaderMap, connect: &str, ancestors: &str) {
    for (name, value) in FIXED {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let policy = format!("{LOADS}; connect-src {connect}; frame-ancestors {ancestors}");
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
}

/// Places that a page may connect to: this relay over UDP and TCP, and those that it sends participants to, whose
/// ports may be told later.
pub(super) fn connect_sources(host: &Host, udp_port: u16, elsewhere: &[HostPort]) -> String {
    let mut sources = vec!["'self'".to_owned()];
    match host.name() {
        Some(name) => sources.push(format!("https://{name}:{udp_port}")),
        // Whoever types an address of IPv6 can reach it only so.
        None => sources.push("https:".to_owned()),
    }
    match host.name() {
        // `'self'` covers these in newer browsers only.
        Some(_) => sources.extend([format!("ws://{host}"), format!("wss://{host}")]),
        None => sources.push("wss:".to_owned()),
    }
    for place in elsewhere.iter().filter(|place| !place.host().contains(':')) {
        let source = format!("https://{}:*", place.host());
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    sources.join(" ")
}

/// Pages that may hold a frame.
pub(super) fn ancestors(embed_from: &[EmbedOrigin]) -> String {
    if embed_from.is_empty() {
        return "'none'".to_owned();
    }
    embed_from.iter().map(EmbedOrigin::as_str).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(host: &str, elsewhere: &[&str]) -> String {
        let elsewhere: Vec<_> = elsewhere.iter().map(|place| place.parse().unwrap()).collect();
        connect_sources(&host.parse().unwrap(), 4433, &elsewhere)
    }

    #[test]
    fn a_page_connects_to_this_relay_and_to_those_that_it_is_sent_to() {
        assert_eq!(
            sources("localhost:8080", &[]),
            "'self' https://localhost:4433 ws://localhost:8080 wss://localhost:8080"
        );
        assert_eq!(
            sources("a.example", &["b.example:1", "c.example:2", "b.example:3", "[::1]:4"]),
            "'self' https://a.example:4433 ws://a.example wss://a.example https://b.example:* https://c.example:*"
        );
        assert_eq!(sources("[::1]:8080", &[]), "'self' https: wss:");
    }

    #[test]
    fn nobody_frames_it_but_those_that_are_named() {
        assert_eq!(ancestors(&[]), "'none'");
        let named = ["https://a.example".parse().unwrap(), "https://b.example:1".parse().unwrap()];
        assert_eq!(ancestors(&named), "https://a.example https://b.example:1");
    }
}
