//! A browser and the loudspeaker that it plays to.

use std::time::Duration;

use anyhow::Result;

use super::{Browser, BrowserOptions, Loudspeaker, loud_part};
use crate::process::{Scratch, wait_for};

/// Time limit until somebody is heard, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
/// A piece of a recording that is long enough to be judged.
const PIECE: Duration = Duration::from_millis(200);

/// A browser whose sound is recorded.
#[derive(Debug)]
pub struct Ear {
    /// The browser.
    pub browser: Browser,
    /// Device that it plays to.
    pub loudspeaker: Loudspeaker,
}

impl Ear {
    /// Starts both, at this sampling rate.
    ///
    /// # Errors
    /// If one of them does not start.
    pub fn start(
        scratch: &Scratch,
        options: BrowserOptions,
        name: &str,
        rate_hz: u32,
    ) -> Result<Self> {
        let loudspeaker = Loudspeaker::start(scratch, &format!("{name}-speaker"), rate_hz)?;
        let browser = options.loudspeaker(&loudspeaker).start(scratch, name)?;
        Ok(Self { browser, loudspeaker })
    }

    /// Goes into the room of this page and waits until it is heard.
    ///
    /// # Errors
    /// If it is not.
    pub fn listen(&mut self, url: &str, name: &str) -> Result<()> {
        self.browser.listen(url, name)?;
        self.wait_heard()
    }

    /// Waits until there is sound from now on.
    ///
    /// # Errors
    /// If there is none in time; with what the page knows of it.
    pub fn wait_heard(&mut self) -> Result<()> {
        let what = format!("sound from {}", self.browser.name());
        let mut mark = self.loudspeaker.mark()?;
        let heard = wait_for(&what, LIMIT, || {
            self.loudspeaker.wait_recorded(PIECE)?;
            let piece = self.loudspeaker.heard_since(mark)?;
            mark += piece.len();
            Ok((!loud_part(&piece).is_empty()).then_some(()))
        });
        heard.map_err(|error| {
            let known = self.browser.report().unwrap_or_else(|error| error.to_string());
            error.context(known)
        })
    }
}
