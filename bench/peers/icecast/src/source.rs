//! Source client: the only speaker. It sends the stamped stream in a window and silence between windows, as
//! Icecast drops a source that sends nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use tribune_bench::contender::latencies;
use tribune_bench::frame::{Schedule, Stamp};

use crate::pages::PageWriter;

/// Mountpoint of the stream.
pub(crate) const MOUNT: &str = "/speech.ogg";
/// `source:` and [`crate::server::SOURCE_PASSWORD`], in Base64.
const CREDENTIALS: &str = "c291cmNlOnRyaWJ1bmU=";
/// Time for the server to accept the source.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Time from one page of silence to the next between windows.
const SILENCE_PERIOD: Duration = Duration::from_secs(2);
/// Frame of silence: 20 ms of CELT.
const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];
/// Period in which the thread of silence polls its stop flag.
const GLANCE: Duration = Duration::from_millis(100);

/// Source client. Between windows it sends silence by itself.
#[derive(Debug)]
pub(crate) struct Source {
    speaker: Arc<Mutex<Speaker>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Connection and stream writer.
#[derive(Debug)]
struct Speaker {
    stream: TcpStream,
    pages: PageWriter,
}

/// Format of the stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Bytes of a frame.
    pub(crate) frame_bytes: usize,
    /// Frames per page. A page is sent when its last frame is due.
    pub(crate) frames_per_page: u32,
}

impl Source {
    /// Connects and starts the stream.
    ///
    /// # Errors
    /// The server refuses the source.
    pub(crate) fn connect(server: SocketAddr) -> Result<Self> {
        let mut speaker = Speaker::connect(server)?;
        speaker.pause()?;
        let (speaker, stop) = (Arc::new(Mutex::new(speaker)), Arc::new(AtomicBool::new(false)));
        let (theirs, stopped) = (Arc::clone(&speaker), Arc::clone(&stop));
        let builder = std::thread::Builder::new().name("silence".to_owned());
        let thread = builder.spawn(move || keep_silent(&theirs, &stopped))?;
        Ok(Self { speaker, stop, thread: Some(thread) })
    }

    /// Sends the frames of window `number`. Returns the lateness of measured pages, in microseconds.
    ///
    /// # Errors
    /// The server has closed the connection.
    pub(crate) fn speak(
        &self,
        manner: Manner,
        number: u16,
        schedule: &Schedule,
    ) -> Result<Histogram<u64>> {
        let mut speaker = self.speaker.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lateness_us = latencies()?;
        let mut page = Vec::new();
        for index in 0..schedule.frames() {
            let due = schedule.due(index, 0, 1);
            let mut frame = vec![0xa5; manner.frame_bytes];
            let due_ns = (due - schedule.start).as_nanos() as u64;
            Stamp { room: number, speaker: 0, index, due_ns }.write(&mut frame);
            page.push(frame);
            if page.len() < manner.frames_per_page as usize && index + 1 < schedule.frames() {
                continue;
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let late = due.elapsed();
            speaker.say(&page)?;
            page.clear();
            if schedule.measured_place(index).is_some() {
                lateness_us.saturating_record(late.as_micros() as u64);
            }
        }
        Ok(lateness_us)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Speaker {
    fn connect(server: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect(server).context("the source cannot connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let request = format!(
            "PUT {MOUNT} HTTP/1.1\r\nHost: {server}\r\nAuthorization: Basic {CREDENTIALS}\r\n\
             User-Agent: tribune-bench\r\nContent-Type: audio/ogg\r\nIce-Public: 0\r\nExpect: 100-continue\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            let read = stream.read(&mut byte).context("the source gets no answer")?;
            ensure!(read > 0, "the source's connection was closed");
            answer.extend(byte);
        }
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.lines().next().unwrap_or_default();
        let agreed = matches!(status.split(' ').nth(1), Some("100" | "200"));
        ensure!(agreed, "the source is not let in: {status}");
        let (pages, opening) = PageWriter::open()?;
        stream.write_all(&opening).context("the source cannot begin")?;
        Ok(Self { stream, pages })
    }

    fn say(&mut self, frames: &[Vec<u8>]) -> Result<()> {
        let page = self.pages.page(frames)?;
        self.stream.write_all(&page).context("the server hears the source no more")
    }

    fn pause(&mut self) -> Result<()> {
        self.say(&[SILENCE.to_vec()])
    }
}

fn keep_silent(speaker: &Mutex<Speaker>, stop: &AtomicBool) {
    let mut next = Instant::now() + SILENCE_PERIOD;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(GLANCE);
        if Instant::now() < next {
            continue;
        }
        next += SILENCE_PERIOD;
        // In a window the speaker holds it.
        if let Ok(mut speaker) = speaker.try_lock() {
            // A server that has ended shows in the next window.
            let _ = speaker.pause();
        }
    }
}
