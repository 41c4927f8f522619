//! TLS under QUIC: which certificate this relay shows, and which it accepts. TLS 1.3 only, AES-128-GCM
//! first, no 0-RTT and no session tickets: a resumed session saves little beside what a lost one costs.
//!
//! Files are read here, at the start and nowhere else. The simulated network builds the same
//! configurations from [`TlsIdentity::ephemeral`].

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use ring::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, DnsName, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime,
};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use tribune_protocol::{ALPN_PARTICIPANT, ALPN_TRUNK};

use crate::config::{CertificateSource, Config, Fingerprint, ParentTrust};
use crate::identity::{IdentityError, Readers, keep};
use tribune_relay_core::tree::host_port::HostPort;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file cannot be read or holds nothing of the kind.
    #[error("{} has no usable {what}: {why}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The self-signed certificate cannot be kept.
    #[error(transparent)]
    Kept(#[from] IdentityError),
    /// The self-signed certificate cannot be made.
    #[error("no self-signed certificate can be made: {0}")]
    SelfSigned(#[from] rcgen::Error),
    /// Certificate and key do not go together, or are of a kind that TLS 1.3 does not know.
    #[error("the certificate and the key cannot be used: {0}")]
    Unusable(rustls::Error),
    /// There is nothing to check client certificates against.
    #[error("client certificates cannot be verified: {0}")]
    ClientVerifier(#[from] rustls::server::VerifierBuilderError),
    /// The system has no list of authorities to check a parent against.
    #[error(
        "the system has no trusted certificate authorities; name one for the parent with --parent-ca"
    )]
    NoSystemRoots,
    /// The cryptography lacks the suite that QUIC begins with.
    #[error("TLS lacks a cipher suite that QUIC needs: {0}")]
    NoInitialSuite(#[from] quinn_proto::crypto::rustls::NoInitialCipherSuite),
}

/// A certificate chain and its private key: who this relay is to others. `Debug` shows no key.
pub struct TlsIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl TlsIdentity {
    /// The one that the configuration asks for. A self-signed one is made at the first start.
    ///
    /// # Errors
    /// [`TlsError`], naming the file that cannot be used.
    pub fn from_config(config: &Config) -> Result<Self, TlsError> {
        match &config.certificate {
            CertificateSource::Files { cert, key } => Self::from_files(cert, key),
            CertificateSource::SelfSigned { kept_in: Some(directory) } => {
                Self::kept_in(directory, config.name.as_str())
            }
            CertificateSource::SelfSigned { kept_in: None } => {
                let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
                Self::self_signed(&key, config.name.as_str())
            }
        }
    }

    /// Reads a chain, the relay's own certificate first, and its key from PEM files.
    ///
    /// # Errors
    /// [`TlsError::File`].
    pub fn from_files(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = certificates(cert)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::File {
            path: key.to_owned(),
            what: "private key",
            why: error.to_string(),
        })?;
        Ok(Self { chain, key })
    }

    /// The self-signed certificate in a directory (`cert.pem`, `key.pem`), made if it is not there.
    /// Good for this machine and for `name`, if that is a DNS name.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn kept_in(directory: &Path, name: &str) -> Result<Self, TlsError> {
        let (cert_path, key_path) = (directory.join("cert.pem"), directory.join("key.pem"));
        let fresh = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let pem = keep(&key_path, Readers::OnlyUs, || fresh.serialize_pem())?;
        let key = KeyPair::from_pem(&pem).map_err(|error| TlsError::File {
            path: key_path.clone(),
            what: "private key",
            why: error.to_string(),
        })?;
        // Any certificate made from the kept key fits it, whoever makes it first.
        let certificate = parameters(name)?.self_signed(&key)?;
        keep(&cert_path, Readers::Anybody, || certificate.pem())?;
        Self::from_files(&cert_path, &key_path)
    }

    /// A fresh self-signed Ed25519 certificate that is kept nowhere. Its signatures all have one
    /// length, so a simulation with it is the same each time.
    ///
    /// # Errors
    /// [`TlsError::SelfSigned`].
    pub fn ephemeral(name: &str) -> Result<Self, TlsError> {
        Self::self_signed(&KeyPair::generate_for(&rcgen::PKCS_ED25519)?, name)
    }

    fn self_signed(key: &KeyPair, name: &str) -> Result<Self, TlsError> {
        let certificate = parameters(name)?.self_signed(key)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Ok(Self { chain: vec![certificate.into()], key })
    }

    /// SHA-256 of the relay's own certificate: what `--fingerprint` and `--parent-fingerprint` take.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        // A chain is never empty; an empty one would have no fingerprint that anything matches.
        self.chain.first().map_or(Fingerprint([0; 32]), fingerprint)
    }

    /// Authorities that accept this identity and, if it is self-signed, no other.
    ///
    /// # Errors
    /// [`TlsError::Unusable`], if the last certificate of the chain is none.
    pub fn as_roots(&self) -> Result<Arc<RootCertStore>, TlsError> {
        let mut roots = RootCertStore::empty();
        if let Some(last) = self.chain.last() {
            roots.add(last.clone()).map_err(TlsError::Unusable)?;
        }
        Ok(Arc::new(roots))
    }
}

impl Clone for TlsIdentity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsIdentity({})", self.fingerprint())
    }
}

/// SHA-256 of a certificate.
#[must_use]
pub fn fingerprint(certificate: &CertificateDer<'_>) -> Fingerprint {
    let hash = digest::digest(&digest::SHA256, certificate);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.as_ref());
    Fingerprint(bytes)
}

/// Which certificates a relay accepts from the one it dials.
#[derive(Debug, Clone)]
pub enum ServerTrust {
    /// Those of these authorities, for the name that is dialled.
    Roots(Arc<RootCertStore>),
    /// This one, whatever name and dates it bears.
    Pinned(Fingerprint),
    /// Any. For development on one machine, where nobody else can answer.
    Anything,
}

/// What this relay's port speaks: both kinds of connection, told apart by ALPN. Client certificates
/// are asked for, and verified, where the configuration names an authority for them.
///
/// # Errors
/// [`TlsError`].
pub fn server_crypto(
    config: &Config,
    identity: &TlsIdentity,
) -> Result<Arc<QuicServerConfig>, TlsError> {
    let children = config.trunk_ca.as_deref().map(roots).transpose()?;
    server_crypto_for(identity, children)
}

/// As [`server_crypto`], from values. `children` are the authorities of client certificates; `None`
/// asks for none. A client may show none, but not a wrong one.
///
/// # Errors
/// [`TlsError`].
pub fn server_crypto_for(
    identity: &TlsIdentity,
    children: Option<Arc<RootCertStore>>,
) -> Result<Arc<QuicServerConfig>, TlsError> {
    Ok(Arc::new(QuicServerConfig::try_from(server_tls(identity, children)?)?))
}

/// The TLS of [`server_crypto_for`], without QUIC: what a handshake costs by itself is measured with it.
///
/// # Errors
/// [`TlsError`].
pub fn server_tls(
    identity: &TlsIdentity,
    children: Option<Arc<RootCertStore>>,
) -> Result<rustls::ServerConfig, TlsError> {
    let provider = crypto_provider();
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Unusable)?;
    let builder = match children {
        None => builder.with_no_client_auth(),
        Some(roots) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(roots, provider)
                .allow_unauthenticated()
                .build()?,
        ),
    };
    let mut server = builder
        .with_single_cert(identity.chain.clone(), identity.key.clone_key())
        .map_err(TlsError::Unusable)?;
    server.alpn_protocols = vec![ALPN_PARTICIPANT.to_vec(), ALPN_TRUNK.to_vec()];
    server.ignore_client_order = true;
    server.max_early_data_size = 0;
    server.send_tls13_tickets = 0;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(server)
}

/// What this relay dials a parent with. It shows `--trunk-cert`, or else its own certificate if that
/// came from files: an authority can have signed either.
///
/// # Errors
/// [`TlsError`].
pub fn trunk_client_crypto(
    config: &Config,
    identity: &TlsIdentity,
    parent: &HostPort,
) -> Result<Arc<QuicClientConfig>, TlsError> {
    let trust = match config.trust_in(parent) {
        ParentTrust::SystemRoots => ServerTrust::Roots(system_roots()?),
        ParentTrust::Authority(path) => ServerTrust::Roots(roots(path)?),
        ParentTrust::Pinned(fingerprint) => ServerTrust::Pinned(fingerprint),
        ParentTrust::AnythingOnLoopback => ServerTrust::Anything,
    };
    let own = match (&config.trunk_certificate, &config.certificate) {
        (Some((cert, key)), _) => Some(TlsIdentity::from_files(cert, key)?),
        (None, CertificateSource::Files { .. }) => Some(identity.clone()),
        (None, CertificateSource::SelfSigned { .. }) => None,
    };
    client_crypto(ALPN_TRUNK, trust, own.as_ref())
}

/// As [`trunk_client_crypto`], from values, for either kind of connection.
///
/// # Errors
/// [`TlsError`].
pub fn client_crypto(
    alpn: &[u8],
    trust: ServerTrust,
    shown: Option<&TlsIdentity>,
) -> Result<Arc<QuicClientConfig>, TlsError> {
    Ok(Arc::new(QuicClientConfig::try_from(client_tls(alpn, trust, shown)?)?))
}

/// The TLS of [`client_crypto`], without QUIC.
///
/// # Errors
/// [`TlsError`].
pub fn client_tls(
    alpn: &[u8],
    trust: ServerTrust,
    shown: Option<&TlsIdentity>,
) -> Result<rustls::ClientConfig, TlsError> {
    let provider = crypto_provider();
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Unusable)?;
    let builder = match trust {
        ServerTrust::Roots(roots) => builder.with_root_certificates(roots),
        ServerTrust::Pinned(fingerprint) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Pin {
                expected: Some(fingerprint),
                provider,
            }))
        }
        ServerTrust::Anything => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pin { expected: None, provider })),
    };
    let mut client = match shown {
        None => builder.with_no_client_auth(),
        Some(own) => builder
            .with_client_auth_cert(own.chain.clone(), own.key.clone_key())
            .map_err(TlsError::Unusable)?,
    };
    client.alpn_protocols = vec![alpn.to_vec()];
    client.resumption = rustls::client::Resumption::disabled();
    client.enable_early_data = false;
    Ok(client)
}

/// Accepts one certificate, or any, by its bytes. That the peer holds its key is verified all the same.
#[derive(Debug)]
struct Pin {
    expected: Option<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.expected {
            Some(expected) if fingerprint(end_entity) != expected => {
                Err(rustls::CertificateError::ApplicationVerificationFailure.into())
            }
            Some(_) | None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// *ring*, with AES-128-GCM first: on processors with AES instructions it seals a datagram fastest.
fn crypto_provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            provider::cipher_suite::TLS13_AES_128_GCM_SHA256,
            provider::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            provider::cipher_suite::TLS13_AES_256_GCM_SHA384,
        ],
        ..provider::default_provider()
    })
}

/// What a self-signed certificate says. It is no authority, and yet its own trust anchor.
fn parameters(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if DnsName::try_from(name).is_ok() && !name.eq_ignore_ascii_case("localhost") {
        names.push(name.to_owned());
    }
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, format!("tribune-relay {name}"));
    parameters.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(parameters)
}

fn roots(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| TlsError::File {
            path: path.to_owned(),
            what: "authority",
            why: error.to_string(),
        })?;
    }
    Ok(Arc::new(roots))
}

fn system_roots() -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoSystemRoots) } else { Ok(Arc::new(roots)) }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let error = |why: String| TlsError::File { path: path.to_owned(), what: "certificate", why };
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|reason| error(reason.to_string()))?;
    if chain.is_empty() {
        return Err(error("there is none in it".to_owned()));
    }
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use quinn_proto::crypto::{ClientConfig as _, ServerConfig as _, Session};
    use quinn_proto::transport_parameters::TransportParameters;

    use super::*;

    /// A handshake over memory, without packets. Yields what each side then knows of the other.
    fn handshake(
        client: &Arc<QuicClientConfig>,
        server: &Arc<QuicServerConfig>,
        name: &str,
    ) -> Result<Met, quinn_proto::TransportError> {
        const VERSION: u32 = 1;
        let parameters =
            TransportParameters::read(quinn_proto::Side::Client, &mut &[][..]).unwrap();
        let mut client = Arc::clone(client).start_session(VERSION, name, &parameters).unwrap();
        let mut server = Arc::clone(server).start_session(VERSION, &parameters);
        for _ in 0..8 {
            flow(client.as_mut(), server.as_mut())?;
            flow(server.as_mut(), client.as_mut())?;
        }
        assert!(!client.is_handshaking() && !server.is_handshaking(), "not done");
        let data = server.handshake_data().unwrap();
        let data = data.downcast::<quinn_proto::crypto::rustls::HandshakeData>().unwrap();
        Ok(Met { alpn: data.protocol.unwrap(), client_shown: server.peer_identity().is_some() })
    }

    /// What the server knows once the handshake is done.
    #[derive(Debug, PartialEq)]
    struct Met {
        alpn: Vec<u8>,
        client_shown: bool,
    }

    /// Takes what one side has to say to the other, at all levels of encryption.
    fn flow(
        from: &mut dyn Session,
        to: &mut dyn Session,
    ) -> Result<(), quinn_proto::TransportError> {
        loop {
            let mut bytes = Vec::new();
            let keys = from.write_handshake(&mut bytes);
            if !bytes.is_empty() {
                to.read_handshake(&bytes)?;
            }
            if bytes.is_empty() && keys.is_none() {
                return Ok(());
            }
        }
    }

    fn relay(arguments: &[&str]) -> Config {
        let all = ["tribune-relay"].iter().chain(arguments);
        Config::from_args(all, &|_| None).unwrap()
    }

    fn trunk(trust: ServerTrust, shown: Option<&TlsIdentity>) -> Arc<QuicClientConfig> {
        client_crypto(ALPN_TRUNK, trust, shown).unwrap()
    }

    fn roots_of(identity: &TlsIdentity) -> ServerTrust {
        ServerTrust::Roots(identity.as_roots().unwrap())
    }

    #[test]
    fn a_self_signed_certificate_is_its_own_authority_and_no_other() {
        let ours = TlsIdentity::ephemeral("edge.example.org").unwrap();
        let other = TlsIdentity::ephemeral("edge.example.org").unwrap();
        let server = server_crypto_for(&ours, None).unwrap();
        for name in ["localhost", "127.0.0.1", "::1", "edge.example.org"] {
            let met = handshake(&trunk(roots_of(&ours), None), &server, name).unwrap();
            assert_eq!(met, Met { alpn: ALPN_TRUNK.to_vec(), client_shown: false }, "{name}");
        }
        handshake(&trunk(roots_of(&ours), None), &server, "other.example.org").unwrap_err();
        handshake(&trunk(roots_of(&other), None), &server, "localhost").unwrap_err();
    }

    #[test]
    fn a_pinned_certificate_is_accepted_by_its_fingerprint_alone() {
        let ours = TlsIdentity::ephemeral("a").unwrap();
        let other = TlsIdentity::ephemeral("a").unwrap();
        let server = server_crypto_for(&ours, None).unwrap();
        let pinned = |identity: &TlsIdentity| ServerTrust::Pinned(identity.fingerprint());
        handshake(&trunk(pinned(&ours), None), &server, "any.example.org").unwrap();
        handshake(&trunk(pinned(&other), None), &server, "localhost").unwrap_err();
        handshake(&trunk(ServerTrust::Anything, None), &server, "any.example.org").unwrap();
    }

    #[test]
    fn a_certificate_without_its_key_is_refused_even_where_anything_goes() {
        let ours = TlsIdentity::ephemeral("a").unwrap();
        let thief = TlsIdentity {
            chain: ours.chain.clone(),
            key: TlsIdentity::ephemeral("a").unwrap().key.clone_key(),
        };
        // The server's own consistency check is passed by, as a thief would.
        let signer = rustls::crypto::ring::sign::any_supported_type(&thief.key).unwrap();
        let certified = Arc::new(rustls::sign::CertifiedKey::new(thief.chain, signer));
        let mut server = rustls::ServerConfig::builder_with_provider(crypto_provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
        server.alpn_protocols = vec![ALPN_TRUNK.to_vec()];
        let server = Arc::new(QuicServerConfig::try_from(server).unwrap());
        handshake(&trunk(ServerTrust::Anything, None), &server, "localhost").unwrap_err();
        let pinned = ServerTrust::Pinned(ours.fingerprint());
        handshake(&trunk(pinned, None), &server, "localhost").unwrap_err();
    }

    #[test]
    fn a_child_may_show_a_certificate_of_the_authority_or_none_but_no_other() {
        let parent = TlsIdentity::ephemeral("parent").unwrap();
        let child = TlsIdentity::ephemeral("child").unwrap();
        let stranger = TlsIdentity::ephemeral("child").unwrap();
        let server = server_crypto_for(&parent, Some(child.as_roots().unwrap())).unwrap();
        let dial = |shown| handshake(&trunk(roots_of(&parent), shown), &server, "localhost");
        assert!(dial(Some(&child)).unwrap().client_shown);
        assert!(!dial(None).unwrap().client_shown);
        dial(Some(&stranger)).unwrap_err();

        let asks_for_none = server_crypto_for(&parent, None).unwrap();
        let client = trunk(roots_of(&parent), Some(&stranger));
        assert!(!handshake(&client, &asks_for_none, "localhost").unwrap().client_shown);
    }

    #[test]
    fn the_port_speaks_both_protocols_and_no_third() {
        let identity = TlsIdentity::ephemeral("a").unwrap();
        let server = server_crypto_for(&identity, None).unwrap();
        for alpn in [ALPN_PARTICIPANT, ALPN_TRUNK] {
            let client = client_crypto(alpn, roots_of(&identity), None).unwrap();
            assert_eq!(handshake(&client, &server, "localhost").unwrap().alpn, alpn);
        }
        let client = client_crypto(b"h3", roots_of(&identity), None).unwrap();
        handshake(&client, &server, "localhost").unwrap_err();
    }

    #[test]
    fn the_self_signed_certificate_is_kept_and_used_again() {
        let data = tempfile::tempdir().unwrap();
        let first = TlsIdentity::kept_in(data.path(), "relay").unwrap();
        let second = TlsIdentity::kept_in(data.path(), "relay").unwrap();
        assert_eq!(first.fingerprint(), second.fingerprint());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(data.path().join("key.pem")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        // Only the certificate is lost: a new one is made for the key that is there.
        std::fs::remove_file(data.path().join("cert.pem")).unwrap();
        let third = TlsIdentity::kept_in(data.path(), "relay").unwrap();
        let server = server_crypto_for(&third, None).unwrap();
        handshake(&trunk(roots_of(&third), None), &server, "localhost").unwrap();
    }

    #[test]
    fn starting_together_relays_agree_on_one_certificate() {
        let data = tempfile::tempdir().unwrap();
        let fingerprints: Vec<Fingerprint> = std::thread::scope(|scope| {
            let start = || TlsIdentity::kept_in(data.path(), "relay").unwrap().fingerprint();
            let starts: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(fingerprints.iter().all(|one| *one == fingerprints[0]), "{fingerprints:?}");
    }

    #[test]
    fn from_the_configuration_to_a_trunk() {
        let (parent_dir, child_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let parent_identity = TlsIdentity::kept_in(parent_dir.path(), "parent").unwrap();
        TlsIdentity::kept_in(child_dir.path(), "child").unwrap();
        let file = |dir: &tempfile::TempDir, name| dir.path().join(name).display().to_string();
        let (parent_cert, child_cert) =
            (file(&parent_dir, "cert.pem"), file(&child_dir, "cert.pem"));
        let child_key = file(&child_dir, "key.pem");

        let config = relay(&["--dev", "--data", &file(&parent_dir, ""), "--trunk-ca", &child_cert]);
        let identity = TlsIdentity::from_config(&config).unwrap();
        assert_eq!(identity.fingerprint(), parent_identity.fingerprint());
        let server = server_crypto(&config, &identity).unwrap();

        let dial = |arguments: &[&str]| {
            let config = relay(&[&["--parent", "127.0.0.1:4433"], arguments].concat());
            let identity = TlsIdentity::from_config(&config).unwrap();
            let client = trunk_client_crypto(&config, &identity, &config.parents[0]).unwrap();
            handshake(&client, &server, config.parents[0].host())
        };
        let own = ["--cert", &child_cert, "--key", &child_key];
        assert!(dial(&[&own[..], &["--parent-ca", &parent_cert]].concat()).unwrap().client_shown);
        let pin = parent_identity.fingerprint().to_string();
        assert!(dial(&[&own[..], &["--parent-fingerprint", &pin]].concat()).unwrap().client_shown);
        assert!(!dial(&["--dev"]).unwrap().client_shown, "a self-signed one proves nothing");
        let extra = ["--dev", "--trunk-cert", &child_cert, "--trunk-key", &child_key];
        assert!(dial(&extra).unwrap().client_shown);
        dial(&[&own[..], &["--parent-ca", &child_cert]].concat()).unwrap_err();
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let data = tempfile::tempdir().unwrap();
        let empty = data.path().join("empty.pem");
        std::fs::write(&empty, "nothing here").unwrap();
        let says = |error: TlsError| error.to_string();
        let error = says(TlsIdentity::from_files(&empty, &empty).unwrap_err());
        assert!(error.contains("empty.pem has no usable certificate"), "{error}");
        let error = says(roots(&data.path().join("absent.pem")).unwrap_err());
        assert!(error.contains("absent.pem has no usable certificate"), "{error}");
    }

    #[test]
    fn no_key_in_debug_output() {
        let identity = TlsIdentity::ephemeral("a").unwrap();
        assert_eq!(format!("{identity:?}"), format!("TlsIdentity({})", identity.fingerprint()));
    }
}
