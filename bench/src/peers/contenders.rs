//! List of contenders: programs, arguments, sizes, numbers of speakers.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::paths;

/// Contender: a process that loads one server with one kind of listener and measures windows on request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contender {
    /// Name on the command line and in JSON.
    pub(crate) name: &'static str,
    /// Name in tables.
    pub(crate) label: &'static str,
    program: Program,
    arguments: &'static [&'static str],
    /// Numbers of speakers that are measured, and at which sizes.
    asked: &'static [(u16, At)],
    /// Approximate time of one listener's join, in milliseconds, for estimates.
    pub(crate) join_ms: f64,
}

#[derive(Debug, Clone, Copy)]
enum Program {
    /// A command of this program: the reference that others are divided by.
    Own(&'static str),
    /// Load client of another system.
    Peer(&'static str),
}

/// Sizes at which a contender is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Every,
    /// Only the largest size.
    Largest,
    /// Up to this size: beyond it the server cannot keep up on two cores, or disturbs the others while idle.
    UpTo(u32),
}

/// Name of Tribune.
pub(crate) const TRIBUNE: &str = "tribune";
/// Name of the ceiling.
pub(crate) const CEILING: &str = "ceiling";
/// Tribune with listeners at an RTT of 50 ms.
pub(crate) const TRIBUNE_FAR: &str = "tribune-rtt50";
/// mumble-server with listeners that ping as real clients do.
pub(crate) const MUMBLE: &str = "mumble";
/// moq-relay with one group per frame.
pub(crate) const MOQ: &str = "moq-1";

/// Load client of Janus. Janus skips loopback interfaces, so it runs in a network namespace of its own.
const JANUS: &str = "peer-janus";

/// All contenders, in the order of tables.
pub(crate) const CONTENDERS: [Contender; 12] = [
    Contender {
        name: CEILING,
        label: "ceiling: seal, mask, send",
        program: Program::Own("ceiling"),
        arguments: &[],
        asked: &[(1, At::Every)],
        join_ms: 0.1,
    },
    Contender {
        name: TRIBUNE,
        label: "Tribune",
        program: Program::Own("tribune"),
        arguments: &[],
        asked: &[(1, At::Every), (4, At::Every)],
        join_ms: 5.0,
    },
    Contender {
        name: TRIBUNE_FAR,
        label: "Tribune, RTT 50 ms",
        program: Program::Own("tribune"),
        arguments: &["--rtt", "50"],
        asked: &[(1, At::Largest)],
        join_ms: 6.0,
    },
    Contender {
        name: MUMBLE,
        label: "mumble-server, listeners ping every 5 s",
        program: Program::Peer("peer-mumble"),
        arguments: &[],
        asked: &[(1, At::Every), (4, At::Every)],
        join_ms: 25.0,
    },
    Contender {
        name: "mumble-silent",
        label: "mumble-server, silent listeners",
        program: Program::Peer("peer-mumble"),
        arguments: &["--ping-seconds", "0"],
        asked: &[(1, At::Largest)],
        join_ms: 25.0,
    },
    Contender {
        name: "stock-quinn",
        label: "stock quinn",
        program: Program::Peer("peer-stock-quinn"),
        arguments: &[],
        asked: &[(1, At::Every)],
        join_ms: 5.0,
    },
    Contender {
        name: "icecast-20",
        label: "icecast2, pages of 20 ms",
        program: Program::Peer("peer-icecast"),
        arguments: &["--page-ms", "20"],
        asked: &[(1, At::Every)],
        join_ms: 5.0,
    },
    Contender {
        name: "icecast-100",
        label: "icecast2, pages of 100 ms",
        program: Program::Peer("peer-icecast"),
        arguments: &["--page-ms", "100"],
        asked: &[(1, At::Largest)],
        join_ms: 5.0,
    },
    Contender {
        name: MOQ,
        label: "moq-relay, 1 frame a group",
        program: Program::Peer("peer-moq"),
        arguments: &["--frames-per-group", "1"],
        asked: &[(1, At::UpTo(500))],
        join_ms: 10.0,
    },
    Contender {
        name: "moq-10",
        label: "moq-relay, 10 frames a group",
        program: Program::Peer("peer-moq"),
        arguments: &["--frames-per-group", "10"],
        asked: &[(1, At::UpTo(500))],
        join_ms: 10.0,
    },
    Contender {
        name: "moq-datagrams",
        label: "moq-relay, datagrams",
        program: Program::Peer("peer-moq"),
        arguments: &["--datagrams"],
        asked: &[(1, At::UpTo(500))],
        join_ms: 10.0,
    },
    Contender {
        name: "janus",
        label: "Janus, streaming plugin",
        program: Program::Peer(JANUS),
        arguments: &["--event-loops", "2"],
        // Idle, it takes a quarter of a core for 1,000 viewers, which would disturb all others.
        asked: &[(1, At::UpTo(500))],
        join_ms: 20.0,
    },
];

/// Contender of a name.
///
/// # Errors
/// There is none; the sentence names it.
pub(crate) fn by_name(name: &str) -> Result<&'static Contender> {
    let found = CONTENDERS.iter().find(|contender| contender.name == name);
    let names = || CONTENDERS.map(|contender| contender.name).join(", ");
    found.with_context(|| format!("\"{name}\" is not one of {}", names()))
}

impl Contender {
    /// Numbers of speakers that are measured at a size.
    pub(crate) fn speakers(&self, size: u32, largest: u32) -> Vec<u16> {
        let asked = self.asked.iter().filter(|(_, at)| match at {
            At::Every => true,
            At::Largest => size == largest,
            At::UpTo(most) => size <= *most,
        });
        asked.map(|(speakers, _)| *speakers).collect()
    }

    /// Reason not to measure it at a size, if there is one.
    pub(crate) fn not_asked(&self, size: u32) -> Option<String> {
        self.asked.iter().find_map(|(_, at)| match at {
            At::Every | At::Largest => None,
            At::UpTo(most) if size <= *most => None,
            At::UpTo(most) => {
                Some(format!("not asked beyond {most} listeners: it does not keep up on two cores, or disturbs the others while it waits"))
            }
        })
    }

    /// Whether it is a command of this program, and so a reference for the others.
    pub(crate) const fn is_reference(&self) -> bool {
        matches!(self.program, Program::Own(_))
    }

    /// Command that starts it.
    ///
    /// # Errors
    /// Its program has not been built.
    pub(crate) fn command(&self, paths: &ProgramPaths, listeners: u32) -> Result<Command> {
        let mut command = match self.program {
            Program::Own(kind) => {
                let mut own = Command::new(std::env::current_exe().context("this program's path")?);
                own.args(["contend", kind]);
                own
            }
            Program::Peer(program) => {
                let path = paths.peers.join(program);
                if !path.is_file() {
                    bail!("{} is not built", path.display());
                }
                if program == JANUS { isolated(path) } else { Command::new(path) }
            }
        };
        command.args(["--listeners", &listeners.to_string()]).args(self.arguments);
        if matches!(self.program, Program::Peer("peer-moq")) {
            command.arg("--server").arg(&paths.moq_relay);
        }
        Ok(command)
    }
}

/// Program in a network namespace of its own, with a non-loopback address. Needs root.
fn isolated(program: PathBuf) -> Command {
    const NETWORK: &str = r#"
        ip link set lo up
        ip link add listeners type dummy || ip link add listeners type veth peer name relay
        ip addr add 192.0.2.1/24 dev listeners && ip link set listeners up || exit 2
        ip link set relay up 2>/dev/null
        exec "$0" "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", NETWORK]).arg(program);
    command
}

/// Paths of programs of other systems.
#[derive(Debug, Clone)]
pub(crate) struct ProgramPaths {
    /// Directory of the load clients.
    pub(crate) peers: PathBuf,
    /// moq-relay itself, which no distribution has.
    pub(crate) moq_relay: PathBuf,
}

impl ProgramPaths {
    /// Paths as `make bench` leaves them, with another directory of load clients if given.
    pub(crate) fn new(peers: Option<PathBuf>) -> Self {
        Self { peers: peers.unwrap_or_else(paths::peers), moq_relay: paths::moq_relay() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contenders_are_known_by_their_names() {
        for contender in &CONTENDERS {
            assert_eq!(by_name(contender.name).unwrap().label, contender.label);
        }
        let error = by_name("skype").unwrap_err().to_string();
        assert!(error.contains("\"skype\"") && error.contains("stock-quinn"), "{error}");
    }

    #[test]
    fn what_a_contender_is_asked_depends_on_the_size() {
        let asked = |name, size| by_name(name).unwrap().speakers(size, 1_000);
        assert_eq!((asked(TRIBUNE, 200), asked(TRIBUNE, 1_000)), (vec![1, 4], vec![1, 4]));
        assert_eq!((asked(TRIBUNE_FAR, 200), asked(TRIBUNE_FAR, 1_000)), (vec![], vec![1]));
        assert_eq!((asked(MOQ, 500), asked(MOQ, 1_000)), (vec![1], vec![]));
        let moq = by_name(MOQ).unwrap();
        assert!(moq.not_asked(1_000).is_some() && moq.not_asked(500).is_none());
        assert!(by_name(TRIBUNE_FAR).unwrap().not_asked(200).is_none());
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let paths = ProgramPaths::new(Some("/nowhere".into()));
        let error = by_name("janus").unwrap().command(&paths, 9).unwrap_err().to_string();
        assert!(error.contains("/nowhere/peer-janus"), "{error}");
    }
}
