//! Session keys, by which a participant is known across connections, and their files.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand::rngs::StdRng;
pub use tribune_client_core::identity::participant;
use tribune_protocol::ids::SessionKey;

/// A session file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It cannot be read or written.
    #[error("cannot {action} the session file {}: {source}", path.display())]
    File {
        /// The action, as an infinitive.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Its content is no key.
    #[error("the session file {} does not hold 32 hexadecimal digits", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
    },
    /// There is no place for it.
    #[error("neither XDG_STATE_HOME nor HOME says where to keep a session; use --session FILE")]
    NoHome,
}

/// A new key.
#[must_use]
pub fn new_key() -> SessionKey {
    let mut key = [0; 16];
    rand::make_rng::<StdRng>().fill(&mut key);
    SessionKey(key)
}

/// Where `tribune hand` keeps its key: `$XDG_STATE_HOME/tribune/session`.
///
/// # Errors
/// [`IdentityError::NoHome`]
pub fn default_file() -> Result<PathBuf, IdentityError> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = named("XDG_STATE_HOME").or_else(|| Some(named("HOME")?.join(".local/state")));
    Ok(state.ok_or(IdentityError::NoHome)?.join("tribune/session"))
}

/// Reads the key in a file; makes it up, and the file readable by its owner only, if it is not there.
///
/// # Errors
/// [`IdentityError`]
pub fn load_or_create(path: &Path) -> Result<SessionKey, IdentityError> {
    match fs::read_to_string(path) {
        Ok(text) => {
            parse(text.trim()).ok_or_else(|| IdentityError::Content { path: path.to_owned() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = new_key();
            create(path, &key).map_err(|source| IdentityError::File {
                action: "create",
                path: path.to_owned(),
                source,
            })?;
            Ok(key)
        }
        Err(source) => Err(IdentityError::File { action: "read", path: path.to_owned(), source }),
    }
}

fn parse(text: &str) -> Option<SessionKey> {
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = [0; 16];
    for (n, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).ok()?;
    }
    Some(SessionKey(key))
}

fn create(path: &Path, key: &SessionKey) -> io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent)?;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let hex: String = key.0.iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(options.open(path)?, "{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_key_and_its_secret() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state/tribune/session");
        let key = load_or_create(&file).unwrap();
        assert_eq!(load_or_create(&file).unwrap(), key);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_ne!(new_key(), key);
    }

    #[test]
    fn a_file_with_something_else_is_named_and_left_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for content in ["", "zz", &"+1".repeat(16), &"é".repeat(16), &"0".repeat(33)] {
            fs::write(file.path(), content).unwrap();
            let error = load_or_create(file.path()).unwrap_err().to_string();
            assert!(error.contains(&file.path().display().to_string()), "{error}");
            assert_eq!(fs::read_to_string(file.path()).unwrap(), *content);
        }
    }
}
