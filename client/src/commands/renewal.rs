//! Token renewal during a session: the file is read again, and a newer token is sent to the relay.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::limits::MAX_TOKEN_BYTES;

use crate::outcome::{CommandError, Exit, sentence};
use crate::session::Session;

/// Polling period of the token file.
const LOOK_PERIOD: Duration = Duration::from_secs(5);
/// Queue of renewal outcomes; one renewal is in flight at a time.
const RENEWALS: usize = 2;

/// Renews a token from the file of `--token-file`.
#[derive(Debug)]
pub(crate) struct Renewal {
    file: Option<PathBuf>,
    shown: Option<String>,
    results: mpsc::Sender<Renewed>,
    renewed: mpsc::Receiver<Renewed>,
}

/// Outcome of a renewal.
#[derive(Debug)]
enum Renewed {
    /// The relay accepted the newer token.
    Done(String),
    /// The relay refused it, or none appeared in time.
    Failed(String),
}

impl Renewal {
    /// Starts from the token sent with the join.
    pub(crate) fn new(file: Option<PathBuf>, shown: Option<String>) -> Self {
        let (results, renewed) = mpsc::channel(RENEWALS);
        Self { file, shown, results, renewed }
    }

    /// Takes the notice that the token expires in `in_s` seconds. Returns whether there is a file to
    /// renew it from.
    pub(crate) fn handle_expiring(&self, in_s: u32, session: &Session) -> bool {
        let Some(file) = self.file.clone() else { return false };
        let (shown, session, results) = (self.shown.clone(), session.clone(), self.results.clone());
        tokio::spawn(async move {
            let patience = Duration::from_secs(in_s.into());
            let found =
                tokio::time::timeout(patience, newer(&file, shown.as_deref(), LOOK_PERIOD)).await;
            let renewed = match found {
                Ok(token) => show(&session, token).await,
                Err(_) => Renewed::Failed(format!("{} holds no newer token", file.display())),
            };
            let _ = results.send(renewed).await;
        });
        true
    }

    /// Next outcome. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<(), String> {
        match self.renewed.recv().await {
            Some(Renewed::Done(token)) => {
                self.shown = Some(token);
                Ok(())
            }
            Some(Renewed::Failed(why)) => Err(why),
            // The sender is part of this.
            None => std::future::pending().await,
        }
    }
}

/// Reads a token from its file.
pub(crate) fn read(file: &Path) -> Result<String, CommandError> {
    let failed = |why: String| {
        let message = format!("cannot read a token from {}: {why}", file.display());
        CommandError::new(Exit::Other, "token_file", sentence(&message))
    };
    let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    match text.trim() {
        "" => Err(failed("it is empty".to_owned())),
        token if token.len() > MAX_TOKEN_BYTES => {
            Err(failed(format!("it is over {MAX_TOKEN_BYTES} bytes long")))
        }
        token => Ok(token.to_owned()),
    }
}

/// Waits until the file holds another token than the current one.
async fn newer(file: &Path, shown: Option<&str>, period: Duration) -> String {
    loop {
        match read(file) {
            Ok(token) if Some(token.as_str()) != shown => return token,
            // It may be in the middle of being written.
            Ok(_) | Err(_) => tokio::time::sleep(period).await,
        }
    }
}

async fn show(session: &Session, token: String) -> Renewed {
    match session.request(FromParticipant::RenewToken { token: token.clone().into() }).await {
        Ok(()) => Renewed::Done(token),
        Err(error) => Renewed::Failed(format!("the relay does not take the newer token: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_that_holds_none_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = read(file.path()).unwrap_err().to_string();
        assert!(error.contains(&file.path().display().to_string()), "{error}");
        std::fs::write(file.path(), " abc.def.ghi\n").unwrap();
        assert_eq!(read(file.path()).unwrap(), "abc.def.ghi");
        assert!(read("/absent.token".as_ref()).unwrap_err().to_string().contains("/absent.token"));
    }

    #[tokio::test]
    async fn the_file_is_looked_at_until_it_holds_another_token() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "old").unwrap();
        let path = file.path().to_owned();
        let period = Duration::from_millis(1);
        let found = tokio::spawn(async move { newer(&path, Some("old"), period).await });
        for _ in 0..20 {
            tokio::time::sleep(period).await;
            assert!(!found.is_finished());
        }
        std::fs::write(file.path(), "new").unwrap();
        assert_eq!(found.await.unwrap(), "new");
    }
}
