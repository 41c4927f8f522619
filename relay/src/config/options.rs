//! The table of all settings, and the four places a value comes from: a flag, over an environment
//! variable, over the TOML file, over the default. Help text and man page follow from the table.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{ConfigError, keys_command, roles};
use tribune_relay_core::room::authority::policy::Policy;

/// One setting, under its three names.
struct Setting {
    key: &'static str,
    flag: &'static str,
    env: &'static str,
    value: &'static str,
    kind: Kind,
    group: &'static str,
    default: &'static str,
    help: &'static str,
}

/// What a setting's value looks like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One value.
    One,
    /// One value that is never printed.
    Secret,
    /// A repeated flag, a comma-separated variable, an array in the file.
    Many,
    /// A flag without a value; `true` or `false` elsewhere.
    Switch,
}

const CONNECTIONS: &str = "Addresses and the tree";
const TRUST: &str = "Certificates and tokens";
const LIMITS: &str = "Load and limits";
const OPERATION: &str = "Operation";

/// `key, flag, variable, value's name, kind, group, default, help`. The value's meaning and the reason
/// of its default are with the fields of [`super::Config`].
#[rustfmt::skip]
const SETTINGS: [Setting; 29] = [
    setting("listen", "listen", "TRIBUNE_RELAY_LISTEN", "ADDR", Kind::One, CONNECTIONS, "[::]:4433",
        "UDP address that participants and child relays connect to; port 0 lets the system choose, and the relay prints it"),
    setting("http", "http", "TRIBUNE_RELAY_HTTP", "ADDR", Kind::One, CONNECTIONS, "127.0.0.1:9433",
        "TCP address of /healthz, /readyz, /metrics, /api and /drain, or \"off\""),
    setting("parent", "parent", "TRIBUNE_RELAY_PARENT", "HOST:PORT", Kind::Many, CONNECTIONS, "none, so this is an origin",
        "Relay to attach to: the first choice, then, repeated, up to seven to stand by"),
    setting("name", "name", "TRIBUNE_RELAY_NAME", "NAME", Kind::One, CONNECTIONS, "the host's name",
        "What the relay is called in logs, to its participants and to its neighbours"),
    setting("drain_to", "drain-to", "TRIBUNE_RELAY_DRAIN_TO", "HOST:PORT", Kind::One, CONNECTIONS, "nowhere",
        "Where participants and child relays are sent when this relay drains"),
    setting("redirect_to", "redirect-to", "TRIBUNE_RELAY_REDIRECT_TO", "HOST:PORT", Kind::Many, CONNECTIONS, "nowhere",
        "Where participants beyond --capacity are sent; repeated, up to eight, taken in turn"),
    setting("dev", "dev", "TRIBUNE_RELAY_DEV", "BOOL", Kind::Switch, TRUST, "false",
        "For development: a self-signed certificate, kept in --data or else in ~/.local/state/tribune-relay, and neither tokens nor proof between relays on this machine"),
    setting("dev_anywhere", "dev-anywhere", "TRIBUNE_RELAY_DEV_ANYWHERE", "BOOL", Kind::Switch, TRUST, "false",
        "With --dev: no tokens from other machines either, so that anybody who reaches the port governs"),
    setting("cert", "cert", "TRIBUNE_RELAY_CERT", "FILE", Kind::One, TRUST, "none",
        "Certificate chain of this relay, PEM; together with --key"),
    setting("key", "key", "TRIBUNE_RELAY_KEY", "FILE", Kind::One, TRUST, "none",
        "Private key of the certificate, PEM"),
    setting("keys", "keys", "TRIBUNE_RELAY_KEYS", "FILE", Kind::One, TRUST, "none, so no token lets anybody in",
        "Keys that participants' tokens are checked with, TOML; `tribune-relay keys generate` makes one"),
    setting("relay_token", "relay-token", "TRIBUNE_RELAY_TOKEN", "TOKEN", Kind::Secret, TRUST, "none",
        "Token that a child relay presents, and that this relay presents to its parent; better given by the variable"),
    setting("operator_token", "operator-token", "TRIBUNE_RELAY_OPERATOR_TOKEN", "TOKEN", Kind::Secret, TRUST, "none, so programs of this machine alone",
        "Token that single listeners and the order to drain take over HTTP, at least 16 bytes; better given by the variable"),
    setting("trunk_ca", "trunk-ca", "TRIBUNE_RELAY_TRUNK_CA", "FILE", Kind::One, TRUST, "none",
        "Authorities, PEM, whose client certificates let a relay attach as a child"),
    setting("trunk_cert", "trunk-cert", "TRIBUNE_RELAY_TRUNK_CERT", "FILE", Kind::One, TRUST, "--cert",
        "Client certificate chain shown to the parent, PEM; together with --trunk-key"),
    setting("trunk_key", "trunk-key", "TRIBUNE_RELAY_TRUNK_KEY", "FILE", Kind::One, TRUST, "--key",
        "Private key of the client certificate, PEM"),
    setting("parent_ca", "parent-ca", "TRIBUNE_RELAY_PARENT_CA", "FILE", Kind::One, TRUST, "the system's authorities",
        "Authorities, PEM, or self-signed certificates that a parent is checked against"),
    setting("parent_fingerprint", "parent-fingerprint", "TRIBUNE_RELAY_PARENT_FINGERPRINT", "SHA256", Kind::One, TRUST, "none",
        "SHA-256 of the one certificate that a parent has to show, instead of any authority"),
    setting("shards", "shards", "TRIBUNE_RELAY_SHARDS", "N", Kind::One, LIMITS, "the number of cores, at most 64",
        "Threads that carry audio, each with a socket of its own; 1 to 64"),
    setting("top_n", "top-n", "TRIBUNE_RELAY_TOP_N", "N", Kind::One, LIMITS, "4",
        "Tracks that go to listeners at the same time, the loudest first; 1 to 16"),
    setting("max_connections", "max-connections", "TRIBUNE_RELAY_MAX_CONNECTIONS", "N", Kind::One, LIMITS, "50000",
        "Connections at the same time, over all shards; 1 to 1000000"),
    setting("capacity", "capacity", "TRIBUNE_RELAY_CAPACITY", "N", Kind::One, LIMITS, "none",
        "Participants at the same time, but for those with a place on the stage or back within 30 s; 1 to 1000000"),
    setting("max_rooms", "max-rooms", "TRIBUNE_RELAY_MAX_ROOMS", "N", Kind::One, LIMITS, "10000",
        "Rooms at the same time; 1 to 1000000"),
    setting("data", "data", "TRIBUNE_RELAY_DATA", "DIR", Kind::One, OPERATION, "none, so nothing is kept",
        "Directory for what outlives a restart: the relay's id, its keys, the self-signed certificate, rooms and their logs; for one relay only"),
    setting("drain_timeout", "drain-timeout", "TRIBUNE_RELAY_DRAIN_TIMEOUT", "TIME", Kind::One, OPERATION, "10s",
        "Time from SIGTERM until the last connection is closed, such as \"30s\" or \"2m\"; at most 1h"),
    setting("metrics_rooms", "metrics-rooms", "TRIBUNE_RELAY_METRICS_ROOMS", "N", Kind::One, OPERATION, "20",
        "Rooms that have metrics of their own, the largest first; all others are added up; 0 to 200"),
    setting("metrics_max_series", "metrics-max-series", "TRIBUNE_RELAY_METRICS_MAX_SERIES", "N", Kind::One, OPERATION, "5000",
        "Series that /metrics may have: rooms have metrics of their own as far as it reaches; at most 1000000"),
    setting("log", "log", "TRIBUNE_LOG", "FILTER", Kind::One, OPERATION, "info",
        "What is logged: off, error, warn, info, debug, trace, or TARGET=LEVEL, separated by commas"),
    setting("log_format", "log-format", "TRIBUNE_RELAY_LOG_FORMAT", "FORMAT", Kind::One, OPERATION, "text",
        "How log lines look: text or json"),
];

#[allow(clippy::too_many_arguments, reason = "one row of a table")]
const fn setting(
    key: &'static str,
    flag: &'static str,
    env: &'static str,
    value: &'static str,
    kind: Kind,
    group: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { key, flag, env, value, kind, group, default, help }
}

/// The command line, for parsing, `--help` and the man page.
pub(super) fn command() -> Command {
    let config = Arg::new("config").long("config").value_name("FILE").help_heading(OPERATION).help(
        "TOML file with settings, by the flags' names with _ for -, such as top_n = 4, and roles of one's own ([roles.NAME], see PERMISSIONS.md) [env: TRIBUNE_RELAY_CONFIG]",
    );
    let man = Arg::new("man").long("man").action(ArgAction::SetTrue).hide(true);
    Command::new("tribune-relay")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Carries live audio rooms over QUIC, alone or as a part of a tree of relays")
        .after_help("A flag goes over an environment variable, which goes over the file.")
        .max_term_width(100)
        .args(SETTINGS.iter().map(argument))
        .arg(config)
        .arg(man)
        .args_conflicts_with_subcommands(true)
        .subcommand(keys_command::command())
        .subcommand(roles::command())
}

/// The man page: the relay's own, and a section for each command.
pub(super) fn man_page() -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let mut command = command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    for noun in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let mut verbs = noun.get_subcommands().filter(|sub| sub.get_name() != "help").peekable();
        if verbs.peek().is_none() {
            man_section(&mut page, noun.get_name(), noun)?;
        }
        for verb in verbs {
            let name = format!("{} {}", noun.get_name(), verb.get_name());
            man_section(&mut page, &name, verb)?;
        }
    }
    Ok(page)
}

fn man_section(page: &mut Vec<u8>, name: &str, command: &Command) -> std::io::Result<()> {
    writeln!(page, ".SH \"tribune-relay {name}\"")?;
    let man = clap_mangen::Man::new(command.clone());
    man.render_description_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_options_section(page)
}

fn argument(setting: &Setting) -> Arg {
    let Setting { default, env, help, .. } = setting;
    let argument = Arg::new(setting.key)
        .long(setting.flag)
        .help_heading(setting.group)
        .help(format!("{help} [default: {default}] [env: {env}]"));
    match setting.kind {
        Kind::One | Kind::Secret => argument.value_name(setting.value),
        Kind::Many => argument.value_name(setting.value).action(ArgAction::Append),
        Kind::Switch => argument.action(ArgAction::SetTrue),
    }
}

/// Where a value comes from, as an error names it.
#[derive(Debug, Clone)]
enum Origin {
    Flag(&'static str),
    Variable(&'static str),
    File(&'static str, PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Variable(name) => f.write_str(name),
            Self::File(key, path) => write!(f, "{key} in {}", path.display()),
        }
    }
}

/// What was given for one setting, not yet parsed.
struct Given {
    origin: Origin,
    texts: Vec<String>,
    is_secret: bool,
}

/// All that was given, the strongest place for each setting, and the policy table.
pub(super) struct Settings {
    given: BTreeMap<&'static str, Given>,
    policy: Policy,
}

impl Settings {
    /// Collects from the three places. Empty variables count as absent.
    pub(super) fn collect(
        flags: &ArgMatches,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let variable = |name: &str| env(name).filter(|text| !text.is_empty());
        let path = flags.get_one::<String>("config").cloned();
        let path = path.or_else(|| variable("TRIBUNE_RELAY_CONFIG")).map(PathBuf::from);
        let mut file = path.as_deref().map(read_file).transpose()?.unwrap_or_default();
        let in_file = file.remove("roles");
        let policy = match &path {
            Some(path) => roles::policy(in_file.as_ref(), path)?,
            None => Policy::default(),
        };
        let mut settings = BTreeMap::new();
        for setting in &SETTINGS {
            // Taken out of the file's table first, so that what is left there is unknown.
            let in_file = file.remove(setting.key);
            let given = from_flag(setting, flags)
                .or_else(|| variable(setting.env).map(|text| from_variable(setting, text)));
            let given = match (given, in_file, &path) {
                (Some(given), _, _) => given,
                (None, Some(value), Some(path)) => from_file(setting, value, path)?,
                (None, None, _) | (None, Some(_), None) => continue,
            };
            settings.insert(setting.key, given);
        }
        match (path, file.is_empty()) {
            (Some(path), false) => {
                Err(ConfigError::UnknownKeys { path, keys: file.keys().cloned().collect() })
            }
            (Some(_) | None, _) => Ok(Self { given: settings, policy }),
        }
    }

    /// The policy table: the default roles and those of the file.
    pub(super) const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The one value of a setting, parsed. The reason of a failure goes on from the value: `is not …`.
    pub(super) fn one<T, E: fmt::Display>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ConfigError> {
        Ok(self.many(key, parse)?.pop())
    }

    /// All values of a setting, parsed.
    pub(super) fn many<T, E: fmt::Display>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, ConfigError> {
        let Some(given) = self.given.get(key) else { return Ok(Vec::new()) };
        let wrong = |text: &String, why: E| ConfigError::Wrong {
            option: given.origin.to_string(),
            value: if given.is_secret { "the value".to_owned() } else { format!("{text:?}") },
            why: why.to_string(),
        };
        given.texts.iter().map(|text| parse(text).map_err(|why| wrong(text, why))).collect()
    }
}

fn from_flag(setting: &Setting, flags: &ArgMatches) -> Option<Given> {
    let texts: Vec<String> = match setting.kind {
        Kind::Switch if flags.get_flag(setting.key) => vec!["true".to_owned()],
        Kind::Switch => return None,
        Kind::One | Kind::Secret | Kind::Many => {
            flags.get_many::<String>(setting.key)?.cloned().collect()
        }
    };
    Some(given(setting, Origin::Flag(setting.flag), texts))
}

fn from_variable(setting: &Setting, text: String) -> Given {
    let texts = match setting.kind {
        Kind::Many => text.split(',').map(|part| part.trim().to_owned()).collect(),
        Kind::One | Kind::Secret | Kind::Switch => vec![text],
    };
    given(setting, Origin::Variable(setting.env), texts)
}

fn from_file(setting: &Setting, value: toml::Value, path: &Path) -> Result<Given, ConfigError> {
    let origin = Origin::File(setting.key, path.to_owned());
    let texts = if let (Kind::Many, Some(values)) = (setting.kind, value.as_array()) {
        values.iter().map(scalar).collect()
    } else {
        scalar(&value).map(|text| vec![text])
    };
    match texts {
        Ok(texts) => Ok(given(setting, origin, texts)),
        Err(kind) => Err(ConfigError::Wrong {
            option: origin.to_string(),
            value: format!("a value of type {kind}"),
            why: "is not what this setting takes".to_owned(),
        }),
    }
}

/// The text of a string, number or truth value; the name of any other type.
fn scalar(value: &toml::Value) -> Result<String, &'static str> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Boolean(truth) => Ok(truth.to_string()),
        toml::Value::Float(_)
        | toml::Value::Datetime(_)
        | toml::Value::Array(_)
        | toml::Value::Table(_) => Err(value.type_str()),
    }
}

fn given(setting: &Setting, origin: Origin, texts: Vec<String>) -> Given {
    Given { origin, texts, is_secret: setting.kind == Kind::Secret }
}

pub(super) fn read_file(path: &Path) -> Result<toml::Table, ConfigError> {
    let error =
        |why: String| ConfigError::File { path: path.to_owned(), why: why.trim_end().to_owned() };
    let text = std::fs::read_to_string(path).map_err(|why| error(why.to_string()))?;
    // The message alone: the library's display quotes the line, which may hold a secret.
    text.parse::<toml::Table>().map_err(|why| match why.span() {
        Some(span) => {
            let line = text[..span.start].lines().count().max(1);
            error(format!("line {line}: {}", why.message()))
        }
        None => error(why.message().to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound_and_every_setting_is_in_its_help() {
        command().debug_assert();
        let help = command().render_long_help().to_string();
        for setting in &SETTINGS {
            assert!(help.contains(&format!("--{}", setting.flag)), "{}", setting.flag);
            assert!(help.contains(setting.env), "{}", setting.env);
        }
    }
}
