//! The port for browsers, served by a thread of its own: handshakes of TLS for everybody who follows a link must
//! not hold up the hub.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tribune_relay_core::link::bridge::BridgeKey;

use crate::api::web::server::WebServer;
use crate::api::web::site::Site;
use crate::config::{Config, WebAddress, WebScheme};
use crate::monitor::Monitor;
use crate::tls::{CertificateKeeper, https_tls};
use crate::websocket::Bridge;

/// Address of the page, as people open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebLink {
    /// The TCP address that it is served at.
    pub address: SocketAddr,
    scheme: WebScheme,
    /// The name that a certificate or the machine has for it.
    host: String,
}

impl WebLink {
    /// The link to pages at `address`, whose sessions go to the UDP address `listen`.
    fn new(
        scheme: WebScheme,
        address: SocketAddr,
        dns_name: Option<String>,
        listen: SocketAddr,
    ) -> Self {
        let ip = address.ip();
        let host = match dns_name {
            Some(name) if scheme == WebScheme::Https => name,
            // A browser takes the name for ::1 first, and gives up where nobody listens there.
            Some(_) | None if ip == Ipv4Addr::LOCALHOST && listen.is_ipv4() => ip.to_string(),
            Some(_) | None if ip.is_loopback() || ip.is_unspecified() => "localhost".to_owned(),
            Some(_) | None if ip.is_ipv6() => format!("[{ip}]"),
            Some(_) | None => ip.to_string(),
        };
        Self { address, scheme, host }
    }
}

/// As a browser takes it.
impl fmt::Display for WebLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, scheme, host } = self;
        write!(f, "{}://{host}", scheme.as_str())?;
        match (scheme, address.port()) {
            (WebScheme::Http, 80) | (WebScheme::Https, 443) => Ok(()),
            (WebScheme::Http | WebScheme::Https, port) => write!(f, ":{port}"),
        }
    }
}

/// The running port. It is closed when this is dropped.
#[derive(Debug)]
pub(super) struct Web {
    link: WebLink,
    /// The thread ends once this is gone.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    pub(super) const fn link(&self) -> &WebLink {
        &self.link
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If it has panicked, it has said so.
            let _ = thread.join();
        }
    }
}

/// Serves the page, if it is wanted.
///
/// # Errors
/// A sentence about the port or the certificate.
pub(super) async fn serve_web(
    config: &Config,
    listen: SocketAddr,
    key: BridgeKey,
    keeper: &CertificateKeeper,
    monitor: &Arc<Monitor>,
) -> Result<Option<Web>> {
    let Some(web) = config.web else { return Ok(None) };
    let listener = bind(web).await?;
    let address = listener.local_addr()?;
    let certificates = keeper.certificates();
    let tls = match web.scheme {
        WebScheme::Http => None,
        WebScheme::Https => Some(https_tls(certificates)?),
    };
    let site = Site::new(config, listen.port(), certificates.clone());
    // Bound in the caller's runtime, served in the thread's.
    let listener = listener.into_std()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bridge = {
        let _inside = runtime.enter();
        Arc::new(Bridge::new(listen, key)?)
    };
    let server = WebServer { site, bridge, tls, monitor: Arc::clone(monitor) };
    let (stop, stopped) = oneshot::channel::<()>();
    let serve = move || {
        runtime.block_on(async move {
            match TcpListener::from_std(listener) {
                Ok(listener) => tokio::select! {
                    () = server.serve(listener) => {}
                    _ = stopped => {}
                },
                Err(error) => tracing::error!(%error, "there are no pages for browsers"),
            }
        });
        // Without waiting for connections that are still open.
        runtime.shutdown_background();
    };
    let thread = std::thread::Builder::new().name("web".to_owned()).spawn(serve)?;
    let link = WebLink::new(web.scheme, address, keeper.dns_name(), listen);
    tracing::info!("the page for browsers: {link}");
    Ok(Some(Web { link, stop: Some(stop), thread: Some(thread) }))
}

/// Listens; where nobody has asked for the port, at any that is free.
async fn bind(web: WebAddress) -> Result<TcpListener> {
    let mut address = web.address;
    let mut bound = TcpListener::bind(address).await;
    if let (true, Err(error)) = (web.is_only_a_wish, &bound) {
        tracing::warn!(%error, "{address} cannot be had for pages, so they get a port that is free; --web names one");
        address.set_port(0);
        bound = TcpListener::bind(address).await;
    }
    bound.with_context(|| format!("--web: {} cannot be listened on", web.address))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Lines of the log.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn another_port_is_taken_with_a_word_and_only_if_nobody_has_asked_for_one() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        let _logs = tracing::subscriber::set_default(subscriber);
        let said = || String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let taken = other.local_addr().unwrap();
        let web =
            |is_only_a_wish| WebAddress { scheme: WebScheme::Http, address: taken, is_only_a_wish };

        let error = bind(web(false)).await.unwrap_err();
        assert_eq!(error.to_string(), format!("--web: {taken} cannot be listened on"));
        assert_eq!(said(), "");
        let address = bind(web(true)).await.unwrap().local_addr().unwrap();
        assert!(address.ip() == taken.ip() && address.port() != taken.port(), "{address}");
        assert!(said().contains("WARN") && said().contains(&taken.to_string()), "{}", said());

        let free = WebAddress { address: SocketAddr::new(taken.ip(), 0), ..web(true) };
        bind(free).await.unwrap();
        assert_eq!(said().lines().count(), 1, "{}", said());
    }

    #[test]
    fn links_as_people_open_them() {
        let link = |scheme, address: &str, name: Option<&str>| {
            let listen = "[::]:4433".parse().unwrap();
            let name = name.map(str::to_owned);
            WebLink::new(scheme, address.parse().unwrap(), name, listen).to_string()
        };
        let (http, https) = (WebScheme::Http, WebScheme::Https);
        assert_eq!(link(http, "127.0.0.1:8080", None), "http://localhost:8080");
        assert_eq!(link(http, "127.0.0.1:8080", Some("a.example")), "http://localhost:8080");
        assert_eq!(link(https, "[::]:443", Some("a.example")), "https://a.example");
        assert_eq!(link(https, "[::]:4433", None), "https://localhost:4433");
        assert_eq!(link(https, "192.0.2.7:4433", None), "https://192.0.2.7:4433");
        assert_eq!(link(http, "[2001:db8::7]:80", None), "http://[2001:db8::7]");
        let listen = "127.0.0.1:4433".parse().unwrap();
        let ipv4 = WebLink::new(http, "127.0.0.1:8080".parse().unwrap(), None, listen);
        assert_eq!(ipv4.to_string(), "http://127.0.0.1:8080");
    }
}
