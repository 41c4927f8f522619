//! Handshakes over memory, and certificates on disk.

use std::sync::Arc;
use std::time::SystemTime;

use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::crypto::{ClientConfig as _, ServerConfig as _, Session};
use quinn_proto::transport_parameters::TransportParameters;
use tribune_protocol::{ALPN_PARTICIPANT, ALPN_TRUNK, ALPN_WEB};

use super::provider::crypto_provider;
use super::roots::roots;
use super::*;
use crate::config::{Config, Fingerprint};

/// A handshake over memory, without packets. Yields the knowledge of the server.
fn handshake(
    client: &Arc<QuicClientConfig>,
    server: &Arc<QuicServerConfig>,
    name: &str,
) -> Result<Met, quinn_proto::TransportError> {
    const VERSION: u32 = 1;
    let parameters = TransportParameters::read(quinn_proto::Side::Client, &mut &[][..]).unwrap();
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

/// Knowledge of the server once the handshake is done.
#[derive(Debug, PartialEq)]
struct Met {
    alpn: Vec<u8>,
    client_shown: bool,
}

/// Passes handshake bytes from one side to the other, at all levels of encryption.
fn flow(from: &mut dyn Session, to: &mut dyn Session) -> Result<(), quinn_proto::TransportError> {
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
    let thief_key = TlsIdentity::ephemeral("a").unwrap().key();
    // The server's own consistency check is passed by, as a thief would.
    let signer = rustls::crypto::ring::sign::any_supported_type(&thief_key).unwrap();
    let certified = Arc::new(rustls::sign::CertifiedKey::new(ours.chain(), signer));
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
fn the_port_speaks_three_protocols_and_no_fourth() {
    let identity = TlsIdentity::ephemeral("a").unwrap();
    let server = server_crypto_for(&identity, None).unwrap();
    for alpn in [ALPN_PARTICIPANT, ALPN_TRUNK, ALPN_WEB] {
        let client = client_crypto(alpn, roots_of(&identity), None).unwrap();
        assert_eq!(handshake(&client, &server, "localhost").unwrap().alpn, alpn);
    }
    let client = client_crypto(b"h2", roots_of(&identity), None).unwrap();
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
    let (parent_cert, child_cert) = (file(&parent_dir, "cert.pem"), file(&child_dir, "cert.pem"));
    let child_key = file(&child_dir, "key.pem");

    let config = relay(&["--dev", "--data", &file(&parent_dir, ""), "--trunk-ca", &child_cert]);
    let keeper = CertificateKeeper::new(&config, SystemTime::now()).unwrap();
    assert_eq!(keeper.certificates().fingerprint(), parent_identity.fingerprint());
    let server = server_crypto(&config, keeper.certificates()).unwrap();

    let dial = |arguments: &[&str]| {
        let config = relay(&[&["--parent", "127.0.0.1:4433"], arguments].concat());
        let keeper = CertificateKeeper::new(&config, SystemTime::now()).unwrap();
        let client =
            trunk_client_crypto(&config, keeper.certificates(), &config.parents[0]).unwrap();
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

/// A handshake that offers these protocols and takes one certificate.
fn is_shown(server: &Arc<QuicServerConfig>, offers: &[&[u8]], certificate: Fingerprint) -> bool {
    let mut client = client_tls(b"", ServerTrust::Pinned(certificate), None).unwrap();
    client.alpn_protocols = offers.iter().map(|alpn| alpn.to_vec()).collect();
    let client = Arc::new(QuicClientConfig::try_from(client).unwrap());
    handshake(&client, server, "any.example.org").is_ok()
}

#[test]
fn browsers_are_shown_a_certificate_of_their_own() {
    let data = tempfile::tempdir().unwrap();
    let config = relay(&["--dev", "--data", &data.path().display().to_string()]);
    let keeper = CertificateKeeper::new(&config, SystemTime::now()).unwrap();
    let certificates = keeper.certificates();
    let server = server_crypto(&config, certificates).unwrap();
    let [present, next] = certificates.web_hashes()[..] else { panic!("not two") };
    let own = certificates.fingerprint();
    assert!(is_shown(&server, &[ALPN_WEB], present));
    assert!(!is_shown(&server, &[ALPN_WEB], next) && !is_shown(&server, &[ALPN_WEB], own));
    for native in [ALPN_PARTICIPANT, ALPN_TRUNK] {
        assert!(is_shown(&server, &[native], own));
        // The server chooses its own protocol, and the certificate goes with what it chooses.
        assert!(is_shown(&server, &[ALPN_WEB, native], own));
        assert!(!is_shown(&server, &[native], present));
    }
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
