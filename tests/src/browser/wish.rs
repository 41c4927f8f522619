//! How a browser is started.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use super::tools::{needed, web};
use super::{Browser, Kind, Loudspeaker};
use crate::process::{Process, Scratch};

/// Options of a browser.
#[derive(Debug, Clone)]
pub struct BrowserOptions {
    kind: Kind,
    environment: Vec<(&'static str, String)>,
    microphone: Option<PathBuf>,
    repeats: bool,
    is_denied: bool,
    lacks_web_transport: bool,
    args: Vec<String>,
}

impl BrowserOptions {
    /// One without a loudspeaker; its microphone is what the browser makes up.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            environment: Vec::new(),
            microphone: None,
            repeats: false,
            is_denied: false,
            lacks_web_transport: false,
            args: Vec::new(),
        }
    }

    /// Loudspeaker that its sound goes to.
    #[must_use]
    pub fn loudspeaker(mut self, loudspeaker: &Loudspeaker) -> Self {
        self.environment = loudspeaker.environment();
        self
    }

    /// Chromium's microphone plays this WAV file once, from when a page asks for it.
    #[must_use]
    pub fn microphone(mut self, file: &Path) -> Self {
        self.microphone = Some(file.to_owned());
        self
    }

    /// The microphone plays its file again and again.
    #[must_use]
    pub const fn repeating(mut self) -> Self {
        self.repeats = true;
        self
    }

    /// A page that asks for the microphone is refused.
    #[must_use]
    pub const fn microphone_denied(mut self) -> Self {
        self.is_denied = true;
        self
    }

    /// It has no WebTransport, neither in pages nor in workers.
    #[must_use]
    pub const fn without_web_transport(mut self) -> Self {
        self.lacks_web_transport = true;
        self
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// Starts it, with an empty tab.
    ///
    /// # Errors
    /// If it does not start in time.
    pub fn start(&self, scratch: &Scratch, name: &str) -> Result<Browser> {
        let home = scratch.file(&format!("{name}.home"));
        std::fs::create_dir_all(&home)?;
        let mut command = Command::new(needed("node")?);
        command
            .arg(web().join("browser/drive.mjs"))
            // Profiles are made here, and go with the scratch directory.
            .env("TMPDIR", &home)
            .env("XDG_RUNTIME_DIR", &home)
            .envs(self.environment.iter().map(|(key, value)| (key, value)));
        let process = Process::spawn(scratch, name, command)?;
        let program = self.kind.program();
        let program = program.with_context(|| format!("{} is not there", self.kind.name()))?;
        Browser::start(
            process,
            &json!({
                "browser": self.kind.name(),
                "executable": program,
                "microphone": self.microphone,
                "loop": self.repeats,
                "denied": self.is_denied,
                "plain": self.lacks_web_transport,
                "args": self.args,
            }),
        )
    }
}
