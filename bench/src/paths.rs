//! Paths: the workspace that this program was built in, its results, programs that it starts.

use std::path::{Path, PathBuf};

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
