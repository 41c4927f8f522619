//! Identity of a relay across restarts: its id, the keys under QUIC's tokens, the key of its logs, kept
//! in the data directory. Used before the shards start, and for what is renewed later ([`replace`]).

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rand::TryRng;
use rcgen::{KeyPair, PKCS_ED25519};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use tribune_protocol::ids::RelayId;
use tribune_protocol::log::LogKey;
use tribune_relay_core::shard::keys::MasterKeys;

use crate::config::Fingerprint;

/// A file of the data directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It can neither be read nor be made.
    #[error("{} cannot be kept: {source}", path.display())]
    NotKept {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is there, but holds something else.
    #[error("{} holds no {what}; remove it and a new one is made", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The content that it should have.
        what: &'static str,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    NoRandomness(rand::rngs::SysError),
    /// No key can be made.
    #[error("the system gives no random numbers for a key")]
    NoKey,
}

/// This relay's id: the one in the data directory's file `relay-id`, made at the first start; without
/// a data directory a fresh one, so that two relays on one machine never take each other for a loop.
///
/// # Errors
/// [`IdentityError`], if the file cannot be used.
pub fn relay_id(data: Option<&Path>) -> Result<RelayId, IdentityError> {
    let fresh = RelayId(u64::from_be_bytes(random()?));
    let Some(data) = data else { return Ok(fresh) };
    let path = data.join("relay-id");
    let text = keep(&path, Readers::Anybody, || format!("{fresh}\n"))?;
    text.trim().parse().map_err(|_| IdentityError::Damaged { path, what: "relay id" })
}

/// The key that this relay signs the logs of its rooms with, and invitations to them: the one in the
/// data directory's file `log-key` (PKCS#8, mode 0600), made at the first start. Without a data
/// directory a fresh one: nothing that it signs outlives the relay.
///
/// # Errors
/// [`IdentityError`], if the file cannot be used.
pub fn log_key(data: Option<&Path>) -> Result<LogKey, IdentityError> {
    let fresh = KeyPair::generate_for(&PKCS_ED25519).map_err(|_| IdentityError::NoKey)?;
    let Some(data) = data else {
        return LogKey::from_pkcs8(&fresh.serialize_der()).map_err(|_| IdentityError::NoKey);
    };
    let path = data.join("log-key");
    let pem = keep(&path, Readers::OnlyUs, || fresh.serialize_pem())?;
    PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
        .ok()
        .and_then(|der| LogKey::from_pkcs8(der.secret_pkcs8_der()).ok())
        .ok_or(IdentityError::Damaged { path, what: "Ed25519 key in PKCS#8 form" })
}

/// The keys under QUIC's own tokens; fresh ones without a data directory. Kept in its file
/// `quic-secret` (mode 0600) they let a restarted relay tell the peers of its former life at once that
/// their connections are gone.
///
/// # Errors
/// [`IdentityError`], if the file cannot be used.
pub fn master_keys(data: Option<&Path>) -> Result<MasterKeys, IdentityError> {
    let fresh: [u8; 32] = random()?;
    let Some(data) = data else { return Ok(MasterKeys::from_seed(fresh)) };
    let path = data.join("quic-secret");
    let text = keep(&path, Readers::OnlyUs, || format!("{}\n", Fingerprint(fresh)))?;
    match text.trim().parse::<Fingerprint>() {
        Ok(seed) => Ok(MasterKeys::from_seed(seed.0)),
        Err(_) => Err(IdentityError::Damaged { path, what: "32 bytes in hexadecimal digits" }),
    }
}

/// Readers of a file that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Mode 0600, where the system has modes.
    OnlyUs,
    /// By the process's umask.
    Anybody,
}

/// The text of a file that is made once and kept. Of several processes that make it at the same time
/// one wins, and all return its text; nobody ever sees half a file.
pub(crate) fn keep(
    path: &Path,
    readers: Readers,
    make: impl FnOnce() -> String,
) -> Result<String, IdentityError> {
    read_or_make(path, readers, make)
        .map_err(|source| IdentityError::NotKept { path: path.to_owned(), source })
}

/// Replaces the text of a file that is kept, as a whole.
pub(crate) fn replace(path: &Path, readers: Readers, text: &str) -> Result<(), IdentityError> {
    let draft = draft_of(path)?;
    let done = write_draft(&draft, readers, text).and_then(|()| fs::rename(&draft, path));
    done.map_err(|source| {
        // After a rename there is none.
        let _ = fs::remove_file(&draft);
        IdentityError::NotKept { path: path.to_owned(), source }
    })
}

fn read_or_make(
    path: &Path,
    readers: Readers,
    make: impl FnOnce() -> String,
) -> io::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => (),
        found => return found,
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let draft = draft_of(path).map_err(io::Error::other)?;
    let written = write_draft(&draft, readers, &make()).and_then(|()| {
        // A hard link, unlike a rename, does not replace a file that another process has made.
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            done => done,
        }
    });
    // Whether it went well or not, the draft is of no more use.
    let removed = fs::remove_file(&draft);
    written.and(removed)?;
    fs::read_to_string(path)
}

/// A name beside the file that no other process uses.
fn draft_of(path: &Path) -> Result<PathBuf, IdentityError> {
    let suffix: [u8; 8] = random()?;
    Ok(path.with_extension(format!("{:016x}.new", u64::from_be_bytes(suffix))))
}

fn write_draft(draft: &Path, readers: Readers, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if readers == Readers::OnlyUs {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    #[cfg(not(unix))]
    let _ = readers;
    let mut file = options.open(draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn random<const N: usize>() -> Result<[u8; N], IdentityError> {
    let mut bytes = [0; N];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(IdentityError::NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_kept_where_there_is_a_place_for_it() {
        let data = tempfile::tempdir().unwrap();
        let data = data.path().join("made/on/demand");
        let first = relay_id(Some(&data)).unwrap();
        assert_eq!(relay_id(Some(&data)).unwrap(), first);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "no draft is left");
        assert_ne!(relay_id(None).unwrap(), relay_id(None).unwrap());
    }

    #[test]
    fn a_damaged_id_is_named_and_not_replaced() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join("relay-id"), "what?").unwrap();
        let error = relay_id(Some(data.path())).unwrap_err().to_string();
        assert!(error.contains("relay-id holds no relay id"), "{error}");
        assert_eq!(fs::read_to_string(data.path().join("relay-id")).unwrap(), "what?");
    }

    #[test]
    fn of_many_makers_at_once_one_wins() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("kept");
        let texts: Vec<String> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8)
                .map(|n| {
                    let path = &path;
                    scope.spawn(move || keep(path, Readers::OnlyUs, || n.to_string()).unwrap())
                })
                .collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("kept");
        replace(&path, Readers::OnlyUs, "one").unwrap();
        replace(&path, Readers::OnlyUs, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1, "no draft is left");
        let error = replace(&data.path().join("absent/kept"), Readers::OnlyUs, "x").unwrap_err();
        assert!(error.to_string().contains("absent/kept cannot be kept"), "{error}");
    }

    #[test]
    fn the_log_key_is_kept_and_a_damaged_one_is_named() {
        let data = tempfile::tempdir().unwrap();
        let kept = || log_key(Some(data.path())).map(|key| key.public());
        assert_eq!(kept().unwrap(), kept().unwrap());
        assert_ne!(kept().unwrap(), log_key(None).unwrap().public());
        fs::write(data.path().join("log-key"), "no key").unwrap();
        let error = kept().unwrap_err().to_string();
        assert!(error.contains("log-key holds no Ed25519 key"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn secrets_are_for_us_only() {
        use std::os::unix::fs::PermissionsExt;
        let data = tempfile::tempdir().unwrap();
        let keys = master_keys(Some(data.path())).unwrap();
        log_key(Some(data.path())).unwrap();
        replace(&data.path().join("replaced"), Readers::OnlyUs, "secret").unwrap();
        for secret in ["quic-secret", "log-key", "replaced"] {
            let mode = fs::metadata(data.path().join(secret)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{secret}");
        }
        assert_eq!(format!("{keys:?}"), "MasterKeys(hidden)");
    }

    #[test]
    fn kept_keys_sign_alike_and_fresh_ones_do_not() {
        let data = tempfile::tempdir().unwrap();
        let sign = |keys: MasterKeys| {
            let mut tag = [0; 32];
            keys.reset_key().sign(b"connection id", &mut tag);
            tag
        };
        let kept = || sign(master_keys(Some(data.path())).unwrap());
        assert_eq!(kept(), kept());
        assert_ne!(kept(), sign(master_keys(None).unwrap()));
        assert_eq!(sign(MasterKeys::from_seed([1; 32])), sign(MasterKeys::from_seed([1; 32])));
    }
}
