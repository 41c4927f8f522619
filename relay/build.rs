//! Writes the table of the files of `web/` that the relay serves, for `api/web/files.rs` to include.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Files and folders that are served. Tests, tools and packages of a package manager stay out, also if somebody adds
/// to them, and a change of them builds nothing again.
const SERVED: [&str; 10] = [
    "audio",
    "embed.html",
    "engine",
    "example.html",
    "example.js",
    "index.html",
    "page",
    "strings",
    "style.css",
    "tribune.js",
];
/// Endings of files that are served.
const ENDINGS: [&str; 3] = ["html", "css", "js"];

fn main() -> io::Result<()> {
    let variable = |name: &str| env::var_os(name).map(PathBuf::from).ok_or(io::ErrorKind::NotFound);
    let web = variable("CARGO_MANIFEST_DIR")?.join("../web").canonicalize()?;
    let mut paths = Vec::new();
    for name in SERVED {
        let path = web.join(name);
        println!("cargo::rerun-if-changed={}", path.display());
        gather(&path, &mut paths)?;
    }
    paths.sort();
    let mut table = String::from("/// Files of the folder by their paths, in order.\n");
    table.push_str("const FILES: &[(&str, &[u8])] = &[\n");
    for path in paths {
        let name = path.strip_prefix(&web).map_err(io::Error::other)?;
        let name = name.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/");
        // Writing into a string does not fail.
        let _ = writeln!(table, "    ({name:?}, include_bytes!({path:?})),");
    }
    table.push_str("];\n");
    fs::write(variable("OUT_DIR")?.join("web_files.rs"), table)
}

/// Collects the files under a path that can be served.
fn gather(path: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            gather(&entry?.path(), found)?;
        }
    } else if path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known)) {
        found.push(path.to_owned());
    }
    Ok(())
}
