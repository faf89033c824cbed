//! Version ranges as people write them for a runtime: `20.x`, `3.11`, `>=3.11,<4`, `18 || 20`.

use semver::{Version, VersionReq};

/// Why a version or a range was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Not a range.
    #[error("`{text}` is no version range")]
    Range {
        /// The text as written.
        text: String,
    },
    /// Not a version.
    #[error("`{text}` is no version")]
    Version {
        /// The text as found.
        text: String,
    },
}

/// A set of versions: alternatives by `||`, each a conjunction by commas or spaces.
///
/// A bare version is a prefix, as in the seed: `20` and `20.x` are any 20, `3.11` any 3.11,
/// `20.1.2` exactly that. `*` is any. `^`, `~`, `=`, `<`, `<=`, `>`, `>=` as semver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    alternatives: Vec<VersionReq>,
}

impl Range {
    /// Parses a range.
    ///
    /// # Errors
    /// The text is no range.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let refused = || VersionError::Range {
            text: text.to_owned(),
        };
        let alternatives: Option<Vec<_>> = text.split("||").map(conjunction).collect();
        alternatives
            .map(|alternatives| Self { alternatives })
            .ok_or_else(refused)
    }

    /// Tells whether the version is in the range. Pre-releases match only where named, as semver.
    ///
    /// # Errors
    /// The text is no version.
    pub fn contains(&self, version: &str) -> Result<bool, VersionError> {
        let refused = || VersionError::Version {
            text: version.to_owned(),
        };
        let version = loose_version(version.trim()).ok_or_else(refused)?;
        Ok(self.alternatives.iter().any(|req| req.matches(&version)))
    }
}

/// Tells whether `version` (e.g. `20.20.2`, `v20.20.2`) lies in `range` (e.g. `20.x`).
///
/// # Errors
/// Either text is malformed.
pub fn matches(range: &str, version: &str) -> Result<bool, VersionError> {
    Range::parse(range)?.contains(version)
}

fn conjunction(text: &str) -> Option<VersionReq> {
    // `>= 3.11` is one comparator: an operator belongs to the version that follows it.
    let mut comparators: Vec<String> = Vec::new();
    for word in text.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
        match comparators.last_mut() {
            Some(last) if last.ends_with(['<', '>', '=', '^', '~']) => last.push_str(word),
            _ => comparators.push(word.to_owned()),
        }
    }
    if comparators.is_empty() {
        return None;
    }
    let normal: Vec<String> = comparators.iter().map(|one| comparator(one)).collect();
    VersionReq::parse(&normal.join(", ")).ok()
}

fn comparator(text: &str) -> String {
    let operator_end = text.find(|c| !"<>=^~".contains(c)).unwrap_or(text.len());
    let (operator, version) = text.split_at(operator_end);
    let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
    // `==` is how Python says `=`.
    let operator = if operator == "==" { "=" } else { operator };
    let wild = version
        .split('.')
        .any(|part| matches!(part, "x" | "X" | "*"));
    match (operator, wild) {
        ("", true) => version.replace(['x', 'X'], "*"),
        ("", false) => format!("={version}"),
        _ => format!("{operator}{version}"),
    }
}

/// Reads `v20.20.2`, `3.11`, `3.13.0rc1`: missing numbers are 0, what follows them is a pre-release
/// (`+…` is build metadata and does not count).
fn loose_version(text: &str) -> Option<Version> {
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let text = text.split('+').next().unwrap_or(text);
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (numbers, pre) = text.split_at(end);
    let mut parts = numbers.split('.').map(str::parse::<u64>);
    let major = parts.next()?.ok()?;
    let minor = parts.next().transpose().ok()?.unwrap_or(0);
    let patch = parts.next().transpose().ok()?.unwrap_or(0);
    let mut version = Version::new(major, minor, patch);
    let pre = pre.trim_start_matches(['-', '.', '_', '~']);
    if !pre.is_empty() {
        version.pre = semver::Prerelease::new(pre).ok()?;
    }
    Some(version)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::matches;

    #[test]
    fn ranges_match_as_written() {
        let cases = [
            ("20.x", "20.20.2", true),
            ("20.x", "21.0.0", false),
            ("20", "v20.1.0", true),
            ("3.11", "3.11.2", true),
            ("3.11", "3.12.0", false),
            ("3.11.2", "3.11.2", true),
            ("3.11.2", "3.11.3", false),
            (">=3.11,<4", "3.13.1", true),
            (">= 3.11, < 4", "4.0.0", false),
            (">=18 <21", "20.1.0", true),
            ("^1.2", "1.9.0", true),
            ("~1.2.3", "1.3.0", false),
            ("18 || 20", "20.3.0", true),
            ("18 || 20", "19.0.0", false),
            ("*", "9.9.9", true),
            ("==3.11", "3.11.9", true),
            ("3.13", "3.13.0rc1", false),
            ("1.80", "1.80", true),
        ];
        for (range, version, expected) in cases {
            assert_eq!(
                matches(range, version),
                Ok(expected),
                "{version} in {range}"
            );
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for range in ["", "latest", "flask", "20.x.y.z", ">=", "|| 20", "1 - 2"] {
            assert!(matches(range, "1.0.0").is_err(), "{range:?}");
        }
        for version in ["", "x", "1.x", "99999999999999999999"] {
            assert!(matches("*", version).is_err(), "{version:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(range in "[0-9x*.<>=^~|, v-]{0,12}|.*", version in "[0-9v.rc+-]{0,10}|.*") {
            let _ = matches(&range, &version);
        }
    }
}
