//! Log lines on standard error: filter, format (text for people, JSON for collectors), subscriber.

use std::io::{IsTerminal, stderr};
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// Filter of log lines: valid text for `tracing_subscriber::EnvFilter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

/// Format of log lines.
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
        match text.parse::<EnvFilter>() {
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

/// Sends all of the process's log lines that pass the filter to standard error, from now on.
///
/// # Errors
/// [`TryInitError`], if something else in the process takes them already.
pub fn init(filter: &LogFilter, format: LogFormat) -> Result<(), TryInitError> {
    // The configuration has parsed the filter before, so nothing of it is lost here.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter.as_str()))
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal());
    match format {
        LogFormat::Text => lines.finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    }
}
