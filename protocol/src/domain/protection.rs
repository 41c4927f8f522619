//! Protection of speech against loss, which the speakers of a room are asked for. SPEC.md section 8.22.

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_PROTECTED_LOSS_PERCENT, MAX_PROTECTED_SPAN};

/// Losses that repair leaves, as far as the speaker's encoder can do something about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "against", rename_all = "snake_case")]
pub enum Protection {
    /// Nothing to speak of is lost: all bits are for the voice.
    Nothing {},
    /// Single frames are lost: a copy of each frame in the one after it helps.
    Single {
        /// Frames lost, in percent.
        loss_percent: u8,
    },
    /// Frames are lost in bursts: each frame has to tell of several before it.
    Bursts {
        /// Frames lost, in percent.
        loss_percent: u8,
        /// Length of the bursts, in milliseconds.
        span_ms: u16,
    },
    /// Losses of a later version. Taken for [`Self::Nothing`].
    #[serde(other)]
    Unknown,
}

impl Default for Protection {
    fn default() -> Self {
        Self::Nothing {}
    }
}

impl Protection {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing {} => "nothing",
            Self::Single { .. } => "single",
            Self::Bursts { .. } => "bursts",
            Self::Unknown => "unknown",
        }
    }

    /// Frames lost, in percent.
    #[must_use]
    pub const fn loss_percent(self) -> u8 {
        match self {
            Self::Nothing {} | Self::Unknown => 0,
            Self::Single { loss_percent } | Self::Bursts { loss_percent, .. } => loss_percent,
        }
    }

    /// Length of the bursts, in milliseconds; 0 without any.
    #[must_use]
    pub const fn span_ms(self) -> u16 {
        match self {
            Self::Nothing {} | Self::Single { .. } | Self::Unknown => 0,
            Self::Bursts { span_ms, .. } => span_ms,
        }
    }

    /// The protection against that much: nothing without a loss, and against single losses without a span.
    /// Both are cut to what a speaker protects against.
    #[must_use]
    pub fn against(loss_percent: u8, span_ms: u16) -> Self {
        let loss_percent = loss_percent.min(MAX_PROTECTED_LOSS_PERCENT);
        let longest_ms = u16::try_from(MAX_PROTECTED_SPAN.as_millis()).unwrap_or(u16::MAX);
        match (loss_percent, span_ms.min(longest_ms)) {
            (0, _) => Self::Nothing {},
            (loss_percent, 0) => Self::Single { loss_percent },
            (loss_percent, span_ms) => Self::Bursts { loss_percent, span_ms },
        }
    }

    /// The same within the bounds of a speaker.
    #[must_use]
    pub fn bounded(self) -> Self {
        Self::against(self.loss_percent(), self.span_ms())
    }

    /// Protection against this and that.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let loss_percent = self.loss_percent().max(other.loss_percent());
        Self::against(loss_percent, self.span_ms().max(other.span_ms()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn protection() -> impl Strategy<Value = Protection> {
        (any::<u8>(), any::<u16>()).prop_map(|(loss, span)| Protection::against(loss, span))
    }

    proptest! {
        #[test]
        fn both_covers_each(one in protection(), other in protection()) {
            let both = one.and(other);
            prop_assert_eq!(both, other.and(one));
            prop_assert_eq!(both.and(one), both);
            prop_assert_eq!(both.bounded(), both);
        }
    }

    #[test]
    fn words_are_those_of_the_wire() {
        let bursts = Protection::against(90, 9_000);
        assert_eq!(bursts, Protection::Bursts { loss_percent: 20, span_ms: 240 });
        let single = Protection::against(5, 0);
        for protection in [Protection::Nothing {}, single, bursts] {
            let value = ciborium::Value::serialized(&protection).unwrap();
            let word = &value.as_map().unwrap()[0];
            assert_eq!(word.0.as_text(), Some("against"));
            assert_eq!(word.1.as_text(), Some(protection.as_str()));
            assert_eq!(value.deserialized::<Protection>().unwrap(), protection);
        }
        let text = |text: &str| ciborium::Value::Text(text.to_owned());
        let fields = vec![(text("against"), text("weather")), (text("wind"), 3.into())];
        let later = ciborium::Value::Map(fields);
        let later: Protection = later.deserialized().unwrap();
        assert_eq!((later, later.bounded()), (Protection::Unknown, Protection::Nothing {}));
    }
}
