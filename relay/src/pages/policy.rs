//! Security headers of the pages: what a page may load, whom it may talk to, who may show it inside another one.

use std::fmt::Write;
use std::net::Ipv6Addr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use tribune_relay_core::tree::host_port::HostPort;

/// Headers of every answer.
pub(super) const ALWAYS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-cache"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("permissions-policy"), "microphone=(self), camera=(), geolocation=()"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Whether other pages may show this one in a frame.
#[derive(Debug, Clone, Copy)]
pub(super) enum Frames<'a> {
    /// No.
    Nobody,
    /// Those of these origins.
    From(&'a [String]),
}

/// Host that a request is for, from its `Host` header. With it a page names the relay's UDP port.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Host(String);

impl Host {
    /// Host of a request; `None` where the header is missing, there twice, or no host.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut all = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (all.next(), all.next()) else { return None };
        let host = host.to_str().ok()?;
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
            Some(_) | None => (host, None),
        };
        let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
        let is_name = match name.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(address) => address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
            None => {
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
                !name.is_empty() && name.len() <= 253 && name.bytes().all(fits)
            }
        };
        (is_port && is_name).then(|| Self(name.to_owned()))
    }
}

/// The Content-Security-Policy of a page that was asked for at `host`: nothing is loaded from elsewhere, and it talks
/// to this relay and to those that it may be sent to.
pub(super) fn content_security_policy(
    host: &Host,
    port: u16,
    others: &[HostPort],
    frames: Frames<'_>,
) -> HeaderValue {
    let mut text = String::from(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         media-src 'self' blob:; worker-src 'self'; base-uri 'none'; form-action 'none'; \
         require-trusted-types-for 'script'; connect-src 'self'",
    );
    // Writing into a string does not fail.
    let _ = write!(text, " https://{}:{port}", host.0);
    for other in others {
        let _ = write!(text, " https://{other}");
    }
    text.push_str("; frame-ancestors ");
    match frames {
        Frames::From(origins) if !origins.is_empty() => text.push_str(&origins.join(" ")),
        Frames::From(_) | Frames::Nobody => text.push_str("'none'"),
    }
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_a_port_or_without() {
        let host = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_str(text).unwrap());
            Host::of(&headers).map(|host| host.0)
        };
        for (text, name) in [
            ("localhost", "localhost"),
            ("Relay-1.example.org:8443", "Relay-1.example.org"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(host(text).as_deref(), Some(name), "{text}");
        }
        for text in ["", "a b", "a;b", "a'b", "a:b", "a:99999", "[::1", "[nine]:1", "::1", "*"] {
            assert_eq!(host(text), None, "{text}");
        }
        assert_eq!(Host::of(&HeaderMap::new()), None);
    }

    #[test]
    fn a_page_talks_to_its_relay_and_to_those_it_may_be_sent_to() {
        let host = Host("relay.example.org".to_owned());
        let others = ["next.example.org:4433".parse().unwrap()];
        let policy = content_security_policy(&host, 4433, &others, Frames::Nobody);
        let policy = policy.to_str().unwrap();
        assert!(policy.contains(
            "connect-src 'self' https://relay.example.org:4433 https://next.example.org:4433;"
        ));
        assert!(policy.ends_with("frame-ancestors 'none'"), "{policy}");
        let origins = ["https://a.example".to_owned(), "https://b.example".to_owned()];
        let policy = content_security_policy(&host, 4433, &[], Frames::From(&origins));
        assert!(
            policy
                .to_str()
                .unwrap()
                .ends_with("frame-ancestors https://a.example https://b.example")
        );
    }
}
