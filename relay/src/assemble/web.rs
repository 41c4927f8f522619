//! Pages for browsers, and the certificates while the relay runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::config::{CertificateSource, Config, WebAddress};
use crate::pages::{self, Site};
use crate::tls::Certificates;

/// Facts that the pages depend on.
pub(super) fn site(config: &Config, port: u16, certificates: Arc<Certificates>) -> Arc<Site> {
    let mut others: Vec<_> = config.drain_to.iter().chain(&config.redirect_to).cloned().collect();
    others.dedup();
    Arc::new(Site {
        name: config.name.to_string(),
        port,
        certificates,
        others,
        embed_from: config.embed_from.clone(),
    })
}

/// Listens for browsers, and serves the pages until the relay ends. Gives the link.
///
/// # Errors
/// A sentence about the address.
pub(super) async fn serve(
    config: &Config,
    site: Arc<Site>,
) -> Result<Option<(String, JoinHandle<()>)>> {
    let listener = match config.web {
        WebAddress::Off => return Ok(None),
        WebAddress::At(address) => TcpListener::bind(address)
            .await
            .with_context(|| format!("--web: {address} cannot be listened on"))?,
        WebAddress::Usual => match TcpListener::bind(WebAddress::USUAL).await {
            Ok(listener) => listener,
            // Another relay for development has it, or another server.
            Err(_) => TcpListener::bind(SocketAddr::new(WebAddress::USUAL.ip(), 0))
                .await
                .context("--web: no port for the pages is free")?,
        },
    };
    let with_tls = match config.certificate {
        CertificateSource::Files { .. } => true,
        CertificateSource::SelfSigned { .. } => false,
    };
    let scheme = if with_tls { "https" } else { "http" };
    let link = format!("{scheme}://{}", listener.local_addr()?);
    tracing::info!("open {link} in a browser");
    let server = tokio::spawn(async move {
        if let Err(error) = pages::serve(listener, site, with_tls).await {
            tracing::error!(%error, "the pages for browsers have ended");
        }
    });
    Ok(Some((link, server)))
}

/// Seconds since 1970, by the system's clock.
pub(super) fn now_unix_s() -> i64 {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(unix.as_secs()).unwrap_or(i64::MAX)
}
