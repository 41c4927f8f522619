//! `stock-quinn-relay`: the simplest relay over unmodified quinn, as a reference. All connections are in one
//! room; a datagram of one is sent to all others, one `send_datagram` each. It ends with its standard input,
//! so that it cannot outlive the process that started it.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, Result};
use clap::Parser;
use quinn::{Connection, Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime};
use rustls::pki_types::PrivatePkcs8KeyDer;
use socket2::SockRef;
use tokio::runtime::Builder;

/// Receive buffer of the socket, as Tribune's relay has it; the kernel may allow less. With the system's
/// default a burst of acknowledgements is lost while the relay sends.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// Everybody's datagrams to everybody else.
#[derive(Debug, Parser)]
#[command(name = "stock-quinn-relay", version)]
struct Cli {
    /// Where to listen.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to write the self-signed certificate (DER), before the line that says `ready`.
    #[arg(long, value_name = "PATH")]
    certificate: PathBuf,
    /// One thread instead of one per core.
    #[arg(long)]
    single_thread: bool,
}

/// All connections.
type Room = Arc<RwLock<Vec<Connection>>>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stock-quinn-relay: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let mut builder =
        if cli.single_thread { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    let config = server_config(&cli.certificate)?;
    builder.enable_all().build()?.block_on(async {
        let endpoint =
            listen(config, cli.listen).with_context(|| format!("--listen {}", cli.listen))?;
        let mut out = std::io::stdout();
        writeln!(out, "ready {}", endpoint.local_addr()?)?;
        out.flush()?;
        std::thread::spawn(end_with_standard_input);
        let room = Room::default();
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(attend(incoming, Arc::clone(&room)));
        }
        Ok(())
    })
}

/// As `Endpoint::server`, but with room for the acknowledgements of many listeners.
fn listen(config: ServerConfig, address: SocketAddr) -> Result<Endpoint> {
    let socket = std::net::UdpSocket::bind(address)?;
    // A smaller buffer works too.
    let _ = SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    let (endpoint, runtime) = (EndpointConfig::default(), Arc::new(TokioRuntime));
    Ok(Endpoint::new(endpoint, Some(config), socket, runtime)?)
}

/// quinn's default configuration with a fresh certificate for `localhost`.
fn server_config(certificate: &Path) -> Result<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    std::fs::write(certificate, made.cert.der())
        .with_context(|| format!("--certificate {}", certificate.display()))?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    Ok(ServerConfig::with_single_cert(vec![made.cert.der().clone()], key.into())?)
}

async fn attend(incoming: Incoming, room: Room) {
    // A failed handshake is ignored.
    let Ok(connection) = incoming.await else { return };
    let own = connection.stable_id();
    room.write().unwrap_or_else(PoisonError::into_inner).push(connection.clone());
    while let Ok(datagram) = connection.read_datagram().await {
        for other in room.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if other.stable_id() != own {
                // A connection that is closing gets nothing more.
                let _ = other.send_datagram(datagram.clone());
            }
        }
    }
    room.write().unwrap_or_else(PoisonError::into_inner).retain(|one| one.stable_id() != own);
}

fn end_with_standard_input() {
    let mut ignored = [0; 64];
    while std::io::stdin().read(&mut ignored).is_ok_and(|bytes| bytes > 0) {}
    std::process::exit(0);
}
