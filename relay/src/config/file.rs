//! The TOML file of `--config`.

use std::path::Path;

use super::error::ConfigError;

/// Reads a file of settings.
///
/// # Errors
/// [`ConfigError::File`], by the line where the text is no TOML.
pub(super) fn read(path: &Path) -> Result<toml::Table, ConfigError> {
    let error =
        |why: String| ConfigError::File { path: path.to_owned(), why: why.trim_end().to_owned() };
    let text = std::fs::read_to_string(path).map_err(|why| error(why.to_string()))?;
    // The message alone: the library's display quotes the line, which may hold a secret.
    text.parse::<toml::Table>().map_err(|why| match why.span() {
        Some(span) => {
            let line = text[..span.start].lines().count().max(1);
            error(format!("line {line}: {}", why.message()))
        }
        None => error(why.message().to_owned()),
    })
}
