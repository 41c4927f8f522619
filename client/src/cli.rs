//! The command line: arguments parsed to valid values, then one command run to its exit code.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use tribune_protocol::ids::DisplayName;

use crate::commands::govern::{appeal, ban, hand, log, person, role, room, stage, stats};
use crate::commands::operate::{listeners, top};
use crate::commands::stay::{join, listen, speak};
use crate::commands::{Context, man, token};
use crate::outcome::{CommandError, EXIT_CODES, Exit};
use crate::output::Output;
use crate::session::address::Address;
use crate::session::tls::{Fingerprint, Trust};

/// Speak in, listen to and govern live audio rooms.
#[derive(Debug, Parser)]
#[command(name = "tribune", version, after_help = EXIT_CODES, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options that every command takes.
#[derive(Debug, Args)]
struct Global {
    /// A relay to join at: HOST, HOST:PORT or tribune://HOST:PORT. Several are tried in turn
    #[arg(
        long,
        global = true,
        env = "TRIBUNE_URL",
        value_delimiter = ',',
        default_value = "localhost:4433",
        value_name = "HOST:PORT"
    )]
    url: Vec<Address>,
    /// Your identity and role: a token (see `tribune token`) or an invitation
    #[arg(long, global = true, env = "TRIBUNE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// File with the token, instead of --token; read again before the token runs out
    #[arg(long, global = true, env = "TRIBUNE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Trust relays whose certificate one in this PEM file vouches for, instead of the system's roots
    #[arg(long, global = true, value_name = "FILE", conflicts_with_all = ["fingerprint", "insecure"])]
    ca: Option<PathBuf>,
    /// Trust the relay with this certificate: its SHA-256 in hexadecimal
    #[arg(long, global = true, value_name = "HEX", conflicts_with = "insecure")]
    fingerprint: Option<Fingerprint>,
    /// Trust any relay: whoever sits between can listen, speak and govern in your name
    #[arg(long, global = true)]
    insecure: bool,
    /// Print JSON lines on stdout, for programs
    #[arg(long, global = true)]
    json: bool,
    /// Your name in the room
    #[arg(long, global = true, env = "TRIBUNE_NAME")]
    name: Option<DisplayName>,
    /// File with the secret that makes several runs the same participant; made up if it is not
    /// there. One at a time: a later connection replaces an earlier one
    #[arg(long, global = true, env = "TRIBUNE_SESSION", value_name = "FILE")]
    session: Option<PathBuf>,
    /// Say more on stderr; TRIBUNE_LOG takes a filter such as tribune_client=trace
    #[arg(long, short, global = true)]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Speak(speak::Speak),
    Listen(listen::Listen),
    Join(join::Join),
    Room(room::Room),
    Hand(hand::Hand),
    Stage(stage::Stage),
    Role(role::Role),
    Permission(role::Permission),
    Person(person::Person),
    Ban(ban::Ban),
    Appeal(appeal::Appeal),
    Log(log::Log),
    Stats(stats::Stats),
    Listeners(listeners::Listeners),
    Top(top::Top),
    Token(token::Token),
    /// Print the man page
    Man,
}

/// Runs the command line to its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let matches = Cli::command().try_get_matches_from(args);
    let parsed = matches.and_then(|matches| {
        let cli = Cli::from_arg_matches(&matches)?;
        Ok((cli, is_name_given(&matches)))
    });
    let (cli, is_name_given) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8));
        }
    };
    init_log(cli.global.verbose);
    let mut output = Output::new(cli.global.json);
    match execute(cli, is_name_given, &mut output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.exit as u8)
        }
    }
}

/// One thread runs it all: at 50 small packets a second the work is in the codec, and forty listeners
/// on two cores gain nothing from forty idle workers. Files and devices have threads of their own.
fn execute(cli: Cli, is_name_given: bool, output: &mut Output) -> Result<(), CommandError> {
    let Cli { global, command } = cli;
    if let Command::Man = command {
        return man::print(Cli::command());
    }
    if let Command::Token(token) = command {
        // A token is for another user: the name of this one enters it only on request.
        return token.run(global.name.filter(|_| is_name_given), output);
    }
    join_and_execute(global, command, output)
}

/// Runs a command that needs a network.
fn join_and_execute(
    global: Global,
    command: Command,
    output: &mut Output,
) -> Result<(), CommandError> {
    let context = context(global, output);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
            CommandError::new(Exit::Other, "runtime", format!("Cannot start: {error}."))
        })?;
    let result = runtime.block_on(async {
        match command {
            Command::Speak(speak) => speak.run(&context, output).await,
            Command::Listen(listen) => listen.run(&context, output).await,
            Command::Join(join) => join.run(&context, output).await,
            Command::Hand(hand) => hand.run(&context, output).await,
            Command::Room(room) => room.run(&context, output).await,
            Command::Stage(stage) => stage.run(&context, output).await,
            Command::Role(role) => role.run(&context, output).await,
            Command::Permission(permission) => permission.run(&context, output).await,
            Command::Person(person) => person.run(&context, output).await,
            Command::Ban(ban) => ban.run(&context, output).await,
            Command::Appeal(appeal) => appeal.run(&context, output).await,
            Command::Log(log) => log.run(&context, output).await,
            Command::Stats(stats) => stats.run(&context, output).await,
            Command::Listeners(listeners) => listeners.run(&context, output).await,
            Command::Top(top) => top.run(output).await,
            Command::Token(_) | Command::Man => Ok(()),
        }
    });
    // A thread blocked on standard input cannot be stopped.
    runtime.shutdown_background();
    result
}

fn context(global: Global, output: &mut Output) -> Context {
    let trust = match (global.ca, global.fingerprint, global.insecure) {
        (Some(file), _, _) => Trust::Ca(file),
        (None, Some(fingerprint), _) => Trust::Pinned(fingerprint),
        (None, None, true) => {
            output.warn(
                "WARNING: --insecure: the relay's certificate is NOT checked. Anybody between you \
                 and it can listen, speak and govern in your name.",
            );
            Trust::Anything
        }
        (None, None, false) => Trust::System,
    };
    Context {
        addresses: global.url,
        trust,
        token: global.token,
        token_file: global.token_file,
        name: global.name,
        session_file: global.session,
    }
}

/// Whether `--name` is on the command line, and not from the environment.
fn is_name_given(matches: &ArgMatches) -> bool {
    let here = matches.value_source("name") == Some(ValueSource::CommandLine);
    here || matches.subcommand().is_some_and(|(_, below)| is_name_given(below))
}

fn init_log(verbose: bool) {
    let default = if verbose { "tribune_client=debug,quinn=info" } else { "error" };
    let filter = EnvFilter::try_from_env("TRIBUNE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Fails only if a log is set up already, which then is the one to keep.
    let _ = log.try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_values_are_named() {
        for (args, named) in [
            (vec!["tribune", "listen", "Stage!", "--out", "null"], "Stage!"),
            (vec!["tribune", "listen", "stage", "--out", "x.mp9"], "x.mp9"),
            (vec!["tribune", "listen", "stage", "--out", "null", "--duration", "soon"], "soon"),
            (vec!["tribune", "listen", "stage", "--url", "https://x"], "https://x"),
            (vec!["tribune", "stage", "silence", "x", "Bob", "--fingerprint", "zz"], "zz"),
            (vec!["tribune", "ban", "create", "stage", "Bob", "--for", "ages"], "ages"),
            (vec!["tribune", "permission", "allow", "stage", "Bob", "fly"], "fly"),
            (vec!["tribune", "person", "kick", "stage", "addr:home"], "home"),
            (vec!["tribune", "room", "create", "stage", "--starts", "soon"], "soon"),
            (vec!["tribune", "room", "create", "stage", "--duplicates", "some"], "some"),
            (vec!["tribune", "listeners", "stage", "--worst", "31"], "31 is not in 1..=30"),
            (vec!["tribune", "listeners", "stage", "--worst", "0"], "0 is not in 1..=30"),
            (vec!["tribune", "listeners", "stage", "--by", "loudness"], "round_trip"),
            (vec!["tribune", "top", "--http", "https://relay"], "no TLS"),
            (vec!["tribune", "top", "--interval", "1ms"], "500ms to 1h"),
        ] {
            let error = Cli::try_parse_from(&args).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{args:?}");
            assert!(error.to_string().contains(named), "{args:?}: {error}");
        }
    }

    /// Governing commands share one shape: noun, verb, room, subject.
    #[test]
    fn commands_have_one_shape() {
        for line in [
            "room create agora --title Bridges --starts 2027-01-15T08:00:00Z --listed --capacity 500",
            "room list",
            "room show agora",
            "room set agora --no-listed --stage-size 8 --hand-slow 30s --duplicates 2",
            "room lock agora --reason raid",
            "room unlock agora",
            "room invite agora --for ada@example.org --role speaker --valid-for 1h",
            "room hand-over agora Ben",
            "room end agora --as host",
            "hand raise agora --note bridges --detach",
            "hand lower agora",
            "hand lower agora Eve",
            "hand list agora",
            "hand grant agora Eve",
            "hand deny agora Eve --reason later",
            "hand clear agora",
            "hand close agora",
            "hand open agora",
            "stage show agora",
            "stage invite agora sub:eve",
            "stage uninvite agora sub:eve",
            "stage leave agora",
            "stage remove agora Eve --reason thanks",
            "stage mute agora Eve",
            "stage silence agora Eve",
            "stage silence agora --all",
            "stage unsilence agora --all",
            "role set agora Eve cohost",
            "permission allow agora Eve silence",
            "permission deny agora Eve react",
            "permission reset agora Eve react",
            "person kick agora Eve --reason rude",
            "ban create agora Eve --for 1h --reason spam --as cohost",
            "ban lift agora sub:eve",
            "ban list agora",
            "appeal create agora --entry 12 sorry",
            "appeal answer agora --entry 13 --uphold --reason fair",
            "log agora --follow --verify",
            "log agora --export report.html",
            "log --file report.html --verify",
            "stats agora",
            "stats agora --run 3 --html -",
            "stats agora --watch",
            "stats agora --csv",
            "stats agora --runs",
            "listeners agora",
            "listeners agora --worst 30 --by round_trip",
            "listeners agora --listener Eve --listener 00000000000000fe",
            "top",
            "top --http relay:9433 --room agora --by latency --interval 5s --once",
        ] {
            let args = std::iter::once("tribune").chain(line.split(' '));
            if let Err(error) = Cli::try_parse_from(args) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn what_contradicts_itself_is_no_command() {
        for line in [
            "stage silence agora",
            "stage silence agora Eve --all",
            "appeal answer agora --entry 13",
            "appeal answer agora --entry 13 --uphold --reject",
            "room set agora --listed --no-listed",
            "kick agora Eve",
            "log",
            "log agora --file log.json",
            "log agora --export log.txt",
            "listeners agora --listener Eve --worst 3",
            "stats agora --run 0",
            "stats agora --watch --csv",
            "stats",
        ] {
            let args = std::iter::once("tribune").chain(line.split(' '));
            assert!(Cli::try_parse_from(args).is_err(), "{line}");
        }
    }

    #[test]
    fn a_speaker_has_one_source() {
        assert!(Cli::try_parse_from(["tribune", "speak", "a", "--tone", "440"]).is_ok());
        assert!(Cli::try_parse_from(["tribune", "speak", "a"]).is_err());
        assert!(Cli::try_parse_from(["tribune", "speak", "a", "--tone", "440", "--mic"]).is_err());
    }
}
