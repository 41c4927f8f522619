//! Output of a command line that runs no relay: help, man page, keys, the policy table, errors.

use std::process::ExitCode;

use super::error::ConfigError;

/// Outcome of a command line that runs no relay.
#[derive(Debug)]
pub enum Instead {
    /// Help, the version, or a command line that makes no sense.
    Usage(clap::Error),
    /// The man page, asked for by `--man`.
    ManPage(Vec<u8>),
    /// A key for tokens, asked for by `keys generate`: text for standard output, and a note.
    Keys(String, Option<String>),
    /// The policy table, asked for by `roles`.
    Roles(String),
    /// A wrong setting.
    Wrong(ConfigError),
    /// A key that could not be made: the reason, in a sentence.
    NoKeys(String),
}

impl Instead {
    /// Prints it. The exit code is 2 for mistakes, 0 for answers, 1 if it cannot be printed.
    #[must_use]
    pub fn report(self) -> ExitCode {
        use std::io::Write;
        let (printed, code) = match self {
            Self::Usage(error) => (
                error.print(),
                if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS },
            ),
            Self::ManPage(page) => (std::io::stdout().write_all(&page), ExitCode::SUCCESS),
            Self::Keys(text, note) => {
                let noted = note
                    .map_or(Ok(()), |note| writeln!(std::io::stderr(), "tribune-relay: {note}"));
                (noted.and(std::io::stdout().write_all(text.as_bytes())), ExitCode::SUCCESS)
            }
            Self::Roles(text) => (std::io::stdout().write_all(text.as_bytes()), ExitCode::SUCCESS),
            Self::Wrong(error) => {
                (writeln!(std::io::stderr(), "tribune-relay: {error}"), ExitCode::from(2))
            }
            Self::NoKeys(why) => {
                (writeln!(std::io::stderr(), "tribune-relay: {why}"), ExitCode::from(2))
            }
        };
        printed.map_or(ExitCode::FAILURE, |()| code)
    }
}
