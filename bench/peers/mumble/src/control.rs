//! TLS connection of a client: it joins, and keeps the client connected.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

use crate::messages::{FromClient, FromServer, Inbox};
use crate::ocb2::Secrets;

/// Time for the server to answer a client.
const PATIENCE: Duration = Duration::from_secs(20);
/// Polling period of a client that waits.
const GLANCE: Duration = Duration::from_micros(200);
/// Bytes per read: as many as rustls returns at once.
const READ_BYTES: usize = 16 * 1024;

/// TLS configuration of all clients. They accept any certificate: the server was started for them and has
/// one of its own.
///
/// # Errors
/// None with this provider.
pub(crate) fn tls() -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Connection of a client that was admitted.
#[derive(Debug)]
pub(crate) struct Control {
    socket: TcpStream,
    tls: ClientConnection,
    inbox: Inbox,
    name: String,
    seen: Seen,
}

/// State that the server has announced to a client.
#[derive(Debug, Default)]
struct Seen {
    release: Option<String>,
    session: Option<u32>,
    secrets: Option<Secrets>,
    deaf: bool,
    /// The server has requested the nonce.
    wants_nonce: bool,
}

impl Control {
    /// Connects and joins.
    ///
    /// # Errors
    /// The server refuses the client, or gives no valid answer in time.
    pub(crate) fn join(
        config: &Arc<ClientConfig>,
        server: SocketAddr,
        name: String,
    ) -> Result<Self> {
        let socket = TcpStream::connect_timeout(&server, PATIENCE)
            .with_context(|| format!("{name} cannot connect to {server}"))?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let tls = ClientConnection::new(Arc::clone(config), ServerName::from(server.ip()))?;
        let seen = Seen::default();
        let mut control = Self { socket, tls, inbox: Inbox::default(), name, seen };
        control.say(&FromClient::Version)?;
        control.say(&FromClient::Authenticate { name: control.name.clone() })?;
        control.wait("let in", |seen| seen.session.is_some() && seen.secrets.is_some())?;
        Ok(control)
    }

    /// Key and nonces for UDP.
    ///
    /// # Errors
    /// None once it was admitted.
    pub(crate) fn secrets(&self) -> Result<&Secrets> {
        self.seen.secrets.as_ref().context("the server has sent no key")
    }

    /// Name of the server's release.
    pub(crate) fn release(&self) -> &str {
        self.seen.release.as_deref().unwrap_or("of unknown version")
    }

    /// Sends a ping.
    ///
    /// # Errors
    /// The connection ended.
    pub(crate) fn ping(&mut self) -> Result<()> {
        self.say(&FromClient::Ping)
    }

    /// Turns deaf or not; waits for the server's confirmation.
    ///
    /// # Errors
    /// The connection ended, or the server does not answer.
    pub(crate) fn set_deaf(&mut self, deaf: bool) -> Result<()> {
        if self.seen.deaf != deaf {
            self.say(&FromClient::Deaf(deaf))?;
            self.wait("told whether it hears", |seen| seen.deaf == deaf)?;
        }
        Ok(())
    }

    /// Sends the nonce of the client's last packet, if the server has requested it. An overloaded server that
    /// drops packets does, for one client in 256: it takes the packet after a gap for a replay.
    ///
    /// # Errors
    /// The connection ended.
    pub(crate) fn answer(&mut self, nonce: [u8; 16]) -> Result<()> {
        if std::mem::take(&mut self.seen.wants_nonce) {
            self.say(&FromClient::Nonce(nonce))?;
        }
        Ok(())
    }

    /// Reads all available messages.
    ///
    /// # Errors
    /// The connection ended, or the server sent a message that ends a measurement.
    pub(crate) fn drain(&mut self) -> Result<()> {
        self.exchange().with_context(|| format!("{}'s connection", self.name))
    }

    fn say(&mut self, message: &FromClient) -> Result<()> {
        self.tls.writer().write_all(&message.encode())?;
        self.drain()
    }

    fn wait(&mut self, what: &str, done: impl Fn(&Seen) -> bool) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while !done(&self.seen) {
            if Instant::now() > until {
                bail!("{} has not been {what} within {PATIENCE:?}", self.name);
            }
            std::thread::sleep(GLANCE);
            self.drain()?;
        }
        Ok(())
    }

    fn exchange(&mut self) -> Result<()> {
        self.write()?;
        let mut plain = [0; READ_BYTES];
        loop {
            match self.tls.read_tls(&mut self.socket) {
                Ok(0) => bail!("the server has closed it"),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
            let mut bytes = self.tls.process_new_packets()?.plaintext_bytes_to_read();
            while bytes > 0 {
                let read = self.tls.reader().read(&mut plain)?;
                self.inbox.extend(&plain[..read]);
                bytes = bytes.saturating_sub(read.max(1));
            }
            self.inbox.drain(|message| self.seen.take(message))?;
        }
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Seen {
    fn take(&mut self, message: FromServer) -> Result<()> {
        match message {
            FromServer::Version { release } => self.release = Some(release),
            FromServer::Reject { reason } => bail!("the server lets nobody in: {reason}"),
            FromServer::In { session } => self.session = Some(session),
            FromServer::Crypt { key, client_nonce, server_nonce } => {
                self.secrets = Some(Secrets::new(&key, &client_nonce, &server_nonce)?);
            }
            FromServer::Resync => self.wants_nonce = true,
            FromServer::Tunnel => bail!("the server sends audio by TCP, not by UDP"),
            FromServer::Deaf { session, deaf } => {
                if self.session == Some(session) {
                    self.deaf = deaf;
                }
            }
        }
        Ok(())
    }
}

/// Verifier that accepts every certificate.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
