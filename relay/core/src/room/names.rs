//! Confusable names: a participant cannot pass for a host. For code that admits participants under a
//! name.
//!
//! A name's skeleton is made by the confusables of Unicode Technical Standard #39, and without the
//! differences that people overlook in a list of names: case, spaces, punctuation and symbols. Two names with the same
//! skeleton are confusable. Accents tell names apart, and so does the order of letters.

use tribune_protocol::ids::DisplayName;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_security::skeleton;

/// A name without the differences that readers overlook. Only for comparison: it is no name, and may
/// have other characters than the name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Skeleton(String);

impl Skeleton {
    /// The skeleton of a name.
    ///
    /// NFKC makes plain letters of full-width, round and raised ones. Then twice in turn: the
    /// prototype that a character is confused with, and lower case. Twice, because each step finds work in what the
    /// other leaves: a Cyrillic `В` looks like `B`, and its small letter like none; a capital `M` is
    /// like `rn` once it is small. Then `i` counts as `l`: their capitals and `1` are one in the
    /// confusables, and case is not told apart here. Last, only letters, digits and marks are kept,
    /// unless there is none.
    #[must_use]
    pub fn of(name: &DisplayName) -> Self {
        let mut text: String = name.as_str().nfkc().collect();
        for _ in 0..2 {
            text = skeleton(&text).collect::<String>().to_lowercase();
        }
        let text = text.replace('i', "l");
        let letters: String =
            text.chars().filter(|c| c.is_alphanumeric() || is_combining_mark(*c)).collect();
        if letters.is_empty() {
            return Self(text.split_whitespace().collect());
        }
        Self(letters)
    }
}

/// Whether one of the names can be taken for the other. Equal names can.
#[must_use]
pub fn is_confusable(one: &DisplayName, other: &DisplayName) -> bool {
    Skeleton::of(one) == Skeleton::of(other)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn confusable(one: &str, other: &str) -> bool {
        is_confusable(&one.parse().unwrap(), &other.parse().unwrap())
    }

    #[test]
    fn names_that_are_taken_for_each_other() {
        for (one, other) in [
            ("Ada", "Ada"),
            ("Ada", "ADA"),
            ("Ada", "\u{410}da"),       // Cyrillic A
            ("Ada", "\u{391}d\u{430}"), // Greek Alpha, Cyrillic a
            ("Ada", "A d a"),
            ("Ada", "A.d-a"),
            ("Ada", "Ada \u{2713}"),                // a check mark
            ("Ada", "\u{1f451} Ada"),               // a crown
            ("Ada", "\u{ff21}\u{ff44}\u{ff41}"),    // full width
            ("Ada", "\u{1d400}\u{1d41d}\u{1d41a}"), // mathematical bold
            ("Ada", "\u{24b6}\u{24d3}\u{24d0}"),    // in circles
            ("HOST", "H0ST"),
            ("host", "h0st"),
            ("Host", "\u{397}\u{3bf}st"), // Greek Eta, omicron
            ("Bob", "\u{412}ob"),         // Cyrillic Ve
            ("Alice", "AIice"),
            ("Alice", "A1ice"),
            ("ALICE", "alice"),
            ("Alice", "A|ice"),
            ("Ernie", "Emie"),
            ("Mary", "rnary"),
            ("Mary", "RNARY"),
            ("Jos\u{e9}", "JOSE\u{301}"),
            ("Stra\u{df}e", "STRA\u{df}E"),
        ] {
            assert!(confusable(one, other), "{one} and {other}");
            assert!(confusable(other, one), "{other} and {one}");
        }
    }

    #[test]
    fn names_that_are_told_apart() {
        for (one, other) in [
            ("Ada", "Adam"),
            ("Ada", "Dad"),
            ("Ada", "Eda"),
            ("Andre", "Andr\u{e9}"),
            ("Ada 1", "Ada 2"),
            ("\u{1f451}", "\u{1f3a4}"), // a crown, a microphone: no letter at all
            ("\u{ff1f}", "!"),
            ("田中", "田口"),
            ("Анна", "Инна"),
        ] {
            assert!(!confusable(one, other), "{one} and {other}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_name_has_a_skeleton(text in "[ -~\\p{Latin}\\p{Emoji}]{1,16}") {
            if let Ok(name) = text.parse::<DisplayName>() {
                prop_assert!(!Skeleton::of(&name).0.is_empty(), "{name}");
            }
        }

        #[test]
        fn case_and_spaces_do_not_tell_names_apart(text in "[a-z][a-z ]{0,30}") {
            let capitals = text.to_uppercase().replace(' ', "");
            prop_assert!(confusable(&text, &capitals));
        }
    }
}
