//! Frontend of `tribune join`: a screen with keys, or lines over a pipe.

use std::io::BufRead;

use crossterm::event::KeyEvent;
use ratatui::DefaultTerminal;
use serde::Serialize;
use tokio::sync::mpsc;
use tribune_protocol::ids::TrackId;

use crate::commands::terminal::{self, Pressed};
use crate::outcome::CommandError;
use crate::output::Output;
use crate::session::room_view::RoomView;
use crate::tui::draw::draw;
use crate::tui::model::Model;

/// Queue of keys or lines.
const INPUTS: usize = 32;
/// Longest line read from a pipe, in bytes.
const LINE_BYTES_MAX: usize = 1_024;

/// Input of the user, or of the program at the pipe.
#[derive(Debug)]
pub(super) enum Input {
    Key(KeyEvent),
    Resize,
    Line(String),
}

/// A screen for people, or lines for programs.
#[derive(Debug)]
pub(super) enum Frontend {
    Screen(DefaultTerminal),
    Lines,
}

impl Frontend {
    /// Opens a screen on a terminal, unless the output is for programs; else lines.
    pub(super) fn open(output: &Output) -> Result<(Self, mpsc::Receiver<Input>), CommandError> {
        let (inputs, receiver) = mpsc::channel(INPUTS);
        if output.is_json() || !terminal::is_terminal() {
            terminal::spawn("lines", move || read_lines(&inputs))?;
            return Ok((Self::Lines, receiver));
        }
        let terminal = terminal::open(inputs)?;
        Ok((Self::Screen(terminal), receiver))
    }

    /// Whether it is a screen.
    pub(super) const fn is_screen(&self) -> bool {
        matches!(self, Self::Screen(_))
    }

    /// Forces a full redraw.
    pub(super) fn clear(&mut self) {
        if let Self::Screen(terminal) = self
            && let Err(error) = terminal.clear()
        {
            tracing::debug!(%error, "the screen is not cleared");
        }
    }

    /// Shows an event.
    pub(super) fn tell(
        &self,
        model: &mut Model,
        output: &Output,
        text: &str,
        json: &impl Serialize,
    ) {
        match self {
            Self::Screen(_) => model.tell(text),
            Self::Lines => {
                output.json(json);
                output.result(text);
            }
        }
    }

    /// Draws the screen, if there is one.
    pub(super) fn draw(
        &mut self,
        model: &Model,
        view: &RoomView,
        level: &dyn Fn(TrackId) -> Option<u8>,
    ) -> Result<(), CommandError> {
        let Self::Screen(terminal) = self else { return Ok(()) };
        let drawn = terminal.draw(|frame| draw(frame, model, view, level));
        drawn.map(|_| ()).map_err(|error| terminal::cannot_draw(&error))
    }
}

impl From<Pressed> for Input {
    fn from(pressed: Pressed) -> Self {
        match pressed {
            Pressed::Key(key) => Self::Key(key),
            Pressed::Resize => Self::Resize,
        }
    }
}

impl Drop for Frontend {
    fn drop(&mut self) {
        if self.is_screen() {
            ratatui::restore();
        }
    }
}

fn read_lines(inputs: &mpsc::Sender<Input>) {
    let mut stdin = std::io::stdin().lock();
    loop {
        let mut line = String::new();
        let mut limited = std::io::Read::take(&mut stdin, LINE_BYTES_MAX as u64);
        match limited.read_line(&mut line) {
            Ok(0) => return,
            Ok(_) => {
                if inputs.blocking_send(Input::Line(line)).is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "no more lines");
                return;
            }
        }
    }
}
