//! Durations with units: `5s`, `300ms`, `1m30s`.

use std::time::Duration;

const UNITS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Why a duration was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing there.
    #[error("the duration is empty")]
    Empty,
    /// A number, or its last part, has no unit.
    #[error("`{text}` has no unit")]
    NoUnit {
        /// The text as written.
        text: String,
    },
    /// Something that is neither a whole number nor a unit.
    #[error("`{text}` is no duration: `{part}` is not understood")]
    Part {
        /// The text as written.
        text: String,
        /// The part that is wrong.
        part: String,
    },
    /// More milliseconds than 64 bits hold.
    #[error("`{text}` is too long")]
    TooLong {
        /// The text as written.
        text: String,
    },
}

/// Parses a sequence of whole numbers with the units `ms`, `s`, `m`, `h`, `d`; parts add up.
///
/// # Errors
/// A missing or unknown unit, a fraction, a sign, or a sum beyond 2⁶⁴ ms.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (digits, after) = split_while(rest, |c| c.is_ascii_digit());
        let (unit, next) = split_while(after, |c| !c.is_ascii_digit());
        if digits.is_empty() {
            return Err(part(text, unit));
        }
        if unit.is_empty() {
            return Err(DurationError::NoUnit {
                text: text.to_owned(),
            });
        }
        let factor = UNITS.iter().find(|(name, _)| *name == unit);
        let (_, factor) = factor.ok_or_else(|| part(text, unit))?;
        total = digits
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*factor))
            .and_then(|ms| total.checked_add(ms))
            .ok_or_else(|| DurationError::TooLong {
                text: text.to_owned(),
            })?;
        rest = next;
    }
    Ok(Duration::from_millis(total))
}

fn part(text: &str, part: &str) -> DurationError {
    DurationError::Part {
        text: text.to_owned(),
        part: part.to_owned(),
    }
}

/// Splits before the first character that does not satisfy `keep`.
pub(crate) fn split_while(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !keep(c)).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{DurationError, parse};

    #[test]
    fn units_add_up() {
        let cases = [
            ("5s", 5_000),
            ("300ms", 300),
            ("1m30s", 90_000),
            ("2h", 7_200_000),
            ("1d1ms", 86_400_001),
            ("0s", 0),
        ];
        for (text, ms) in cases {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        let cases = [
            ("", "the duration is empty"),
            ("5", "`5` has no unit"),
            ("1m30", "`1m30` has no unit"),
            ("1.5s", "`1.5s` is no duration: `.` is not understood"),
            ("-1s", "`-1s` is no duration: `-` is not understood"),
            ("5 s", "`5 s` is no duration: ` s` is not understood"),
            ("5sec", "`5sec` is no duration: `sec` is not understood"),
            (
                "99999999999999999999s",
                "`99999999999999999999s` is too long",
            ),
        ];
        for (text, expected) in cases {
            let message = parse(text).map_err(|error| error.to_string());
            assert_eq!(message, Err(expected.to_owned()));
        }
        let overflow = format!("{}d", u64::MAX);
        assert!(matches!(
            parse(&overflow),
            Err(DurationError::TooLong { .. })
        ));
    }

    proptest! {
        #[test]
        fn parts_add_up(h in 0u64..1000, m in 0u64..1000, ms in 0u64..100_000) {
            let text = format!("{h}h{m}m{ms}ms");
            prop_assert_eq!(parse(&text), Ok(Duration::from_millis((h * 60 + m) * 60_000 + ms)));
        }

        #[test]
        fn never_panics(text in ".*") {
            let _ = parse(&text);
        }
    }
}
