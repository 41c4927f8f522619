//! Janus process with a configuration of its own in a temporary directory.

use std::fmt::{self, Display, Formatter};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use tempfile::TempDir;

use crate::api::{Api, MOUNTPOINT, News};
use crate::speaker::PAYLOAD_TYPE;

/// Time from the start of Janus to its first answer.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// Attempts to start Janus. 1.1.2 may end at its start: the thread of its Unix socket ends at once if it
/// runs before the thread that created it continues. On a busy machine that is about one start in four.
const START_TRIES: u32 = 20;
/// Period in which an answer is polled.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Lines of Janus's log in an error.
const LOG_LINES: usize = 5;
/// Disabled plugins: all of Debian's package but the measured one.
const OTHER_PLUGINS: &str = "libjanus_audiobridge.so,libjanus_duktape.so,libjanus_echotest.so,\
    libjanus_lua.so,libjanus_nosip.so,libjanus_recordplay.so,libjanus_sip.so,\
    libjanus_textroom.so,libjanus_videocall.so,libjanus_videoroom.so,libjanus_voicemail.so";
/// Disabled transports: all of Debian's package but the Unix socket.
const OTHER_TRANSPORTS: &str = "libjanus_http.so,libjanus_mqtt.so,libjanus_nanomsg.so,\
    libjanus_rabbitmq.so,libjanus_websockets.so";

/// Error: Janus is not installed.
#[derive(Debug)]
pub(crate) struct Missing;

impl Display for Missing {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("janus is not installed (Debian's package is called janus)")
    }
}

impl std::error::Error for Missing {}

/// Janus process. It ends with this value.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    media: Ipv4Addr,
    mountpoint: SocketAddr,
    version: String,
    directory: TempDir,
}

impl Server {
    /// Starts Janus and waits until it answers. 0 event loops: a thread per viewer.
    ///
    /// # Errors
    /// [`Missing`]; it ends or does not answer in time in all attempts; the machine has no suitable address.
    pub(crate) fn start(event_loops: u16) -> Result<(Self, Api)> {
        let janus = installed().ok_or(Missing)?;
        let media = media_address()?;
        let mut tries = 1;
        loop {
            let mut server = Self::spawn(&janus, media, event_loops)?;
            match server.wait_until_ready() {
                Ok(api) => return Ok((server, api)),
                Err(_) if tries < START_TRIES => tries += 1,
                Err(error) => {
                    return Err(error.context(format!("Janus's log ends: {}", server.log_end())));
                }
            }
        }
    }

    fn spawn(janus: &Path, media: Ipv4Addr, event_loops: u16) -> Result<Self> {
        let directory = tempfile::tempdir().context("a directory for Janus")?;
        let mountpoint = free_port()?;
        configure(directory.path(), media, mountpoint, event_loops)?;
        let log = File::create(directory.path().join("log")).context("a log for Janus")?;
        // Janus ends with this process, even if that is killed.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(janus)
            .arg("--configs-folder")
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("setpriv, which starts Janus, cannot be started")?;
        Ok(Self { child, media, mountpoint, version: String::new(), directory })
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Address of its media. Janus uses no loopback interface.
    pub(crate) const fn media(&self) -> Ipv4Addr {
        self.media
    }

    /// Address of the mountpoint's RTP port.
    pub(crate) const fn mountpoint(&self) -> SocketAddr {
        self.mountpoint
    }

    /// Version of Janus.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    fn wait_until_ready(&mut self) -> Result<Api> {
        let until = Instant::now() + READY_WITHIN;
        let path = socket_path(self.directory.path());
        let mut asked: Option<Api> = None;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                bail!("Janus has ended at its start ({status})");
            }
            if let Some(mut api) = asked.take() {
                if let Some(News::Version(version)) = api.poll()? {
                    self.version = version;
                    return Ok(api);
                }
                asked = Some(api);
            } else if let Ok(api) = Api::connect(&path) {
                api.ask_version()?;
                asked = Some(api);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("Janus did not answer within {READY_WITHIN:?}")
    }

    fn log_end(&self) -> String {
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join(" | ")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its state is discarded, so it need not close its sessions.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join("janus"))
        .find(|file| file.is_file())
}

/// First address of the machine from which Janus gathers candidates. Packets to it do not leave the machine.
fn media_address() -> Result<Ipv4Addr> {
    let needed = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
    let mut interfaces = getifaddrs().context("the machine's addresses cannot be read")?;
    let address = interfaces.find_map(|interface| {
        let flags = interface.flags;
        let used = flags.contains(needed) && !flags.contains(InterfaceFlags::IFF_LOOPBACK);
        interface.address.filter(|_| used)?.as_sockaddr_in().map(|address| address.ip())
    });
    address.context("Janus uses no loopback interface, and the machine has no other with IPv4")
}

/// Free port of the mountpoint. It may be taken before Janus reads its configuration; Janus then reports it.
fn free_port() -> Result<SocketAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("a port for the mountpoint")?;
    Ok(socket.local_addr()?)
}

fn socket_path(directory: &Path) -> PathBuf {
    directory.join("api")
}

fn configure(
    directory: &Path,
    media: Ipv4Addr,
    mountpoint: SocketAddr,
    event_loops: u16,
) -> Result<()> {
    let api = socket_path(directory);
    let files = [
        ("janus.jcfg", core_settings(media, event_loops)),
        (
            "janus.transport.pfunix.jcfg",
            format!(
                "general: {{\n enabled = true\n json = \"compact\"\n path = \"{}\"\n \
                 type = \"SOCK_SEQPACKET\"\n}}\n",
                api.display()
            ),
        ),
        ("janus.plugin.streaming.jcfg", mountpoint_settings(mountpoint)),
    ];
    for (name, text) in files {
        fs::write(directory.join(name), text)
            .with_context(|| format!("{name} cannot be written"))?;
    }
    Ok(())
}

/// Settings of the core. Sessions do not time out, so that viewers need not send keepalives.
fn core_settings(media: Ipv4Addr, event_loops: u16) -> String {
    format!(
        "general: {{\n debug_level = 3\n debug_colors = false\n session_timeout = 0\n \
         event_loops = {event_loops}\n}}\n\
         nat: {{\n ice_enforce_list = \"{media}\"\n full_trickle = false\n}}\n\
         plugins: {{\n disable = \"{OTHER_PLUGINS}\"\n}}\n\
         transports: {{\n disable = \"{OTHER_TRANSPORTS}\"\n}}\n"
    )
}

fn mountpoint_settings(mountpoint: SocketAddr) -> String {
    format!(
        "speech: {{\n type = \"rtp\"\n id = {MOUNTPOINT}\n media = ( {{\n  type = \"audio\"\n  \
         mid = \"a\"\n  iface = \"{}\"\n  port = {}\n  pt = {PAYLOAD_TYPE}\n  codec = \"opus\"\n \
         }} )\n}}\n",
        mountpoint.ip(),
        mountpoint.port()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_name_what_was_chosen() {
        let core = core_settings(Ipv4Addr::new(192, 0, 2, 7), 2);
        assert!(core.contains("event_loops = 2\n"), "{core}");
        assert!(core.contains("ice_enforce_list = \"192.0.2.7\"\n"), "{core}");
        assert!(!core.contains("libjanus_streaming") && !core.contains("libjanus_pfunix"));
        let mountpoint = mountpoint_settings(([127, 0, 0, 1], 5_002).into());
        assert!(mountpoint.contains("iface = \"127.0.0.1\"\n  port = 5002\n"), "{mountpoint}");
    }

    #[test]
    fn the_mountpoint_is_on_loopback() {
        let port = free_port().unwrap();
        assert!(port.ip().is_loopback() && port.port() != 0);
    }
}
