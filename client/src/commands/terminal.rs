//! The terminal as a screen, and the thread that reads its keys. Used by `join` and `top`.

use std::io::IsTerminal;
use std::time::Duration;

use crossterm::event::{self, KeyEvent};
use ratatui::DefaultTerminal;
use tokio::sync::mpsc;

use crate::outcome::{CommandError, Exit};

/// Interval at which the key thread checks that its reader still exists.
const KEY_POLL: Duration = Duration::from_millis(100);

/// Input at a terminal.
#[derive(Debug)]
pub(crate) enum Pressed {
    Key(KeyEvent),
    /// The terminal was resized.
    Resize,
}

/// Whether stdin and stdout are terminals.
pub(crate) fn is_terminal() -> bool {
    std::io::stdout().is_terminal() && std::io::stdin().is_terminal()
}

/// Takes over the terminal, and starts a thread that reads keys until their reader is gone.
/// [`ratatui::restore`] undoes it.
pub(crate) fn open<T: From<Pressed> + Send + 'static>(
    keys: mpsc::Sender<T>,
) -> Result<DefaultTerminal, CommandError> {
    let terminal = ratatui::try_init().map_err(|error| {
        CommandError::new(Exit::Other, "terminal", format!("Cannot set up the terminal: {error}."))
    })?;
    spawn("keys", move || read_keys(&keys)).inspect_err(|_| ratatui::restore())?;
    Ok(terminal)
}

/// Error for a terminal that cannot be drawn on.
pub(crate) fn cannot_draw(error: &std::io::Error) -> CommandError {
    CommandError::new(Exit::Other, "terminal", format!("Cannot draw on the terminal: {error}."))
}

/// Starts a thread.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), CommandError> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map(drop).map_err(|error| {
        CommandError::new(Exit::Other, "thread", format!("Cannot start a thread: {error}."))
    })
}

fn read_keys<T: From<Pressed>>(keys: &mpsc::Sender<T>) {
    while !keys.is_closed() {
        let pressed = match event::poll(KEY_POLL)
            .and_then(|is_ready| is_ready.then(event::read).transpose())
        {
            Ok(Some(event::Event::Key(key))) => Pressed::Key(key),
            Ok(Some(event::Event::Resize(..))) => Pressed::Resize,
            Ok(
                None
                | Some(
                    event::Event::FocusGained
                    | event::Event::FocusLost
                    | event::Event::Mouse(_)
                    | event::Event::Paste(_),
                ),
            ) => continue,
            Err(error) => {
                tracing::debug!(%error, "no more keys");
                return;
            }
        };
        if keys.blocking_send(pressed.into()).is_err() {
            return;
        }
    }
}
