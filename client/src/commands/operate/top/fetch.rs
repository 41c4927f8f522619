//! Requests to a relay's HTTP API: one connection per snapshot, bounded in time and size.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tribune_protocol::ids::RoomName;

use super::address::HttpAddress;
use crate::status::answer::{Refusal, RoomMetrics, Snapshot};
use crate::status::phrases::printable;
use crate::tui::top::model::Wanted;

/// Timeout of one snapshot: a deep tree waits 4 s for silent relays.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest response: 2,048 relays take 2 MB.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Listeners requested: one screen.
const WORST: u8 = 20;
/// Characters of a relay's refusal that are shown.
const MESSAGE_CHARS: usize = 300;

/// Operator token, which grants access to single listeners.
#[derive(Clone)]
pub(super) struct OperatorToken(HeaderValue);

/// Client of one relay.
#[derive(Debug, Clone)]
pub(super) struct Fetcher {
    place: HttpAddress,
    token: Option<OperatorToken>,
    patience: Duration,
}

/// Responses of a relay: parsed, and as received.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) snapshot: Snapshot,
    /// `status`, `tree`, `rooms`, and of a room `room` and `listeners` or `listeners_refused`.
    pub(super) json: Value,
}

/// Failure to fetch a snapshot.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// No connection, or no answer in time.
    #[error("Cannot reach {place}: {why}.")]
    Unreachable { place: HttpAddress, why: String },
    /// The relay refuses the request.
    #[error("{place} refuses: {message}")]
    Refused { place: HttpAddress, message: String },
    /// The response is none of a relay of this version.
    #[error("{place} does not answer as a relay of this version: {why}.")]
    NotARelay { place: HttpAddress, why: String },
}

/// A connection with one request at a time.
struct HttpConnection<'a> {
    fetcher: &'a Fetcher,
    sender: SendRequest<Empty<Bytes>>,
    driver: JoinHandle<()>,
}

/// A response: JSON, or the status and sentence of a refusal.
type Answer = Result<Value, (StatusCode, String)>;

impl Fetcher {
    pub(super) const fn new(place: HttpAddress, token: Option<OperatorToken>) -> Self {
        Self { place, token, patience: FETCH_TIMEOUT }
    }

    /// Fetches everything wanted.
    pub(super) async fn fetch(&self, wanted: Wanted) -> Result<Fetched, FetchError> {
        let fetched = tokio::time::timeout(self.patience, self.ask_all(wanted)).await;
        fetched.map_err(|_| {
            self.unreachable(format_args!("no answer within {} s", self.patience.as_secs()))
        })?
    }

    async fn ask_all(&self, wanted: Wanted) -> Result<Fetched, FetchError> {
        let mut line = self.connect().await?;
        let status = self.must(line.get("/api/status").await?)?;
        let tree = self.must(line.get("/api/tree").await?)?;
        let rooms = self.must(line.get("/api/rooms").await?)?;
        let mut snapshot = Snapshot {
            status: self.read(&status)?,
            tree: self.read(&tree)?,
            rooms: self.read(&rooms)?,
            room: None,
        };
        let mut json = json!({ "status": status, "tree": tree, "rooms": rooms });
        if let Some(name) = wanted.room {
            let path = format!("/api/rooms/{name}");
            let room = line.get(&path).await?;
            let by = wanted.by.as_str();
            let listeners = match &room {
                Ok(_) => line.get(&format!("{path}/listeners?worst={WORST}&by={by}")).await?,
                Err(refusal) => Err(refusal.clone()),
            };
            snapshot.room = Some(self.room(name, room, listeners, &mut json)?);
        }
        Ok(Fetched { snapshot, json })
    }

    /// A room, or the relay's sentence where it refuses.
    fn room(
        &self,
        name: RoomName,
        room: Answer,
        listeners: Answer,
        json: &mut Value,
    ) -> Result<RoomMetrics, FetchError> {
        json["room"] = room.clone().unwrap_or(Value::Null);
        match &listeners {
            Ok(listeners) => json["listeners"] = listeners.clone(),
            Err((_, message)) => json["listeners_refused"] = message.clone().into(),
        }
        Ok(RoomMetrics { name, room: self.may(room)?, listeners: self.may(listeners)? })
    }

    async fn connect(&self) -> Result<HttpConnection<'_>, FetchError> {
        let address = (self.place.host(), self.place.port());
        let stream = TcpStream::connect(address).await.map_err(|error| self.unreachable(error))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.unreachable(error))?;
        let driver = tokio::spawn(async move {
            // The request reports the failure.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the relay's HTTP side ends");
            }
        });
        Ok(HttpConnection { fetcher: self, sender, driver })
    }

    /// Response that every relay must give.
    fn must(&self, answer: Answer) -> Result<Value, FetchError> {
        answer.map_err(|(status, message)| match status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                FetchError::Refused { place: self.place.clone(), message }
            }
            _ => self.not_a_relay(format_args!("{status}")),
        })
    }

    /// Response that a relay may refuse.
    fn may<T: DeserializeOwned>(&self, answer: Answer) -> Result<Result<T, String>, FetchError> {
        match answer {
            Err((status, message)) if status.is_client_error() => Ok(Err(message)),
            answer => self.read(&self.must(answer)?).map(Ok),
        }
    }

    fn read<T: DeserializeOwned>(&self, value: &Value) -> Result<T, FetchError> {
        T::deserialize(value).map_err(|error| self.not_a_relay(error))
    }

    fn unreachable(&self, why: impl fmt::Display) -> FetchError {
        FetchError::Unreachable { place: self.place.clone(), why: printable(&why.to_string()) }
    }

    fn not_a_relay(&self, why: impl fmt::Display) -> FetchError {
        FetchError::NotARelay { place: self.place.clone(), why: printable(&why.to_string()) }
    }
}

impl HttpConnection<'_> {
    async fn get(&mut self, path: &str) -> Result<Answer, FetchError> {
        let fetcher = self.fetcher;
        let mut request = Request::get(path).header(HOST, fetcher.place.authority());
        if let Some(OperatorToken(header)) = &fetcher.token {
            request = request.header(AUTHORIZATION, header);
        }
        let request = request.body(Empty::new()).map_err(|error| fetcher.not_a_relay(error))?;
        self.sender.ready().await.map_err(|error| fetcher.unreachable(error))?;
        let response = self.sender.send_request(request).await;
        let response = response.map_err(|error| match error.is_parse() {
            true => fetcher.not_a_relay("that is not HTTP"),
            false => fetcher.unreachable(error),
        })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => fetcher.not_a_relay(format_args!("the answer to {path} is too long")),
            false => fetcher.unreachable(error),
        })?;
        let body = body.to_bytes();
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map(Ok)
                .map_err(|_| fetcher.not_a_relay(format_args!("the answer to {path} is no JSON")));
        }
        let refusal = serde_json::from_slice::<Refusal>(&body);
        let message = refusal.map_or_else(|_| format!("{status}."), |refusal| refusal.message);
        let message = printable(&message).chars().take(MESSAGE_CHARS).collect();
        Ok(Err((status, message)))
    }
}

impl Drop for HttpConnection<'_> {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl FromStr for OperatorToken {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let header = HeaderValue::from_str(&format!("Bearer {}", text.trim()));
        let mut header = header.map_err(|_| "a token has letters, digits and signs only")?;
        header.set_sensitive(true);
        Ok(Self(header))
    }
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorToken")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tribune_protocol::quality::report::Ranking;

    use super::*;

    const STATUS: &str = include_str!("../../../tui/top/captured/status.json");
    const TREE: &str = include_str!("../../../tui/top/captured/tree.json");
    const ROOMS: &str = include_str!("../../../tui/top/captured/rooms.json");
    const ROOM: &str = include_str!("../../../tui/top/captured/room.json");

    type Requests = Arc<Mutex<Vec<String>>>;

    /// Something on one connection that answers by the beginning of the path.
    async fn server(answers: Vec<(&'static str, String)>) -> (Fetcher, Requests) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap().to_string().parse().unwrap();
        let requests = Requests::default();
        let heard = Arc::clone(&requests);
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut unread = String::new();
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                unread.push_str(&String::from_utf8_lossy(&bytes[..count]));
                while let Some((request, rest)) = unread.split_once("\r\n\r\n") {
                    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                    heard.lock().unwrap().push(request.to_owned());
                    unread = rest.to_owned();
                    let answer = answers.iter().find(|(begin, _)| path.starts_with(begin));
                    if let Some((_, answer)) = answer {
                        // Fails once the other side has had enough.
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                }
            }
        });
        (Fetcher::new(place, Some("let-me-see".parse().unwrap())), requests)
    }

    fn http(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    /// In pieces, as a proxy may hand it on.
    fn chunked(body: &str) -> String {
        let half = body.len() / 2;
        let (first, second) = body.split_at(half);
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
            first.len(),
            second.len()
        )
    }

    fn wanted(room: Option<&str>) -> Wanted {
        Wanted { room: room.map(|room| room.parse().unwrap()), by: Ranking::RoundTrip }
    }

    #[tokio::test]
    async fn one_connection_brings_all_of_a_look() {
        let refusal = r#"{"code": "token_wrong", "message": "The operator token is another one."}"#;
        let (fetcher, requests) = server(vec![
            ("/api/status", http("200 OK", STATUS)),
            ("/api/tree", chunked(TREE)),
            ("/api/rooms/agora/listeners", http("401 Unauthorized", refusal)),
            ("/api/rooms/agora", http("200 OK", ROOM)),
            ("/api/rooms", http("200 OK", ROOMS)),
        ])
        .await;
        let fetched = fetcher.fetch(wanted(Some("agora"))).await.unwrap();
        assert_eq!(fetched.snapshot.tree.relays.len(), 2);
        let room = fetched.snapshot.room.unwrap();
        assert_eq!(room.room.unwrap().room.as_str(), "agora");
        assert_eq!(room.listeners.unwrap_err(), "The operator token is another one.");
        assert_eq!(fetched.json["listeners_refused"], "The operator token is another one.");
        let requests = requests.lock().unwrap();
        let last = requests.last().unwrap().to_lowercase();
        assert!(last.contains("/listeners?worst=20&by=round_trip "), "{last}");
        assert!(last.contains("authorization: bearer let-me-see"), "{last}");
    }

    #[tokio::test]
    async fn what_is_no_relay_is_told_apart_from_one_that_is_busy() {
        let busy = r#"{"code": "busy", "message": "The relay does not answer at the moment."}"#;
        for (answer, said) in [
            (http("200 OK", "<html>"), "this version: the answer to /api/status is no JSON."),
            (http("200 OK", "{}"), "this version: missing field `relay`."),
            (http("404 Not Found", "no"), "this version: 404 Not Found."),
            ("SSH-2.0-x\r\n".to_owned(), "this version: that is not HTTP."),
            (http("503 Service Unavailable", busy), "refuses: The relay does not answer at the"),
        ] {
            let (fetcher, _) = server(vec![("/", answer.clone())]).await;
            let error = fetcher.fetch(wanted(None)).await.unwrap_err();
            assert!(error.to_string().contains(said), "{answer}: {error}");
        }
    }

    #[tokio::test]
    async fn neither_silence_nor_an_endless_answer_is_waited_for() {
        let endless = http("200 OK", &" ".repeat(ANSWER_BYTES_MAX + 1));
        let (fetcher, _) = server(vec![("/", endless)]).await;
        let error = fetcher.fetch(wanted(None)).await.unwrap_err().to_string();
        assert!(error.contains("the answer to /api/status is too long"), "{error}");
        let (fetcher, _) = server(Vec::new()).await;
        let fetcher = Fetcher { patience: Duration::from_millis(50), ..fetcher };
        let error = fetcher.fetch(wanted(None)).await.unwrap_err();
        assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains("no answer within"), "{error}");
    }

    #[test]
    fn a_token_does_not_break_out_of_its_header_and_is_not_shown() {
        assert!("a\r\nX: y".parse::<OperatorToken>().is_err());
        let token: OperatorToken = "let-me-see".parse().unwrap();
        assert_eq!(format!("{token:?}"), "OperatorToken");
    }
}
