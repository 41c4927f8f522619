//! `tribune top`: the tree of relays, its rooms and their listeners on a screen, from any relay's HTTP
//! side. As text over a pipe, as JSON lines for programs.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::DefaultTerminal;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tribune_protocol::ids::RoomName;
use tribune_protocol::quality::report::Ranking;

use super::ranking;
use crate::commands::oneshot::unix_ms;
use crate::commands::signals::Signals;
use crate::commands::terminal::{self, Pressed};
use crate::outcome::{CommandError, Exit};
use crate::output::Output;
use crate::status::answer::Snapshot;
use crate::tui::top::draw::draw;
use crate::tui::top::model::{Action, Model, Wanted};
use crate::tui::top::tables;

mod address;
mod fetch;

use address::HttpAddress;
use fetch::{FetchError, Fetched, Fetcher, OperatorToken};

/// Queue of key presses.
const KEYS: usize = 32;
/// Redraw period while nothing happens: the age of the snapshot advances.
const DRAW_PERIOD: Duration = Duration::from_millis(500);
/// Shortest polling interval: a relay's status is no fresher.
const INTERVAL_MIN: Duration = Duration::from_millis(500);
/// Longest polling interval. More is a mistake.
const INTERVAL_MAX: Duration = Duration::from_secs(3_600);

/// See the tree of relays, its rooms and how they are heard
///
/// Any relay answers for the whole tree, over HTTP. Rooms and single listeners are those of the relay
/// that is asked, and below. Over a pipe, or with --once, the figures are printed once; with --json, one
/// line each time.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// The HTTP side of a relay: http://HOST:PORT or HOST:PORT
    #[arg(
        long,
        env = "TRIBUNE_HTTP",
        default_value = "http://127.0.0.1:9433",
        value_name = "HOST:PORT"
    )]
    http: HttpAddress,
    /// Show this room, and its listeners who hear worst
    #[arg(long)]
    room: Option<RoomName>,
    /// By what listeners are the worst off
    #[arg(long, value_name = "MEASURE", default_value = "concealed", value_parser = ranking::parser())]
    by: Ranking,
    /// Time between two looks, 500ms to 1h
    #[arg(long, default_value = "2s", value_name = "TIME", value_parser = parse_interval)]
    interval: Duration,
    /// Look once, print and end
    #[arg(long)]
    once: bool,
    /// The relay's operator token, which shows single listeners. Without one they are shown on the
    /// relay's own machine
    #[arg(long, env = "TRIBUNE_OPERATOR_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    operator_token: Option<OperatorToken>,
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        return Err("an interval is 500ms to 1h, such as 2s".to_owned());
    }
    Ok(interval)
}

impl Top {
    pub(crate) async fn run(self, output: &mut Output) -> Result<(), CommandError> {
        let mut signals = Signals::new()?;
        let work = async {
            if output.is_json() {
                return self.print_json(output).await;
            }
            // Before the screen opens, so that an unreachable relay is reported in a sentence.
            let first = self.fetcher().fetch(self.first()).await?;
            if self.once || !terminal::is_terminal() {
                tables::text(&first.snapshot).iter().for_each(|line| output.result(line));
                return is_there(&first.snapshot);
            }
            Screen::open(&self, first)?.run().await
        };
        tokio::select! {
            result = work => result,
            () = signals.stop() => Ok(()),
        }
    }

    /// Prints a line per interval until the reader is gone. After the first, failures are lines too.
    async fn print_json(&self, output: &mut Output) -> Result<(), CommandError> {
        let mut ticks = self.ticks();
        let mut is_first = true;
        loop {
            ticks.tick().await;
            match self.fetcher().fetch(self.first()).await {
                Ok(mut fetched) => {
                    fetched.json["unix_ms"] = unix_ms().into();
                    if output.try_json(&fetched.json).is_err() {
                        return Ok(());
                    }
                    if self.once {
                        return is_there(&fetched.snapshot);
                    }
                }
                Err(error) if is_first => return Err(error.into()),
                Err(error) => output.error(&error.into()),
            }
            is_first = false;
        }
    }

    fn fetcher(&self) -> Fetcher {
        Fetcher::new(self.http.clone(), self.operator_token.clone())
    }

    fn first(&self) -> Wanted {
        Wanted { room: self.room.clone(), by: self.by }
    }

    fn ticks(&self) -> tokio::time::Interval {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }
}

/// Fails if the relay does not carry the requested room: with --once, the exit code reports it.
fn is_there(snapshot: &Snapshot) -> Result<(), CommandError> {
    match snapshot.room.as_ref().map(|room| &room.room) {
        None | Some(Ok(_)) => Ok(()),
        Some(Err(why)) => Err(CommandError::new(Exit::NoRoom, "room_not_found", why)),
    }
}

/// A fetch in flight.
type Fetching = Pin<Box<dyn Future<Output = Result<Fetched, FetchError>>>>;

/// The interactive screen.
struct Screen {
    terminal: DefaultTerminal,
    keys: mpsc::Receiver<Pressed>,
    model: Model,
    fetcher: Fetcher,
    ticks: tokio::time::Interval,
}

impl Screen {
    fn open(top: &Top, first: Fetched) -> Result<Self, CommandError> {
        let (sender, keys) = mpsc::channel(KEYS);
        let place = top.http.to_string();
        let model = Model::new(Instant::now(), place, top.room.clone(), top.by, first.snapshot);
        let mut ticks = top.ticks();
        ticks.reset();
        let terminal = terminal::open(sender)?;
        Ok(Self { terminal, keys, model, fetcher: top.fetcher(), ticks })
    }

    async fn run(&mut self) -> Result<(), CommandError> {
        let mut drawing = tokio::time::interval(DRAW_PERIOD);
        let mut fetching: Option<Fetching> = None;
        loop {
            tokio::select! {
                biased;
                pressed = self.keys.recv() => match pressed {
                    Some(Pressed::Key(key)) => match self.model.handle_key(key) {
                        None => {}
                        Some(Action::Quit) => return Ok(()),
                        Some(Action::Fetch) => {
                            fetching = Some(self.fetch());
                            self.ticks.reset();
                        }
                    },
                    Some(Pressed::Resize) => {}
                    // The terminal is gone.
                    None => return Ok(()),
                },
                fetched = arrived(&mut fetching) => {
                    fetching = None;
                    match fetched {
                        Ok(fetched) => self.model.handle_snapshot(Instant::now(), fetched.snapshot),
                        Err(error) => self.model.handle_failure(CommandError::from(error).message),
                    }
                }
                _ = self.ticks.tick(), if fetching.is_none() => fetching = Some(self.fetch()),
                _ = drawing.tick() => {}
            }
            self.draw()?;
        }
    }

    /// Starts a fetch. Keys keep working while a relay is silent.
    fn fetch(&self) -> Fetching {
        let (fetcher, wanted) = (self.fetcher.clone(), self.model.wanted());
        Box::pin(async move { fetcher.fetch(wanted).await })
    }

    fn draw(&mut self) -> Result<(), CommandError> {
        let (model, now) = (&self.model, Instant::now());
        let drawn = self.terminal.draw(|frame| draw(frame, model, now));
        drawn.map(|_| ()).map_err(|error| terminal::cannot_draw(&error))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

async fn arrived(fetching: &mut Option<Fetching>) -> Result<Fetched, FetchError> {
    match fetching {
        Some(fetching) => fetching.await,
        None => std::future::pending().await,
    }
}

impl From<FetchError> for CommandError {
    fn from(error: FetchError) -> Self {
        let (exit, code) = match &error {
            FetchError::Unreachable { .. } => (Exit::Unreachable, "unreachable"),
            FetchError::Refused { .. } => (Exit::Refused, "refused"),
            FetchError::NotARelay { .. } => (Exit::Other, "protocol"),
        };
        Self::new(exit, code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_bounds() {
        assert_eq!(parse_interval("2s"), Ok(Duration::from_secs(2)));
        for text in ["100ms", "2h", "soon", ""] {
            assert!(parse_interval(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_relay_that_is_not_there_is_another_matter_than_one_that_answers_strangely() {
        let place: HttpAddress = "127.0.0.1:9433".parse().unwrap();
        let gone = FetchError::Unreachable { place: place.clone(), why: "refused".to_owned() };
        assert_eq!(CommandError::from(gone).exit, Exit::Unreachable);
        let other = FetchError::NotARelay { place, why: "no JSON".to_owned() };
        assert_eq!(CommandError::from(other).exit, Exit::Other);
    }
}
