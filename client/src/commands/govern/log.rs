//! `tribune log`: the moderation log of a room, read from its origin or a file, and verified.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::LogPage;
use tribune_protocol::ids::RoomName;
use tribune_protocol::log::{Export, Fault, Head, LogPublicKey, SignedEntry, Verifier, verify};

use crate::commands::Context;
use crate::commands::oneshot::{Acting, Requests, no_answer};
use crate::commands::signals::Signals;
use crate::outcome::{CommandError, Exit, sentence};
use crate::output::Output;
use crate::session::oneshot::Answer;

mod file;
mod format;

use file::ExportFile;
use format::{print_entry, print_verified};

/// Polling period of --follow.
const FOLLOW_PERIOD: Duration = Duration::from_secs(1);
/// Entries held for an export: 200 MB at most.
const EXPORT_ENTRIES_MAX: usize = 100_000;

/// Read, follow, verify and export the log of a room
///
/// Callers who may not read the log get the entries about themselves: with the --token of the same
/// identity, or without a token with the same --session.
#[derive(Debug, Args)]
#[command(after_help = "\
--verify looks whether every entry is in its place, unchanged and signed by one key, and whether the
log is whole. The key is that of --key, or else the one that the room states now: compare it with what
somebody you trust has written down (`tribune room show` prints it). A log that is not as it was
written ends with exit code 8 and the number of the first entry that is wrong.")]
pub(crate) struct Log {
    /// Which room
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    room: Option<RoomName>,
    /// Go on with new entries as they are written, until Ctrl-C
    #[arg(long, conflicts_with_all = ["file", "export"])]
    follow: bool,
    /// Verify it
    #[arg(long)]
    verify: bool,
    /// Write it to FILE.json, FILE.csv or FILE.html, a report to read and print; it is verified first
    #[arg(long, value_name = "FILE")]
    export: Option<ExportFile>,
    /// Read a file that --export has written, without asking a relay
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The key that has to have signed it: 64 hexadecimal digits
    #[arg(long, value_name = "HEX")]
    key: Option<LogPublicKey>,
    #[command(flatten)]
    acting: Acting,
}

/// State of reading a log.
#[derive(Debug)]
struct Reading {
    requests: Requests,
    /// Next entry to read.
    next: u64,
    own_only: bool,
    verifier: Option<Verifier>,
    /// Entries held for an export.
    held: Option<Vec<SignedEntry>>,
}

impl Log {
    pub(crate) async fn run(
        self,
        context: &Context,
        output: &mut Output,
    ) -> Result<(), CommandError> {
        if let Some(path) = &self.file {
            return self.read_file(path, output);
        }
        let Some(room) = self.room.clone() else {
            return Err(CommandError::new(Exit::Usage, "no_room", "Which room?"));
        };
        let mut signals = Signals::new()?;
        let mut requests = Requests::open(context, &room, self.acting.role)?;
        let key = match (self.key, self.must_verify()) {
            (Some(key), _) => Some(key),
            (None, false) => None,
            (None, true) => requests.show().await?.key.map(|key| LogPublicKey(key.0)),
        };
        let verifier = key.filter(|_| self.must_verify()).map(|key| Verifier::new(room, key));
        if self.must_verify() && verifier.is_none() {
            let message = "The room states no key; give the one to verify with by --key HEX.";
            return Err(CommandError::new(Exit::Usage, "no_key", message));
        }
        let held = self.export.is_some().then(Vec::new);
        let mut reading = Reading { requests, next: 1, own_only: false, verifier, held };
        let result = tokio::select! {
            result = reading.run(&self, output) => result,
            () = signals.stop() => Ok(()),
        };
        reading.requests.close(result).await
    }

    /// Reads a file, without asking a relay.
    fn read_file(&self, path: &Path, output: &Output) -> Result<(), CommandError> {
        let (export, verified) = file::read(path, self.key.as_ref(), self.must_verify())?;
        match &self.export {
            Some(to) => to.write(&export, output)?,
            None => export.entries.iter().for_each(|entry| print_entry(entry, output)),
        }
        if let Some(verified) = verified {
            print_verified(&verified, output);
        }
        Ok(())
    }

    /// Exports are verified first: a report of an altered log would be worse than none.
    const fn must_verify(&self) -> bool {
        self.verify || self.export.is_some()
    }
}

impl Reading {
    async fn run(&mut self, log: &Log, output: &mut Output) -> Result<(), CommandError> {
        let head = self.read_to_the_end(output).await?;
        if self.own_only {
            output.note("You may not read the whole log: these are the entries about you.");
        }
        self.conclude(log, head.as_ref(), output)?;
        if !log.follow {
            return Ok(());
        }
        loop {
            tokio::time::sleep(FOLLOW_PERIOD).await;
            let before = self.next;
            let head = self.read_to_the_end(output).await?;
            if let (Some(verifier), Some(head)) = (&self.verifier, &head)
                && self.next > before
            {
                verifier.check_head(head).map_err(altered)?;
            }
        }
    }

    /// Reads to the end; returns the log's head, as the origin states it.
    async fn read_to_the_end(&mut self, output: &Output) -> Result<Option<Head>, CommandError> {
        loop {
            let Answer::Log(page) = self.requests.ask(Govern::ReadLog { from: self.next }).await?
            else {
                return Err(no_answer("log"));
            };
            let LogPage { entries, next, head, own_only } = page;
            self.own_only |= own_only;
            for (number, bytes) in (self.next..).zip(&entries) {
                let entry = SignedEntry::from_bytes(&bytes.0)
                    .map_err(|fault| altered(Fault::Entry { number, fault }))?;
                self.take(entry, output)?;
            }
            let is_behind = next > self.next;
            self.next = next.max(self.next);
            if head.is_some() || !is_behind {
                return head.map(|head| file::head_of(&head.0)).transpose();
            }
        }
    }

    fn take(&mut self, entry: SignedEntry, output: &Output) -> Result<(), CommandError> {
        // Single entries prove nothing about what lies between them.
        if !self.own_only
            && let Some(verifier) = &mut self.verifier
        {
            verifier.handle_entry(&entry).map_err(altered)?;
        }
        match &mut self.held {
            None => print_entry(&entry, output),
            Some(held) if held.len() < EXPORT_ENTRIES_MAX => held.push(entry),
            Some(_) => {
                let message = format!("The log has more than {EXPORT_ENTRIES_MAX} entries.");
                return Err(CommandError::new(Exit::Other, "log_too_long", message));
            }
        }
        Ok(())
    }

    /// Verifies and exports the entries read.
    fn conclude(
        &mut self,
        log: &Log,
        head: Option<&Head>,
        output: &Output,
    ) -> Result<(), CommandError> {
        let Some(verifier) = &self.verifier else { return Ok(()) };
        if self.own_only {
            let message = "Only a whole log can be verified or exported, and you may read your own \
                           entries only.";
            return Err(CommandError::new(Exit::Refused, "own_only", message));
        }
        let Some(head) = head else {
            let message =
                "The relay does not say how far the log goes, so that it cannot be verified.";
            return Err(CommandError::new(Exit::Altered, "log_altered", message));
        };
        let mut verified = verifier.check_head(head).map_err(altered)?;
        // A key that the room itself states proves that one key signed everything, and no more.
        verified.pinned = log.key.is_some();
        if let (Some(entries), Some(to)) = (self.held.take(), &log.export) {
            verify(&head.room, log.key.as_ref(), &entries, head).map_err(altered)?;
            to.write(&Export { entries, head: head.clone() }, output)?;
        }
        print_verified(&verified, output);
        Ok(())
    }
}

/// Error for a log that does not verify.
fn altered(fault: Fault) -> CommandError {
    let message = format!("the log is not as it was written: {fault}");
    CommandError::new(Exit::Altered, "log_altered", sentence(&message))
}
