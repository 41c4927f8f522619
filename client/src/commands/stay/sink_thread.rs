//! A sink on a thread of its own, so that a slow disk does not delay the network.

use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use crate::audio::sink::{Sink, SinkTarget};
use crate::audio::{AudioError, TickPcm};
use crate::outcome::{CommandError, Exit};

/// Ticks that wait for the disk: 2 s. When it is behind further, playout waits, and catches up.
const QUEUE_TICKS: usize = 400;

/// Takes sound for a sink.
#[derive(Debug)]
pub(crate) enum SinkThread {
    /// No output, which needs no thread.
    Null,
    Running {
        ticks: mpsc::Sender<Box<TickPcm>>,
        thread: JoinHandle<Result<(), AudioError>>,
    },
}

impl SinkThread {
    /// Opens the sink; it lives on its thread from the beginning, as some devices must.
    pub(crate) async fn open(target: SinkTarget) -> Result<Self, CommandError> {
        if target == SinkTarget::Null {
            return Ok(Self::Null);
        }
        let (ticks, queue) = mpsc::channel(QUEUE_TICKS);
        let (opened, is_open) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || run(&target, opened, queue))
            .map_err(|error| broken(&error.to_string()))?;
        match is_open.await {
            Ok(Ok(())) => Ok(Self::Running { ticks, thread }),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(broken("it panicked")),
        }
    }

    /// Takes the sound of the next tick. An error means that the sink is over; [`Self::finish`]
    /// says why.
    pub(crate) async fn write(&self, pcm: &TickPcm) -> Result<(), CommandError> {
        match self {
            Self::Null => Ok(()),
            Self::Running { ticks, .. } => {
                ticks.send(Box::new(*pcm)).await.map_err(|_| broken("it stopped"))
            }
        }
    }

    /// Completes the sink.
    pub(crate) async fn finish(self) -> Result<(), CommandError> {
        match self {
            Self::Null => Ok(()),
            Self::Running { ticks, thread } => {
                drop(ticks);
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
    mut queue: mpsc::Receiver<Box<TickPcm>>,
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
        sink.write(pcm.as_slice())?;
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
