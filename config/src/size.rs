//! Sizes with units: `64MB`, `2GiB`.

use crate::duration::split_while;

/// Decimal units count in thousands, binary ones (`KiB`) in 1024s (IEC 80000-13).
const UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Why a size was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// It does not begin with a whole number.
    #[error("`{text}` does not begin with a whole number")]
    NoNumber {
        /// The text as written.
        text: String,
    },
    /// The unit is absent or unknown.
    #[error("`{text}` needs one of the units B, KB, MB, GB, TB, KiB, MiB, GiB, TiB")]
    Unit {
        /// The text as written.
        text: String,
    },
    /// More bytes than 64 bits hold.
    #[error("`{text}` is too large")]
    TooLarge {
        /// The text as written.
        text: String,
    },
}

/// Parses a whole number with a unit into bytes; a space before the unit is allowed.
///
/// # Errors
/// No number, no known unit, or more than 2⁶⁴ bytes.
pub fn parse(text: &str) -> Result<u64, SizeError> {
    let owned = || text.to_owned();
    let (digits, unit) = split_while(text, |c| c.is_ascii_digit());
    if digits.is_empty() {
        return Err(SizeError::NoNumber { text: owned() });
    }
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let known = UNITS.iter().find(|(name, _)| *name == unit);
    let (_, factor) = known.ok_or_else(|| SizeError::Unit { text: owned() })?;
    let number = digits.parse::<u64>().ok();
    number
        .and_then(|number| number.checked_mul(*factor))
        .ok_or_else(|| SizeError::TooLarge { text: owned() })
}

#[cfg(test)]
mod tests {
    use super::{SizeError, parse};

    #[test]
    fn sizes_carry_units() {
        let cases = [
            ("0B", 0),
            ("64MB", 64_000_000),
            ("2GiB", 2 << 30),
            ("1 KB", 1000),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["12", "12 ", "1mb", "1G", "1.5GB"] {
            assert!(matches!(parse(text), Err(SizeError::Unit { .. })), "{text}");
        }
        for text in ["", "GB", "-1B"] {
            assert!(
                matches!(parse(text), Err(SizeError::NoNumber { .. })),
                "{text}"
            );
        }
        for text in ["99999999999TB", "99999999999999999999B"] {
            assert!(
                matches!(parse(text), Err(SizeError::TooLarge { .. })),
                "{text}"
            );
        }
    }
}
