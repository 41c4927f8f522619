//! Notices about a session that several commands print: retries, renewed tokens, its end.

use std::time::Duration;

use serde_json::json;

use crate::outcome::{CommandError, Exit, sentence};
use crate::output::Output;

/// Prints that there is no connection, and when the next attempt follows.
pub(crate) fn note_retrying(output: &mut Output, why: &str, after: Duration, was_in_room: bool) {
    output.json(&json!({
        "event": if was_in_room { "reconnecting" } else { "waiting" },
        "why": why,
        "retry_in_ms": after.as_millis() as u64,
    }));
    let what = if was_in_room { "Reconnecting" } else { "Waiting" };
    output.note(&format!("{what} in {:.1} s: {why}", after.as_secs_f64()));
}

/// Prints the outcome of a token renewal.
pub(crate) fn tell_renewed(renewed: &Result<(), String>, output: &mut Output) {
    match renewed {
        Ok(()) => {
            output.json(&json!({ "event": "token_renewed" }));
            output.note("Your token is renewed.");
        }
        Err(why) => {
            let message = sentence(why);
            let error = json!({ "code": "token_not_renewed", "message": message });
            output.json(&json!({ "error": error }));
            output.warn(&message);
        }
    }
}

/// Error for a session task that ended without an event, which is a bug.
pub(crate) fn session_gone() -> CommandError {
    CommandError::new(Exit::Other, "internal", "The session stopped without saying why.")
}
