//! Pages for people with a browser: the web client, and what it has to know of this relay. They are on a port of
//! their own, which is for everybody; what is for operators is in [`crate::api`].
//!
//! * [`files`] — the web client's files
//! * [`policy`] — security headers
//! * [`server`] — the listener, with TLS or without

mod files;
mod policy;
mod server;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tribune_protocol::WEB_PATH;
use tribune_protocol::ids::RoomName;
use tribune_relay_core::tree::host_port::HostPort;

use self::policy::{Frames, Host};
pub use self::server::serve;
use crate::tls::Certificates;

/// Facts about the relay that pages depend on.
#[derive(Debug)]
pub struct Site {
    /// The relay's name.
    pub name: String,
    /// Its UDP port.
    pub port: u16,
    /// Its certificates.
    pub certificates: Arc<Certificates>,
    /// Relays that a participant may be sent to.
    pub others: Vec<HostPort>,
    /// Origins whose pages may show a room in a frame.
    pub embed_from: Vec<String>,
}

/// The routes.
fn routes(site: Arc<Site>) -> Router {
    Router::new()
        .route("/", get(|headers: HeaderMap| async move { file("index.html", &headers) }))
        .route("/r/{room}", get(room))
        .route("/embed/{room}", get(room_in_frame))
        .route("/example", get(|headers: HeaderMap| async move { file("example.html", &headers) }))
        .route("/web/relay.json", get(relay))
        .route("/web/{*path}", get(part))
        .fallback(|| async { not_found("There is no such page.") })
        .layer(middleware::from_fn_with_state(Arc::clone(&site), protect))
        .with_state(site)
}

/// Sees that a request is for a host that can be named, and gives the answer its security headers.
async fn protect(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let Some(host) = Host::of(request.headers()) else {
        let text = "The request has to have one Host header, with a name or an address.\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    let frames = match request.uri().path().starts_with("/embed/") {
        true => Frames::From(&site.embed_from),
        false => Frames::Nobody,
    };
    let policy = policy::content_security_policy(&host, site.port, &site.others, frames);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in policy::ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

async fn room(Path(room): Path<String>, headers: HeaderMap) -> Response {
    page_of(&room, "index.html", &headers)
}

async fn room_in_frame(Path(room): Path<String>, headers: HeaderMap) -> Response {
    page_of(&room, "embed.html", &headers)
}

async fn part(Path(path): Path<String>, headers: HeaderMap) -> Response {
    file(&path, &headers)
}

/// What a page has to know before it dials.
async fn relay(State(site): State<Arc<Site>>) -> impl IntoResponse {
    let hashes = site.certificates.web_hashes();
    axum::Json(json!({
        "name": site.name,
        "port": site.port,
        "path": WEB_PATH,
        "certificates": hashes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "next": site.others.iter().map(ToString::to_string).collect::<Vec<_>>(),
    }))
}

fn page_of(room: &str, page: &str, headers: &HeaderMap) -> Response {
    match room.parse::<RoomName>() {
        Ok(_) => file(page, headers),
        Err(_) => not_found(
            "A room's name has 1 to 64 small letters, digits, dots, hyphens and underscores.",
        ),
    }
}

fn file(path: &str, headers: &HeaderMap) -> Response {
    match files::file(path) {
        Some(file) => file.answer(headers),
        None => not_found("There is no such file."),
    }
}

fn not_found(sentence: &str) -> Response {
    (StatusCode::NOT_FOUND, format!("{sentence}\n")).into_response()
}
