//! Documents: every link leads somewhere, every source file has a header, the first pages stay short, and
//! every command in a block of README.md and docs/ is one that a test runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use tribune_tests::process::shell_commands;

/// Lines of README.md at most.
const README_LINES: usize = 200;
/// Bytes of ARCHITECTURE.md at most.
const ARCHITECTURE_BYTES: usize = 20_000;
/// The documents with commands, and the tests that run them.
const RUN: [(&str, &str); 4] = [
    ("README.md", include_str!("process_guide.rs")),
    ("docs/guide.md", include_str!("process_guide.rs")),
    ("docs/hosting.md", include_str!("process_evening.rs")),
    ("docs/operating.md", include_str!("process_guide.rs")),
];
/// Directories that are built, cloned or hidden, and not part of the project's text.
const LEFT_OUT: [&str; 4] = ["target", "node_modules", "demo-out", "bench-out"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files below a directory that end so, by their path from the root.
fn files(below: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(below)];
    while let Some(directory) = open.pop() {
        let entries = fs::read_dir(root().join(&directory)).expect("a directory of the project");
        for entry in entries {
            let entry = entry.expect("an entry of a directory");
            let name = entry.file_name().into_string().expect("a name in UTF-8");
            let path = directory.join(&name);
            let kind = entry.file_type().expect("a kind of file");
            if kind.is_dir() && !name.starts_with('.') && !LEFT_OUT.contains(&name.as_str()) {
                open.push(path);
            } else if kind.is_file() && name.ends_with(ending) {
                found.push(path.display().to_string());
            }
        }
    }
    found.sort();
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Lines outside of fenced blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_block = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_block ^= is_fence;
        (!is_block && !is_fence).then_some((number + 1, line))
    })
}

/// A line without its code spans.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// The anchors of a document, as GitHub makes them of its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen = BTreeMap::<String, usize>::new();
    let headings = prose(text).filter_map(|(_, line)| {
        let heading = line.trim_start_matches('#');
        (heading.len() < line.len() && heading.starts_with(' ')).then(|| heading.trim())
    });
    headings
        .map(|heading| {
            let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
            let slug: String = heading.to_lowercase().chars().filter(kept).collect();
            let slug = slug.replace(' ', "-");
            let count = seen.entry(slug.clone()).or_default();
            *count += 1;
            if *count == 1 { slug } else { format!("{slug}-{}", *count - 1) }
        })
        .collect()
}

/// The targets of the links of a line.
fn links(line: &str) -> Vec<String> {
    let line = without_code(line);
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.map(str::to_owned).collect()
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => plain.push(part),
        }
    }
    plain
}

/// The fault of a link, if it has one.
fn fault(document: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = match file {
        "" => PathBuf::from(document),
        file => plain(&Path::new(document).parent().unwrap_or(Path::new("")).join(file)),
    };
    if !root().join(&path).exists() {
        return Some(format!("{} is not there", path.display()));
    }
    let is_document = path.extension().is_some_and(|extension| extension == "md");
    let is_there = anchor.is_empty() || !is_document || {
        anchors(&read(&path.display().to_string())).contains(anchor)
    };
    (!is_there).then(|| format!("{} has no heading #{anchor}", path.display()))
}

#[test]
fn every_link_leads_somewhere() {
    let mut faults = Vec::new();
    let mut count = 0;
    for document in files("", ".md") {
        for (number, line) in prose(&read(&document)) {
            for target in links(line) {
                count += 1;
                let fault = fault(&document, &target);
                faults.extend(fault.map(|fault| format!("{document}:{number}: {fault}")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count > 60, "only {count} links were found");
}

#[test]
fn links_and_anchors_are_read_as_they_are_shown() {
    assert_eq!(links("[a](b.md#c), `[x](y)`, [d](e)"), ["b.md#c", "e"]);
    let text = "# 1.2 `top`, a Screen\n## Two words\n## Two words\n```sh\n# no heading\n```\n";
    let expected = ["12-top-a-screen", "two-words", "two-words-1"].map(str::to_owned);
    assert_eq!(anchors(text), BTreeSet::from(expected));
    assert!(fault("docs/guide.md", "../README.md#two-commands").is_none());
    assert!(fault("docs/guide.md", "../README.md#three-commands").is_some());
    assert!(fault("docs/guide.md", "README.md").is_some());
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let sources: Vec<_> = ["protocol", "relay", "client", "bench", "tests"]
        .iter()
        .flat_map(|part| files(part, ".rs"))
        .collect();
    assert!(sources.len() > 300, "only {} files were found", sources.len());
    let silent: Vec<_> = sources.iter().filter(|path| !read(path).starts_with("//!")).collect();
    assert!(silent.is_empty(), "without a //! header: {silent:#?}");
}

#[test]
fn the_first_pages_stay_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= README_LINES, "README.md has {lines} lines");
    let bytes = read("ARCHITECTURE.md").len();
    assert!(bytes <= ARCHITECTURE_BYTES, "ARCHITECTURE.md has {bytes} bytes");
}

#[test]
fn every_command_in_a_block_is_run_by_a_test() {
    let documents = files("docs", ".md").into_iter().chain(["README.md".to_owned()]);
    for document in documents {
        let commands = shell_commands(&read(&document));
        let test = RUN.iter().find(|(name, _)| *name == document).map(|(_, test)| *test);
        let test = test.unwrap_or_default().replace("\\\"", "\"");
        for command in commands {
            assert!(test.contains(&command), "no test runs this command of {document}: {command}");
        }
    }
}

#[test]
fn every_block_says_what_it_is() {
    let documents = files("docs", ".md").into_iter().chain(["README.md".to_owned()]);
    for document in documents {
        let text = read(&document);
        let fences = text.lines().filter(|line| line.starts_with("```"));
        for (number, fence) in fences.enumerate() {
            let known = match number % 2 {
                0 => ["```sh", "```console", "```text", "```toml"].contains(&fence),
                _ => fence == "```",
            };
            assert!(known, "{document}: {fence}");
        }
    }
}

#[test]
fn every_target_of_make_that_documents_name_is_there() {
    let makefile = read("Makefile");
    for document in files("", ".md") {
        let text = read(&document);
        for code in text.split('`').skip(1).step_by(2) {
            let Some(target) = code.strip_prefix("make ") else { continue };
            let target = target.split_whitespace().next().unwrap_or_default();
            let is_name = target.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
            let is_there = makefile.lines().any(|line| line.starts_with(&format!("{target}:")));
            assert!(!is_name || is_there, "{document}: there is no make {target}");
        }
    }
}
