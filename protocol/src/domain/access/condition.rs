//! Syntax tree of rules: conditions, their evaluation and their canonical text.

use std::fmt::{self, Write};

use super::InvalidAccess;
use crate::domain::attributes::{AttributeValue, Attributes, Number};
use crate::limits::MAX_ATTRIBUTE_KEY_BYTES;

/// An attribute's name as a rule can write it: 1 to 64 bytes, a letter or `_` and then letters,
/// digits, `_`, `-` and `.`, all ASCII, and none of the words of the grammar.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeName(String);

/// A part of a rule. The constructors [`all_of`], [`any_of`] and [`not`] keep it canonical: no list of
/// one, no `and` directly in an `and`, no negation of a negation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    /// `has name`
    Has(AttributeName),
    /// `name >= 600`
    Ordered {
        name: AttributeName,
        order: Order,
        than: Number,
    },
    /// `name == "red"`, or `!=` if not `equal`
    Compared {
        name: AttributeName,
        equal: bool,
        to: AttributeValue,
    },
    /// `name in ["red", "blue"]`, which is `name == "red" or name == "blue"`
    OneOf {
        name: AttributeName,
        values: Vec<AttributeValue>,
    },
}

/// The comparisons that only numbers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    AtMost,
    More,
    AtLeast,
}

impl AttributeName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, if `word` is one; the parser has seen to its characters.
    pub(super) fn of_word(word: &str) -> Result<Self, InvalidAccess> {
        if word.len() > MAX_ATTRIBUTE_KEY_BYTES {
            return Err(InvalidAccess::LongName(word.len()));
        }
        Ok(Self(word.to_owned()))
    }
}

impl Condition {
    /// Whether the condition is `wanted`. It may be neither true nor false.
    pub(super) fn is(&self, wanted: bool, attributes: &Attributes) -> bool {
        let value = |name: &AttributeName| attributes.get(name.as_str());
        match self {
            // All are true; or one of them is false.
            Self::All(parts) if wanted => parts.iter().all(|part| part.is(true, attributes)),
            Self::All(parts) => parts.iter().any(|part| part.is(false, attributes)),
            Self::Any(parts) if wanted => parts.iter().any(|part| part.is(true, attributes)),
            Self::Any(parts) => parts.iter().all(|part| part.is(false, attributes)),
            Self::Not(part) => part.is(!wanted, attributes),
            Self::Has(name) => value(name).is_some() == wanted,
            Self::Ordered { name, order, than } => value(name)
                .and_then(AttributeValue::as_number)
                .is_some_and(|number| order.holds(number, *than) == wanted),
            Self::Compared { name, equal, to } => value(name)
                .and_then(|value| equals(value, to))
                .is_some_and(|is_equal| (is_equal == *equal) == wanted),
            Self::OneOf { name, values } => {
                let is_equal = |to| value(name).and_then(|value| equals(value, to));
                match wanted {
                    true => values.iter().any(|to| is_equal(to) == Some(true)),
                    false => values.iter().all(|to| is_equal(to) == Some(false)),
                }
            }
        }
    }

    pub(super) fn collect_names(&self, names: &mut Vec<AttributeName>) {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().for_each(|part| part.collect_names(names));
            }
            Self::Not(part) => part.collect_names(names),
            Self::Has(name)
            | Self::Ordered { name, .. }
            | Self::Compared { name, .. }
            | Self::OneOf { name, .. } => {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
    }
}

impl Order {
    fn holds(self, number: Number, than: Number) -> bool {
        match self {
            Self::Less => number < than,
            Self::AtMost => number <= than,
            Self::More => number > than,
            Self::AtLeast => number >= than,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
        }
    }
}

/// Whether an attribute equals a rule's value; `None` if the two cannot be compared.
fn equals(said: &AttributeValue, wanted: &AttributeValue) -> Option<bool> {
    match wanted {
        AttributeValue::Text(text) => said.as_text().map(|said| said == text),
        AttributeValue::Number(number) => said.as_number().map(|said| said == *number),
        AttributeValue::Truth(truth) => said.as_truth().map(|said| said == *truth),
    }
}

/// All of them, of which there is at least one.
pub(super) fn all_of(parts: Vec<Condition>) -> Condition {
    let flat = parts.into_iter().flat_map(|part| match part {
        Condition::All(parts) => parts,
        Condition::Any(_)
        | Condition::Not(_)
        | Condition::Has(_)
        | Condition::Ordered { .. }
        | Condition::Compared { .. }
        | Condition::OneOf { .. } => vec![part],
    });
    one_or(flat.collect(), Condition::All)
}

/// One of them, of which there is at least one.
pub(super) fn any_of(parts: Vec<Condition>) -> Condition {
    let flat = parts.into_iter().flat_map(|part| match part {
        Condition::Any(parts) => parts,
        Condition::All(_)
        | Condition::Not(_)
        | Condition::Has(_)
        | Condition::Ordered { .. }
        | Condition::Compared { .. }
        | Condition::OneOf { .. } => vec![part],
    });
    one_or(flat.collect(), Condition::Any)
}

/// The negation.
pub(super) fn not(part: Condition) -> Condition {
    match part {
        Condition::Not(part) => *part,
        Condition::All(_)
        | Condition::Any(_)
        | Condition::Has(_)
        | Condition::Ordered { .. }
        | Condition::Compared { .. }
        | Condition::OneOf { .. } => Condition::Not(Box::new(part)),
    }
}

fn one_or(mut parts: Vec<Condition>, many: fn(Vec<Condition>) -> Condition) -> Condition {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            parts.push(last);
            many(parts)
        }
        (_, None) => many(parts),
    }
}

impl fmt::Display for AttributeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(parts) => join(f, parts, " and "),
            Self::Any(parts) => join(f, parts, " or "),
            Self::Not(part) => match **part {
                Self::All(_) | Self::Any(_) => write!(f, "not ({part})"),
                Self::Not(_)
                | Self::Has(_)
                | Self::Ordered { .. }
                | Self::Compared { .. }
                | Self::OneOf { .. } => write!(f, "not {part}"),
            },
            Self::Has(name) => write!(f, "has {name}"),
            Self::Ordered { name, order, than } => write!(f, "{name} {} {than}", order.as_str()),
            Self::Compared { name, equal, to } => {
                write!(f, "{name} {} ", if *equal { "==" } else { "!=" })?;
                write_value(f, to)
            }
            Self::OneOf { name, values } => {
                write!(f, "{name} in [")?;
                for (i, value) in values.iter().enumerate() {
                    f.write_str(if i == 0 { "" } else { ", " })?;
                    write_value(f, value)?;
                }
                f.write_char(']')
            }
        }
    }
}

/// `or` binds weaker than `and`: only an `or` in an `and` needs parentheses.
fn join(f: &mut fmt::Formatter<'_>, parts: &[Condition], word: &str) -> fmt::Result {
    for (i, part) in parts.iter().enumerate() {
        f.write_str(if i == 0 { "" } else { word })?;
        match part {
            Condition::Any(_) => write!(f, "({part})")?,
            Condition::All(_)
            | Condition::Not(_)
            | Condition::Has(_)
            | Condition::Ordered { .. }
            | Condition::Compared { .. }
            | Condition::OneOf { .. } => write!(f, "{part}")?,
        }
    }
    Ok(())
}

fn write_value(f: &mut fmt::Formatter<'_>, value: &AttributeValue) -> fmt::Result {
    match value {
        AttributeValue::Number(number) => write!(f, "{number}"),
        AttributeValue::Truth(truth) => write!(f, "{truth}"),
        AttributeValue::Text(text) => {
            f.write_char('"')?;
            for c in text.chars() {
                if matches!(c, '"' | '\\') {
                    f.write_char('\\')?;
                }
                f.write_char(c)?;
            }
            f.write_char('"')
        }
    }
}
