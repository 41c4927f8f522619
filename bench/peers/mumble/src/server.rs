//! mumble-server process of a run, with settings and database in a directory of its own, on a port that the
//! system chooses.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// Program names: the current one, and Debian 12's.
const PROGRAMS: [&str; 2] = ["mumble-server", "murmurd"];
/// Directories of servers, which may not be on the PATH.
const DIRECTORIES: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin"];
/// Time until it must listen. It creates a database and a certificate first.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Period in which a connection is tried.
const GLANCE: Duration = Duration::from_millis(50);
/// Lines of its log in an error.
const LAST_LINES: usize = 3;
/// Attempts to find a port: one free for TCP may be taken for UDP.
const PORT_TRIES: u32 = 20;

/// Server process. It ends with this value, and with this process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Server {
    /// Path of the program, if it is installed.
    pub(crate) fn find() -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let directories: Vec<PathBuf> =
            std::env::split_paths(&path).chain(DIRECTORIES.map(PathBuf::from)).collect();
        let mut programs = PROGRAMS
            .iter()
            .flat_map(|program| directories.iter().map(move |place| place.join(program)));
        programs.find(|program| program.is_file())
    }

    /// Starts a server for a number of clients and waits until it listens.
    ///
    /// # Errors
    /// It cannot be started, ends, or does not listen in time.
    pub(crate) fn start(program: &Path, clients: u32) -> Result<Self> {
        let directory = tempfile::tempdir().context("a directory for the server")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let settings = directory.path().join("server.ini");
        std::fs::write(&settings, ini(directory.path(), address.port(), clients))
            .with_context(|| format!("{} cannot be written", settings.display()))?;
        let log_path = directory.path().join("log");
        let log = File::create(&log_path)
            .with_context(|| format!("{} cannot be written", log_path.display()))?;
        // setpriv ends the server even if this process is killed.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .arg("-fg")
            .arg("-ini")
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("setpriv cannot start {}", program.display()))?;
        let mut server = Self { child, address, _directory: directory };
        server.wait_until_it_listens(&log_path)?;
        Ok(server)
    }

    /// Address on which it listens, TCP and UDP.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_it_listens(&mut self, log: &Path) -> Result<()> {
        let until = Instant::now() + READY_WITHIN;
        while TcpStream::connect_timeout(&self.address, GLANCE).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("mumble-server has ended ({status}); {}", last_lines(log));
            }
            if Instant::now() > until {
                let (address, last) = (self.address, last_lines(log));
                bail!("mumble-server does not listen on {address} after {READY_WITHIN:?}; {last}");
            }
            std::thread::sleep(GLANCE);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its state is discarded, so it need not close its connections.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Port that is free for both TCP and UDP.
fn free_port() -> Result<u16> {
    for _ in 0..PORT_TRIES {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
        let port = tcp.local_addr()?.port();
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free for both TCP and UDP after {PORT_TRIES} tries")
}

/// Settings: limits on many clients of one address are off, and so is everything that reaches outside this
/// machine. The timeout is a day, so that clients may be silent between windows.
fn ini(directory: &Path, port: u16, clients: u32) -> String {
    let directory = directory.display();
    let room = clients + 10;
    // Started by root it would switch to another user, who may not write there and whom setpriv's signal does
    // not reach.
    let user = if rustix::process::geteuid().is_root() { "uname=root\n" } else { "" };
    format!(
        "database={directory}/server.sqlite\n\
         logfile={directory}/server.log\n\
         pidfile={directory}/server.pid\n\
         dbus=\n\
         ice=\n\
         bonjour=false\n\
         host=127.0.0.1\n\
         port={port}\n\
         users={room}\n\
         usersperchannel={room}\n\
         bandwidth=558000\n\
         timeout=86400\n\
         opusthreshold=0\n\
         autobanAttempts=0\n\
         messageburst=1000\n\
         messagelimit=1000\n\
         logdays=-1\n\
         certrequired=false\n\
         allowping=false\n\
         welcometext=\n\
         {user}"
    )
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
    format!("its last words: {}", last.join(" / "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_and_the_settings_name_it() {
        let port = free_port().unwrap();
        let settings = ini(Path::new("/x"), port, 1_000);
        assert!(settings.contains(&format!("\nport={port}\n")), "{settings}");
        assert!(settings.starts_with("database=/x/server.sqlite\n"), "{settings}");
        assert!(settings.contains("\nusers=1010\n"), "{settings}");
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    }

    #[test]
    fn a_server_that_ends_at_once_is_told_of() {
        let error = Server::start(Path::new("/bin/false"), 1).unwrap_err().to_string();
        assert!(error.starts_with("mumble-server has ended (exit status: 1)"), "{error}");
    }
}
