//! Access to a room: open, by token, by invitation, or by a rule over the attributes of a token. Rooms
//! carry it as text; edges and origins check it. SPEC.md section 14.
//!
//! * [`rule`] — rules; `condition`: their syntax tree, evaluation and canonical text
//! * `parse` — from text to a rule

mod condition;
mod parse;
pub mod rule;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::condition::AttributeName;
use self::rule::Rule;
use crate::domain::attributes::{AttributeValue, Attributes};
use crate::limits::{
    MAX_ATTRIBUTE_KEY_BYTES, MAX_ATTRIBUTE_VALUE_BYTES, MAX_RULE_BYTES, MAX_RULE_COMPARISONS,
    MAX_RULE_DEPTH, MAX_RULE_NUMBER_DIGITS,
};

/// Characters of an attribute's text that a refusal repeats: enough to know it again.
const MAX_SHOWN_CHARS: usize = 40;

/// Access to a room. Written as text: `open`, `token`, `invitation`, or the rule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Access {
    /// Everybody, with or without a token.
    #[default]
    Open,
    /// Bearers of a token for the room.
    Token,
    /// Bearers of an invitation to the room.
    Invitation,
    /// Bearers of a token for the room that the rule holds for, or of an invitation.
    Rule(Rule),
}

/// Credentials of a joining participant, checked before: genuine, and for this room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials<'a> {
    /// Nothing.
    Guest,
    /// A token with these attributes.
    Token(&'a Attributes),
    /// A token with these attributes that is an invitation.
    Invitation(&'a Attributes),
    /// The relay runs for development and lets everybody pass.
    Dev,
}

/// A refusal, and the requirement. Displays as one sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// The room wants a token.
    TokenNeeded,
    /// The room wants an invitation.
    InvitationNeeded,
    /// The room has a rule, and there is no token that it could hold for.
    RuleWithoutToken(Rule),
    /// The rule does not hold for the token.
    RuleNotMet {
        /// The room's rule.
        rule: Rule,
        /// The token's values of the attributes that the rule names.
        said: Vec<(AttributeName, Option<AttributeValue>)>,
    },
}

/// A text that is not an access, with the reason. Places are counted in bytes from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAccess {
    /// A text of no or too many bytes; its length.
    #[error("an access rule is 1 to {MAX_RULE_BYTES} bytes long, not {0}")]
    Length(usize),
    /// Short enough as it stands, but not in its canonical form; the length of that.
    #[error("an access rule is at most {MAX_RULE_BYTES} bytes long with its spaces, not {0}")]
    CanonicalLength(usize),
    /// Unexpected text.
    #[error("an access rule wants {wanted} at byte {at}, not {found}")]
    Unexpected {
        /// The expected text.
        wanted: &'static str,
        /// The text found.
        found: String,
        /// Where.
        at: usize,
    },
    /// A string without its closing quote; where it begins.
    #[error("the string that begins at byte {0} of the access rule does not end")]
    OpenString(usize),
    /// A character in a string that people cannot see, or a backslash that escapes nothing.
    #[error("a string in an access rule cannot hold {found:?}, as at byte {at}")]
    Character {
        /// The character, or the backslash and the next one.
        found: String,
        /// Where.
        at: usize,
    },
    /// A number of more digits than a float holds exactly.
    #[error("a number in an access rule has at most {MAX_RULE_NUMBER_DIGITS} digits, not {0:?}")]
    LongNumber(String),
    /// A name that no attribute can have; its length.
    #[error("an attribute's name is at most {MAX_ATTRIBUTE_KEY_BYTES} bytes long, not {0}")]
    LongName(usize),
    /// A string that no attribute can say; its length.
    #[error(
        "a string in an access rule is at most {MAX_ATTRIBUTE_VALUE_BYTES} bytes long, not {0}"
    )]
    LongString(usize),
    /// More comparisons than allowed.
    #[error("an access rule has at most {MAX_RULE_COMPARISONS} comparisons")]
    TooManyComparisons,
    /// Parentheses and negations in each other, deeper than allowed.
    #[error("an access rule nests parentheses and negations at most {MAX_RULE_DEPTH} deep")]
    TooDeep,
}

impl Access {
    /// Whether `credentials` give access.
    ///
    /// # Errors
    ///
    /// The requirement that is not met.
    pub fn check(&self, credentials: &Credentials<'_>) -> Result<(), Denied> {
        match (self, credentials) {
            (Self::Open, _)
            | (_, Credentials::Dev | Credentials::Invitation(_))
            | (Self::Token, Credentials::Token(_)) => Ok(()),
            (Self::Token, Credentials::Guest) => Err(Denied::TokenNeeded),
            (Self::Invitation, Credentials::Guest | Credentials::Token(_)) => {
                Err(Denied::InvitationNeeded)
            }
            (Self::Rule(rule), Credentials::Guest) => Err(Denied::RuleWithoutToken(rule.clone())),
            (Self::Rule(rule), Credentials::Token(attributes)) => {
                if rule.holds(attributes) {
                    return Ok(());
                }
                let said = |name: AttributeName| (attributes.get(name.as_str()).cloned(), name);
                let said = rule.names().into_iter().map(said).map(|(value, name)| (name, value));
                Err(Denied::RuleNotMet { rule: rule.clone(), said: said.collect() })
            }
        }
    }
}

impl FromStr for Access {
    type Err = InvalidAccess;

    fn from_str(text: &str) -> Result<Self, InvalidAccess> {
        match text.trim_matches(parse::is_space) {
            "open" => Ok(Self::Open),
            "token" => Ok(Self::Token),
            "invitation" => Ok(Self::Invitation),
            _ => text.parse().map(Self::Rule),
        }
    }
}

impl TryFrom<String> for Access {
    type Error = InvalidAccess;

    fn try_from(text: String) -> Result<Self, InvalidAccess> {
        text.parse()
    }
}

impl From<Access> for String {
    fn from(access: Access) -> Self {
        access.to_string()
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Token => f.write_str("token"),
            Self::Invitation => f.write_str("invitation"),
            Self::Rule(rule) => rule.fmt(f),
        }
    }
}

impl std::error::Error for Denied {}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TokenNeeded => f.write_str("This room asks for a token; ask its host for one."),
            Self::InvitationNeeded => {
                f.write_str("This room is by invitation; ask its host for one.")
            }
            Self::RuleWithoutToken(rule) => write!(
                f,
                "This room asks for {rule}; show a token that says so, or ask its host for an \
                 invitation."
            ),
            Self::RuleNotMet { rule, said } => {
                write!(f, "This room asks for {rule}; your token says {}.", what_was_said(said))
            }
        }
    }
}

/// `a = 1, b = "x" and nothing of c`.
fn what_was_said(said: &[(AttributeName, Option<AttributeValue>)]) -> String {
    let is_said = |(name, value): &(AttributeName, Option<AttributeValue>)| {
        value.as_ref().map(|value| format!("{name} = {}", shown(value)))
    };
    let mut parts: Vec<String> = said.iter().filter_map(is_said).collect();
    let silent: Vec<&str> =
        said.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.as_str()).collect();
    if !silent.is_empty() {
        parts.push(format!("nothing of {}", silent.join(", ")));
    }
    match parts.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

/// A value as people read it: texts that stand for a number or a truth have no quotes.
fn shown(value: &AttributeValue) -> String {
    match value {
        AttributeValue::Number(number) => number.to_string(),
        AttributeValue::Truth(truth) => truth.to_string(),
        AttributeValue::Text(text) => {
            let end = text.char_indices().nth(MAX_SHOWN_CHARS).map_or(text.len(), |(at, _)| at);
            let more = if end < text.len() { "…" } else { "" };
            match (value.as_number(), value.as_truth()) {
                (None, None) => format!("{:?}{more}", &text[..end]),
                (Some(_), _) | (_, Some(_)) => format!("{}{more}", &text[..end]),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(json: &str) -> Attributes {
        serde_json::from_str(json).unwrap()
    }

    fn access(text: &str) -> Access {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn who_may_enter() {
        let few = attributes(r#"{"followers": 12}"#);
        let many = attributes(r#"{"followers": 612}"#);
        let shown = [
            Credentials::Guest,
            Credentials::Token(&few),
            Credentials::Token(&many),
            Credentials::Invitation(&few),
            Credentials::Dev,
        ];
        for (text, may_enter) in [
            ("open", [true, true, true, true, true]),
            ("token", [false, true, true, true, true]),
            ("invitation", [false, false, false, true, true]),
            ("followers >= 600", [false, false, true, true, true]),
        ] {
            let of_the_code = shown.map(|credentials| access(text).check(&credentials).is_ok());
            assert_eq!(of_the_code, may_enter, "{text}");
        }
    }

    #[test]
    fn what_a_rule_holds_for() {
        let said = attributes(
            r#"{"followers": 612, "score": "17.5", "team": "red", "member": true,
                "banned": "false", "nick": "a\"b"}"#,
        );
        for (rule, holds) in [
            ("followers >= 600", true),
            ("followers > 612", false),
            ("followers <= 612", true),
            ("followers < 612", false),
            ("followers == 612.0", true),
            ("followers != 612", false),
            ("followers != 600", true),
            ("score >= 17.5", true),
            ("score == \"17.5\"", true),
            ("score == \"17.50\"", false),
            ("member == true", true),
            ("member != true", false),
            ("banned == false", true),
            ("team == \"red\"", true),
            ("team == \"Red\"", false),
            ("team in [\"blue\", \"red\"]", true),
            ("team in [\"blue\"]", false),
            ("followers in [1, 612]", true),
            ("nick == \"a\\\"b\"", true),
            ("has team", true),
            ("has rank", false),
            ("not has rank", true),
            ("member == true and (followers >= 700 or team == \"red\")", true),
            ("member == false or followers >= 700 and team == \"red\"", false),
            ("not (member == false or followers < 600)", true),
        ] {
            let of_the_code = access(rule).check(&Credentials::Token(&said)).is_ok();
            assert_eq!(of_the_code, holds, "{rule}");
        }
    }

    #[test]
    fn what_is_missing_or_of_another_type_lets_nobody_in() {
        let said = attributes(r#"{"followers": "many", "member": 1, "team": true}"#);
        for rule in [
            "rank == 1",
            "rank != 1",
            "not rank == 1",
            "not (rank == 1 and has team)",
            "not not rank != 1",
            "rank in [1, 2]",
            "not rank in [1, 2]",
            "followers >= 600",
            "followers != 600",
            "not followers < 600",
            "member == true",
            "member != true",
            "team != \"red\"",
            "team > 0",
            "not followers in [600, \"few\"]",
        ] {
            assert!(access(rule).check(&Credentials::Token(&said)).is_err(), "{rule}");
        }
        // What does not depend on them still counts.
        for rule in ["rank == 1 or has team", "not (rank == 1 and not has team)"] {
            assert!(access(rule).check(&Credentials::Token(&said)).is_ok(), "{rule}");
        }
    }

    #[test]
    fn a_refusal_says_what_is_wanted() {
        let said = attributes(r#"{"followers": "12", "team": "blue\u0007", "member": false}"#);
        let long = attributes(&format!("{{\"team\": \"{}\"}}", "x".repeat(41)));
        let none = Attributes::default();
        for (text, credentials, sentence) in [
            ("token", Credentials::Guest, "This room asks for a token; ask its host for one."),
            (
                "invitation",
                Credentials::Token(&said),
                "This room is by invitation; ask its host for one.",
            ),
            (
                "followers>=600",
                Credentials::Token(&said),
                "This room asks for followers >= 600; your token says followers = 12.",
            ),
            (
                "followers >= 600",
                Credentials::Guest,
                "This room asks for followers >= 600; show a token that says so, or ask its host \
                 for an invitation.",
            ),
            (
                "followers >= 600",
                Credentials::Token(&none),
                "This room asks for followers >= 600; your token says nothing of followers.",
            ),
            (
                "followers >= 600 or team == \"red\" or rank > 1 or followers < 1 or member == true",
                Credentials::Token(&said),
                "This room asks for followers >= 600 or team == \"red\" or rank > 1 or \
                 followers < 1 or member == true; your token says followers = 12, \
                 team = \"blue\\u{7}\", member = false and nothing of rank.",
            ),
            (
                "team == \"red\"",
                Credentials::Token(&long),
                "This room asks for team == \"red\"; your token says team = \
                 \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"….",
            ),
        ] {
            let denied = access(text).check(&credentials).unwrap_err();
            assert_eq!(denied.to_string(), sentence);
        }
    }

    #[test]
    fn rules_are_written_in_canonical_form() {
        for (text, canonical) in [
            (" open\n", "open"),
            ("open == true", "open == true"),
            ("followers>=600", "followers >= 600"),
            ("a==1&&b!=2||!c<3", "a == 1 and b != 2 or not c < 3"),
            ("(a == 1 and b == 2) or c == 3", "a == 1 and b == 2 or c == 3"),
            ("a == 1 and (b == 2 or c == 3)", "a == 1 and (b == 2 or c == 3)"),
            ("a == 1 and (b == 2 and (c == 3))", "a == 1 and b == 2 and c == 3"),
            ("not (not (a == 1))", "a == 1"),
            ("!(a == 1 or b == 1)", "not (a == 1 or b == 1)"),
            ("a in[1,\"x\",true]", "a in [1, \"x\", true]"),
            ("a == -007.500", "a == -7.5"),
            ("a == -0", "a == 0"),
            ("has\ta-b.c", "has a-b.c"),
            ("a == \"\\\\ \\\" é\"", "a == \"\\\\ \\\" é\""),
        ] {
            assert_eq!(access(text).to_string(), canonical);
            assert_eq!(access(canonical), access(text), "{text}");
        }
    }

    #[test]
    fn serde_reads_and_writes_the_text() {
        let json = r#""member == true""#;
        assert_eq!(
            serde_json::from_str::<Access>("\"member==true\"").unwrap(),
            access("member==true")
        );
        assert_eq!(serde_json::to_string(&access("member==true")).unwrap(), json);
        assert!(serde_json::from_str::<Access>("\"members\"").is_err());
    }

    #[test]
    fn other_texts_are_refused() {
        for (text, sentence) in [
            ("", "an access rule is 1 to 512 bytes long, not 0"),
            (&" ".repeat(513), "an access rule is 1 to 512 bytes long, not 513"),
            (
                " ",
                "an access rule wants an attribute's name, \"has\", \"not\" or \"(\" at byte 2, not \
                 its end",
            ),
            (
                "closed",
                "an access rule wants one of == != < <= > >= and \"in\" at byte 7, not its end",
            ),
            (
                "a = 1",
                "an access rule wants words, numbers, strings and signs of the grammar at byte 3, \
                 not '='",
            ),
            ("a >= \"x\"", "an access rule wants a number at byte 6, not \"\\\"x\\\"\""),
            (
                "a == b",
                "an access rule wants a number, true, false or a \"string\" at byte 6, not \"b\"",
            ),
            (
                "a == 1 b == 2",
                "an access rule wants \"and\", \"or\" or its end at byte 8, not \"b\"",
            ),
            ("(a == 1", "an access rule wants \"and\", \"or\" or \")\" at byte 8, not its end"),
            (
                "a in []",
                "an access rule wants a number, true, false or a \"string\" at byte 7, not \"]\"",
            ),
            ("a in [1", "an access rule wants \",\" or \"]\" at byte 8, not its end"),
            ("a == 1e3", "an access rule wants a name or a number at byte 6, not \"1e3\""),
            ("a == \"x", "the string that begins at byte 6 of the access rule does not end"),
            ("a == \"\\n\"", "a string in an access rule cannot hold \"\\\\n\", as at byte 7"),
            (
                "a == \"\u{202e}\"",
                "a string in an access rule cannot hold \"\\\\u{202e}\", as at byte 7",
            ),
            (
                "a == 1234567890123456",
                "a number in an access rule has at most 15 digits, not \"1234567890123456\"",
            ),
            (
                &format!("has {}", "x".repeat(65)),
                "an attribute's name is at most 64 bytes long, not 65",
            ),
            (
                &format!("a == \"{}\"", "x".repeat(257)),
                "a string in an access rule is at most 256 bytes long, not 257",
            ),
        ] {
            assert_eq!(text.parse::<Access>().unwrap_err().to_string(), sentence, "{text}");
        }
    }

    #[test]
    fn limits_hold_at_their_edges() {
        let comparisons = |n: usize| vec!["has a"; n].join(" and ").parse::<Access>();
        assert!(comparisons(16).is_ok());
        assert_eq!(comparisons(17), Err(InvalidAccess::TooManyComparisons));

        let nested = |open: &str, close: &str, n| {
            format!("{}has a{}", open.repeat(n), close.repeat(n)).parse::<Access>()
        };
        assert!(nested("(", ")", 8).is_ok());
        assert_eq!(nested("(", ")", 9), Err(InvalidAccess::TooDeep));
        assert_eq!(nested("!", "", 9), Err(InvalidAccess::TooDeep));
        assert_eq!(nested("!(", ")", 5), Err(InvalidAccess::TooDeep));

        // 512 bytes as it stands, more with its spaces.
        let tight = |n| format!("a==\"{}\"||a==\"{}\"", "x".repeat(n), "y".repeat(240));
        assert_eq!(tight(254).len(), 506);
        assert!(tight(254).parse::<Access>().is_ok());
        assert_eq!(tight(255).parse::<Access>(), Err(InvalidAccess::CanonicalLength(513)));
    }
}
