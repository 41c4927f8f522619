//! Address of a relay's HTTP API, as given on the command line. Pure.

use std::fmt;
use std::str::FromStr;

use crate::session::address::Address;

/// TCP port of a relay's HTTP side where none is given.
const DEFAULT_PORT: u16 = 9433;

/// A host and a TCP port, over plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpAddress {
    host: String,
    port: u16,
}

impl HttpAddress {
    /// A name or an IP address, the latter without brackets.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// As the header `Host` wants it.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for HttpAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        match scheme {
            "http" => {}
            "https" => {
                return Err(format!(
                    "{shown}: a relay's HTTP side speaks no TLS; ask it on its own machine, or over \
                     a tunnel, by http://HOST:PORT"
                ));
            }
            _ => return Err(format!("{shown} is not http://HOST:PORT or HOST:PORT")),
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let invalid = || format!("{shown} is not http://HOST:PORT or HOST:PORT");
        // A relay's own address has the same form, but for the port that stands for none.
        let names_port = rest.parse::<std::net::Ipv6Addr>().is_err()
            && rest.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let address: Address = rest.parse().map_err(|_| invalid())?;
        let port = if names_port { address.port() } else { DEFAULT_PORT };
        Ok(Self { host: address.host().to_owned(), port })
    }
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_place() {
        for (text, read) in [
            ("http://127.0.0.1:9433", "http://127.0.0.1:9433"),
            ("http://relay.example.net/", "http://relay.example.net:9433"),
            ("localhost:80", "http://localhost:80"),
            ("relay", "http://relay:9433"),
            ("[::1]:9000", "http://[::1]:9000"),
            ("[::1]", "http://[::1]:9433"),
            ("::1", "http://[::1]:9433"),
        ] {
            assert_eq!(text.parse::<HttpAddress>().unwrap().to_string(), read, "{text}");
        }
        for (text, named) in [
            ("https://relay:9433", "no TLS"),
            ("ftp://relay", "ftp://relay is not"),
            ("tribune://relay:4433", "tribune://relay:4433 is not"),
            ("http://relay:9433/api", "relay:9433/api is not"),
            ("http://", "http:// is not"),
            ("relay:port", "relay:port is not"),
            ("a b:1", "a b:1 is not"),
        ] {
            let error = text.parse::<HttpAddress>().unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
