//! Log lines on standard error: text for people, JSON for collectors.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{LogFilter, LogFormat};

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
