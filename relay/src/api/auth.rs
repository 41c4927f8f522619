//! Authorisation of operators over HTTP, for orders and for single listeners: by the operator token, or, on
//! a relay without one, for programs of the same machine. Used by [`super::routes`].

use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use tribune_relay_core::auth::secret::Secret;

/// The check of an operator.
#[derive(Debug, Clone, Default)]
pub struct OperatorAuth {
    /// The operator token, if there is one.
    pub token: Option<Secret>,
}

/// Reason of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The relay has a token, and the request has none.
    #[error("This needs the operator token: Authorization: Bearer TOKEN.")]
    TokenMissing,
    /// The request has another token.
    #[error("The operator token is another one.")]
    TokenWrong,
    /// The relay has no token, and the caller is on another machine.
    #[error(
        "Without --operator-token this is for programs on the relay's own machine, and this request comes \
         from another one."
    )]
    NotHere,
    /// The relay has no token, and the caller is a page in a browser on this machine.
    #[error("Without --operator-token this is not for pages in a browser.")]
    FromPage,
}

impl OperatorAuth {
    /// Checks a request.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn check(&self, peer: IpAddr, headers: &HeaderMap) -> Result<(), Refused> {
        let Some(token) = &self.token else {
            // A page can have a browser send anything to this machine, which shows in these headers; a
            // name of the page's own that points here shows in the host.
            let is_page = headers.contains_key(header::ORIGIN)
                || headers.contains_key("sec-fetch-site")
                || !is_own_host(headers);
            return match (peer.to_canonical().is_loopback(), is_page) {
                (false, _) => Err(Refused::NotHere),
                (true, true) => Err(Refused::FromPage),
                (true, false) => Ok(()),
            };
        };
        let shown = headers.get(header::AUTHORIZATION).ok_or(Refused::TokenMissing)?;
        let bearer = shown.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
        let is_it = bearer.is_some_and(|shown| token.is(shown.trim()));
        if is_it { Ok(()) } else { Err(Refused::TokenWrong) }
    }
}

/// Whether the request was sent to an address or to `localhost`, and not to a foreign name that points
/// here.
fn is_own_host(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn without_a_token_it_is_for_programs_on_this_machine() {
        let open = OperatorAuth::default();
        let plain = headers(&[("host", "127.0.0.1:9433")]);
        assert_eq!(open.check(HERE, &plain), Ok(()));
        assert_eq!(open.check("::ffff:127.0.0.1".parse().unwrap(), &plain), Ok(()));
        assert_eq!(open.check("::1".parse().unwrap(), &headers(&[("host", "[::1]:9433")])), Ok(()));
        assert_eq!(open.check(HERE, &headers(&[("host", "localhost:9433")])), Ok(()));
        assert_eq!(open.check(THERE, &plain), Err(Refused::NotHere));
        let page = headers(&[("host", "127.0.0.1:9433"), ("origin", "https://example.net")]);
        assert_eq!(open.check(HERE, &page), Err(Refused::FromPage));
        let rebound = headers(&[("host", "relay.example.net:9433")]);
        assert_eq!(open.check(HERE, &rebound), Err(Refused::FromPage));
        assert_eq!(open.check(HERE, &HeaderMap::new()), Err(Refused::FromPage));
    }

    #[test]
    fn with_a_token_it_is_for_whoever_shows_it() {
        let closed = OperatorAuth { token: Some("sixteen-bytes-ok".parse().unwrap()) };
        let shows = |value| headers(&[("host", "relay:9433"), ("authorization", value)]);
        assert_eq!(closed.check(THERE, &shows("Bearer sixteen-bytes-ok")), Ok(()));
        assert_eq!(closed.check(HERE, &shows("Bearer sixteen-bytes-no")), Err(Refused::TokenWrong));
        assert_eq!(closed.check(HERE, &shows("Basic sixteen-bytes-ok")), Err(Refused::TokenWrong));
        let none = headers(&[("host", "127.0.0.1:9433")]);
        assert_eq!(closed.check(HERE, &none), Err(Refused::TokenMissing));
    }
}
