//! A source on a thread of its own: reading a file, a pipe or a microphone blocks.

use tokio::sync::{mpsc, oneshot};

use crate::audio::AudioError;
use crate::audio::source::{Source, SourceFrame};
use crate::outcome::{CommandError, Exit};

/// Read-ahead of a file or pipe: 1 s, the stall of a busy disk.
const AHEAD_FRAMES: usize = 50;
/// Queue of a microphone: 100 ms, so that live sound does not grow old.
const LIVE_FRAMES: usize = 5;

/// Frames of a source.
#[derive(Debug)]
pub(crate) struct SourceThread {
    frames: mpsc::Receiver<Result<SourceFrame, AudioError>>,
    is_live: bool,
}

/// State of a source.
#[derive(Debug)]
pub(crate) enum Ready {
    Frame(Box<SourceFrame>),
    /// No frame yet: an idle pipe.
    NotYet,
    /// The source has ended.
    End,
}

impl SourceThread {
    /// Opens a source by `open`, on its own thread.
    pub(crate) async fn open(
        is_live: bool,
        open: impl FnOnce() -> Result<Source, AudioError> + Send + 'static,
    ) -> Result<Self, CommandError> {
        let (sender, frames) = mpsc::channel(if is_live { LIVE_FRAMES } else { AHEAD_FRAMES });
        let (opened, is_open) = oneshot::channel();
        std::thread::Builder::new()
            .name("source".to_owned())
            .spawn(move || match open() {
                Ok(source) => {
                    let _ = opened.send(Ok(()));
                    run(source, is_live, &sender);
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            })
            .map_err(|error| broken(&error.to_string()))?;
        match is_open.await {
            Ok(Ok(())) => Ok(Self { frames, is_live }),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(broken("it panicked")),
        }
    }

    /// Whether a device paces the frames.
    pub(crate) const fn is_live(&self) -> bool {
        self.is_live
    }

    /// Waits for the next frame; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<SourceFrame>, CommandError> {
        Ok(self.frames.recv().await.transpose()?)
    }

    /// The next frame, if it is ready.
    pub(crate) fn ready(&mut self) -> Result<Ready, CommandError> {
        match self.frames.try_recv() {
            Ok(frame) => Ok(Ready::Frame(Box::new(frame?))),
            Err(mpsc::error::TryRecvError::Empty) => Ok(Ready::NotYet),
            Err(mpsc::error::TryRecvError::Disconnected) => Ok(Ready::End),
        }
    }
}

fn run(mut source: Source, is_live: bool, frames: &mpsc::Sender<Result<SourceFrame, AudioError>>) {
    while let Some(next) = source.next_frame().transpose() {
        let failed = next.is_err();
        let delivered = if is_live {
            // A late microphone loses frames, not its timing.
            !matches!(frames.try_send(next), Err(mpsc::error::TrySendError::Closed(_)))
        } else {
            frames.blocking_send(next).is_ok()
        };
        if failed || !delivered {
            return;
        }
    }
}

fn broken(why: &str) -> CommandError {
    CommandError::new(
        Exit::Audio,
        "audio",
        format!("The thread that reads the sound failed: {why}."),
    )
}
