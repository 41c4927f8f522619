//! Logs in files: written by --export, read by --file.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::json;
use tribune_protocol::log::{Export, Format, Head, LogPublicKey, Verified, verify_bytes};

use super::altered;
use crate::outcome::{CommandError, Exit, sentence};
use crate::output::Output;

/// The largest file that is read: the largest export.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Export file; its extension selects the format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExportFile {
    path: PathBuf,
    format: Format,
}

impl ExportFile {
    pub(super) fn write(&self, export: &Export, output: &Output) -> Result<(), CommandError> {
        let Self { path, format } = self;
        std::fs::write(path, export.render(*format)).map_err(|error| {
            let message = format!("cannot write {}: {error}", path.display());
            CommandError::new(Exit::Other, "io", sentence(&message))
        })?;
        let entries = export.entries.len();
        output.json(&json!({
            "event": "exported",
            "file": path.display().to_string(),
            "format": format.as_str(),
            "entries": entries,
        }));
        output.result(&format!("{} holds {entries} entries", path.display()));
        Ok(())
    }
}

impl FromStr for ExportFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or("");
        match ending.parse() {
            Ok(format) => Ok(Self { path, format }),
            Err(_) => Err("a log is written to FILE.json, FILE.csv or FILE.html".to_owned()),
        }
    }
}

/// Reads a file, and verifies it if that is asked for.
pub(super) fn read(
    path: &Path,
    key: Option<&LogPublicKey>,
    verifies: bool,
) -> Result<(Export, Option<Verified>), CommandError> {
    let failed = |why: String| {
        let message = format!("cannot read {}: {why}", path.display());
        CommandError::new(Exit::Other, "io", sentence(&message))
    };
    let size = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(failed(format!("it has {size} bytes, over the limit of {FILE_BYTES_MAX}")));
    }
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    if verifies {
        let (export, verified) = verify_bytes(&bytes, key).map_err(altered)?;
        return Ok((export, Some(verified)));
    }
    let (_, export) = Export::parse(&bytes).map_err(altered)?;
    Ok((export, None))
}

/// The head of a log as it comes over the wire.
pub(super) fn head_of(bytes: &[u8]) -> Result<Head, CommandError> {
    Head::from_bytes(bytes).map_err(|fault| altered(tribune_protocol::log::Fault::Head(fault)))
}

#[cfg(test)]
mod tests {
    use tribune_protocol::log::{Chain, Draft, LogAction, LogKey, Party};

    use super::*;

    fn export() -> Export {
        let key = LogKey::from_seed(&[7; 32]);
        let mut chain = Chain::new("agora".parse().unwrap());
        let draft = |at_ms| Draft::new(at_ms, Party::relay(), LogAction::RoomOpened);
        let entries = (1..=3).map(|n| chain.append(&key, draft(n * 1_000))).collect();
        Export { entries, head: chain.head(&key, 4_000) }
    }

    #[test]
    fn the_ending_says_the_format() {
        for (name, format) in
            [("a.json", Format::Json), ("x/b.csv", Format::Csv), ("c.d.html", Format::Html)]
        {
            assert_eq!(name.parse::<ExportFile>().unwrap().format, format);
        }
        for name in ["a", "a.txt", "", ".json"] {
            assert!(name.parse::<ExportFile>().is_err(), "{name}");
        }
    }

    #[test]
    fn what_is_written_is_read_and_a_changed_byte_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let export = export();
        for name in ["log.json", "log.csv", "log.html"] {
            let path = dir.path().join(name);
            let file: ExportFile = path.display().to_string().parse().unwrap();
            file.write(&export, &Output::new(false)).unwrap();
            let (read_back, verified) = read(&path, Some(&export.head.key), true).unwrap();
            assert_eq!(read_back, export);
            assert!(verified.unwrap().pinned);
            let mut bytes = std::fs::read(&path).unwrap();
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            let error = read(&path, None, true).unwrap_err();
            assert_eq!((error.exit as u8, error.code), (8, "log_altered"), "{name}: {error}");
        }
        let other = LogKey::from_seed(&[8; 32]).public();
        let path = dir.path().join("again.json");
        std::fs::write(&path, export.render(Format::Json)).unwrap();
        let error = read(&path, Some(&other), true).unwrap_err().to_string();
        assert!(error.contains("key"), "{error}");
        assert!(
            read("/absent.json".as_ref(), None, false).unwrap_err().to_string().contains("/absent")
        );
    }
}
