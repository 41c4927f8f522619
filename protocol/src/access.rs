//! Stand-in until the real one lands.
use serde::{Deserialize, Serialize};
/// Who may come in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Anybody.
    Open,
    /// A token.
    #[default]
    Token,
    /// An invitation.
    Invitation,
}
