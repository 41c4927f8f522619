//! Relay process on a port that the system chooses, and the client side to dial it.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, IdleTimeout, TokioRuntime, TransportConfig,
    VarInt,
};
use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use socket2::{Domain, Protocol, Socket, Type};
use tempfile::TempDir;
use tribune_protocol::limits::MAX_DATAGRAM_BYTES;

/// Time for the relay to print that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// As in Tribune's participants.
const IDLE_TIMEOUT_MS: u32 = 15_000;
/// As in Tribune's participants.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Datagrams that wait to be read, per connection, as in Tribune's listeners.
const RECEIVE_DATAGRAMS: usize = 64;
/// Datagrams that wait for the network, per connection, as in Tribune's listeners.
const SEND_DATAGRAMS: usize = 16;
/// Stream window of a connection, which has no streams, as in Tribune's listeners.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// Receive buffer of a client's socket; the kernel may allow less.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// Relay process. It ends with this value, and with this process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    _directory: TempDir,
}

/// Address and certificate of the relay.
#[derive(Debug, Clone)]
pub(crate) struct Dial {
    address: SocketAddr,
    client: ClientConfig,
}

impl Server {
    /// Starts the relay of the same build and waits until it is ready.
    ///
    /// # Errors
    /// It is not built, ends, or is not ready within ten seconds.
    pub(crate) fn start(single_thread: bool) -> Result<Self> {
        let own = std::env::current_exe().context("this program's path")?;
        let program = own.with_file_name("stock-quinn-relay");
        ensure!(program.is_file(), "{} is not there: build it", program.display());
        let directory = tempfile::tempdir().context("a directory for the relay")?;
        let path = directory.path().join("certificate.der");
        // The relay ends with its standard input, even if this process is killed.
        let mut child = Command::new(&program)
            .arg("--certificate")
            .arg(&path)
            .args(single_thread.then_some("--single-thread"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let output = child.stdout.take().context("the relay has no standard output");
        let ready = output.and_then(wait_until_ready).and_then(|address| {
            let certificate = std::fs::read(&path).context("the relay's certificate")?;
            Ok((address, CertificateDer::from(certificate)))
        });
        match ready {
            Ok((address, certificate)) => {
                Ok(Self { child, address, certificate, _directory: directory })
            }
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Client side of the relay.
    ///
    /// # Errors
    /// Its certificate is invalid.
    pub(crate) fn dial(&self) -> Result<Dial> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).context("the relay's certificate")?;
        let tls = rustls::ClientConfig::builder_with_provider(crypto_provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
        client.transport_config(Arc::new(transport()));
        Ok(Dial { address: self.address, client })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Dial {
    /// Socket for connections to the relay. Must be called in the runtime that drives it.
    ///
    /// # Errors
    /// A socket cannot be opened.
    pub(crate) fn endpoint(&self) -> Result<Endpoint> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        // A smaller buffer works too.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        socket.bind(&any.into())?;
        let config = EndpointConfig::default();
        Ok(Endpoint::new(config, None, socket.into(), Arc::new(TokioRuntime))?)
    }

    /// Connects over a socket.
    ///
    /// # Errors
    /// The relay gives no valid answer.
    pub(crate) async fn connect(&self, endpoint: &Endpoint) -> Result<Connection> {
        Ok(endpoint.connect_with(self.client.clone(), self.address, "localhost")?.await?)
    }
}

/// TLS with AES-128-GCM first, as in Tribune's participants.
fn crypto_provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
            ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
        ],
        ..ring::default_provider()
    })
}

/// Transport settings of the participants of Tribune's own load.
fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .datagram_receive_buffer_size(Some(RECEIVE_DATAGRAMS * MAX_DATAGRAM_BYTES))
        .datagram_send_buffer_size(SEND_DATAGRAMS * MAX_DATAGRAM_BYTES)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(2 * STREAM_WINDOW_BYTES))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .mtu_discovery_config(None)
        .enable_segmentation_offload(false);
    transport
}

fn wait_until_ready(output: impl Read + Send + 'static) -> Result<SocketAddr> {
    let (sender, receiver) = mpsc::sync_channel(1);
    // The relay prints only one line.
    std::thread::spawn(move || {
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let _ = sender.send(lines.find_map(|line| line.strip_prefix("ready ")?.parse().ok()));
    });
    match receiver.recv_timeout(READY_WITHIN) {
        Ok(Some(address)) => Ok(address),
        Ok(None) => bail!("the relay has ended before it was ready"),
        Err(_) => bail!("the relay was not ready within {READY_WITHIN:?}"),
    }
}
