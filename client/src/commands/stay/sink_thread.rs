//! A sink on a thread of its own, so that a slow disk does not delay the network.

use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use crate::audio::sink::{Sink, SinkTarget};
use crate::audio::{AudioError, PcmFrame};
use crate::outcome::{CommandError, Exit};

/// Frames that wait for the disk: 2 s. When it is behind further, playout waits, and catches up.
const QUEUE_FRAMES: usize = 100;

/// Takes frames for a sink.
#[derive(Debug)]
pub(crate) enum SinkThread {
    /// No output, which needs no thread.
    Null,
    Running {
        frames: mpsc::Sender<Box<PcmFrame>>,
        thread: JoinHandle<Result<(), AudioError>>,
    },
}

impl SinkThread {
    /// Opens the sink; it lives on its thread from the beginning, as some devices must.
    pub(crate) async fn open(target: SinkTarget) -> Result<Self, CommandError> {
        if target == SinkTarget::Null {
            return Ok(Self::Null);
        }
        let (frames, queue) = mpsc::channel(QUEUE_FRAMES);
        let (opened, is_open) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || run(&target, opened, queue))
            .map_err(|error| broken(&error.to_string()))?;
        match is_open.await {
            Ok(Ok(())) => Ok(Self::Running { frames, thread }),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(broken("it panicked")),
        }
    }

    /// Takes the sound of the next frame period. An error means that the sink is over; [`Self::finish`]
    /// says why.
    pub(crate) async fn write(&self, pcm: &PcmFrame) -> Result<(), CommandError> {
        match self {
            Self::Null => Ok(()),
            Self::Running { frames, .. } => {
                frames.send(Box::new(*pcm)).await.map_err(|_| broken("it stopped"))
            }
        }
    }

    /// Completes the sink.
    pub(crate) async fn finish(self) -> Result<(), CommandError> {
        match self {
            Self::Null => Ok(()),
            Self::Running { frames, thread } => {
                drop(frames);
                let joined = tokio::task::spawn_blocking(move || thread.join()).await;
                match joined {
                    Ok(Ok(result)) => Ok(result?),
                    Ok(Err(_)) | Err(_) => Err(broken("it panicked")),
                }
            }
        }
    }
}

fn run(
    target: &SinkTarget,
    opened: oneshot::Sender<Result<(), AudioError>>,
    mut queue: mpsc::Receiver<Box<PcmFrame>>,
) -> Result<(), AudioError> {
    let mut sink = match Sink::open(target) {
        Ok(sink) => sink,
        Err(error) => {
            let _ = opened.send(Err(error));
            return Ok(());
        }
    };
    let _ = opened.send(Ok(()));
    while let Some(pcm) = queue.blocking_recv() {
        sink.write_frame(&pcm)?;
    }
    sink.finish()
}

fn broken(why: &str) -> CommandError {
    CommandError::new(
        Exit::Audio,
        "audio",
        format!("The thread that writes the sound failed: {why}."),
    )
}
