//! Rules over the attributes of a token. Rules come from text only, so that every rule there is can be
//! written down and sent.

use std::fmt;
use std::str::FromStr;

use super::condition::{AttributeName, Condition};
use super::{InvalidAccess, parse};
use crate::domain::attributes::Attributes;
use crate::limits::MAX_RULE_BYTES;

/// A condition on a token's attributes, for example `member == true and (followers >= 600 or team == "red")`.
///
/// Displays in canonical form: as few parentheses as there can be, one space between words, `and`,
/// `or` and `not` as words. That text parses to the same rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule(Condition);

impl Rule {
    /// Whether it holds for these attributes.
    ///
    /// A comparison with an attribute that is missing, or of another type, is neither true nor false; so is
    /// its negation, and so is any condition that depends on it. Only a rule that is true holds. `not has
    /// name` is how a rule asks for absence.
    #[must_use]
    pub fn holds(&self, attributes: &Attributes) -> bool {
        self.0.is(true, attributes)
    }

    /// The attributes that it names, each once, in the order of its text.
    #[must_use]
    pub fn names(&self) -> Vec<AttributeName> {
        let mut names = Vec::new();
        self.0.collect_names(&mut names);
        names
    }
}

impl FromStr for Rule {
    type Err = InvalidAccess;

    fn from_str(text: &str) -> Result<Self, InvalidAccess> {
        let rule = Self(parse::condition(text)?);
        // Without this, a rule in short form could be one that nobody can send.
        match rule.to_string().len() {
            len if len > MAX_RULE_BYTES => Err(InvalidAccess::CanonicalLength(len)),
            _ => Ok(rule),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
