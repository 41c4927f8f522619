//! A relay embedded into a program: started from a configuration, asked over HTTP, drained.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tribune_relay::assemble::Relay;
use tribune_relay::config::Config;

/// Much longer than any step takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(arguments: &[&str]) -> Config {
    let arguments =
        [&["embedded", "--dev", "--shards", "2", "--name", "embedded"], arguments].concat();
    Config::from_args(arguments, &|_| None).expect("a configuration that is valid")
}

/// The body of an answer.
async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("the relay listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the relay reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("the relay answers");
    answer.split_once("\r\n\r\n").expect("a head and a body").1.to_owned()
}

#[tokio::test]
async fn a_relay_is_embedded_and_drained() {
    let config = config(&["--listen=127.0.0.1:0", "--http=127.0.0.1:0", "--web=off"]);
    let relay = Relay::start(config).await.unwrap();
    let ready = relay.ready().clone();
    let http = ready.http.unwrap();
    assert_ne!((ready.listen.port(), http.port()), (0, 0), "the system has chosen ports");
    let line = ready.to_string();
    let start = format!("ready listen={} http={http} web=off name=embedded relay=", ready.listen);
    assert!(line.starts_with(&start), "{line}");
    assert!(line.ends_with(&format!(" fingerprint={}", ready.fingerprint)), "{line}");

    let orders = relay.orders();
    let running = tokio::spawn(relay.run_until_drained());
    assert_eq!(get(http, "/healthz").await, "ok\n");
    // The hub answers this one.
    let status = get(http, "/api/status").await;
    assert!(status.contains("\"embedded\""), "{status}");
    orders.drain();
    let outcome = tokio::time::timeout(PATIENCE, running).await.expect("an empty relay drains");
    outcome.unwrap().unwrap();
    // Address and port are free again.
    std::net::UdpSocket::bind(ready.listen).unwrap();
}

#[tokio::test]
async fn an_embedded_relay_ends_at_once() {
    let config = config(&["--listen", "127.0.0.1:0", "--http", "off"]);
    let relay = Relay::start(config).await.unwrap();
    assert_eq!(relay.ready().http, None);
    relay.orders().end();
    let ended = tokio::time::timeout(PATIENCE, relay.run_until_drained()).await;
    ended.expect("an order to end is obeyed").unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = Relay::start(config(&["--listen", &address, "--http", "off"])).await.unwrap_err();
    assert!(format!("{error:#}").starts_with(&format!("--listen: {address} cannot")), "{error:#}");
}
