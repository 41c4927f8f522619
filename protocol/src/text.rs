//! Texts of people: permitted characters, and the one form they are kept in: NFC (Unicode Standard Annex
//! #15), so that two texts that look the same are the same. For the types of [`crate::ids`] and the
//! strings of access rules.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Marks over one letter. Languages need three at most; more reach into the lines above and below.
const MAX_MARKS_IN_A_ROW: usize = 4;
/// A text longer than this many times its limit is refused before it is normalised: none
/// shrinks as much.
const MAX_SHRINKAGE: usize = 4;

/// A name in its one form: NFC, without white space at its ends, and one space where there was white
/// space inside.
///
/// # Errors
///
/// The end of a sentence that begins with the kind of text and the text.
pub(crate) fn name(text: &str, max_bytes: usize) -> Result<String, &'static str> {
    if text.len() > max_bytes * MAX_SHRINKAGE {
        return Err("is too long");
    }
    if text.chars().any(char::is_control) {
        return Err("has control characters");
    }
    // Before white space goes: the line separators count as such.
    if text.chars().any(|c| is_hidden(c) || c == BRAILLE_BLANK) {
        return Err("has characters that cannot be seen or change the direction of writing");
    }
    let mut name = String::with_capacity(text.len());
    let normal: String = text.nfc().collect();
    for word in normal.split_whitespace() {
        if !name.is_empty() {
            name.push(' ');
        }
        name.push_str(word);
    }
    if name.is_empty() || name.len() > max_bytes {
        return Err("is not 1 to 64 bytes long");
    }
    if name.starts_with(is_combining_mark) {
        return Err("begins with a combining mark");
    }
    check_marks(&name).map(|()| name)
}

/// A note in its one form: NFC.
///
/// # Errors
///
/// As those of [`name`].
pub(crate) fn note(text: &str, max_bytes: usize) -> Result<String, &'static str> {
    if text.len() > max_bytes * MAX_SHRINKAGE {
        return Err("is too long");
    }
    if text.chars().any(char::is_control) {
        return Err("has control characters");
    }
    if text.chars().any(|c| is_hidden(c) && !is_joiner_or_selector(c)) {
        return Err("has characters that cannot be seen or change the direction of writing");
    }
    let note: String = text.nfc().collect();
    if note.len() > max_bytes {
        return Err("is over 200 bytes long");
    }
    check_marks(&note).map(|()| note)
}

/// Whether the text is as other programs must have written it, for texts that are compared with
/// theirs: in NFC, without control characters and hidden ones.
///
/// # Errors
///
/// As those of [`name`].
pub(crate) fn check_identifier(text: &str) -> Result<(), &'static str> {
    if text.chars().any(char::is_control) {
        return Err("has control characters");
    }
    if text.chars().any(is_hidden) {
        return Err("has characters that cannot be seen or change the direction of writing");
    }
    if !unicode_normalization::is_nfc(text) {
        return Err("is not in Unicode's normalization form C");
    }
    Ok(())
}

/// Line and paragraph separators, bidirectional controls, fillers, zero-width and other invisible
/// format characters, joiners, variation selectors and tags. Control characters (`char::is_control`)
/// and spaces are not among them.
pub(crate) fn is_hidden(c: char) -> bool {
    is_joiner_or_selector(c)
        || matches!(
            c,
            '\u{AD}' // soft hyphen
            | '\u{34F}' // combining grapheme joiner
            | '\u{61C}' // Arabic letter mark
            | '\u{115F}'..='\u{1160}' // Hangul fillers
            | '\u{17B4}'..='\u{17B5}' // Khmer inherent vowels
            | '\u{180B}'..='\u{180F}' // Mongolian selectors and vowel separator
            | '\u{200B}' | '\u{200E}'..='\u{200F}' // zero-width space, direction marks
            | '\u{2028}'..='\u{202E}' // line and paragraph separators, embeddings, overrides
            | '\u{2060}'..='\u{206F}' // word joiner, invisible operators, isolates, old controls
            | '\u{3164}' | '\u{FFA0}' // Hangul fillers
            | '\u{FEFF}' // byte order mark
            | '\u{FFF0}'..='\u{FFFB}' // reserved as invisible, interlinear annotation
            | '\u{1BCA0}'..='\u{1BCA3}' // shorthand format controls
            | '\u{1D173}'..='\u{1D17A}' // musical format controls
            | '\u{E0000}'..='\u{E0FFF}' // tags, more variation selectors
        )
}

/// Zero-width joiner and non-joiner, and the first sixteen variation selectors: emoji and several
/// scripts are not written well without them.
fn is_joiner_or_selector(c: char) -> bool {
    matches!(c, '\u{200C}'..='\u{200D}' | '\u{FE00}'..='\u{FE0F}')
}

/// A letter of Braille without a dot: in a name it looks like a space and is none.
const BRAILLE_BLANK: char = '\u{2800}';

fn check_marks(text: &str) -> Result<(), &'static str> {
    let mut row = 0;
    for c in text.chars() {
        row = if is_combining_mark(c) { row + 1 } else { 0 };
        if row > MAX_MARKS_IN_A_ROW {
            return Err("has more than 4 combining marks in a row");
        }
    }
    Ok(())
}
