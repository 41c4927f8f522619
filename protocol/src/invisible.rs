//! Which characters people cannot see, or which change how their neighbours are read. Names, notes
//! and access rules refuse them, so that what is shown is what is there.

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
pub(crate) fn is_joiner_or_selector(c: char) -> bool {
    matches!(c, '\u{200C}'..='\u{200D}' | '\u{FE00}'..='\u{FE0F}')
}
