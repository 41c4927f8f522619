//! A directory for one test: what its processes write, shown when the test fails.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Lines of each process's standard error that a failing test shows.
const LINES_SHOWN: usize = 25;

/// A directory that ends with its owner, unless it is to be kept.
#[derive(Debug)]
pub struct Scratch {
    directory: tempfile::TempDir,
}

impl Scratch {
    /// A new, empty one.
    ///
    /// # Errors
    /// If there is no room for it.
    pub fn new() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("tribune-").tempdir();
        Ok(Self { directory: directory.context("no temporary directory")? })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Leaves the directory where it is when this is dropped.
    pub fn keep(&mut self) {
        self.directory.disable_cleanup(true);
    }

    /// The end of what each process wrote to its standard error.
    #[must_use]
    pub fn errors(&self) -> String {
        let Ok(entries) = fs::read_dir(self.path()) else { return String::new() };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "stderr"));
        files.sort();
        let mut text = String::new();
        for file in files {
            let written = fs::read_to_string(&file).unwrap_or_default();
            let lines: Vec<&str> = written.lines().collect();
            let name = file.file_stem().unwrap_or_default().to_string_lossy();
            let shown = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
            text.push_str(&format!("---- {name} ----\n{}\n", shown.join("\n")));
        }
        text
    }
}

/// Runs a test in a directory of its own. If it fails, the output of its processes is printed.
///
/// # Panics
/// If the test fails.
pub fn with_scratch(test: impl FnOnce(&Scratch) -> Result<()>) {
    let scratch = Shown(Scratch::new().expect("a temporary directory"));
    if let Err(error) = test(&scratch.0) {
        panic!("{error:?}");
    }
}

/// Prints the output of the processes if the test panics.
struct Shown(Scratch);

impl Drop for Shown {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0.errors());
        }
    }
}
