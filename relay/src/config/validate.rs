//! From collected settings to one valid [`Config`]: defaults, and settings that exclude or need each
//! other.

use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tribune_protocol::limits::DEFAULT_TOP_N;
use tribune_relay_core::auth::secret::Secret;
use tribune_relay_core::tree::host_port::HostPort;

use super::certificate::CertificateSource;
use super::error::ConfigError;
use super::fingerprint::Fingerprint;
use super::parsers::{
    address, audience_from, drain_timeout, http_address, keep_statistics, metrics_rooms, name,
    non_empty_path, number, operator_token, shards, truth,
};
use super::settings::Settings;
use super::web::{EmbedOrigin, WebAddress, WebScheme, WebSetting};
use super::{Config, MAX_COUNT, MAX_EMBED_ORIGINS, MAX_PARENTS, MAX_TOP_N, defaults};
use crate::logging::{LogFilter, LogFormat};
use crate::metrics::{Metrics, SeriesLimits};

/// One valid configuration of the given settings, defaults included.
///
/// # Errors
/// [`ConfigError`], for the first setting that is wrong.
pub(super) fn validate(
    given: &Settings,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    let path = |key| given.one(key, non_empty_path);
    let dev = given.one("dev", truth)?.unwrap_or(false);
    let dev_anywhere = given.one("dev_anywhere", truth)?.unwrap_or(false);
    if dev_anywhere && !dev {
        return Err(ConfigError::Conflict("--dev-anywhere needs --dev"));
    }
    let data = path("data")?;
    let (parent_ca, parent_fingerprint) = parent_proof(given)?;
    let shards = given.one("shards", shards)?.unwrap_or_else(defaults::shards);
    let capacity = given.one("capacity", |text| number(text, MAX_COUNT))?;
    let redirect_to = places(given, "redirect_to", "--redirect-to")?;
    if !redirect_to.is_empty() && capacity.is_none() {
        return Err(ConfigError::Conflict("--redirect-to needs --capacity"));
    }
    Ok(Config {
        listen: given.one("listen", address)?.unwrap_or_else(defaults::listen),
        http: given
            .one("http", http_address)?
            .unwrap_or(Some(SocketAddr::from(([127, 0, 0, 1], 9433)))),
        web: web_address(given, dev)?,
        embed_from: embed_from(given, dev)?,
        parents: places(given, "parent", "--parent")?,
        shards,
        name: given.one("name", name)?.unwrap_or_else(|| defaults::name(env)),
        certificate: certificate_source(path("cert")?, path("key")?, dev, data.as_deref(), env)?,
        data,
        dev,
        dev_anywhere,
        relay_token: given.one("relay_token", Secret::from_str)?,
        operator_token: given.one("operator_token", operator_token)?,
        trunk_ca: path("trunk_ca")?,
        trunk_certificate: trunk_certificate(given)?,
        parent_ca,
        parent_fingerprint,
        keys: path("keys")?,
        policy: given.policy().clone(),
        top_n: given.one("top_n", |text| number(text, MAX_TOP_N))?.unwrap_or(DEFAULT_TOP_N),
        audience_from: given.one("audience_from", audience_from)?.unwrap_or(1_000),
        max_connections: given
            .one("max_connections", |text| number(text, MAX_COUNT))?
            .unwrap_or(50_000),
        max_rooms: given.one("max_rooms", |text| number(text, MAX_COUNT))?.unwrap_or(10_000),
        capacity,
        redirect_to,
        drain_to: given.one("drain_to", HostPort::from_str)?,
        drain_timeout: given
            .one("drain_timeout", drain_timeout)?
            .unwrap_or(Duration::from_secs(10)),
        keep_statistics: given.one("keep_statistics", keep_statistics)?.flatten(),
        series: series_limits(given, shards)?,
        log: given.one("log", LogFilter::from_str)?.unwrap_or_default(),
        log_format: given.one("log_format", LogFormat::from_str)?.unwrap_or(LogFormat::Text),
    })
}

/// The address of the page for browsers. Browsers take `localhost` for secure without a certificate, and would
/// warn of a self-signed one.
fn web_address(given: &Settings, dev: bool) -> Result<Option<WebAddress>, ConfigError> {
    let Some(setting) = given.one("web", WebSetting::from_str)? else {
        return Ok(dev.then_some(WebAddress::FOR_DEVELOPMENT));
    };
    let WebSetting::On { scheme, address } = setting else { return Ok(None) };
    let usual = match dev && address.ip().is_loopback() {
        true => WebScheme::Http,
        false => WebScheme::Https,
    };
    Ok(Some(WebAddress { scheme: scheme.unwrap_or(usual), address, is_only_a_wish: false }))
}

/// The origins of pages that may hold a frame.
fn embed_from(given: &Settings, dev: bool) -> Result<Vec<EmbedOrigin>, ConfigError> {
    let origins = given.many("embed_from", EmbedOrigin::from_str)?;
    if !origins.is_empty() && web_address(given, dev)?.is_none() {
        return Err(ConfigError::Conflict("--embed-from needs --web"));
    }
    match origins.get(MAX_EMBED_ORIGINS) {
        None => Ok(origins),
        Some(one_more) => Err(ConfigError::Wrong {
            option: "--embed-from".to_owned(),
            value: format!("{:?}", one_more.as_str()),
            why: format!("is one more than the {MAX_EMBED_ORIGINS} that there can be"),
        }),
    }
}

/// The proof asked of parents: an authority or a fingerprint, not both.
fn parent_proof(given: &Settings) -> Result<(Option<PathBuf>, Option<Fingerprint>), ConfigError> {
    let authority = given.one("parent_ca", non_empty_path)?;
    let fingerprint = given.one("parent_fingerprint", Fingerprint::from_str)?;
    if authority.is_some() && fingerprint.is_some() {
        return Err(ConfigError::Conflict(
            "--parent-ca and --parent-fingerprint exclude each other; give one of them",
        ));
    }
    Ok((authority, fingerprint))
}

/// The client certificate shown to a parent, and its key.
fn trunk_certificate(given: &Settings) -> Result<Option<(PathBuf, PathBuf)>, ConfigError> {
    let path = |key| given.one(key, non_empty_path);
    match (path("trunk_cert")?, path("trunk_key")?) {
        (Some(cert), Some(key)) => Ok(Some((cert, key))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(ConfigError::Conflict("--trunk-cert needs --trunk-key")),
        (None, Some(_)) => Err(ConfigError::Conflict("--trunk-key needs --trunk-cert")),
    }
}

fn certificate_source(
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    dev: bool,
    data: Option<&Path>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<CertificateSource, ConfigError> {
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(CertificateSource::Files { cert, key }),
        (Some(_), None) => Err(ConfigError::Conflict("--cert needs --key")),
        (None, Some(_)) => Err(ConfigError::Conflict("--key needs --cert")),
        (None, None) if dev => Ok(CertificateSource::SelfSigned {
            kept_in: data.map(Path::to_owned).or_else(|| defaults::state_directory(env)),
        }),
        (None, None) => Err(ConfigError::Conflict(
            "a relay needs a certificate: give --cert FILE and --key FILE, or --dev for a self-signed one",
        )),
    }
}

/// A list of relays, each once.
fn places(
    given: &Settings,
    key: &'static str,
    option: &'static str,
) -> Result<Vec<HostPort>, ConfigError> {
    let places = given.many(key, HostPort::from_str)?;
    if let Some(one_more) = places.get(MAX_PARENTS) {
        return Err(ConfigError::Wrong {
            option: option.to_owned(),
            value: format!("{:?}", one_more.to_string()),
            why: format!("is one more than the {MAX_PARENTS} that there can be"),
        });
    }
    match places.iter().enumerate().find(|(n, place)| places[..*n].contains(place)) {
        None => Ok(places),
        Some((_, twice)) => Err(ConfigError::Wrong {
            option: option.to_owned(),
            value: format!("{:?}", twice.to_string()),
            why: "is given twice".to_owned(),
        }),
    }
}

fn series_limits(given: &Settings, shards: NonZeroU8) -> Result<SeriesLimits, ConfigError> {
    let default = SeriesLimits::default();
    let needed = Metrics::fixed_series(shards).unwrap_or(0);
    let enough = |text: &str| match number(text, MAX_COUNT)? {
        series if series < needed => Err(format!(
            "is too few: a relay with {shards} shards has {needed} series without any room"
        )),
        series => Ok(series),
    };
    let series = given.one("metrics_max_series", enough)?;
    Ok(SeriesLimits {
        rooms: given.one("metrics_rooms", metrics_rooms)?.unwrap_or(default.rooms),
        // With many shards, the fixed series may be more than the default.
        series: series.unwrap_or_else(|| default.series.max(needed)),
    })
}
