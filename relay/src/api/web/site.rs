//! Routes of the port for browsers.

use std::sync::Arc;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use serde_json::json;
use tribune_protocol::WEB_PATH;
use tribune_protocol::ids::{DisplayName, RoomName};
use tribune_relay_core::tree::host_port::HostPort;

use super::files::{File, Folder};
use super::host::Host;
use super::policy;
use crate::api::listener::Peer;
use crate::config::{Config, EmbedOrigin, WebScheme};
use crate::tls::Certificates;
use crate::websocket::{self, Bridge};

/// Beginning of the pages that others may hold in a frame.
const EMBED: &str = "/embed/";
const MISDIRECTED: &str = "This is a relay for development: it answers for localhost alone.\n";
const NO_PAGE: &str = "There is no such page here.";
const NO_ROOM: &str = "There can be no room of this name: names of rooms are small letters, digits, hyphens, \
                       underscores and dots, up to 64.";

/// Facts of a relay that its pages are told.
#[derive(Debug, Clone)]
pub struct Site {
    /// The relay's name.
    pub name: DisplayName,
    /// The UDP port of WebTransport sessions.
    pub udp_port: u16,
    /// Source of the hashes that pages dial with.
    pub certificates: Certificates,
    /// Relays that participants are sent to, the likeliest first.
    pub elsewhere: Vec<HostPort>,
    /// Pages that may hold a frame.
    pub embed_from: Vec<EmbedOrigin>,
    /// Whether it is for this machine, whose people govern rooms without a token. A page of somebody else, under a
    /// name of theirs that leads here, would get what they may.
    pub is_for_localhost: bool,
}

impl Site {
    /// The site of a relay whose UDP port is known.
    #[must_use]
    pub fn new(config: &Config, udp_port: u16, certificates: Certificates) -> Self {
        let mut elsewhere: Vec<HostPort> = config.drain_to.iter().cloned().collect();
        for place in &config.redirect_to {
            if !elsewhere.iter().any(|known| known.is_same(place)) {
                elsewhere.push(place.clone());
            }
        }
        let is_plain_here = config
            .web
            .is_some_and(|web| web.scheme == WebScheme::Http && web.address.ip().is_loopback());
        Self {
            name: config.name.clone(),
            udp_port,
            certificates,
            elsewhere,
            embed_from: config.embed_from.clone(),
            is_for_localhost: is_plain_here && config.dev && !config.dev_anywhere,
        }
    }
}

/// State of the routes.
#[derive(Debug)]
struct Serving {
    site: Site,
    folder: Folder,
    bridge: Arc<Bridge>,
}

/// The routes. WebSockets, for networks without UDP, have the path that WebTransport has on the UDP port.
pub(super) fn routes(site: Site, bridge: Arc<Bridge>) -> Router {
    let serving = Arc::new(Serving { site, folder: Folder::new(), bridge });
    Router::new()
        .route("/", get(index))
        .route("/r/{room}", get(room))
        .route("/embed/{room}", get(embed))
        .route("/example", get(example))
        .route("/web/relay.json", get(relay))
        .route("/web/{*path}", get(file))
        .route(WEB_PATH, any(socket))
        .fallback(|| async { not_found(NO_PAGE) })
        .layer(middleware::from_fn_with_state(Arc::clone(&serving), guard))
        .with_state(serving)
}

/// Lets through what is for a host that has a name, and puts the policy on the answer.
async fn guard(State(serving): State<Arc<Serving>>, request: Request, next: Next) -> Response {
    let site = &serving.site;
    let host = match Host::of(request.uri(), request.headers()) {
        Ok(host) => host,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    if site.is_for_localhost && !host.is_local() {
        return (StatusCode::MISDIRECTED_REQUEST, MISDIRECTED).into_response();
    }
    let ancestors = match request.uri().path().starts_with(EMBED) {
        true => policy::ancestors(&site.embed_from),
        false => policy::ancestors(&[]),
    };
    let connect = policy::connect_sources(&host, site.udp_port, &site.elsewhere);
    let mut response = next.run(request).await;
    policy::protect(response.headers_mut(), &connect, &ancestors);
    response
}

async fn index(serving: State<Arc<Serving>>, request: HeaderMap) -> Response {
    answer(&serving, "index.html", &request)
}

async fn example(serving: State<Arc<Serving>>, request: HeaderMap) -> Response {
    answer(&serving, "example.html", &request)
}

/// `/r/ROOM`: one page for all rooms, which asks the relay about its own.
async fn room(serving: State<Arc<Serving>>, name: Path<String>, request: HeaderMap) -> Response {
    room_page(&serving, "index.html", &name, &request)
}

/// `/embed/ROOM`: the page for frames.
async fn embed(serving: State<Arc<Serving>>, name: Path<String>, request: HeaderMap) -> Response {
    room_page(&serving, "embed.html", &name, &request)
}

/// `/web/PATH`: a file of the folder.
async fn file(serving: State<Arc<Serving>>, path: Path<String>, request: HeaderMap) -> Response {
    answer(&serving, &path, &request)
}

fn room_page(serving: &Serving, path: &str, name: &str, request: &HeaderMap) -> Response {
    match name.parse::<RoomName>() {
        Ok(_) => answer(serving, path, request),
        Err(_) => not_found(NO_ROOM),
    }
}

fn answer(serving: &Serving, path: &str, request: &HeaderMap) -> Response {
    match serving.folder.file(path) {
        Some(file) => file.answer(request),
        None => not_found(NO_PAGE),
    }
}

/// `/web/relay.json`: where and how to dial the relay.
async fn relay(State(serving): State<Arc<Serving>>, request: HeaderMap) -> Response {
    let site = &serving.site;
    let hashes = site.certificates.web_hashes();
    let answer = json!({
        "name": site.name.as_str(),
        "port": site.udp_port,
        "path": WEB_PATH,
        "websocket": WEB_PATH,
        "certificates": hashes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "next": site.elsewhere.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    File::json(answer.to_string()).answer(&request)
}

/// `/tribune`: a participant in a network without UDP.
async fn socket(
    State(serving): State<Arc<Serving>>,
    ConnectInfo(browser): ConnectInfo<Peer>,
    request: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    if !websocket::is_from_own_page(&request) {
        return (StatusCode::FORBIDDEN, "A WebSocket is for pages of this relay.\n")
            .into_response();
    }
    serving.bridge.accept(upgrade, browser.ip())
}

/// A small page for people. It repeats nothing of the request.
fn not_found(why: &str) -> Response {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Not found</title>\n\
         <h1>Not found</h1>\n<p>{why}</p>\n<p><a href=\"/\">To the beginning</a></p>\n</html>\n"
    );
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, html)], page).into_response()
}
