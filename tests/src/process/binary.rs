//! Paths of the built programs: beside the running one, or beside the directory of test programs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The program `name` of the same build as the running one.
///
/// # Errors
/// A sentence that says how to build it.
pub(super) fn find(name: &str) -> Result<PathBuf> {
    let me = std::env::current_exe().context("the path of the running program is unknown")?;
    // target/debug/deps/process_x-0123 or target/release/tribune-demo.
    let near = me.ancestors().skip(1).take(2);
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let Some(found) = near.map(|directory| directory.join(&file)).find(|path| path.is_file())
    else {
        bail!(
            "{name} is not in {}: run make test, which builds it (make demo for the demo)",
            me.parent().unwrap_or(Path::new(".")).display(),
        );
    };
    Ok(found)
}
