//! Ranking of listeners, as an option of `listeners` and `top`.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use tribune_protocol::quality::report::Ranking;

/// Parses one of the words of [`Ranking::ALL`].
pub(super) fn parser() -> impl TypedValueParser<Value = Ranking> {
    PossibleValuesParser::new(Ranking::ALL.map(Ranking::as_str))
        .try_map(|word| word.parse::<Ranking>())
}
