//! Routes that query the hub: status of the relay, the tree, rooms, single listeners, and the order to
//! drain. Totals are for all callers that reach the port; single listeners and orders need [`OperatorAuth`].

use std::str::FromStr;
use std::time::Duration;

use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tribune_protocol::ids::{ParticipantId, RoomName};
use tribune_protocol::limits::MAX_LISTENERS_A_MESSAGE;
use tribune_protocol::quality::report::Ranking;
use tribune_relay_core::query::{Answer, Query};
use tribune_relay_core::tree::host_port::HostPort;

use super::auth::{OperatorAuth, Refused};
use super::json;
use super::listener::Peer;
use super::query_channel::{Busy, QuerySender};

/// Rooms in one answer by default: a screen.
const ROOMS_USUALLY: usize = 50;
/// The most rooms in one answer: as far as a person scrolls.
const ROOMS_MAX: usize = 1_000;
/// Listeners in one answer by default.
const WORST_USUALLY: u8 = 20;
/// The longest time that a drain may be given: longer ones are a mistake in the unit.
const DRAIN_MAX: Duration = Duration::from_secs(24 * 3_600);

/// State of the routes.
#[derive(Debug, Clone)]
pub struct Api {
    /// The way to the hub.
    pub queries: QuerySender,
    /// The check of operators.
    pub auth: OperatorAuth,
}

/// The routes.
pub(super) fn routes(api: Api) -> Router {
    Router::new()
        .route("/api/status", get(status))
        .route("/api/tree", get(tree))
        .route("/api/rooms", get(rooms))
        .route("/api/rooms/{room}", get(room))
        .route("/api/rooms/{room}/listeners", get(listeners))
        .route("/api/rooms/{room}/listeners/{participant}", get(listener))
        .route("/drain", post(drain))
        .with_state(api)
}

/// A failed request, by its answer.
#[derive(Debug)]
enum Failure {
    Refused(Refused),
    BadRequest(String),
    NotFound(String),
    Busy,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, code, message) = match self {
            Self::Refused(refused) => {
                let (status, code) = match refused {
                    Refused::TokenMissing => (StatusCode::UNAUTHORIZED, "token_missing"),
                    Refused::TokenWrong => (StatusCode::UNAUTHORIZED, "token_wrong"),
                    Refused::NotHere | Refused::FromPage => (StatusCode::FORBIDDEN, "not_entitled"),
                };
                (status, code, refused.to_string())
            }
            Self::BadRequest(message) => (StatusCode::BAD_REQUEST, "bad_request", message),
            Self::NotFound(message) => (StatusCode::NOT_FOUND, "not_found", message),
            Self::Busy => {
                let message = "The relay does not answer at the moment.".to_owned();
                (StatusCode::SERVICE_UNAVAILABLE, "busy", message)
            }
        };
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        let body = Json(json!({ "code": code, "message": message }));
        match status {
            StatusCode::UNAUTHORIZED => (status, challenge, body).into_response(),
            _ => (status, body).into_response(),
        }
    }
}

impl From<Busy> for Failure {
    fn from(Busy: Busy) -> Self {
        Self::Busy
    }
}

/// A query string, in the order of its pairs.
type Parameters = axum::extract::Query<Vec<(String, String)>>;

type Outcome = Result<Json<Value>, Failure>;

async fn status(State(api): State<Api>) -> Outcome {
    let answer = api.queries.ask(Query::Status).await?;
    let Answer::Status(status) = answer else { return Err(unexpected(&answer)) };
    Ok(Json(json::status(&status)))
}

async fn tree(State(api): State<Api>) -> Outcome {
    let answer = api.queries.ask(Query::Tree).await?;
    let Answer::Tree { tree: sight, is_rooted } = answer else { return Err(unexpected(&answer)) };
    Ok(Json(json::tree(&sight, is_rooted)))
}

async fn rooms(State(api): State<Api>, parameters: Parameters) -> Outcome {
    let mut limit = ROOMS_USUALLY;
    for (name, value) in pairs(&parameters) {
        match name {
            "limit" => limit = number(name, value, 1, ROOMS_MAX)?,
            _ => return Err(unknown_parameter(name, "limit")),
        }
    }
    let answer = api.queries.ask(Query::Rooms { limit }).await?;
    let Answer::Rooms { total, rooms } = answer else { return Err(unexpected(&answer)) };
    Ok(Json(json::rooms(total, &rooms)))
}

async fn room(State(api): State<Api>, Path(room): Path<String>) -> Outcome {
    let name = room_name(&room)?;
    let answer = api.queries.ask(Query::Room(name)).await?;
    let Answer::Room(found) = answer else { return Err(unexpected(&answer)) };
    let found = found.ok_or_else(|| no_room(&room))?;
    Ok(Json(json::room(&found)))
}

async fn listeners(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    Path(room): Path<String>,
    parameters: Parameters,
) -> Outcome {
    api.auth.check(peer.ip(), &headers).map_err(Failure::Refused)?;
    let name = room_name(&room)?;
    let (mut worst, mut by) = (WORST_USUALLY, Ranking::default());
    for (parameter, value) in pairs(&parameters) {
        match parameter {
            "worst" => {
                let most = u8::try_from(MAX_LISTENERS_A_MESSAGE).unwrap_or(u8::MAX);
                worst = number(parameter, value, 1, most)?;
            }
            "by" => by = value.parse().map_err(|error| Failure::BadRequest(sentence(&error)))?,
            _ => return Err(unknown_parameter(parameter, "worst and by")),
        }
    }
    let answer = ask_listeners(&api, &room, Query::Listeners { room: name, worst, by }).await?;
    Ok(Json(json::listeners(&answer)))
}

async fn listener(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    Path((room, id)): Path<(String, String)>,
) -> Outcome {
    api.auth.check(peer.ip(), &headers).map_err(Failure::Refused)?;
    let name = room_name(&room)?;
    let participant: ParticipantId = id.parse().map_err(|_| {
        Failure::BadRequest(format!(
            "{} is no participant's id: 16 hexadecimal digits.",
            short(&id)
        ))
    })?;
    let answer = ask_listeners(&api, &room, Query::Listener { room: name, participant }).await?;
    match answer.listeners.first() {
        Some(found) => Ok(Json(json::listener(found))),
        None => {
            let message =
                format!("Nobody of the id {participant} has reported in the room {room}.");
            Err(Failure::NotFound(message))
        }
    }
}

async fn drain(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<(StatusCode, Json<Value>), Failure> {
    api.auth.check(peer.ip(), &headers).map_err(Failure::Refused)?;
    let (mut to, mut within) = (None, None);
    for (name, value) in pairs(&parameters) {
        match name {
            "to" => {
                let place: HostPort = value.parse().map_err(|_| {
                    Failure::BadRequest(format!("to={} is not HOST:PORT.", short(value)))
                })?;
                to = Some(place.to_string());
            }
            "within" => within = Some(time(name, value)?),
            _ => return Err(unknown_parameter(name, "to and within")),
        }
    }
    let answer = api.queries.ask(Query::Drain { to, within }).await?;
    let Answer::Draining { to, within } = answer else { return Err(unexpected(&answer)) };
    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    let body = json!({ "draining": true, "to": to, "within_ms": within_ms });
    Ok((StatusCode::ACCEPTED, Json(body)))
}

/// A room that this relay does not carry is told apart from one without reports.
async fn ask_listeners(
    api: &Api,
    room: &str,
    query: Query,
) -> Result<tribune_protocol::control::query::TreeAnswer, Failure> {
    let name = room_name(room)?;
    if let Answer::Room(None) = api.queries.ask(Query::Room(name)).await? {
        return Err(no_room(room));
    }
    let answer = api.queries.ask(query).await?;
    let Answer::Listeners(listeners) = answer else { return Err(unexpected(&answer)) };
    Ok(listeners)
}

/// The pairs of a query string.
fn pairs(parameters: &Parameters) -> impl Iterator<Item = (&str, &str)> {
    parameters.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

fn room_name(text: &str) -> Result<RoomName, Failure> {
    text.parse().map_err(|error| Failure::BadRequest(sentence(&error)))
}

fn number<N>(name: &str, value: &str, least: N, most: N) -> Result<N, Failure>
where
    N: FromStr + PartialOrd + std::fmt::Display + Copy,
{
    let parsed = value.parse().ok().filter(|number| (least..=most).contains(number));
    parsed.ok_or_else(|| {
        Failure::BadRequest(format!(
            "{name}={} is not a number from {least} to {most}.",
            short(value)
        ))
    })
}

fn time(name: &str, value: &str) -> Result<Duration, Failure> {
    let parsed = humantime::parse_duration(value).ok().filter(|time| *time <= DRAIN_MAX);
    parsed.ok_or_else(|| {
        let value = short(value);
        Failure::BadRequest(format!("{name}={value} is not a time up to a day, such as 30s or 2m."))
    })
}

fn no_room(room: &str) -> Failure {
    Failure::NotFound(format!("This relay does not carry the room {room}."))
}

fn unknown_parameter(name: &str, known: &str) -> Failure {
    Failure::BadRequest(format!("There is no parameter {} here, only {known}.", short(name)))
}

/// The hub answers each question in its own kind.
fn unexpected(answer: &Answer) -> Failure {
    tracing::error!(?answer, "the hub has answered another question");
    Failure::Busy
}

fn sentence(error: &impl std::fmt::Display) -> String {
    format!("{error}.")
}

/// A caller's text, quoted: no control characters, at most 80 characters.
fn short(text: &str) -> String {
    let printable = text.chars().filter(|c| !c.is_control());
    format!("\"{}\"", printable.take(80).collect::<String>())
}
