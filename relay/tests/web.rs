//! Pages over real sockets: what a browser gets at the port of `--web`, and which certificates the relay shows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tribune_protocol::ALPN_WEB;
use tribune_relay::assemble::{Ready, Relay};
use tribune_relay::config::{Config, Fingerprint};
use tribune_relay::drivers::orders::Orders;
use tribune_relay::tls::{ServerTrust, client_tls, fingerprint};

/// Much longer than any step takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A relay that runs until it is dropped.
struct Running {
    ready: Ready,
    orders: Orders,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn start(arguments: &[&str]) -> Self {
        let common =
            ["relay", "--shards=1", "--name=edge-1", "--listen=127.0.0.1:0", "--http=127.0.0.1:0"];
        let arguments = [&common, arguments].concat();
        let config =
            Config::from_args(arguments, &|_| None).expect("a configuration that is valid");
        let relay = Relay::start(config).await.expect("it starts");
        let (ready, orders) = (relay.ready().clone(), relay.orders());
        Self { ready, orders, task: tokio::spawn(relay.run_until_drained()) }
    }

    fn web(&self) -> SocketAddr {
        self.ready.web.as_ref().expect("there is a page").address
    }

    async fn metric(&self, series: &str) -> f64 {
        let stream = TcpStream::connect(self.ready.http.unwrap()).await.unwrap();
        let answer = ask(stream, "GET", "/metrics", &[("host", "localhost")]).await;
        let value =
            answer.body.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {series}")).parse().unwrap()
    }

    async fn end(self) {
        self.orders.end();
        let ended = tokio::time::timeout(PATIENCE, self.task).await.expect("it ends");
        ended.unwrap().unwrap();
    }
}

/// An answer, headers by their names in small letters.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// One request on a connection, and the answer until its end.
async fn ask<S>(mut stream: S, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("{method} {path} HTTP/1.1\r\n{headers}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.expect("an answer in time").unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_ascii_lowercase(), value.to_owned())
    });
    Answer { status, headers: headers.collect(), body: body.to_owned() }
}

async fn get(address: SocketAddr, path: &str) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    ask(stream, "GET", path, &[("host", "localhost:8080")]).await
}

#[tokio::test]
async fn pages_and_files_with_the_headers_that_keep_them_safe() {
    let relay = Running::start(&[
        "--dev",
        "--web=127.0.0.1:0",
        "--drain-to=b.example:4433",
        "--embed-from=https://pages.example",
    ])
    .await;
    let (web, udp) = (relay.web(), relay.ready.listen.port());
    assert_eq!(
        relay.ready.web.as_ref().unwrap().to_string(),
        format!("http://127.0.0.1:{}", web.port())
    );
    let html = "text/html; charset=utf-8";
    for (path, content_type) in [
        ("/", html),
        ("/r/town-hall", html),
        ("/embed/town-hall", html),
        ("/example", html),
        ("/web/index.html", html),
        ("/web/style.css", "text/css; charset=utf-8"),
        ("/web/tribune.js", "text/javascript; charset=utf-8"),
        ("/web/relay.json", "application/json"),
    ] {
        let answer = get(web, path).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, content_type), "{path}");
        let framed = if path.starts_with("/embed") { "https://pages.example" } else { "'none'" };
        assert_eq!(
            answer.header("content-security-policy"),
            format!(
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'none'; \
                 worker-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; \
                 connect-src 'self' https://localhost:{udp} ws://localhost:8080 wss://localhost:8080 \
                 https://b.example:*; frame-ancestors {framed}"
            ),
            "{path}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("cache-control"), "no-cache");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
        assert!(answer.header("permissions-policy").contains("microphone=(self)"));

        // The same again, for who has it already.
        let tag = answer.header("etag");
        assert!(tag.starts_with('"') && tag.len() > 20, "{tag}");
        let known = [("host", "localhost:8080"), ("if-none-match", tag)];
        let again = ask(TcpStream::connect(web).await.unwrap(), "GET", path, &known).await;
        assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", tag));
        let head = [("host", "localhost:8080")];
        let head = ask(TcpStream::connect(web).await.unwrap(), "HEAD", path, &head).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        assert_eq!(head.header("content-length"), answer.body.len().to_string());
    }
    assert_eq!(get(web, "/").await.header("etag"), get(web, "/r/a").await.header("etag"));
    relay.end().await;
    assert!(TcpStream::connect(web).await.is_err(), "the port is closed with the relay");
}

#[tokio::test]
async fn what_is_not_for_browsers_is_not_there() {
    let relay = Running::start(&["--dev", "--web=127.0.0.1:0"]).await;
    let web = relay.web();
    for path in [
        "/metrics",
        "/healthz",
        "/readyz",
        "/api/status",
        "/api/rooms",
        "/drain",
        "/web",
        "/web/",
        "/web/package.json",
        "/web/test/wire.test.mjs",
        "/web/../Cargo.toml",
        "/web/%2e%2e/Cargo.toml",
        "/r/",
        "/r",
        "/r/a/b",
        "/r/Town",
        "/r/%00",
        "/r/%3Cscript%3E",
        "/embed/..",
        "/embed/-a",
        "/favicon.ico",
    ] {
        let answer = get(web, path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body.contains("<h1>Not found</h1>") && answer.body.len() < 600, "{path}");
        assert!(!answer.body.contains("script"), "{path}");
        assert!(
            answer.header("content-security-policy").starts_with("default-src 'none';"),
            "{path}"
        );
    }
    assert!(get(web, "/r/Town").await.body.contains("names of rooms are small letters"));
    let foreign = [("host", "relay.example:8080")];
    let foreign =
        ask(TcpStream::connect(web).await.unwrap(), "GET", "/web/relay.json", &foreign).await;
    assert_eq!(foreign.status, 421, "a name that somebody has pointed here: {foreign:?}");
    assert!(!foreign.body.contains("certificates"));
    let posted =
        ask(TcpStream::connect(web).await.unwrap(), "POST", "/", &[("host", "localhost")]).await;
    assert_eq!(posted.status, 405);
    let drain =
        ask(TcpStream::connect(web).await.unwrap(), "POST", "/drain", &[("host", "localhost")])
            .await;
    assert_eq!(drain.status, 404);
    for hosts in [
        &[][..],
        &[("host", "a; script-src *")],
        &[("host", "a"), ("host", "b")],
        &[("host", "a:0")],
        &[("host", "")],
    ] {
        let answer = ask(TcpStream::connect(web).await.unwrap(), "GET", "/", hosts).await;
        assert_eq!(answer.status, 400, "{hosts:?}: {answer:?}");
        assert_eq!(answer.header("content-security-policy"), "", "{answer:?}");
        if !hosts.is_empty() {
            assert!(answer.body.ends_with(".\n"), "a sentence: {answer:?}");
        }
    }
    relay.end().await;
}

/// The document that tells pages where to dial.
async fn relay_json(address: SocketAddr) -> Value {
    serde_json::from_str(&get(address, "/web/relay.json").await.body).unwrap()
}

/// SHA-256 of the certificate that a dialler by QUIC is shown.
async fn shown_over_quic(relay: SocketAddr, alpn: &[u8]) -> Fingerprint {
    let tls = client_tls(alpn, ServerTrust::Anything, None).unwrap();
    let crypto = quinn_proto::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Arc::new(quinn_proto::EndpointConfig::default());
    let mut endpoint = quinn_proto::Endpoint::new(endpoint, None, false, None);
    let client = quinn_proto::ClientConfig::new(Arc::new(crypto));
    let now = std::time::Instant::now;
    let (handle, mut conn) = endpoint.connect(now(), client, relay, "localhost").unwrap();
    let handshake = async {
        loop {
            let mut bytes = Vec::new();
            while let Some(transmit) = conn.poll_transmit(now(), 1, &mut bytes) {
                socket.send_to(&bytes[..transmit.size], relay).await.unwrap();
                bytes.clear();
            }
            while let Some(event) = conn.poll_endpoint_events() {
                if let Some(event) = endpoint.handle_event(handle, event) {
                    conn.handle_event(event);
                }
            }
            if let Some(chain) = conn.crypto_session().peer_identity() {
                let chain = chain.downcast::<Vec<CertificateDer<'static>>>().unwrap();
                return fingerprint(&chain[0]);
            }
            let mut packet = [0; 2_048];
            let (size, from) = socket.recv_from(&mut packet).await.unwrap();
            let (packet, mut answer) = (bytes::BytesMut::from(&packet[..size]), Vec::new());
            let event = endpoint.handle(now(), from, None, None, packet, &mut answer);
            if let Some(quinn_proto::DatagramEvent::ConnectionEvent(_, event)) = event {
                conn.handle_event(event);
            }
        }
    };
    tokio::time::timeout(PATIENCE, handshake).await.expect("a handshake in time")
}

#[tokio::test]
async fn a_page_is_told_where_to_dial_and_the_hash_that_it_will_be_shown() {
    let data = tempfile::tempdir().unwrap();
    let relay = Running::start(&[
        "--dev",
        "--web=127.0.0.1:0",
        "--data",
        &data.path().display().to_string(),
        "--drain-to=b.example:4433",
        "--capacity=10",
        "--redirect-to=c.example:4434",
        "--redirect-to=B.example:4433",
    ])
    .await;
    let told = relay_json(relay.web()).await;
    let hashes: Vec<Fingerprint> = told["certificates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hash| hash.as_str().unwrap().parse().unwrap())
        .collect();
    let expected = serde_json::json!({
        "name": "edge-1",
        "port": relay.ready.listen.port(),
        "path": "/tribune",
            "websocket": "/tribune",
        "certificates": hashes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "next": ["b.example:4433", "c.example:4434"],
    });
    assert_eq!(told, expected);
    assert_eq!(hashes.len(), 2);
    assert_eq!(shown_over_quic(relay.ready.listen, ALPN_WEB).await, hashes[0]);
    let native = shown_over_quic(relay.ready.listen, tribune_protocol::ALPN_PARTICIPANT).await;
    assert_eq!(native, relay.ready.fingerprint, "pinning of native clients goes on");
    relay.end().await;
}

#[tokio::test]
async fn several_relays_for_development_run_on_one_machine() {
    let (one, other) = (Running::start(&["--dev"]).await, Running::start(&["--dev"]).await);
    assert_ne!(one.web(), other.web());
    assert_eq!(get(other.web(), "/").await.status, 200);
    let taken = one.web().to_string();
    let arguments = ["relay", "--dev", "--listen=127.0.0.1:0", "--http=off", "--web", &taken];
    let config = Config::from_args(arguments, &|_| None).unwrap();
    let error = Relay::start(config).await.unwrap_err();
    assert!(format!("{error:#}").starts_with(&format!("--web: {taken} cannot")), "{error:#}");
    one.end().await;
    other.end().await;
}

/// An authority, and a directory for certificates that it has signed.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let issuer = CertifiedIssuer::self_signed(parameters, key).unwrap();
        Self { issuer, directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Writes a new certificate for a name, as tools do: one file after the other.
    fn issue(&self, name: &str) -> Fingerprint {
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2100, 1, 1);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        write(&self.path("cert.pem"), &certificate.pem());
        write(&self.path("key.pem"), &key.serialize_pem());
        fingerprint(certificate.der())
    }

    async fn relay(&self) -> Running {
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        Running::start(&["--cert", &cert, "--key", &key, "--web=127.0.0.1:0"]).await
    }

    /// A connection that trusts the authority and nobody else.
    async fn connect(
        &self,
        address: SocketAddr,
        name: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let tls = client_tls(b"http/1.1", ServerTrust::Roots(Arc::new(roots)), None).unwrap();
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(tls)).connect(name, stream).await
    }
}

fn write(path: &str, text: &str) {
    let draft = Path::new(path).with_extension("draft");
    std::fs::write(&draft, text).unwrap();
    std::fs::rename(draft, path).unwrap();
}

fn shown(stream: &TlsStream<TcpStream>) -> Fingerprint {
    fingerprint(&stream.get_ref().1.peer_certificates().unwrap()[0])
}

#[tokio::test]
async fn pages_over_tls_and_a_certificate_that_is_replaced_while_it_runs() {
    const NAME: &str = "edge-1.example.org";
    let authority = Authority::new();
    let first = authority.issue(NAME);
    let relay = authority.relay().await;
    let web = relay.web();
    let link = relay.ready.web.as_ref().unwrap().to_string();
    assert_eq!(link, format!("https://{NAME}:{}", web.port()));
    let host = [("host", "edge-1.example.org")];
    let old = authority.connect(web, NAME).await.unwrap();
    assert_eq!((shown(&old), old.get_ref().1.alpn_protocol()), (first, Some(&b"http/1.1"[..])));
    authority.connect(web, "other.example.org").await.unwrap_err();
    assert_eq!(shown_over_quic(relay.ready.listen, ALPN_WEB).await, first);

    // Broken: the old one stays, and it is counted.
    write(&authority.path("key.pem"), "no key");
    relay.orders.reload_certificates();
    let failed =
        "tribune_relay_certificate_renewals_total{certificate=\"relay\",result=\"failed\"}";
    wait_until(async || relay.metric(failed).await == 1.0).await;
    assert_eq!(shown(&authority.connect(web, NAME).await.unwrap()), first);

    // Whole: new connections are shown the new one, and the old connection goes on.
    let second = authority.issue(NAME);
    relay.orders.reload_certificates();
    let renewed = "tribune_relay_certificate_renewals_total{certificate=\"relay\",result=\"ok\"}";
    wait_until(async || relay.metric(renewed).await == 1.0).await;
    assert_eq!(shown(&authority.connect(web, NAME).await.unwrap()), second);
    let answer = ask(old, "GET", "/web/relay.json", &host).await;
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(told["certificates"], serde_json::json!([]), "an authority vouches for it");

    // By the files alone, without an order; over UDP as well.
    let third = authority.issue(NAME);
    wait_until(async || relay.metric(renewed).await == 2.0).await;
    assert_eq!(shown(&authority.connect(web, NAME).await.unwrap()), third);
    for alpn in [ALPN_WEB, tribune_protocol::ALPN_PARTICIPANT, tribune_protocol::ALPN_TRUNK] {
        assert_eq!(shown_over_quic(relay.ready.listen, alpn).await, third);
    }
    let expiry = "tribune_relay_certificate_expiry_time_seconds{certificate=\"relay\"}";
    assert_eq!(relay.metric(expiry).await, 4_102_444_800.0);
    relay.end().await;
}

/// Waits for something that takes a while, with a generous end.
async fn wait_until(mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it is so in the end");
}

#[tokio::test]
async fn what_is_no_tls_is_counted_and_closed() {
    let authority = Authority::new();
    authority.issue("localhost");
    let relay = authority.relay().await;
    let mut stream = TcpStream::connect(relay.web()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // An alert of TLS, or a reset.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("closed");
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    let failed = "tribune_relay_web_connections_total{result=\"failed\"}";
    wait_until(async || relay.metric(failed).await == 1.0).await;
    wait_until(async || relay.metric("tribune_relay_web_connections").await == 0.0).await;
    relay.end().await;
}

/// Says something, then a byte now and then, until the other side has closed.
async fn trickle(address: SocketAddr, said: &[u8]) {
    let (mut from, mut to) = TcpStream::connect(address).await.unwrap().into_split();
    to.write_all(said).await.unwrap();
    let trickling = async {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            if to.write_all(b"x").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, from.read_to_end(&mut answer));
    tokio::select! {
        // An end, or a reset: bytes were on their way.
        closed = closed => drop(closed.expect("closed")),
        () = trickling => {}
    }
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
}

#[tokio::test]
async fn who_never_comes_to_an_end_is_closed() {
    let authority = Authority::new();
    authority.issue("localhost");
    let (tls, plain) =
        (authority.relay().await, Running::start(&["--dev", "--web=127.0.0.1:0"]).await);
    // A record of TLS, a head of HTTP.
    let record = trickle(tls.web(), &[0x16, 3, 1, 2, 0]);
    let head = trickle(plain.web(), b"GET / HTTP/1.1\r\nhost: local");
    tokio::join!(record, head);
    assert_eq!(tls.metric("tribune_relay_web_connections_total{result=\"failed\"}").await, 1.0);
    tls.end().await;
    plain.end().await;
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    /// As much as a head may have.
    const HEAD_BYTES: usize = 16 * 1024;
    let relay = Running::start(&["--dev", "--web=127.0.0.1:0"]).await;
    let stream = TcpStream::connect(relay.web()).await.unwrap();
    let cookie = "x".repeat(HEAD_BYTES - 100);
    let headers = [("host", "localhost"), ("cookie", &cookie)];
    assert_eq!(ask(stream, "GET", "/", &headers).await.status, 200);
    // To the byte: what nobody reads would reset the connection before the answer is there.
    let mut stream = TcpStream::connect(relay.web()).await.unwrap();
    let mut head = b"GET / HTTP/1.1\r\nhost: localhost\r\ncookie: ".to_vec();
    head.resize(HEAD_BYTES, b'x');
    stream.write_all(&head).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    read.expect("an answer in time").unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    relay.end().await;
}

/// The program itself, ended when it is dropped.
#[cfg(unix)]
struct Program(std::process::Child);

#[cfg(unix)]
impl Program {
    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

#[cfg(unix)]
impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_hangup_has_certificates_read_again_and_ends_nothing() {
    use std::io::BufRead as _;
    use std::process::{Command, Stdio};

    use rustix::process::Signal;

    let authority = Authority::new();
    authority.issue("localhost");
    let (cert, key) = (authority.path("cert.pem"), authority.path("key.pem"));
    let arguments = ["--listen=127.0.0.1:0", "--http=127.0.0.1:0", "--cert", &cert, "--key", &key];
    let mut command = Command::new(env!("CARGO_BIN_EXE_tribune-relay"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut program = Program(command.spawn().unwrap());
    let mut line = String::new();
    std::io::BufReader::new(program.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let http = line.split(' ').find_map(|word| word.strip_prefix("http=")).unwrap();
    let http: SocketAddr = http.parse().unwrap();
    assert!(line.contains(" web=off "), "{line}");
    // Not one of them has changed: only an order reads them.
    program.signal(Signal::HUP);
    let renewed =
        "tribune_relay_certificate_renewals_total{certificate=\"relay\",result=\"ok\"} 1\n";
    wait_until(async || get(http, "/metrics").await.body.contains(renewed)).await;
    program.signal(Signal::TERM);
    assert!(program.0.wait().unwrap().success());
}

#[tokio::test]
async fn a_websocket_keeps_the_place_of_its_connection() {
    let relay = Running::start(&["--dev", "--web=127.0.0.1:0"]).await;
    let connections = "tribune_relay_web_connections";
    let mut stream = TcpStream::connect(relay.web()).await.unwrap();
    let request = "GET /tribune HTTP/1.1\r\nhost: localhost\r\norigin: http://localhost\r\n\
                   connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-protocol: tribune.1\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    // Long enough for the connection to have been handed over: a later one has been answered and has gone.
    get(relay.web(), "/").await;
    wait_until(async || relay.metric(connections).await <= 1.0).await;
    assert_eq!(relay.metric(connections).await, 1.0);
    drop(stream);
    wait_until(async || relay.metric(connections).await == 0.0).await;
    relay.end().await;
}

#[tokio::test]
async fn one_network_does_not_take_all_places() {
    /// A quarter of the most that there can be.
    const MAX_SHARE: usize = 512;
    let authority = Authority::new();
    authority.issue("localhost");
    let relay = authority.relay().await;
    let refused = "tribune_relay_web_connections_total{result=\"refused\"}";
    let mut open = Vec::new();
    while open.len() <= MAX_SHARE && relay.metric(refused).await == 0.0 {
        for _ in 0..16 {
            open.push(TcpStream::connect(relay.web()).await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    wait_until(async || relay.metric(refused).await > 0.0).await;
    let served = relay.metric("tribune_relay_web_connections").await;
    assert!(served > 0.0 && served <= MAX_SHARE as f64, "{served}");
    drop(open);
    // They give their places back.
    wait_until(async || relay.metric("tribune_relay_web_connections").await == 0.0).await;
    authority.connect(relay.web(), "localhost").await.unwrap();
    relay.end().await;
}
