//! The programs that these tests need beside Tribune's, and what happens where they are missing.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process::{Scratch, with_scratch};

/// A browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Chromium, driven by CDP.
    Chromium,
    /// Firefox, driven by WebDriver BiDi.
    Firefox,
}

impl Kind {
    /// Its name for the driver.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chromium => "chromium",
            Self::Firefox => "firefox",
        }
    }

    /// Its program, as this system calls it.
    pub(super) fn program(self) -> Option<PathBuf> {
        let names: &[&str] = match self {
            Self::Chromium => &["chromium", "chromium-browser", "google-chrome"],
            Self::Firefox => &["firefox-esr", "firefox"],
        };
        names.iter().find_map(|name| program(name))
    }
}

/// The program of this name in `PATH`.
pub(super) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// As [`program`], where it has to be there.
pub(super) fn needed(name: &str) -> Result<PathBuf> {
    program(name).with_context(|| format!("{name} is not installed: make setup"))
}

/// The directory `web/`.
pub(super) fn web() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../web")
}

/// Runs a test with these browsers as [`with_scratch`] does. Where a program is missing, it says so and leaves
/// the test out; with `CI=true` or `TRIBUNE_BROWSERS=required` that is a failure.
///
/// # Panics
/// If the test fails, or has to run and cannot.
pub fn with_browsers(kinds: &[Kind], test: impl FnOnce(&Scratch) -> Result<()>) {
    let mut missing: Vec<&str> = ["node", "pulseaudio", "parec"]
        .into_iter()
        .filter(|name| program(name).is_none())
        .collect();
    missing.extend(kinds.iter().filter(|kind| kind.program().is_none()).map(|kind| kind.name()));
    if !web().join("node_modules/puppeteer-core").is_dir() {
        missing.push("puppeteer-core");
    }
    if missing.is_empty() {
        return with_scratch(test);
    }
    let why = format!("not installed: {} (make setup)", missing.join(", "));
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|set| set == value);
    assert!(!is("CI", "true") && !is("TRIBUNE_BROWSERS", "required"), "cannot be left out: {why}");
    eprintln!("skipped: {why}");
}
