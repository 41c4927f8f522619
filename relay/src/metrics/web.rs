//! Series of the port for pages, counted by [`crate::api::web`].

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::register;

/// The series of the port for pages.
#[derive(Debug)]
pub struct WebSeries {
    /// Connections at the moment.
    pub(crate) connections: IntGauge,
    /// Connections that have got as far as a request can be read.
    pub(crate) accepted: IntCounter,
    /// Connections of an address that has its share already.
    pub(crate) refused: IntCounter,
    /// Connections that did not get through the handshake of TLS.
    pub(crate) failed: IntCounter,
}

impl WebSeries {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let connections = IntGauge::new(
            "tribune_relay_web_connections",
            "Connections of browsers to the port for pages (--web).",
        );
        let results = Opts::new(
            "tribune_relay_web_connections_total",
            "Connections to the port for pages: accepted; refused, from an address with too many; failed in TLS.",
        );
        let connections = register(registry, connections)?;
        let results = register(registry, IntCounterVec::new(results, &["result"]))?;
        let result = |name| results.with_label_values(&[name]);
        let (accepted, refused, failed) = (result("accepted"), result("refused"), result("failed"));
        Ok(Self { connections, accepted, refused, failed })
    }
}
