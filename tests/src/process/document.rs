//! Documents whose commands are run: the lines of their `sh` blocks, each taken by a test, and a terminal
//! that runs them as they stand.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{Ended, Process, Relay, RelayOptions, Scratch, sound};

/// Time for a command on a busy machine.
const COMMAND: Duration = Duration::from_secs(30);

/// The commands of one document.
#[derive(Debug)]
pub struct Document {
    name: &'static str,
    commands: Vec<String>,
    taken: RefCell<BTreeSet<String>>,
}

impl Document {
    /// The document called `name`, with this text.
    #[must_use]
    pub fn new(name: &'static str, text: &str) -> Self {
        Self { name, commands: shell_commands(text), taken: RefCell::default() }
    }

    /// Notes that a command is run.
    ///
    /// # Errors
    /// If it does not stand in the document.
    pub fn take(&self, command: &str) -> Result<()> {
        ensure!(
            self.commands.iter().any(|line| line == command),
            "{} does not say: {command}",
            self.name
        );
        self.taken.borrow_mut().insert(command.to_owned());
        Ok(())
    }

    /// Checks that nothing was left out.
    ///
    /// # Errors
    /// If a command of the document has not been taken.
    pub fn check_all_taken(&self) -> Result<()> {
        let taken = self.taken.borrow();
        match self.commands.iter().find(|command| !taken.contains(*command)) {
            None => Ok(()),
            Some(command) => bail!("no test runs this command of {}: {command}", self.name),
        }
    }
}

/// The commands of all `sh` blocks of a text, without comments.
#[must_use]
pub fn shell_commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut is_shell = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_shell = line.trim() == "```sh";
            continue;
        }
        let command = line.split(" # ").next().unwrap_or_default().trim();
        if is_shell && !command.is_empty() && !command.starts_with('#') {
            commands.push(command.to_owned());
        }
    }
    commands
}

/// A terminal in which commands of a document are run, with files in the scratch directory.
#[derive(Debug)]
pub struct Terminal<'a> {
    document: &'a Document,
    scratch: &'a Scratch,
    options: Vec<(String, String)>,
    places: Vec<(String, String)>,
    commands: Cell<usize>,
}

impl<'a> Terminal<'a> {
    /// A terminal in which nothing has been set.
    #[must_use]
    pub fn new(document: &'a Document, scratch: &'a Scratch) -> Self {
        let (options, places) = (Vec::new(), Vec::new());
        Self { document, scratch, options, places, commands: Cell::new(0) }
    }

    /// Gives an option to each command that goes to a relay and does not have it: the part of a shell's
    /// variables and functions.
    #[must_use]
    pub fn option(mut self, name: &str, value: impl ToString) -> Self {
        self.options.push((name.to_owned(), value.to_string()));
        self
    }

    /// Puts `real` where the document has `written`: an address, a path.
    pub fn replace(&mut self, written: &str, real: impl ToString) {
        self.places.push((written.to_owned(), real.to_string()));
    }

    /// Starts a relay as the document has it, on ports that the system chooses.
    ///
    /// # Errors
    /// If the line does not stand in the document, or the relay does not start.
    pub fn relay(&self, line: &str) -> Result<Relay> {
        self.document.take(line)?;
        let mut words = split(line).into_iter();
        ensure!(words.next().as_deref() == Some("tribune-relay"), "not a relay: {line}");
        let mut name = "relay".to_owned();
        let mut args = Vec::new();
        while let Some(word) = words.next() {
            match word.as_str() {
                // Given by the test, or chosen by the system.
                "--dev" => {}
                "--listen" | "--http" => drop(words.next()),
                "--name" => name = words.next().context("no name")?,
                _ => args.push(self.real(word)),
            }
        }
        let options = RelayOptions::new(&name);
        args.iter().fold(options, |options, arg| options.arg(arg)).start(self.scratch)
    }

    /// Runs a command to its end, with the exit code that it is to have. A program reads its lines: it
    /// is run with `--json`. Where the line has `> FILE`, the file gets the token that was printed.
    ///
    /// # Errors
    /// If the line does not stand in the document, or the command ends otherwise.
    pub fn run(&self, line: &str, code: i32) -> Result<Ended> {
        let (mut process, into) = self.spawn(line, &["--json"])?;
        let ended = process.wait(COMMAND)?;
        ensure!(ended.code == Some(code), "{line}: {:?}: {}", ended.code, ended.stderr);
        if let Some(file) = into {
            let printed = ended.json(|value| value["token"].is_string())?;
            std::fs::write(file, printed["token"].as_str().unwrap_or_default())?;
        }
        Ok(ended)
    }

    /// Runs a command to its success, as people do, with more arguments.
    ///
    /// # Errors
    /// If the line does not stand in the document, or the command fails.
    pub fn run_plainly(&self, line: &str, args: &[&str]) -> Result<Ended> {
        let (mut process, _) = self.spawn(line, args)?;
        let ended = process.wait(COMMAND)?;
        ensure!(ended.code == Some(0), "{line}: {:?}: {}", ended.code, ended.stderr);
        Ok(ended)
    }

    /// Starts a command that goes on.
    ///
    /// # Errors
    /// If the line does not stand in the document, or the command cannot be started.
    pub fn start(&self, line: &str) -> Result<Process> {
        self.spawn(line, &["--json"]).map(|(process, _)| process)
    }

    /// Starts a command that goes on, and waits until it is in the room.
    ///
    /// # Errors
    /// If the line does not stand in the document, or the command does not get in.
    pub fn enter(&self, line: &str) -> Result<Process> {
        let mut process = self.start(line)?;
        process.wait_event("joined", COMMAND, |_| true)?;
        Ok(process)
    }

    fn spawn(&self, line: &str, more: &[&str]) -> Result<(Process, Option<std::path::PathBuf>)> {
        self.document.take(line)?;
        let mut words = split(line);
        let mut redirected = |sign: &str| {
            let at = words.iter().position(|word| word == sign)?;
            let file = words.get(at + 1).map(|file| self.scratch.file(file));
            words.drain(at..words.len().min(at + 2));
            file
        };
        let (into, from) = (redirected(">"), redirected("<"));
        let program = words.remove(0);
        let is_file = words.iter().any(|word| word == "--file");
        let is_offline = words.first().is_some_and(|noun| match noun.as_str() {
            "token" | "top" => true,
            "log" => is_file,
            _ => false,
        });
        if program == "tribune" && !is_offline {
            for (option, value) in &self.options {
                if !words.contains(option) {
                    words.extend([option.clone(), value.clone()]);
                }
            }
        }
        self.commands.set(self.commands.get() + 1);
        let name = format!("{:02}-{}", self.commands.get(), words.join("-"));
        let name: String =
            name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
        let mut args: Vec<String> = words.into_iter().map(|word| self.real(word)).collect();
        for arg in more {
            if !args.iter().any(|word| word == arg) {
                args.push((*arg).to_owned());
            }
        }
        let process = match from {
            None => Process::start(self.scratch, &name, &program, &args)?,
            Some(file) => self.start_reading(&name, &program, &args, &file)?,
        };
        Ok((process, into))
    }

    /// The shell opens the file and becomes the program.
    fn start_reading(
        &self,
        name: &str,
        program: &str,
        args: &[String],
        file: &Path,
    ) -> Result<Process> {
        let program = super::binary::find(program)?.display().to_string();
        let mut shell = vec!["-c".to_owned(), "exec \"$@\" <\"$0\"".to_owned()];
        shell.extend([file.display().to_string(), program]);
        shell.extend_from_slice(args);
        Process::start_at(self.scratch, name, Path::new("/bin/sh"), &shell)
    }

    /// Files of people are in the scratch directory, clips of the demo where they are, addresses where
    /// the system has put them.
    fn real(&self, word: String) -> String {
        let clip = word.strip_prefix("demo/clips/").and_then(|name| name.strip_suffix(".opus"));
        if let Some(clip) = clip {
            return sound::clip(clip).display().to_string();
        }
        let word =
            self.places.iter().fold(word, |word, (written, real)| word.replace(written, real));
        let endings = [".token", ".toml", ".html", ".ogg", ".wav", ".key", ".data"];
        if endings.iter().any(|ending| word.ends_with(ending)) {
            return self.scratch.file(&word).display().to_string();
        }
        word
    }
}

impl Ended {
    /// First JSON line that `accepts` takes.
    ///
    /// # Errors
    /// If there is none.
    pub fn json(&self, accepts: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut values =
            self.stdout.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found = values.find(|value| accepts(value));
        found.with_context(|| format!("no such line in {:?}; {}", self.stdout, self.stderr))
    }

    /// Code of the error that was printed.
    ///
    /// # Errors
    /// If there is none.
    pub fn error_code(&self) -> Result<String> {
        let error = self.json(|value| value["error"].is_object())?;
        Ok(error["error"]["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// Words as a shell takes them, with double quotes.
fn split(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => {
                if let Some(word) = words.last_mut() {
                    word.push(c);
                }
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Text.\n```sh\n# a comment\ntribune hand list stage   # the queue\n\ntribune man\n```\n\
                        ```console\n$ make\n```\n";

    #[test]
    fn commands_are_those_of_the_shell_blocks_without_comments() {
        assert_eq!(shell_commands(TEXT), ["tribune hand list stage", "tribune man"]);
    }

    #[test]
    fn a_command_that_is_not_there_or_not_run_is_named() {
        let document = Document::new("x.md", TEXT);
        let error = document.take("make").unwrap_err();
        assert_eq!(error.to_string(), "x.md does not say: make");
        document.take("tribune man").unwrap();
        let error = document.check_all_taken().unwrap_err().to_string();
        assert_eq!(error, "no test runs this command of x.md: tribune hand list stage");
        document.take("tribune hand list stage").unwrap();
        document.check_all_taken().unwrap();
    }

    #[test]
    fn words_are_those_of_a_shell() {
        assert_eq!(split(r#"a "b c" d"#), ["a", "b c", "d"]);
    }
}
