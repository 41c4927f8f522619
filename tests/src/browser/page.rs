//! The page of a room, as people use it.

use std::time::Duration;

use anyhow::Result;

use super::Browser;
use crate::process::{Relay, RelayOptions};

/// Time limit until a page has looked for its room and is let in, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// A relay that serves the page.
#[must_use]
pub fn web_relay(name: &str) -> RelayOptions {
    RelayOptions::new(name).arg("--web=127.0.0.1:0")
}

/// Address of a room's page.
///
/// # Errors
/// If the relay serves no page.
pub fn room_url(relay: &Relay, room: &str) -> Result<String> {
    Ok(format!("{}/r/{room}", relay.web()?))
}

impl Browser {
    /// Opens the page of a room that is live, and goes in as a listener by one tap.
    ///
    /// # Errors
    /// If it is not let in.
    pub fn listen(&mut self, url: &str, name: &str) -> Result<()> {
        self.open(url)?;
        self.write("join-name", name)?;
        self.tap_listen()
    }

    /// Goes in as a listener from a page whose name is filled in.
    ///
    /// # Errors
    /// If it is not let in.
    pub fn tap_listen(&mut self) -> Result<()> {
        // Before it has looked, the page offers to wait for the room.
        let live = "document.querySelector('[data-testid=listen]')?.textContent.includes('Listen')";
        self.wait("the page to see that the room is live", LIMIT, live)?;
        self.click("listen")?;
        self.wait_state("joined", LIMIT)
    }

    /// Opens the page of a room, and goes in with a role.
    ///
    /// # Errors
    /// If it is not let in.
    pub fn enter(&mut self, url: &str, name: &str, role: &str) -> Result<()> {
        self.open(url)?;
        self.write("join-name", name)?;
        self.wait_for("role", LIMIT)?;
        let is_shut =
            "document.querySelector('[data-testid=role]').closest('details')?.open === false";
        if self.ask(is_shut)? {
            self.click_on("summary", "")?;
        }
        self.select("role", role)?;
        self.click("join")?;
        self.wait_state("joined", LIMIT)
    }

    /// Waits until the page says that it is in this state: `joined`, `reconnecting`, `ended`.
    ///
    /// # Errors
    /// If it does not within `limit`.
    pub fn wait_state(&mut self, state: &str, limit: Duration) -> Result<()> {
        let expression =
            format!("document.querySelector('[data-testid=state]')?.dataset.state === '{state}'");
        self.wait(&format!("the page to be {state}"), limit, &expression).map(drop)
    }

    /// Waits until the page is connected to the relay with this name.
    ///
    /// # Errors
    /// If it is not within `limit`.
    pub fn wait_relay(&mut self, name: &str, limit: Duration) -> Result<()> {
        let expression =
            format!("tribune.room?.relay === '{name}' && tribune.room.state === 'joined'");
        self.wait(&format!("the page to be at {name}"), limit, &expression).map(drop)
    }

    /// Does something to somebody on the stage, by the menu beside the name, and gives a reason.
    ///
    /// # Errors
    /// If that is not offered, or not done.
    pub fn govern(&mut self, name: &str, deed: &str, reason: &str) -> Result<()> {
        let menu = format!("[data-testid=person][data-name=\"{name}\"] [data-testid=manage]");
        self.click_on(&menu, "")
            .and_then(|()| self.click(deed))
            .and_then(|()| self.write("reason", reason))
            .and_then(|()| self.click("confirm"))
            .map_err(|error| error.context(format!("{deed} of {name}")))
    }
}
