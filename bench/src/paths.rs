//! Paths: the workspace that this program was built in, its commit, its results, programs that it starts.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Directory of a suite's results: `target/bench` of the workspace, or of the current directory if there
/// is no workspace.
pub(crate) fn output() -> PathBuf {
    workspace().unwrap_or_default().join("target/bench")
}

/// Directory of the load clients of other systems, as `make bench` builds them.
pub(crate) fn peers() -> PathBuf {
    workspace().unwrap_or_default().join("bench/peers/target/release")
}

/// Program of moq-relay that `scripts/setup bench` installs.
pub(crate) fn moq_relay() -> PathBuf {
    workspace().unwrap_or_default().join("target/peers/bin/moq-relay")
}

/// Recorded voices of `tribune-bench sound`.
pub(crate) fn voices() -> PathBuf {
    workspace().unwrap_or_default().join("bench/voices/voices.flac")
}

/// Python with PESQ, as `scripts/setup sound` installs it.
pub(crate) fn sound_python() -> PathBuf {
    let built = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let built = built.unwrap_or_else(|| workspace().unwrap_or_default().join("target"));
    built.join("pesq/bin/python")
}

/// Commit of the workspace, if it is a repository, and whether files differ from it.
pub(crate) fn commit() -> String {
    let workspace = workspace().unwrap_or_default();
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(&workspace).args(arguments).stdin(Stdio::null());
        let output = git.output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=8", "HEAD"]) else {
        return "unknown".to_owned();
    };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => commit,
        Some(_) | None => format!("{commit}, with changes"),
    }
}

/// Command line of this program.
pub(crate) fn command() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    format!("tribune-bench {}", arguments.join(" ")).trim_end().to_owned()
}

/// First directory above this program, then above the current one, that has `bench/peers`.
pub(crate) fn workspace() -> Option<PathBuf> {
    let above =
        |path: PathBuf| path.ancestors().find(|path| is_workspace(path)).map(Path::to_owned);
    let program = std::env::current_exe().ok();
    program.and_then(above).or_else(|| std::env::current_dir().ok().and_then(above))
}

fn is_workspace(path: &Path) -> bool {
    path.join("bench/peers/Cargo.toml").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_above_the_program() {
        let workspace = workspace().unwrap();
        assert!(workspace.join("bench/src/paths.rs").is_file(), "{}", workspace.display());
        assert!(output().starts_with(&workspace));
    }
}
