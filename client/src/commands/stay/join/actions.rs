//! Effects of keys and lines in `tribune join`: requests, and the microphone.

use serde_json::json;
use tribune_protocol::control::participant::FromParticipant;

use super::frontend::Input;
use super::{Joining, lines};
use crate::audio::source::Source;
use crate::commands::stay::source_thread::SourceThread;
use crate::commands::stay::talk::Talk;
use crate::outcome::{CommandError, sentence};
use crate::session::{RequestError, Session};
use crate::tui::model::{Action, Microphone};

impl Joining<'_> {
    /// Returns whether to quit.
    pub(super) async fn handle_input(&mut self, input: Input) -> bool {
        let action = match input {
            Input::Key(key) => self.model.handle_key(key, self.receiver.view()),
            Input::Resize => None,
            Input::Line(line) => match lines::parse(&line, self.receiver.view()) {
                None => None,
                Some(Ok(action)) => Some(action),
                Some(Err(why)) => {
                    let why = sentence(&why);
                    self.tell(
                        &format!("error: {why}"),
                        json!({ "error": { "code": "bad_line", "message": why } }),
                    );
                    None
                }
            },
        };
        match action {
            Some(action) => self.act(action).await,
            None => false,
        }
    }

    /// Carries out an action; returns whether to quit.
    async fn act(&mut self, action: Action) -> bool {
        match action {
            Action::Quit => return true,
            Action::Talk(true) => self.microphone_on().await,
            Action::Talk(false) => self.microphone_off(),
            Action::Mute(muted) => self.set_muted(muted),
            Action::Raise(note) => self.request("raise", FromParticipant::RaiseHand { note }),
            Action::Lower => self.request("lower", FromParticipant::LowerHand {}),
            Action::LeaveStage => self.request("leave the stage", FromParticipant::LeaveStage {}),
            Action::React(reaction) => self.request("react", FromParticipant::React { reaction }),
            Action::Govern(act) => self.request(act.traits().verb, FromParticipant::Govern { act }),
        }
        false
    }

    /// Sends a request; its answer is printed when it arrives. The session bounds how many are pending.
    fn request(&self, what: &'static str, message: FromParticipant) {
        let (session, answers) = (self.session.clone(), self.answers.clone());
        tokio::spawn(async move {
            let result = session.request(message).await;
            let _ = answers.send((what, result)).await;
        });
    }

    pub(super) fn handle_answer(&mut self, what: &'static str, result: &Result<(), RequestError>) {
        match result {
            Ok(()) => self.tell(&format!("done: {what}"), json!({ "event": "done", "what": what })),
            Err(error) => {
                let code = match error {
                    RequestError::Refused { code, .. } => code.as_str(),
                    RequestError::TimedOut => "timed_out",
                    RequestError::Offline => "offline",
                    RequestError::Busy => "busy",
                };
                let message = sentence(&error.to_string());
                self.tell(
                    &format!("not done: {what}: {message}"),
                    json!({ "error": { "code": code, "message": message, "what": what } }),
                );
            }
        }
    }

    async fn microphone_on(&mut self) {
        if !self.receiver.view().may_speak() {
            let message = "You may not speak yet.";
            self.tell(
                &format!("error: {message}"),
                json!({ "error": { "code": "not_permitted", "message": message } }),
            );
            return;
        }
        match SourceThread::open(true, Source::microphone).await {
            Ok(source) => {
                self.source = Some(source);
                self.model.microphone = Microphone::On;
                self.set_muted(false);
                self.tell("the microphone is on", json!({ "event": "microphone", "on": true }));
            }
            Err(error) => {
                // Sound libraries write to the terminal when they find no device.
                self.frontend.clear();
                self.tell(&format!("error: {error}"), json!({ "error": error }));
            }
        }
    }

    pub(super) fn microphone_off(&mut self) {
        if self.source.take().is_some() {
            self.talk.end_talkspurt(&self.session);
            self.model.microphone = Microphone::Off;
            self.tell("the microphone is off", json!({ "event": "microphone", "on": false }));
        }
    }

    pub(super) fn set_muted(&mut self, muted: bool) {
        self.talk.set_muted(muted);
        if self.source.is_some() {
            self.model.microphone = if muted { Microphone::Muted } else { Microphone::On };
        }
        if self.receiver.view().may_speak() {
            let what = if muted { "mute" } else { "unmute" };
            self.request(what, FromParticipant::OwnMute { muted });
        }
    }

    /// A failing microphone is switched off; the session continues.
    pub(super) fn handle_step(&mut self, step: Result<bool, CommandError>) {
        match step {
            Ok(false) => {}
            Ok(true) => self.microphone_off(),
            Err(error) => {
                self.tell(&format!("error: {error}"), json!({ "error": error }));
                self.microphone_off();
            }
        }
    }
}

/// Next step of the microphone; pending forever while it is off. `true` if it has ended.
pub(super) async fn talk_step(
    talk: &mut Talk,
    source: Option<&mut SourceThread>,
    session: &Session,
) -> Result<bool, CommandError> {
    match source {
        Some(source) => Ok(talk.step(source, session).await?.is_some()),
        None => std::future::pending().await,
    }
}
