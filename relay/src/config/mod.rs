//! Configuration: flags, environment variables and a TOML file, made into one valid [`Config`]. Nothing
//! else in the relay reads the environment, and nothing after this checks a setting again.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::time::Duration;

use tribune_protocol::ids::DisplayName;
use tribune_relay_core::auth::secret::Secret;
use tribune_relay_core::room::authority::policy::Policy;
use tribune_relay_core::tree::host_port::HostPort;

use crate::logging::{LogFilter, LogFormat};
use crate::metrics::SeriesLimits;

mod certificate;
mod command_line;
mod defaults;
mod error;
mod file;
mod fingerprint;
mod instead;
mod keys_command;
pub mod keys_file;
mod parsers;
mod roles;
mod settings;
mod table;
mod validate;
mod web;

pub use certificate::{CertificateSource, ParentTrust};
pub use error::ConfigError;
pub use fingerprint::Fingerprint;
pub use instead::Instead;
use settings::Settings;
pub use web::{EmbedOrigin, WebAddress, WebScheme};

/// Origins that may hold a frame of this relay: they are sent with each answer.
pub const MAX_EMBED_ORIGINS: usize = 32;
/// Threads that carry audio: the first byte of a connection ID names one, and more than 64 cores are
/// better used by a second relay.
pub const MAX_SHARDS: u8 = 64;
/// Relays that this one may attach to, the first choice counted, and relays that it may send
/// participants to: a longer list is a mistake.
pub const MAX_PARENTS: usize = 8;
/// The largest `top_n`. With 16 voices at once nobody understands a word.
pub const MAX_TOP_N: usize = 16;
/// The largest `max_connections` and `max_rooms`: connections and rooms fit in memory and in 32 bits.
pub const MAX_COUNT: usize = 1_000_000;
/// The most rooms with metrics of their own: as many as a person can look at.
pub const MAX_METRICS_ROOMS: usize = 200;
/// The longest `keep_statistics` that is a time.
pub const MAX_KEPT_STATISTICS: Duration = Duration::from_secs(100 * 366 * 86_400);
/// The longest `drain_timeout`.
pub const MAX_DRAIN_TIMEOUT: Duration = Duration::from_secs(3600);

/// All settings of an operator, valid as a whole.
#[derive(Debug, Clone)]
pub struct Config {
    /// UDP address for participants and children. Default `[::]:4433`, which takes IPv4 too, or
    /// `0.0.0.0:4433` where the machine has no IPv6. With port 0 the system chooses.
    pub listen: SocketAddr,
    /// TCP address of the HTTP side. Default `127.0.0.1:9433`: it has no authentication.
    pub http: Option<SocketAddr>,
    /// TCP address of the page for browsers. Default: none; with `dev` the port 8080 of `localhost`.
    pub web: Option<WebAddress>,
    /// Origins whose pages may hold `/embed/ROOM` in a frame, at most [`MAX_EMBED_ORIGINS`]. Default: none.
    pub embed_from: Vec<EmbedOrigin>,
    /// Relays to attach to, best first; at most [`MAX_PARENTS`]. None makes this relay an origin.
    pub parents: Vec<HostPort>,
    /// Threads that carry audio; at most [`MAX_SHARDS`]. Default: the number of cores.
    pub shards: NonZeroU8,
    /// The relay's name. Default: the host's name, or `relay`.
    pub name: DisplayName,
    /// Directory for state that outlives a restart. Default: none.
    pub data: Option<PathBuf>,
    /// The certificate of the port. There is no default: it takes a decision.
    pub certificate: CertificateSource,
    /// Whether this is a relay for development: children on this machine need no proof, and parents
    /// on this machine are believed; and participants on this machine need no token.
    pub dev: bool,
    /// Whether, with `dev`, participants from anywhere need no token. Default: no.
    pub dev_anywhere: bool,
    /// Token that a child presents, and that this relay presents to its parent.
    pub relay_token: Option<Secret>,
    /// Token for single listeners and for the order to drain, over HTTP. Default: none, so that only programs of
    /// the relay's own machine are answered.
    pub operator_token: Option<Secret>,
    /// Authorities of the client certificates that let a child attach.
    pub trunk_ca: Option<PathBuf>,
    /// Client certificate and key shown to a parent. Default: the relay's own, if it is from files.
    pub trunk_certificate: Option<(PathBuf, PathBuf)>,
    /// Authorities that a parent is checked against. Default: the system's.
    pub parent_ca: Option<PathBuf>,
    /// The one certificate that a parent has to show.
    pub parent_fingerprint: Option<Fingerprint>,
    /// File with the keys that participants' tokens are checked with. Default: none, so that no token is
    /// valid.
    pub keys: Option<PathBuf>,
    /// The policy table: the default roles, and those that the file of `--config` adds.
    pub policy: Policy,
    /// Tracks that go to listeners at the same time, 1 to [`MAX_TOP_N`]. Default 4.
    pub top_n: usize,
    /// Listeners of a room from which on new ones are given `audience`, where nobody says otherwise; 0: never.
    /// Default 1,000: so many do not talk to each other.
    pub audience_from: u32,
    /// Connections over all shards. Default 50,000: 1.5 GB at 29 KB each.
    pub max_connections: usize,
    /// Rooms. Default 10,000.
    pub max_rooms: usize,
    /// Participants at the same time, at most [`MAX_COUNT`]. More are sent elsewhere, except those that
    /// have a place on the stage or had a connection here a moment ago. Default: none is set.
    pub capacity: Option<usize>,
    /// Relays for participants beyond `capacity`, taken in turn; at most [`MAX_PARENTS`]. Default: none.
    pub redirect_to: Vec<HostPort>,
    /// Relay for participants and children when this one drains. Default: they choose themselves.
    pub drain_to: Option<HostPort>,
    /// Time from SIGTERM to the last close. Default 10 s, the grace that container runtimes give.
    pub drain_timeout: Duration,
    /// Time for which statistics of a run are kept after its end; `None`: for as long as its room.
    pub keep_statistics: Option<Duration>,
    /// Rooms with metrics of their own, at most [`MAX_METRICS_ROOMS`], and all series together, no fewer
    /// than the relay has without any room. Default 20 and 5,000.
    pub series: SeriesLimits,
    /// Filter of log lines, in the syntax of `tracing_subscriber::EnvFilter`. Default `info`.
    pub log: LogFilter,
    /// Format of log lines. Default text.
    pub log_format: LogFormat,
}

impl Config {
    /// Reads the process's arguments and environment.
    ///
    /// # Errors
    /// [`Instead`], to be reported before the process ends.
    pub fn from_process() -> Result<Self, Instead> {
        Self::from_args(std::env::args_os(), &|name| std::env::var(name).ok())
    }

    /// Reads arguments, the program's name first, and variables by `env`.
    ///
    /// # Errors
    /// [`Instead`].
    pub fn from_args<A: Into<OsString> + Clone>(
        args: impl IntoIterator<Item = A>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Instead> {
        let flags = command_line::command().try_get_matches_from(args).map_err(Instead::Usage)?;
        if flags.get_flag("man") {
            return Err(match command_line::man_page() {
                Ok(page) => Instead::ManPage(page),
                Err(error) => Instead::Usage(error.into()),
            });
        }
        if let Some(("keys", keys)) = flags.subcommand() {
            return Err(match keys_command::run(keys) {
                Ok(generated) => Instead::Keys(generated.stdout, generated.note),
                Err(error) => Instead::NoKeys(error.to_string()),
            });
        }
        if let Some(("roles", flags)) = flags.subcommand() {
            return Err(roles::run(flags, env).map_or_else(Instead::Wrong, Instead::Roles));
        }
        let settings = Settings::collect(&flags, env).map_err(Instead::Wrong)?;
        validate::validate(&settings, env).map_err(Instead::Wrong)
    }

    /// The proof that `parent` has to give of its identity.
    #[must_use]
    pub fn trust_in(&self, parent: &HostPort) -> ParentTrust<'_> {
        match (&self.parent_ca, self.parent_fingerprint) {
            (Some(authority), _) => ParentTrust::Authority(authority),
            (None, Some(fingerprint)) => ParentTrust::Pinned(fingerprint),
            (None, None) if self.dev && parent.is_loopback() => ParentTrust::AnythingOnLoopback,
            (None, None) => ParentTrust::SystemRoots,
        }
    }

    /// Warnings about this configuration, for the operator, a sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.keys.is_none() && !self.dev {
            warnings.push("nobody can open a room here: there are no --keys for tokens".to_owned());
        }
        if self.dev_anywhere {
            let what = "--dev-anywhere: anybody may open and govern rooms, without a token";
            warnings.push(what.to_owned());
        }
        if let Some(web) = self.web.filter(WebAddress::is_exposed) {
            warnings.push(format!(
                "--web {web}: without HTTPS browsers allow neither sound nor microphone, except behind a proxy \
                 that speaks it"
            ));
        }
        for parent in &self.parents {
            if self.trust_in(parent) == ParentTrust::AnythingOnLoopback {
                warnings.push(format!(
                    "--dev: the parent {parent} is on this machine; any certificate of it is accepted"
                ));
            }
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;

    use super::*;
    use crate::metrics::Metrics;

    fn load(arguments: &[&str], env: &[(&str, &str)]) -> Result<Config, String> {
        let all = ["tribune-relay"].iter().chain(arguments);
        let env = |name: &str| {
            env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Config::from_args(all, &env).map_err(|instead| match instead {
            Instead::Wrong(error) => error.to_string(),
            Instead::Usage(error) => format!("usage: {error}"),
            Instead::ManPage(page) => format!("man page {}", String::from_utf8_lossy(&page)),
            Instead::Keys(text, _) | Instead::NoKeys(text) | Instead::Roles(text) => text,
        })
    }

    #[test]
    fn roles_of_the_file_are_in_the_policy() {
        let (_kept, path) = file("dev = true\n[roles.moderator]\nrank = 50\nmay = [\"kick\"]\n");
        let config = load(&["--config", &path], &[]).unwrap();
        assert_eq!(config.policy.rank("moderator".parse().unwrap()), 50);
        let shown = load(&["roles", "--config", &path], &[]).unwrap_err();
        assert!(shown.contains("moderator") && !shown.contains("--"), "{shown}");
        let shown = load(&["roles", "--json"], &[("TRIBUNE_RELAY_CONFIG", &path)]).unwrap_err();
        assert!(shown.starts_with("{\"roles\":[{"), "{shown}");
        let (_kept, path) = file("dev = true\n[roles.moderator]\nrank = 50\nmay = [\"fly\"]\n");
        let why = load(&["--config", &path], &[]).unwrap_err();
        assert!(why.contains("roles.moderator.may") && why.contains("\"fly\""), "{why}");
    }

    fn file(text: &str) -> (tempfile::NamedTempFile, String) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let path = file.path().display().to_string();
        (file, path)
    }

    #[test]
    fn the_defaults_of_a_relay_for_development() {
        let config = load(&["--dev"], &[]).unwrap();
        assert_eq!(config.listen.port(), 4433);
        assert_eq!(config.http.unwrap().to_string(), "127.0.0.1:9433");
        assert_eq!((config.top_n, config.max_connections, config.max_rooms), (4, 50_000, 10_000));
        assert_eq!(config.drain_timeout, Duration::from_secs(10));
        assert_eq!(config.series, SeriesLimits { rooms: 20, series: 5_000 });
        assert_eq!(config.certificate, CertificateSource::SelfSigned { kept_in: None });
        assert_eq!((config.log.as_str(), config.log_format), ("info", LogFormat::Text));
        assert!(config.parents.is_empty() && config.warnings().is_empty());
        assert!((1..=MAX_SHARDS).contains(&config.shards.get()));
    }

    #[test]
    fn a_limit_of_series_has_to_hold_what_is_always_there() {
        let needed = Metrics::fixed_series(NonZeroU8::new(3).unwrap()).unwrap();
        let with = |series: usize| {
            let series = series.to_string();
            load(
                &["--dev", "--shards=3", "--metrics-rooms=0", "--metrics-max-series", &series],
                &[],
            )
        };
        assert_eq!(with(needed).unwrap().series, SeriesLimits { rooms: 0, series: needed });
        let why = with(needed - 1).unwrap_err();
        assert_eq!(
            why,
            format!(
                "--metrics-max-series: \"{}\" is too few: a relay with 3 shards has {needed} series without any room",
                needed - 1
            )
        );
        let why = load(&["--dev", "--metrics-rooms=201"], &[]).unwrap_err();
        assert_eq!(why, "--metrics-rooms: \"201\" is not a number from 0 to 200");
        // The most shards that there can be have more than a few, and still start without the setting.
        let most = load(&["--dev", "--shards=64"], &[]).unwrap();
        let needed = Metrics::fixed_series(NonZeroU8::new(64).unwrap()).unwrap();
        assert!(most.series.series >= needed, "{needed} are needed");
    }

    #[test]
    fn flags_over_variables_over_the_file_over_defaults() {
        let (_file, path) = file("dev = true\ntop_n = 5\nmax_rooms = 50\nname = \"filed\"\n");
        let env = [("TRIBUNE_RELAY_CONFIG", path.as_str()), ("TRIBUNE_RELAY_MAX_ROOMS", "60")];
        let env = [&env[..], &[("TRIBUNE_RELAY_NAME", "varied")]].concat();
        let config = load(&["--name", "flagged"], &env).unwrap();
        assert_eq!(config.name.as_str(), "flagged");
        assert_eq!(config.max_rooms, 60);
        assert_eq!(config.top_n, 5);
        assert_eq!(config.max_connections, 50_000);
        assert!(config.dev);
        // Lists are replaced, not joined; an empty variable counts as none.
        let (_file, path) = file("dev = true\nparent = [\"a:1\", \"b:2\"]\n");
        let parents = |arguments: &[&str], variable| {
            let arguments = [&["--config", &path], arguments].concat();
            let config = load(&arguments, &[("TRIBUNE_RELAY_PARENT", variable)]).unwrap();
            config.parents.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(parents(&[], ""), ["a:1", "b:2"]);
        assert_eq!(parents(&[], "c:3, d:4"), ["c:3", "d:4"]);
        assert_eq!(parents(&["--parent", "e:5", "--parent", "f:6"], "c:3"), ["e:5", "f:6"]);
    }

    #[test]
    fn every_wrong_value_is_named_with_its_option() {
        for (flag, value, why) in [
            ("--listen", "4433", "is not ADDRESS:PORT"),
            ("--http", "on", "is neither ADDRESS:PORT"),
            ("--web", "8080", "is neither ADDRESS:PORT"),
            ("--web", "ftp://127.0.0.1:80", "is neither ADDRESS:PORT"),
            ("--embed-from", "example.org", "is neither an origin"),
            ("--parent", "relay", "is not HOST:PORT"),
            ("--drain-to", "::1:4", "is not HOST:PORT"),
            ("--redirect-to", "relay", "is not HOST:PORT"),
            ("--capacity", "0", "is not a number from 1 to 1000000"),
            ("--capacity", "many", "is not a number from 1 to 1000000"),
            ("--shards", "0", "is not a number from 1 to 64"),
            ("--shards", "65", "is not a number from 1 to 64"),
            ("--top-n", "17", "is not a number from 1 to 16"),
            ("--top-n", "0", "is not a number from 1 to 16"),
            ("--max-connections", "many", "is not a number from 1 to 1000000"),
            ("--max-rooms", "-1", "is not a number from 1 to 1000000"),
            ("--name", " ", "is not 1 to 64 bytes"),
            ("--data", "", "is no path"),
            ("--trunk-ca", "", "is no path"),
            ("--parent-fingerprint", "abc", "is not the SHA-256 of a certificate"),
            ("--drain-timeout", "10", "is not a time up to 1h"),
            ("--drain-timeout", "2h", "is not a time up to 1h"),
            ("--log", "inof", "is neither a level"),
            ("--log", "tribune_relay=loud", "is neither a level"),
            ("--log-format", "xml", "is neither text nor json"),
        ] {
            let option = format!("{flag}={value}");
            let error = load(&["--dev", &option], &[]).unwrap_err();
            assert!(error.starts_with(&format!("{flag}: {value:?} {why}")), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn variables_and_keys_are_named_as_they_were_written() {
        let error = load(&["--dev"], &[("TRIBUNE_RELAY_TOP_N", "x")]).unwrap_err();
        assert_eq!(error, "TRIBUNE_RELAY_TOP_N: \"x\" is not a number from 1 to 16");
        let error = load(&[], &[("TRIBUNE_RELAY_DEV", "maybe")]).unwrap_err();
        assert_eq!(error, "TRIBUNE_RELAY_DEV: \"maybe\" is neither true nor false");
        for (text, says) in [
            ("dev = true\ntop_n = 17", "top_n in PATH: \"17\" is not a number from 1 to 16"),
            (
                "shards = [1]",
                "shards in PATH: a value of type array is not what this setting takes",
            ),
            ("parent = [\"a:1\", {}]", "parent in PATH: a value of type table is not what"),
            ("dve = true\ntop-n = 3", "--config: PATH has unknown keys: dve, top-n"),
            ("\n\nname = relay", "--config: PATH cannot be used: line 3: "),
        ] {
            let (_file, path) = file(text);
            let error = load(&["--config", &path], &[]).unwrap_err().replace(&path, "PATH");
            assert!(error.starts_with(says), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
        let error = load(&["--config", "/absent/relay.toml"], &[]).unwrap_err();
        assert!(error.starts_with("--config: /absent/relay.toml cannot be used: "), "{error}");
    }

    #[test]
    fn what_does_not_go_together() {
        for (arguments, says) in [
            (&[][..], "a relay needs a certificate: give --cert FILE and --key FILE, or --dev"),
            (&["--cert", "c"], "--cert needs --key"),
            (&["--key", "k", "--dev"], "--key needs --cert"),
            (&["--dev-anywhere", "--cert", "c", "--key", "k"], "--dev-anywhere needs --dev"),
            (&["--dev", "--trunk-cert", "c"], "--trunk-cert needs --trunk-key"),
            (&["--dev", "--trunk-key", "k"], "--trunk-key needs --trunk-cert"),
            (&["--dev", "--redirect-to", "a:1"], "--redirect-to needs --capacity"),
            (&["--cert", "c", "--key", "k", "--embed-from", "*"], "--embed-from needs --web"),
            (&["--dev", "--web", "off", "--embed-from", "*"], "--embed-from needs --web"),
            (&["--dev", "--parent", "a:1", "--parent", "a:1"], "--parent: \"a:1\" is given twice"),
        ] {
            let error = load(arguments, &[]).unwrap_err();
            assert!(error.starts_with(says), "{error}");
        }
        let pin = "00".repeat(32);
        let both = ["--dev", "--parent-ca", "f", "--parent-fingerprint", &pin];
        assert!(load(&both, &[]).unwrap_err().contains("exclude each other"));
        let many: Vec<String> = (1..=9).map(|port| format!("--parent=a:{port}")).collect();
        let many: Vec<&str> = std::iter::once("--dev").chain(many.iter().map(|a| &**a)).collect();
        assert!(load(&many, &[]).unwrap_err().contains("one more than the 8"));
        assert_eq!(load(&many[..9], &[]).unwrap().parents.len(), MAX_PARENTS);
        let full = ["--dev", "--capacity", "200", "--redirect-to", "a:1", "--redirect-to", "b:2"];
        let config = load(&full, &[]).unwrap();
        let places: Vec<_> = config.redirect_to.iter().map(ToString::to_string).collect();
        assert_eq!((config.capacity, &places[..]), (Some(200), &["a:1".into(), "b:2".into()][..]));
    }

    #[test]
    fn secrets_show_up_neither_in_debug_output_nor_in_errors() {
        let env = [("TRIBUNE_RELAY_TOKEN", "s3cret"), ("TRIBUNE_RELAY_NAME", "a")];
        let config = load(&["--dev"], &env).unwrap();
        assert_eq!(config.relay_token.as_ref().unwrap().expose(), "s3cret");
        assert!(!format!("{config:?}").contains("s3cret"));
        let long = "s3cret".repeat(1000);
        let error = load(&["--dev", "--relay-token", &long], &[]).unwrap_err();
        assert_eq!(error, "--relay-token: the value is not 1 to 4096 bytes long");
        let (_file, path) = file("relay_token = \"s3cret\" oops");
        let error = load(&["--config", &path], &[]).unwrap_err();
        assert!(!error.contains("s3cret"), "{error}");
    }

    #[test]
    fn where_the_page_is_and_how_it_is_reached() {
        let web = |arguments: &[&str]| {
            load(arguments, &[]).unwrap().web.map(|web| (web.to_string(), web.is_only_a_wish))
        };
        let files = |address| ["--cert", "c", "--key", "k", "--web", address];
        let given = |text: &str| Some((text.to_owned(), false));
        assert_eq!(web(&["--dev"]), Some(("http://127.0.0.1:8080".to_owned(), true)));
        assert_eq!(web(&["--cert", "c", "--key", "k"]), None);
        assert_eq!(web(&["--dev", "--web", "off"]), None);
        assert_eq!(web(&["--dev", "--web", "[::1]:80"]), given("http://[::1]:80"));
        assert_eq!(web(&["--dev", "--web", "[::]:80"]), given("https://[::]:80"));
        assert_eq!(web(&["--dev", "--web", "https://127.0.0.1:80"]), given("https://127.0.0.1:80"));
        assert_eq!(web(&files("127.0.0.1:4433")), given("https://127.0.0.1:4433"));
        assert_eq!(web(&files("http://127.0.0.1:80")), given("http://127.0.0.1:80"));
        let warnings = |address| load(&files(address), &[]).unwrap().warnings();
        assert!(
            warnings("http://0.0.0.0:80")[1].starts_with("--web http://0.0.0.0:80: without HTTPS")
        );
        assert_eq!(
            warnings("http://127.0.0.1:80").len(),
            1,
            "{:?}",
            warnings("http://127.0.0.1:80")
        );
        assert_eq!(warnings("0.0.0.0:443").len(), 1);
    }

    #[test]
    fn where_frames_may_be() {
        let origins =
            ["https://example.org", "http://localhost:8000", "https://*.example.org:444", "*"];
        let arguments = [&["--dev"], &origins.map(|_| "--embed-from")[..0]].concat();
        let arguments: Vec<_> = arguments
            .into_iter()
            .chain(origins.iter().flat_map(|origin| ["--embed-from", origin]))
            .collect();
        let embed_from = load(&arguments, &[]).unwrap().embed_from;
        assert_eq!(embed_from.iter().map(EmbedOrigin::as_str).collect::<Vec<_>>(), origins);
        for bad in [
            "",
            "https://",
            "https://example.org/",
            "https://example.org/a",
            "https://a b",
            "https://a;b",
            "https://example.org:0",
            "https://example.org:x",
            "https://a,b",
            "https://*",
            "'self'",
            "https://*.*.org",
            "https://[::1]",
            "ftp://example.org",
            "https://user@example.org",
        ] {
            let why = load(&["--dev", &format!("--embed-from={bad}")], &[]).unwrap_err();
            assert!(why.contains("is neither an origin"), "{bad}: {why}");
        }
        let many: Vec<_> =
            (0..33).map(|n| format!("--embed-from=https://{n}.example.org")).collect();
        let many: Vec<_> = std::iter::once("--dev").chain(many.iter().map(|one| &**one)).collect();
        assert!(load(&many, &[]).unwrap_err().contains("one more than the 32"));
        assert_eq!(load(&many[..33], &[]).unwrap().embed_from.len(), MAX_EMBED_ORIGINS);
    }

    #[test]
    fn where_a_self_signed_certificate_is_kept() {
        let kept = |arguments: &[&str], env: &[(&str, &str)]| {
            let arguments = [&["--dev"], arguments].concat();
            match load(&arguments, env).unwrap().certificate {
                CertificateSource::SelfSigned { kept_in } => kept_in,
                CertificateSource::Files { .. } => panic!("not self-signed"),
            }
        };
        let home = ("HOME", "/home/ada");
        let state = ("XDG_STATE_HOME", "/state");
        assert_eq!(kept(&["--data", "d"], &[home]), Some("d".into()));
        assert_eq!(kept(&[], &[home, state]), Some("/state/tribune-relay".into()));
        assert_eq!(kept(&[], &[home]), Some("/home/ada/.local/state/tribune-relay".into()));
        assert_eq!(kept(&[], &[("HOME", "relative")]), None);
    }

    #[test]
    fn trust_in_parents_and_what_is_worth_a_warning() {
        let config =
            load(&["--dev", "--parent", "[::1]:1", "--parent", "far.example:1"], &[]).unwrap();
        let trust: Vec<_> = config.parents.iter().map(|parent| config.trust_in(parent)).collect();
        assert_eq!(trust, [ParentTrust::AnythingOnLoopback, ParentTrust::SystemRoots]);
        assert_eq!(config.warnings().len(), 1);

        let arguments = ["--cert", "c", "--key", "k", "--parent", "localhost:1"];
        let config = load(&arguments, &[]).unwrap();
        assert_eq!(config.trust_in(&config.parents[0]), ParentTrust::SystemRoots);
        assert!(config.warnings()[0].contains("--keys"));
        let config = load(&[&arguments[..], &["--parent-ca", "f"]].concat(), &[]).unwrap();
        assert_eq!(config.trust_in(&config.parents[0]), ParentTrust::Authority(Path::new("f")));
    }

    #[test]
    fn help_shows_no_secret_of_the_environment_and_unknown_flags_are_mistakes() {
        let env = [("TRIBUNE_RELAY_TOKEN", "s3cret")];
        let help = load(&["--help"], &env).unwrap_err();
        assert!(help.contains("[env: TRIBUNE_RELAY_TOKEN]") && !help.contains("s3cret"), "{help}");
        assert!(load(&["--lisen", "x"], &[]).unwrap_err().contains("--lisen"));
        let page = load(&["--man"], &[]).unwrap_err();
        assert!(page.contains("keys generate") && page.contains("ed25519"), "{page}");
        assert!(help.contains("keys"), "{help}");
        assert!(load(&["keys", "generate"], &[]).unwrap_err().starts_with("[[key]]\nname = "));
        assert!(load(&["keys", "generate", "--help"], &[]).unwrap_err().contains("--ed25519"));
    }
}
