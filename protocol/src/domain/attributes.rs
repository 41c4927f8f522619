//! Attributes of a token's holder beside their name, which the access rules of a room
//! ask about ([`crate::domain::access`]). Tokens carry them; every relay and client may read them.

use std::collections::{BTreeMap, btree_map};
use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::{MAX_ATTRIBUTE_KEY_BYTES, MAX_ATTRIBUTE_VALUE_BYTES, MAX_ATTRIBUTES};

/// The attributes of one token: at most 32, each key 1 to 64 bytes, each text at most 256 bytes.
/// Written as a map of texts, numbers and truths.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Attributes(BTreeMap<String, AttributeValue>);

/// Value of an attribute. LiveKit's attributes are texts; the other two are JSON's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// A text of at most 256 bytes of any kind.
    Text(String),
    /// A number.
    Number(Number),
    /// True or false.
    Truth(bool),
}

/// A finite number, held as a 64-bit float; there is one zero.
#[derive(Clone, Copy)]
pub struct Number(f64);

/// An attribute that is not one, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAttribute {
    /// More than 32 of them.
    #[error("a token has at most {MAX_ATTRIBUTES} attributes")]
    TooMany,
    /// A key of no or too many bytes; its length.
    #[error("an attribute's key is 1 to {MAX_ATTRIBUTE_KEY_BYTES} bytes long, not {0}")]
    KeyLength(usize),
    /// A key that stands there twice; its name.
    #[error("the attribute {0:?} stands there twice")]
    Twice(String),
    /// A text that is too long; its length.
    #[error("an attribute's text is at most {MAX_ATTRIBUTE_VALUE_BYTES} bytes long, not {0}")]
    TextLength(usize),
    /// Not a number, or an infinite one.
    #[error("an attribute's number is finite, not {0}")]
    NotFinite(String),
}

impl Attributes {
    /// Adds an attribute.
    ///
    /// # Errors
    ///
    /// If the key is of no length, there already, or the 33rd.
    pub fn insert(&mut self, key: String, value: AttributeValue) -> Result<(), InvalidAttribute> {
        if key.is_empty() || key.len() > MAX_ATTRIBUTE_KEY_BYTES {
            return Err(InvalidAttribute::KeyLength(key.len()));
        }
        if let AttributeValue::Text(text) = &value
            && text.len() > MAX_ATTRIBUTE_VALUE_BYTES
        {
            return Err(InvalidAttribute::TextLength(text.len()));
        }
        let len = self.0.len();
        match self.0.entry(key) {
            btree_map::Entry::Occupied(entry) => Err(InvalidAttribute::Twice(entry.key().clone())),
            btree_map::Entry::Vacant(_) if len == MAX_ATTRIBUTES => Err(InvalidAttribute::TooMany),
            btree_map::Entry::Vacant(entry) => {
                entry.insert(value);
                Ok(())
            }
        }
    }

    /// The attribute's value, if the token has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&AttributeValue> {
        self.0.get(key)
    }

    /// All of them, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &AttributeValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Whether the token has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl AttributeValue {
    /// As a number: a number itself, or a text that is a decimal number such as `612` or `-0.5`.
    #[must_use]
    pub fn as_number(&self) -> Option<Number> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => Number::of_decimal(text),
            Self::Truth(_) => None,
        }
    }

    /// As a truth: a truth itself, or one of the texts `true` and `false`.
    #[must_use]
    pub fn as_truth(&self) -> Option<bool> {
        match self {
            Self::Truth(truth) => Some(*truth),
            Self::Text(text) => text.parse().ok(),
            Self::Number(_) => None,
        }
    }

    /// As a text: only if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::Truth(_) => None,
        }
    }
}

impl TryFrom<f64> for Number {
    type Error = InvalidAttribute;

    fn try_from(value: f64) -> Result<Self, InvalidAttribute> {
        // Adding zero makes 0 of −0 and changes nothing else.
        if value.is_finite() {
            Ok(Self(value + 0.0))
        } else {
            Err(InvalidAttribute::NotFinite(value.to_string()))
        }
    }
}

impl Number {
    /// Reads `-?digits[.digits]`, nothing else: no exponent, no sign `+`, no white space.
    #[must_use]
    pub fn of_decimal(text: &str) -> Option<Self> {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let is_decimal = match unsigned.split_once('.') {
            Some((whole, part)) => digits(whole) && digits(part),
            None => digits(unsigned),
        };
        let value: f64 = text.parse().ok().filter(|_| is_decimal)?;
        Self::try_from(value).ok()
    }

    /// The number as a float.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Decimal, without an exponent: `612`, `-0.5`.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<bool> for AttributeValue {
    fn from(truth: bool) -> Self {
        Self::Truth(truth)
    }
}

impl From<&str> for AttributeValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Serialize for AttributeValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Truth(truth) => serializer.serialize_bool(*truth),
            Self::Number(Number(value)) => {
                // Whole numbers that a float holds exactly are written as integers.
                let whole = *value as i64;
                if whole as f64 == *value && whole.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS {
                    serializer.serialize_i64(whole)
                } else {
                    serializer.serialize_f64(*value)
                }
            }
        }
    }
}

impl<'de> Deserialize<'de> for AttributeValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Value;
        impl Visitor<'_> for Value {
            type Value = AttributeValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number or a truth")
            }

            fn visit_bool<E>(self, truth: bool) -> Result<AttributeValue, E> {
                Ok(AttributeValue::Truth(truth))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<AttributeValue, E> {
                self.visit_f64(value as f64)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<AttributeValue, E> {
                self.visit_f64(value as f64)
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<AttributeValue, E> {
                Number::try_from(value).map(AttributeValue::Number).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<AttributeValue, E> {
                if text.len() > MAX_ATTRIBUTE_VALUE_BYTES {
                    return Err(E::custom(InvalidAttribute::TextLength(text.len())));
                }
                Ok(AttributeValue::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Value)
    }
}

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Attributes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of attributes")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Attributes, A::Error> {
                let mut attributes = Attributes::default();
                while let Some((key, value)) = map.next_entry()? {
                    attributes.insert(key, value).map_err(de::Error::custom)?;
                }
                Ok(attributes)
            }
        }
        deserializer.deserialize_map(Map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Attributes, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn attributes_are_written_as_they_are_read() {
        let json = r#"{"big":1e300,"followers":612,"half":-0.5,"member":true,"team":"red"}"#;
        let attributes = read(json).unwrap();
        assert_eq!(attributes.get("member"), Some(&true.into()));
        assert_eq!(attributes.get("team"), Some(&"red".into()));
        assert_eq!(attributes.get("followers").unwrap().as_number().unwrap().get(), 612.0);
        assert_eq!(attributes.get("absent"), None);
        let again = serde_json::to_string(&attributes).unwrap();
        assert_eq!(again, json.replace("1e300", "1e+300"));
        assert_eq!(read(&again).unwrap(), attributes);
    }

    #[test]
    fn a_text_stands_for_a_number_or_a_truth() {
        for (text, number) in [("612", 612.0), ("-0.5", -0.5), ("007", 7.0), ("-0", 0.0)] {
            let number = Number::try_from(number).unwrap();
            assert_eq!(AttributeValue::from(text).as_number(), Some(number), "{text}");
        }
        for text in ["", "-", "1e3", "+1", ".5", "1.", "1.-5", "inf", "NaN", " 1", "0x1", "١"] {
            assert_eq!(AttributeValue::from(text).as_number(), None, "{text}");
        }
        assert_eq!(
            AttributeValue::from("9".repeat(256).as_str()).as_number().unwrap().get(),
            1e256
        );
        assert_eq!(AttributeValue::from("true").as_truth(), Some(true));
        assert_eq!(AttributeValue::from("True").as_truth(), None);
        assert_eq!(AttributeValue::Truth(true).as_number(), None);
        assert_eq!(AttributeValue::Truth(true).as_text(), None);
    }

    #[test]
    fn an_excess_is_refused() {
        let many = |n: usize| {
            let pairs: Vec<String> = (0..n).map(|i| format!("\"a{i}\":{i}")).collect();
            read(&format!("{{{}}}", pairs.join(",")))
        };
        assert!(many(32).is_ok());
        for (result, wanted) in [
            (many(33), "at most 32 attributes"),
            (read(r#"{"":1}"#), "1 to 64 bytes long, not 0"),
            (read(&format!("{{\"{}\":1}}", "k".repeat(65))), "1 to 64 bytes long, not 65"),
            (read(&format!("{{\"k\":\"{}\"}}", "v".repeat(257))), "256 bytes long, not 257"),
            (read(r#"{"a":1,"a":2}"#), "\"a\" stands there twice"),
            (read(r#"{"a":null}"#), "a text, a number or a truth"),
            (read(r#"{"a":[1]}"#), "a text, a number or a truth"),
        ] {
            let error = result.unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
        for float in [f64::NAN, f64::INFINITY] {
            let mut bytes = Vec::new();
            ciborium::into_writer(&float, &mut bytes).unwrap();
            assert!(ciborium::from_reader::<AttributeValue, _>(bytes.as_slice()).is_err());
        }
    }
}
