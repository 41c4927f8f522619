//! Table of all settings: names as a flag, a variable and a key, kind of value, help. Help text and man
//! page follow from it.

/// One setting, under its three names.
pub(super) struct Setting {
    pub(super) key: &'static str,
    pub(super) flag: &'static str,
    pub(super) env: &'static str,
    pub(super) value: &'static str,
    pub(super) kind: Kind,
    pub(super) group: &'static str,
    pub(super) default: &'static str,
    pub(super) help: &'static str,
}

/// Kind of a setting's value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
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
pub(super) const OPERATION: &str = "Operation";

/// `key, flag, variable, value's name, kind, group, default, help`. The value's meaning and the reason
/// of its default are with the fields of [`super::Config`].
#[rustfmt::skip]
pub(super) const SETTINGS: [Setting; 33] = [
    setting("listen", "listen", "TRIBUNE_RELAY_LISTEN", "ADDR", Kind::One, CONNECTIONS, "[::]:4433",
        "UDP address that participants and child relays connect to; port 0 lets the system choose, and the relay prints it"),
    setting("http", "http", "TRIBUNE_RELAY_HTTP", "ADDR", Kind::One, CONNECTIONS, "127.0.0.1:9433",
        "TCP address of /healthz, /readyz, /metrics, /api and /drain, or \"off\""),
    setting("web", "web", "TRIBUNE_RELAY_WEB", "ADDR", Kind::One, CONNECTIONS, "off; 127.0.0.1:8080 with --dev",
        "TCP address of the page for browsers, or \"off\"; HTTPS with the relay's certificate, plain HTTP after http:// (behind a proxy) or on this machine with --dev"),
    setting("embed_from", "embed-from", "TRIBUNE_RELAY_EMBED_FROM", "ORIGIN", Kind::Many, CONNECTIONS, "none",
        "Pages that may hold /embed/ROOM in a frame, by their origin such as https://example.org, or * for all; repeated, up to 32"),
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
    setting("audience_from", "audience-from", "TRIBUNE_RELAY_AUDIENCE_FROM", "N", Kind::One, LIMITS, "1000",
        "Listeners of a room from which on new ones are given the profile audience, at a third of the packets and half a second of delay, unless they or the room say otherwise; 0 for never"),
    setting("max_connections", "max-connections", "TRIBUNE_RELAY_MAX_CONNECTIONS", "N", Kind::One, LIMITS, "50000",
        "Connections at the same time, over all shards; 1 to 1000000"),
    setting("capacity", "capacity", "TRIBUNE_RELAY_CAPACITY", "N", Kind::One, LIMITS, "none",
        "Participants at the same time, but for those with a place on the stage or back within 30 s; 1 to 1000000"),
    setting("max_rooms", "max-rooms", "TRIBUNE_RELAY_MAX_ROOMS", "N", Kind::One, LIMITS, "10000",
        "Rooms at the same time; 1 to 1000000"),
    setting("data", "data", "TRIBUNE_RELAY_DATA", "DIR", Kind::One, OPERATION, "none, so nothing is kept",
        "Directory for what outlives a restart: the relay's id, its keys, the self-signed certificate, rooms and their logs; for one relay only"),
    setting("keep_statistics", "keep-statistics", "TRIBUNE_RELAY_KEEP_STATISTICS", "TIME", Kind::One, OPERATION, "forever",
        "Time for which statistics of a room are kept after its end, such as 90days; forever: as long as its log. They name speakers, and no listener"),
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
