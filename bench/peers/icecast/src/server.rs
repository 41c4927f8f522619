//! Icecast process with a configuration of its own, on a loopback port.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// Program name in Debian.
const PROGRAM: &str = "icecast2";
/// Time until it must listen.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// Period in which a connection is tried.
const GLANCE: Duration = Duration::from_millis(20);
/// Time in which a crash shows.
const CRASH_WITHIN: Duration = Duration::from_millis(500);
/// Ports that are tried, since another process may take one that was just free.
const PORTS: u32 = 3;
/// User of Icecast if this process is root, as which Icecast does not run.
const NOBODY: u32 = 65_534;
/// Bytes that a listener may lag before it is dropped: far more than a window has.
const QUEUE_BYTES: u32 = 64 << 20;
/// Connections beside the listeners': the source, and those that only probe the port.
const OTHER_CLIENTS: u32 = 50;
/// Password of the source. It protects nothing: the port is on loopback and closed after the run.
pub(crate) const SOURCE_PASSWORD: &str = "tribune";

/// Icecast process. It ends with this value, and with this process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Server {
    /// Starts it for a number of listeners and waits until it listens.
    ///
    /// # Errors
    /// It cannot be started, or does not listen within ten seconds.
    pub(crate) fn start(listeners: u32) -> Result<Self> {
        let mut refusal = None;
        for _ in 0..PORTS {
            match Self::start_on(free_port()?, listeners) {
                Ok(server) => return Ok(server),
                Err(error) => refusal = Some(error),
            }
        }
        Err(refusal.context("no port was tried")?)
    }

    fn start_on(address: SocketAddr, listeners: u32) -> Result<Self> {
        let directory = tempfile::tempdir().context("a directory for icecast2")?;
        let path = directory.path();
        let root = std::fs::metadata(path)?.uid() == 0;
        if root {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY))?;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
        }
        let config = path.join("icecast.xml");
        std::fs::write(&config, configuration(address, listeners, path))?;
        // setpriv execs Icecast, which then ends with this process even if that is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", PROGRAM, "-c"]).arg(&config);
        if root {
            command.uid(NOBODY).gid(NOBODY);
        }
        let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = silent.spawn().context("setpriv (util-linux) cannot be started")?;
        let mut server = Self { child, address, _directory: directory };
        server.wait_until_listening()?;
        Ok(server)
    }

    /// Address on which it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Exit status, if it has ended.
    ///
    /// # Errors
    /// Its status cannot be read.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        // A process that has just closed its connections may still be about to exit.
        std::thread::sleep(CRASH_WITHIN);
        Ok(self.child.try_wait()?)
    }

    fn wait_until_listening(&mut self) -> Result<()> {
        let until = Instant::now() + READY_WITHIN;
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("icecast2 has ended before it listened on {}: {status}", self.address);
            }
            if Instant::now() > until {
                bail!("icecast2 did not listen on {} within {READY_WITHIN:?}", self.address);
            }
            std::thread::sleep(GLANCE);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Version of the installed program; `None` if it is not installed.
pub(crate) fn version() -> Option<String> {
    let output = Command::new(PROGRAM).arg("-v").output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

/// Free port: Icecast does not accept port 0.
fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn configuration(address: SocketAddr, listeners: u32, directory: &Path) -> String {
    let mut xml = String::from("<icecast>\n");
    let directory = directory.display();
    let clients = listeners + OTHER_CLIENTS;
    // Writing to a String does not fail.
    let _ = write!(
        xml,
        "<limits>
  <clients>{clients}</clients>
  <sources>2</sources>
  <queue-size>{QUEUE_BYTES}</queue-size>
  <client-timeout>30</client-timeout>
  <header-timeout>15</header-timeout>
  <source-timeout>60</source-timeout>
  <burst-on-connect>0</burst-on-connect>
  <burst-size>0</burst-size>
</limits>
<authentication>
  <source-password>{SOURCE_PASSWORD}</source-password>
  <relay-password>{SOURCE_PASSWORD}</relay-password>
  <admin-user>admin</admin-user>
  <admin-password>{SOURCE_PASSWORD}</admin-password>
</authentication>
<location>loopback</location>
<admin>nobody@localhost</admin>
<hostname>localhost</hostname>
<listen-socket><bind-address>{}</bind-address><port>{}</port></listen-socket>
<fileserve>0</fileserve>
<paths>
  <basedir>{directory}</basedir>
  <logdir>{directory}</logdir>
  <webroot>{directory}</webroot>
  <adminroot>{directory}</adminroot>
</paths>
<logging>
  <accesslog>access.log</accesslog>
  <errorlog>error.log</errorlog>
  <loglevel>1</loglevel>
</logging>
<security><chroot>0</chroot></security>
</icecast>\n",
        address.ip(),
        address.port(),
    );
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_has_room_for_all_listeners() {
        let address = "127.0.0.1:8123".parse().unwrap();
        let xml = configuration(address, 1_000, Path::new("/somewhere"));
        assert!(xml.contains("<clients>1050</clients>"), "{xml}");
        assert!(xml.contains("<bind-address>127.0.0.1</bind-address><port>8123</port>"), "{xml}");
        assert!(xml.contains("<logdir>/somewhere</logdir>"), "{xml}");
    }
}
