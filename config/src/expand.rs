//! `${VAR:-x}` in values, as Compose expands it.
//!
//! Forms (Compose specification, "Interpolation"): `$VAR`, `${VAR}`, `${VAR:-x}` and `${VAR-x}`
//! (default when unset or empty / when unset), `${VAR:?m}` and `${VAR?m}` (required), `${VAR:+x}` and
//! `${VAR+x}` (replacement when set and not empty / when set), `$$` for a dollar sign. Defaults,
//! messages and replacements may hold further variables. An unset `${VAR}` expands to nothing.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::duration::split_while;

/// Nested defaults beyond this are refused, so that a hostile file cannot exhaust the stack.
const MAX_DEPTH: usize = 32;

/// Why a text could not be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// `${VAR:?message}` and the variable is not there.
    #[error("variable `{name}` is required: {message}")]
    Required {
        /// The variable.
        name: String,
        /// The message of the file, or `it is not set`.
        message: String,
    },
    /// The text is malformed.
    #[error("{why}")]
    Syntax {
        /// What is wrong.
        why: String,
    },
}

/// Expands every variable in `text`; `lookup` answers `None` for one that is unset.
///
/// # Errors
/// A malformed text, or a required variable that is absent.
pub fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, ExpandError> {
    expand_telling(text, lookup, &mut Vec::new())
}

/// Expands every variable in `text`, and adds those to `unset` that became nothing because they are not set
/// and the text says nothing for that case.
///
/// # Errors
/// As [`expand`].
pub fn expand_telling(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    unset: &mut Vec<String>,
) -> Result<String, ExpandError> {
    let mut reader = Reader {
        rest: text,
        lookup,
        unset,
        depth: 0,
    };
    reader.until(false, true)
}

/// Checks the syntax without any variable being needed.
///
/// # Errors
/// A malformed text.
pub fn check(text: &str) -> Result<(), ExpandError> {
    // Every branch is read whether it is taken or not, so one pass sees all of the text.
    expand(text, &|_| Some("x".to_owned())).map(drop)
}

/// Gives the names of all variables in `text`, those that only a default or a replacement needs among them.
///
/// # Errors
/// A malformed text.
pub fn names(text: &str) -> Result<BTreeSet<String>, ExpandError> {
    let names = RefCell::new(BTreeSet::new());
    let noted = |name: &str| {
        names.borrow_mut().insert(name.to_owned());
        Some("x".to_owned())
    };
    // As in [`check`], every branch is read.
    expand(text, &noted)?;
    Ok(names.into_inner())
}

struct Reader<'a> {
    rest: &'a str,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    unset: &'a mut Vec<String>,
    depth: usize,
}

impl Reader<'_> {
    /// Reads up to the end, or up to and including `}` when inside braces. A branch that is not
    /// `taken` is only read, so that nothing in it is required.
    fn until(&mut self, in_braces: bool, taken: bool) -> Result<String, ExpandError> {
        let mut out = String::new();
        loop {
            let (plain, next) = split_while(self.rest, |c| c != '$' && !(in_braces && c == '}'));
            out.push_str(plain);
            if let Some(rest) = next.strip_prefix("$$") {
                out.push('$');
                self.rest = rest;
            } else if let Some(rest) = next.strip_prefix("${") {
                self.rest = rest;
                out.push_str(&self.braced(taken)?);
            } else if let Some(rest) = next.strip_prefix('$') {
                self.rest = rest;
                let name = self.name()?;
                let value = (self.lookup)(&name);
                out.push_str(&self.plain(name, value, taken));
            } else if in_braces {
                let Some(rest) = next.strip_prefix('}') else {
                    return Err(syntax("`${` is not closed by `}`"));
                };
                self.rest = rest;
                return Ok(out);
            } else {
                return Ok(out);
            }
        }
    }

    /// The value of a variable for which the text has nothing to say when it is not set.
    fn plain(&mut self, name: String, value: Option<String>, taken: bool) -> String {
        if taken && value.is_none() {
            self.unset.push(name);
        }
        value.unwrap_or_default()
    }

    fn name(&mut self) -> Result<String, ExpandError> {
        let (name, rest) = split_while(self.rest, |c| c.is_ascii_alphanumeric() || c == '_');
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(syntax(
                "`$` is not followed by a variable; a plain dollar sign is `$$`",
            ));
        }
        self.rest = rest;
        Ok(name.to_owned())
    }

    /// Reads what follows `${`.
    fn braced(&mut self, taken: bool) -> Result<String, ExpandError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(syntax("variables are nested too deeply"));
        }
        let name = self.name()?;
        let value = (self.lookup)(&name);
        let (colon, rest) = match self.rest.strip_prefix(':') {
            Some(rest) => (true, rest),
            None => (false, self.rest),
        };
        let there = value
            .as_ref()
            .is_some_and(|value| !colon || !value.is_empty());
        let Some(operator) = rest.chars().next() else {
            return Err(syntax("`${` is not closed by `}`"));
        };
        self.rest = rest.get(operator.len_utf8()..).unwrap_or_default();
        let result = match operator {
            '}' if !colon => self.plain(name, value, taken),
            '-' => {
                let default = self.until(true, taken && !there)?;
                if there {
                    value.unwrap_or_default()
                } else {
                    default
                }
            }
            '+' => {
                let replacement = self.until(true, taken && there)?;
                if there { replacement } else { String::new() }
            }
            '?' => {
                let message = self.until(true, taken && !there)?;
                if !there && taken {
                    return Err(required(name, message));
                }
                value.unwrap_or_default()
            }
            _ => {
                let why = format!(
                    "`${{{name}` must be followed by `}}`, `:-`, `-`, `:?`, `?`, `:+` or `+`"
                );
                return Err(ExpandError::Syntax { why });
            }
        };
        self.depth -= 1;
        Ok(result)
    }
}

fn required(name: String, message: String) -> ExpandError {
    let message = if message.is_empty() {
        "it is not set".to_owned()
    } else {
        message
    };
    ExpandError::Required { name, message }
}

fn syntax(why: &str) -> ExpandError {
    ExpandError::Syntax {
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{check, expand, expand_telling, names};

    fn lookup(name: &str) -> Option<String> {
        match name {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn every_form_expands_as_compose_does() {
        let cases = [
            ("plain", "plain"),
            ("a$SET-b", "avalue-b"),
            ("${SET}", "value"),
            ("${UNSET}", ""),
            ("${UNSET:-d}", "d"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${UNSET-d}", "d"),
            ("${SET:-d}", "value"),
            ("${SET:+r}", "r"),
            ("${EMPTY:+r}", ""),
            ("${EMPTY+r}", "r"),
            ("${UNSET+r}", ""),
            ("${SET:?m}", "value"),
            ("${EMPTY?m}", ""),
            ("${UNSET:-${SET}}", "value"),
            ("${UNSET:-${EMPTY:-x}y}", "xy"),
            ("${SET:-${UNSET:?never needed}}", "value"),
            ("$$SET ${UNSET:-$$}", "$SET $"),
            ("}", "}"),
        ];
        for (text, expected) in cases {
            assert_eq!(expand(text, &lookup).as_deref(), Ok(expected), "{text}");
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_variable_that_becomes_nothing_unasked_is_told() {
        let cases: [(&str, &[&str]); 8] = [
            ("plain $SET ${SET} ${EMPTY} $$UNSET", &[]),
            ("${UNSET}", &["UNSET"]),
            ("$UNSET-x", &["UNSET"]),
            ("${UNSET:-} ${UNSET-x} ${UNSET:+x}", &[]),
            ("${UNSET:-$OTHER}", &["OTHER"]),
            ("${SET:-$OTHER} ${SET-${OTHER}}", &[]),
            ("${SET:+${OTHER}}", &["OTHER"]),
            ("${UNSET+${OTHER}} ${SET?$OTHER}", &[]),
        ];
        for (text, expected) in cases {
            let mut unset = Vec::new();
            expand_telling(text, &lookup, &mut unset).unwrap();
            assert_eq!(unset, expected, "{text}");
        }
    }

    #[test]
    fn all_names_are_found_in_every_branch() {
        let found = names("$A-${B:-${C:+$D}} $$E ${A?${F}}").unwrap();
        assert_eq!(
            found.into_iter().collect::<String>(),
            "ABCDF",
            "each once, and none that is no variable"
        );
        assert!(names("${A").is_err());
    }

    #[test]
    fn failures_say_why() {
        let cases = [
            ("${UNSET:?set me}", "variable `UNSET` is required: set me"),
            ("${EMPTY:?}", "variable `EMPTY` is required: it is not set"),
            ("${UNSET", "`${` is not closed by `}`"),
            ("${UNSET:-x", "`${` is not closed by `}`"),
            (
                "$",
                "`$` is not followed by a variable; a plain dollar sign is `$$`",
            ),
            (
                "${}",
                "`$` is not followed by a variable; a plain dollar sign is `$$`",
            ),
            (
                "${1A}",
                "`$` is not followed by a variable; a plain dollar sign is `$$`",
            ),
            (
                "${A!}",
                "`${A` must be followed by `}`, `:-`, `-`, `:?`, `?`, `:+` or `+`",
            ),
            (
                "${A:}",
                "`${A` must be followed by `}`, `:-`, `-`, `:?`, `?`, `:+` or `+`",
            ),
        ];
        for (text, expected) in cases {
            let message = expand(text, &lookup).map_err(|error| error.to_string());
            assert_eq!(message, Err(expected.to_owned()), "{text}");
        }
        assert!(expand(&"${A:-".repeat(100_000), &lookup).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in "[$A{}:?+ -]{0,24}|.*") {
            let _ = expand(&text, &lookup);
        }

        #[test]
        fn a_text_without_dollars_is_itself(text in "[^$]*") {
            prop_assert_eq!(expand(&text, &lookup), Ok(text));
        }
    }
}
