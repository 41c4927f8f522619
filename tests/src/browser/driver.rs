//! A browser that does what a test says, line by line through `web/browser/drive.mjs`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, kill_process_group};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::process::{Process, Signal};

/// Time limit of what a page does at once, on a busy machine.
const ACT: Duration = Duration::from_secs(15);
/// Time that the driver has beyond the limit that it was given.
const SLACK: Duration = Duration::from_secs(20);
/// Time limit for the browser to start.
const START: Duration = Duration::from_secs(60);
/// Time limit for the browser to end by itself.
const CLOSE: Duration = Duration::from_secs(10);

/// A page's stay in its room, in JavaScript.
const STAY: &str =
    "(async () => ({ ...await tribune.stats(), state: tribune.room?.state, you: tribune.room?.you,
    stage: tribune.room?.stage }))()";

/// A browser with one tab. It ends when this is dropped, with all processes that it has started.
#[derive(Debug)]
pub struct Browser {
    process: Process,
    pid: Option<Pid>,
    commands: u64,
}

/// Statistics of the page's room; counters are since it joined.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WebStatistics {
    /// Frames received.
    pub frames: u64,
    /// Frames that never came.
    pub lost: u64,
    /// Frames that came because they were asked for.
    pub repaired: u64,
    /// Frames made up.
    pub concealed: u64,
    /// Frames that came too late.
    pub late: u64,
    /// Time in the jitter buffer, in ms, once there is one.
    pub buffer_ms: Option<f64>,
    /// `webtransport` or `websocket`.
    pub transport: String,
    /// Packets that could not be decoded.
    pub decode_errors: u64,
    /// Times that the buffer ran dry.
    pub underruns: u64,
    /// Frames that were made shorter or longer, or left out, to be in time again.
    pub stretched: u64,
}

/// Fault that axe finds in a page.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Violation {
    /// The rule.
    pub id: String,
    /// The rule in words.
    pub help: String,
    /// Some of the elements that break it.
    pub nodes: Vec<String>,
}

impl Browser {
    pub(super) fn start(process: Process, wish: &Value) -> Result<Self> {
        let mut browser = Self { process, pid: None, commands: 0 };
        let started = browser.command("start", wish.clone(), START)?;
        let pid = started["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        browser.pid = pid.and_then(Pid::from_raw);
        println!("{}: {}", browser.name(), started["version"].as_str().unwrap_or_default());
        Ok(browser)
    }

    /// Name in the test.
    #[must_use]
    pub fn name(&self) -> &str {
        self.process.name()
    }

    /// Opens a page and waits until it is loaded. Gives the HTTP status.
    ///
    /// # Errors
    /// If it cannot be loaded.
    pub fn open(&mut self, url: &str) -> Result<u64> {
        let status = self.command("open", json!({ "url": url }), ACT)?;
        Ok(status.as_u64().unwrap_or_default())
    }

    /// Loads the page again.
    ///
    /// # Errors
    /// If it cannot be loaded.
    pub fn reload(&mut self) -> Result<()> {
        self.command("reload", json!({}), ACT).map(drop)
    }

    /// Clicks on what has this `data-testid`, as a person does: once it can be seen and nothing covers it.
    ///
    /// # Errors
    /// If it is not there in time.
    pub fn click(&mut self, id: &str) -> Result<()> {
        self.click_on(&by_id(id), "")
    }

    /// Clicks on the first element of this selector that has this text in it.
    ///
    /// # Errors
    /// If there is none in time.
    pub fn click_on(&mut self, selector: &str, text: &str) -> Result<()> {
        self.command("click", json!({ "target": selector, "text": text }), ACT).map(drop)
    }

    /// Writes in a field, in place of what is there.
    ///
    /// # Errors
    /// If there is no such field in time.
    pub fn write(&mut self, id: &str, text: &str) -> Result<()> {
        self.command("type", json!({ "target": by_id(id), "text": text }), ACT).map(drop)
    }

    /// Chooses from a list, by value or by words.
    ///
    /// # Errors
    /// If there is no such list or choice.
    pub fn select(&mut self, id: &str, value: &str) -> Result<()> {
        self.command("select", json!({ "target": by_id(id), "value": value }), ACT).map(drop)
    }

    /// Holds a key for some time.
    ///
    /// # Errors
    /// If there is no such key.
    pub fn press(&mut self, key: &str, length: Duration) -> Result<()> {
        let wish = json!({ "key": key, "ms": millis(length) });
        self.command("press", wish, length + ACT).map(drop)
    }

    /// Waits until a JavaScript expression is true in the page, and gives its value. An expression that fails is
    /// not true yet.
    ///
    /// # Errors
    /// If it is not within `limit`.
    pub fn wait(&mut self, what: &str, limit: Duration, expression: &str) -> Result<Value> {
        self.command("wait", json!({ "what": what, "expression": expression }), limit)
    }

    /// Waits until what has this `data-testid` is in the page.
    ///
    /// # Errors
    /// If it is not within `limit`.
    pub fn wait_for(&mut self, id: &str, limit: Duration) -> Result<()> {
        let expression = format!("document.querySelector({}) !== null", quoted(&by_id(id)));
        self.wait(&format!("{id} in the page"), limit, &expression).map(drop)
    }

    /// Waits until what has this `data-testid` has this text in it.
    ///
    /// # Errors
    /// If it has not within `limit`.
    pub fn wait_text(&mut self, id: &str, text: &str, limit: Duration) -> Result<()> {
        let expression = format!(
            "[...document.querySelectorAll({})].some(each => each.textContent.includes({}))",
            quoted(&by_id(id)),
            quoted(text),
        );
        self.wait(&format!("\"{text}\" in {id}"), limit, &expression).map(drop)
    }

    /// Waits until the page shows this text anywhere.
    ///
    /// # Errors
    /// If it does not within `limit`.
    pub fn wait_shown(&mut self, text: &str, limit: Duration) -> Result<()> {
        let expression = format!("document.body.innerText.includes({})", quoted(text));
        self.wait(&format!("\"{text}\" in the page"), limit, &expression).map(drop)
    }

    /// Value of a JavaScript expression in the page. Asking is no gesture.
    ///
    /// # Errors
    /// If the expression fails, or is something else than asked for.
    pub fn ask<T: DeserializeOwned>(&mut self, expression: &str) -> Result<T> {
        let value = self.command("evaluate", json!({ "expression": expression }), ACT)?;
        let text = value.to_string();
        serde_json::from_value(value).with_context(|| format!("{expression} is {text}"))
    }

    /// Statistics of the room that the page is in.
    ///
    /// # Errors
    /// If it is in none.
    pub fn statistics(&mut self) -> Result<WebStatistics> {
        let value = self.command("stats", json!({}), ACT)?;
        let text = value.to_string();
        serde_json::from_value(value).with_context(|| format!("statistics of a page: {text}"))
    }

    /// Waits for the statistics to be accepted by `accepts`.
    ///
    /// # Errors
    /// If they are not within `limit`.
    pub fn wait_statistics(
        &mut self,
        what: &str,
        limit: Duration,
        accepts: impl Fn(&WebStatistics) -> bool,
    ) -> Result<WebStatistics> {
        let mut last = None;
        let name = self.name().to_owned();
        let found = crate::process::wait_for(&format!("{what} in {name}"), limit, || {
            let statistics = self.statistics()?;
            last = Some(statistics.clone());
            Ok(Some(statistics).filter(|statistics| accepts(statistics)))
        });
        found.with_context(|| format!("last statistics: {last:?}"))
    }

    /// State of the page's sound, and the end of its console: for an error message.
    ///
    /// # Errors
    /// If the page does not answer.
    pub fn report(&mut self) -> Result<String> {
        let stay = self.command("evaluate", json!({ "expression": STAY }), ACT)?;
        let console = self.command("console", json!({}), ACT)?;
        Ok(format!("{}: {stay}; console: {}", self.name(), console["lines"]))
    }

    /// Puts another tab in front of the page.
    ///
    /// # Errors
    /// If the page does not become hidden.
    pub fn hide(&mut self) -> Result<()> {
        self.command("hide", json!({}), ACT).map(drop)
    }

    /// Puts the page in front again.
    ///
    /// # Errors
    /// If the page does not become visible.
    pub fn show(&mut self) -> Result<()> {
        self.command("show", json!({}), ACT).map(drop)
    }

    /// Makes the window this large and its colours `light` or `dark`. Gives the width that the page takes.
    ///
    /// # Errors
    /// If it cannot.
    pub fn look(&mut self, width: u32, height: u32, scheme: &str) -> Result<u64> {
        let wish = json!({ "width": width, "height": height, "scheme": scheme });
        let sizes = self.command("look", wish, ACT)?;
        sizes[2].as_u64().context("no width")
    }

    /// Writes what there is to see into a PNG file.
    ///
    /// # Errors
    /// If it cannot be taken or written.
    pub fn screenshot(&mut self, file: &Path) -> Result<()> {
        self.command("screenshot", json!({ "path": file }), ACT).map(drop)
    }

    /// Faults that axe finds in the page as it is.
    ///
    /// # Errors
    /// If it has checked nothing.
    pub fn violations(&mut self) -> Result<Vec<Violation>> {
        let judged = self.command("axe", json!({}), START)?;
        anyhow::ensure!(judged["passes"].as_u64() > Some(0), "axe has checked nothing: {judged}");
        Ok(serde_json::from_value(judged["violations"].clone())?)
    }

    /// Origins that anything was asked of since the browser started, each with the first address.
    ///
    /// # Errors
    /// If the driver is gone.
    pub fn origins(&mut self) -> Result<Vec<(String, String)>> {
        Ok(serde_json::from_value(self.command("origins", json!({}), ACT)?)?)
    }

    /// Paths that were loaded since the browser started.
    ///
    /// # Errors
    /// If the driver is gone.
    pub fn paths(&mut self) -> Result<Vec<String>> {
        let loaded = self.command("bytes", json!({}), ACT)?;
        let loaded: Vec<(String, Option<f64>)> = serde_json::from_value(loaded)?;
        Ok(loaded.into_iter().map(|(path, _)| path).collect())
    }

    /// Errors that the console shows.
    ///
    /// # Errors
    /// If the driver is gone.
    pub fn errors(&mut self) -> Result<Vec<String>> {
        let console = self.command("console", json!({}), ACT)?;
        Ok(serde_json::from_value(console["errors"].clone())?)
    }

    /// Serves a page of the test's own on an origin of its own, and gives its address.
    ///
    /// # Errors
    /// If there is no port for it.
    pub fn serve(&mut self, html: &str) -> Result<String> {
        let url = self.command("serve", json!({ "html": html }), ACT)?;
        url.as_str().map(str::to_owned).context("no address")
    }

    /// Sends one command and waits for its answer. Errors show the console and the page.
    fn command(&mut self, what: &str, mut command: Value, limit: Duration) -> Result<Value> {
        self.commands += 1;
        let id = self.commands;
        command["id"] = id.into();
        command["do"] = what.into();
        command["limit"] = millis(limit).into();
        self.process.say(&command.to_string())?;
        let begin = format!("{{\"id\":{id},");
        let answer = self.process.wait_line(what, limit + SLACK, |line| {
            line.starts_with(&begin).then(|| serde_json::from_str::<Value>(line).ok()).flatten()
        })?;
        let Some(error) = answer["error"].as_str() else { return Ok(answer["value"].clone()) };
        let console: Vec<&str> =
            answer["console"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        bail!(
            "{} cannot {what}: {error}\n---- console ----\n{}\n---- page ----\n{}\n----",
            self.name(),
            console.join("\n"),
            answer["text"].as_str().unwrap_or_default(),
        )
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.process.end_input();
        if self.process.wait(CLOSE).is_err()
            && let Some(pid) = self.pid
        {
            // It fails only if they have ended meanwhile. The driver ends with its handle.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

fn by_id(id: &str) -> String {
    format!("[data-testid=\"{id}\"]")
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
