//! The file that keys come from: TOML with a `[[key]]` table for each, which has a `name` and either a
//! `secret` or an `ed25519` public key. Read once, at the start.

use std::path::{Path, PathBuf};

use tribune_protocol::token::ed25519::public_key;
use tribune_relay_core::auth::keys::{InvalidKey, Key, Keys};
use tribune_relay_core::auth::secret::Secret;

/// The largest file of keys, in bytes: 64 keys with everything they can have, several times over.
pub const MAX_FILE_BYTES: usize = 256 * 1024;

/// A file of keys that cannot be used. Its display is one sentence, without anything of the file that
/// may be secret.
#[derive(Debug, thiserror::Error)]
#[error("--keys: {} cannot be used: {why}", path.display())]
pub struct KeysFileError {
    path: PathBuf,
    why: String,
}

/// Keys from a file, and a warning for the operator if others can read it.
///
/// # Errors
/// [`KeysFileError`].
pub fn load(path: &Path) -> Result<(Keys, Option<String>), KeysFileError> {
    let error = |why: String| KeysFileError { path: path.to_owned(), why };
    let text = std::fs::read_to_string(path).map_err(|why| error(why.to_string()))?;
    let keys = parse(&text).map_err(error)?;
    let warning = others_can_read(path).then(|| {
        format!("--keys: {} can be read by others; take their right with chmod 600", path.display())
    });
    Ok((keys, warning))
}

/// Keys from the text of a file. An error is a sentence without a full stop.
pub(crate) fn parse(text: &str) -> Result<Keys, String> {
    if text.len() > MAX_FILE_BYTES {
        return Err(format!("it is over {MAX_FILE_BYTES} bytes long"));
    }
    // The message alone: the library's display quotes the line, which may hold a secret.
    let mut table = text.parse::<toml::Table>().map_err(|why| match why.span() {
        Some(span) => {
            let line = text[..span.start].lines().count().max(1);
            format!("line {line}: {}", why.message())
        }
        None => why.message().to_owned(),
    })?;
    let rows = match table.remove("key") {
        Some(toml::Value::Array(rows)) => rows,
        Some(_) | None => return Err("it has no [[key]] table".to_owned()),
    };
    only(&table)?;
    let mut keys = Keys::default();
    for (number, row) in rows.into_iter().enumerate() {
        let toml::Value::Table(row) = row else {
            return Err(format!("key {} is not a table", number + 1));
        };
        let (name, key) = one(row).map_err(|why| format!("key {}: {why}", number + 1))?;
        keys.insert(&name, key).map_err(|why: InvalidKey| why.to_string())?;
    }
    Ok(keys)
}

fn one(mut row: toml::Table) -> Result<(String, Key), String> {
    let mut text = |key: &str| match row.remove(key) {
        None => Ok(None),
        Some(toml::Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{key} is not a text")),
    };
    let name = text("name")?.ok_or("it has no name")?;
    let key = match (text("secret")?, text("ed25519")?) {
        (Some(secret), None) => secret
            .parse::<Secret>()
            .map(Key::Secret)
            .map_err(|why| format!("the secret of {name:?} {why}"))?,
        (None, Some(public)) => Key::Ed25519(public_key(&public).ok_or_else(|| {
            format!("ed25519 of {name:?} is not an Ed25519 public key, in PEM or base64")
        })?),
        (Some(_), Some(_)) => return Err(format!("{name:?} has both secret and ed25519")),
        (None, None) => return Err(format!("{name:?} has neither secret nor ed25519")),
    };
    only(&row)?;
    Ok((name, key))
}

/// That nothing is left over: a misspelt key is a mistake, not a comment.
fn only(rest: &toml::Table) -> Result<(), String> {
    match rest.keys().next() {
        None => Ok(()),
        Some(unknown) => Err(format!("{unknown:?} is not known here")),
    }
}

#[cfg(unix)]
fn others_can_read(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o044 != 0)
}

#[cfg(not(unix))]
fn others_can_read(_path: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use tribune_protocol::token::ed25519;

    use super::*;

    const SECRET: &str = "a secret of thirty-two bytes: ok";

    #[test]
    fn keys_of_both_kinds() {
        let public = ed25519::public_pem(&[0xfb; 32]);
        let file = format!(
            "[[key]]\nname = 'a'\nsecret = '{SECRET}'\n[[key]]\nname = 'b'\ned25519 = '''{public}'''\n"
        );
        assert_eq!(parse(&file).unwrap().len(), 2);
    }

    #[test]
    fn a_wrong_file_is_described_without_its_secrets() {
        for (text, says) in [
            ("", "it has no [[key]] table"),
            ("key = 1", "it has no [[key]] table"),
            ("key = [1]", "key 1 is not a table"),
            ("[[key]]\nsecret = 's3cret'", "key 1: it has no name"),
            ("[[key]]\nname = 'a'", "key 1: \"a\" has neither secret nor ed25519"),
            ("[[key]]\nname = 'a'\nsecret = 's3cret'\ned25519 = 'x'", "key 1: \"a\" has both"),
            ("[[key]]\nname = 'a'\nsecret = ''", "key 1: the secret of \"a\" is not 1 to 4096"),
            (
                "[[key]]\nname = 'a'\nsecret = 's3cret'",
                "the secret of the key \"a\" is 6 bytes long",
            ),
            (
                "[[key]]\nname = 'a'\ned25519 = 's3cret'",
                "key 1: ed25519 of \"a\" is not an Ed25519",
            ),
            ("[[key]]\nname = 'a'\nsercet = 's3cret'", "key 1: \"a\" has neither"),
            ("[[key]]\nname = 'a'\nsecret = 's3cret' oops", "line 3: "),
            ("[[key]]\nname = 1\nsecret = 's3cret'", "key 1: name is not a text"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(says), "{text}: {error}");
            assert!(!error.contains("s3cret") && !error.contains('\n'), "{error}");
        }
        let file = format!("keys = 1\n[[key]]\nname = 'a'\nsecret = '{SECRET}'");
        assert_eq!(parse(&file).unwrap_err(), "\"keys\" is not known here");
        let file = format!("[[key]]\nname = 'a'\nsecret = '{SECRET}'\nalg = 'none'");
        assert_eq!(parse(&file).unwrap_err(), "key 1: \"alg\" is not known here");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_worth_a_warning() {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, format!("[[key]]\nname = 'a'\nsecret = '{SECRET}'\n")).unwrap();
        for (mode, warned) in [(0o600, false), (0o640, true), (0o604, true)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            let (keys, warning) = load(file.path()).unwrap();
            assert_eq!((keys.len(), warning.is_some()), (1, warned), "{mode:o}");
        }
        let error = load(Path::new("/absent/keys.toml")).unwrap_err().to_string();
        assert!(error.starts_with("--keys: /absent/keys.toml cannot be used: "), "{error}");
    }
}
