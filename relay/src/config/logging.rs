//! What is logged, and how its lines look.

use std::str::FromStr;

/// What is logged: valid text for `tracing_subscriber::EnvFilter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

impl LogFilter {
    /// The filter as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl FromStr for LogFilter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "is neither a level (off, error, warn, info, debug, trace) nor \
                             TARGET=LEVEL, separated by commas";
        // The library would take a misspelt level for the name of a target.
        let is_level = |part: &str| part.parse::<tracing_subscriber::filter::LevelFilter>().is_ok();
        let parts_fit = text.split(',').all(|part| part.contains('=') || is_level(part.trim()));
        match text.parse::<tracing_subscriber::EnvFilter>() {
            Ok(_) if parts_fit => Ok(Self(text.to_owned())),
            Ok(_) | Err(_) => Err(SHAPE),
        }
    }
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("is neither text nor json"),
        }
    }
}
