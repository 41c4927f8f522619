//! Listeners: plain TCP connections that one thread sweeps without blocking.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tribune_bench::contender::{Said, say};
use tribune_bench::frame::Schedule;
use tribune_bench::window_tally::{WindowCounts, WindowTally};

use crate::pages::StreamParser;
use crate::source::MOUNT;

/// Time from one connection to the next: Icecast's accept queue has five places.
const JOIN_PERIOD: Duration = Duration::from_millis(4);
/// Time for the last answers beyond the joins.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);
/// Sweep period in a window, and so the resolution of the latencies. No thread blocks on a socket, so that
/// the server is not charged for waking this process.
const SWEEP: Duration = Duration::from_millis(4);
/// Sweep period between windows, when only silence arrives.
const IDLE_SWEEP: Duration = Duration::from_millis(100);
/// Pause after a sweep that took too long, so that other threads can take the lock.
const LEAST_REST: Duration = Duration::from_micros(100);
/// Bytes per read: more than a second of speech.
const READ_BYTES: usize = 16 * 1024;

/// Listeners that are in. They leave with this value.
#[derive(Debug)]
pub(crate) struct Audience {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// State shared with the listeners' thread.
#[derive(Debug, Default)]
struct Shared {
    /// Tally of the running window.
    tally: Mutex<Option<WindowTally>>,
    /// Listeners whose connection ended.
    gone: AtomicU32,
    /// Stop flag of the thread.
    stop: AtomicBool,
}

/// Connection of a listener.
#[derive(Debug)]
struct Listener {
    /// `None` once it has ended.
    stream: Option<TcpStream>,
    parser: StreamParser,
}

impl Audience {
    /// Joins listeners and reports progress.
    ///
    /// # Errors
    /// A listener is not admitted.
    pub(crate) fn join(server: SocketAddr, count: u32) -> Result<Self> {
        let listeners = join_all(server, count)?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let builder = std::thread::Builder::new().name("listeners".to_owned());
        let thread = builder.spawn(move || attend(listeners, &theirs))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Listeners whose connection ended.
    pub(crate) fn gone(&self) -> u32 {
        self.shared.gone.load(Ordering::Relaxed)
    }

    /// Starts the tally of a window.
    ///
    /// # Errors
    /// None; see [`WindowTally::new`].
    pub(crate) fn begin(&self, number: u16, schedule: Schedule) -> Result<()> {
        *self.shared.tally() = Some(WindowTally::new(number, schedule)?);
        Ok(())
    }

    /// Ends the window and returns its counts.
    ///
    /// # Errors
    /// No window is running.
    pub(crate) fn end(&self) -> Result<WindowCounts> {
        self.shared.tally().take().map(WindowTally::close).context("no window goes on")
    }
}

impl Drop for Audience {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Option<WindowTally>> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    fn connect(server: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect(server)?;
        let request =
            format!("GET {MOUNT} HTTP/1.0\r\nHost: {server}\r\nUser-Agent: tribune-bench\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream: Some(stream), parser: StreamParser::default() })
    }

    /// Reads all available bytes.
    ///
    /// # Errors
    /// The connection ended, or carries something other than the stream.
    fn sweep(&mut self, buffer: &mut [u8], mut packet: impl FnMut(&[u8])) -> Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        loop {
            match stream.read(buffer) {
                Ok(0) => bail!("the server has closed the connection"),
                Ok(bytes) => {
                    self.parser.handle_bytes(&buffer[..bytes], &mut packet)?;
                    if bytes < buffer.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn join_all(server: SocketAddr, count: u32) -> Result<Vec<Listener>> {
    let began = Instant::now();
    let within = JOIN_PERIOD * count + JOIN_PATIENCE;
    let mut listeners: Vec<Listener> = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    let (mut joined, mut said) = (0, began);
    while joined < count {
        ensure!(
            began.elapsed() < within,
            "only {joined} of {count} listeners were let in within {within:?}"
        );
        if said.elapsed() >= Duration::from_secs(1) {
            say(&Said::Joining { joined })?;
            said = Instant::now();
        }
        // A full accept queue drops connections silently, so no pause is skipped to catch up.
        std::thread::sleep(JOIN_PERIOD);
        let number = listeners.len();
        if number < count as usize {
            let listener = Listener::connect(server);
            listeners.push(listener.with_context(|| format!("listener {number} cannot connect"))?);
        }
        for (number, listener) in listeners.iter_mut().enumerate() {
            if listener.parser.headed() {
                continue;
            }
            let read = listener.sweep(&mut buffer, |_: &[u8]| {});
            read.with_context(|| format!("listener {number} is not let in"))?;
            joined += u32::from(listener.parser.headed());
        }
    }
    Ok(listeners)
}

/// Main loop of the listeners' thread.
fn attend(mut listeners: Vec<Listener>, shared: &Shared) {
    let mut buffer = vec![0; READ_BYTES];
    let mut next = Instant::now();
    while !shared.stop.load(Ordering::Relaxed) {
        let mut tally = shared.tally();
        let period = if tally.is_some() { SWEEP } else { IDLE_SWEEP };
        for listener in &mut listeners {
            let hear = |packet: &[u8]| {
                if let Some(tally) = tally.as_mut() {
                    tally.handle_frame(Instant::now(), packet);
                }
            };
            if let Err(why) = listener.sweep(&mut buffer, hear) {
                listener.stream = None;
                if shared.gone.fetch_add(1, Ordering::Relaxed) == 0 {
                    eprintln!("a listener is gone: {why:#}");
                }
            }
        }
        drop(tally);
        // A sweep that took too long is not caught up with.
        let now = Instant::now();
        next = (next + period).max(now + LEAST_REST);
        std::thread::sleep(next - now);
    }
}
