//! Error of words and texts that a log cannot hold.

/// A word or text that does not belong in a log, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} {why}")]
pub struct InvalidText {
    what: &'static str,
    value: String,
    why: &'static str,
}

impl InvalidText {
    /// Quotes the start of a long value only.
    pub(crate) fn new(what: &'static str, value: &str, why: &'static str) -> Self {
        let value = match value.char_indices().nth(80) {
            Some((at, _)) => format!("{}…", &value[..at]),
            None => value.to_owned(),
        };
        Self { what, value, why }
    }
}
