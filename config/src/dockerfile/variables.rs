//! Variables and quotes in the arguments of instructions.
//!
//! Forms (Dockerfile reference, "Environment replacement"): `$v`, `${v}`, `${v:-d}`, `${v:+a}`,
//! `${v:?m}`, the same without the colon, `${v#p}`, `${v##p}`, `${v%p}`, `${v%%p}`, `${v/p/r}`,
//! `${v//p/r}`; patterns know `*` and `?`. Quotes are removed; nothing is expanded in single ones.

use super::pattern::{remove_prefix, remove_suffix, replace};

/// Nested words beyond this are refused, so that a hostile file cannot exhaust the stack.
const MAX_DEPTH: usize = 32;

/// Gives the value of a variable, if it is set.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Expands variables and removes quotes.
///
/// # Errors
/// Says what is malformed, or which variable is required.
pub(crate) fn word(text: &str, escape: char, lookup: Lookup<'_>) -> Result<String, String> {
    let chars: Vec<char> = text.chars().collect();
    let mut reader = Reader {
        chars: &chars,
        at: 0,
        escape,
        lookup: Some(lookup),
        depth: 0,
    };
    reader.plain(None)
}

/// Removes quotes; `$` is an ordinary character.
///
/// # Errors
/// Says which quote is not closed.
pub(crate) fn unquoted(text: &str) -> Result<String, String> {
    let chars: Vec<char> = text.chars().collect();
    let mut reader = Reader {
        chars: &chars,
        at: 0,
        escape: '\\',
        lookup: None,
        depth: 0,
    };
    reader.plain(None)
}

/// Expands variables in the body of a heredoc, where quotes are ordinary characters.
///
/// # Errors
/// As [`word`].
pub(crate) fn body(text: &str, escape: char, lookup: Lookup<'_>) -> Result<String, String> {
    let chars: Vec<char> = text.chars().collect();
    let mut reader = Reader {
        chars: &chars,
        at: 0,
        escape,
        lookup: Some(lookup),
        depth: 0,
    };
    let mut out = String::new();
    while let Some(c) = reader.next() {
        match c {
            '$' => out.push_str(&reader.variable()?),
            c if c == escape && matches!(reader.peek(), Some('$')) => out.extend(reader.next()),
            c => out.push(c),
        }
    }
    Ok(out)
}

struct Reader<'a> {
    chars: &'a [char],
    at: usize,
    escape: char,
    /// None where `$` is an ordinary character.
    lookup: Option<Lookup<'a>>,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    /// Reads to the end, or up to one of the closing characters, which is left.
    fn plain(&mut self, until: Option<&[char]>) -> Result<String, String> {
        let mut out = String::new();
        while let Some(c) = self.peek() {
            if until.is_some_and(|until| until.contains(&c)) {
                break;
            }
            self.at += 1;
            match c {
                '\'' => self.single(&mut out)?,
                '"' => self.double(&mut out)?,
                '$' => out.push_str(&self.variable()?),
                c if c == self.escape => out.extend(self.next()),
                c => out.push(c),
            }
        }
        Ok(out)
    }

    fn single(&mut self, out: &mut String) -> Result<(), String> {
        loop {
            match self.next() {
                Some('\'') => return Ok(()),
                Some(c) => out.push(c),
                None => return Err("a single quote is not closed".to_owned()),
            }
        }
    }

    fn double(&mut self, out: &mut String) -> Result<(), String> {
        loop {
            match self.next() {
                Some('"') => return Ok(()),
                Some('$') => out.push_str(&self.variable()?),
                Some(c) if c == self.escape => match self.next() {
                    Some(next) if next == '"' || next == '$' || next == self.escape => {
                        out.push(next);
                    }
                    Some(next) => out.extend([c, next]),
                    None => return Err("a double quote is not closed".to_owned()),
                },
                Some(c) => out.push(c),
                None => return Err("a double quote is not closed".to_owned()),
            }
        }
    }

    /// Reads what follows `$`.
    fn variable(&mut self) -> Result<String, String> {
        let Some(lookup) = self.lookup else {
            return Ok("$".to_owned());
        };
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(lookup(&name).unwrap_or_default());
        }
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("variables are nested too deeply".to_owned());
        }
        let name = self.name();
        if name.is_empty() {
            return Err("`${` is not followed by a variable".to_owned());
        }
        let value = self.modified(&name, lookup)?;
        self.depth -= 1;
        match self.next() {
            Some('}') => Ok(value),
            _ => Err(format!("`${{{name}` is not closed by `}}`")),
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self
            .peek()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        {
            let first = name.is_empty();
            name.push(c);
            self.at += 1;
            if first && c.is_ascii_digit() {
                break;
            }
        }
        name
    }

    fn modified(&mut self, name: &str, lookup: Lookup<'_>) -> Result<String, String> {
        let value = lookup(name);
        let colon = self.peek() == Some(':');
        self.at += usize::from(colon);
        let there = value
            .as_ref()
            .is_some_and(|value| !colon || !value.is_empty());
        match self.peek() {
            Some('}') if !colon => Ok(value.unwrap_or_default()),
            Some(operator @ ('-' | '+' | '?')) => {
                self.at += 1;
                let other = self.plain(Some(&['}']))?;
                match operator {
                    '-' => Ok(if there {
                        value.unwrap_or_default()
                    } else {
                        other
                    }),
                    '+' => Ok(if there { other } else { String::new() }),
                    _ if there => Ok(value.unwrap_or_default()),
                    _ if other.is_empty() => Err(format!("variable `{name}` is required")),
                    _ => Err(format!("variable `{name}` is required: {other}")),
                }
            }
            Some(operator @ ('#' | '%' | '/')) if !colon => {
                self.at += 1;
                let twice = self.peek() == Some(operator);
                self.at += usize::from(twice);
                self.cut(&value.unwrap_or_default(), operator, twice)
            }
            _ => Err(format!(
                "`${{{name}` must be followed by `}}`, `:-`, `:+`, `:?`, `#`, `%` or `/`"
            )),
        }
    }

    fn cut(&mut self, value: &str, operator: char, twice: bool) -> Result<String, String> {
        if operator != '/' {
            let pattern = self.plain(Some(&['}']))?;
            return Ok(match operator {
                '#' => remove_prefix(value, &pattern, twice),
                _ => remove_suffix(value, &pattern, twice),
            });
        }
        let pattern = self.plain(Some(&['/', '}']))?;
        let replacement = if self.peek() == Some('/') {
            self.at += 1;
            self.plain(Some(&['}']))?
        } else {
            String::new()
        };
        Ok(replace(value, &pattern, &replacement, twice))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{body, word};

    fn lookup(name: &str) -> Option<String> {
        match name {
            "V" => Some("a/b/c.tar.gz".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn every_form_expands_as_docker_does() {
        let cases = [
            ("x$V", "xa/b/c.tar.gz"),
            ("${V}x", "a/b/c.tar.gzx"),
            ("$NO-", "-"),
            ("${NO:-d}", "d"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${NO-d}", "d"),
            ("${V:+set}", "set"),
            ("${EMPTY:+set}", ""),
            ("${EMPTY+set}", "set"),
            ("${NO:-${V}}", "a/b/c.tar.gz"),
            ("${NO:-\"a }b\"}", "a }b"),
            ("${V#*/}", "b/c.tar.gz"),
            ("${V##*/}", "c.tar.gz"),
            ("${V%.*}", "a/b/c.tar"),
            ("${V%%.*}", "a/b/c"),
            ("${V/\\//-}", "a-b/c.tar.gz"),
            ("${V//\\//-}", "a-b-c.tar.gz"),
            ("${V/zz/y}", "a/b/c.tar.gz"),
            ("\"$V\" '$V'", "a/b/c.tar.gz $V"),
            ("\\$V \"\\$V\" \"a\\b\"", "$V $V a\\b"),
            ("$", "$"),
            ("a$ b", "a$ b"),
        ];
        for (text, expected) in cases {
            assert_eq!(word(text, '\\', &lookup).as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(word("c:\\x `$V", '`', &lookup).as_deref(), Ok("c:\\x $V"));
        assert_eq!(
            body("\"$V\" \\$V 'x'", '\\', &lookup).as_deref(),
            Ok("\"a/b/c.tar.gz\" $V 'x'")
        );
    }

    #[test]
    fn failures_say_why() {
        let cases = [
            ("${NO:?set it}", "variable `NO` is required: set it"),
            ("${V", "`${V` must be followed by"),
            ("${V:-x", "`${V` is not closed by `}`"),
            ("${}", "`${` is not followed by a variable"),
            ("\"a", "a double quote is not closed"),
            ("'a", "a single quote is not closed"),
        ];
        for (text, expected) in cases {
            let error = word(text, '\\', &lookup).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        assert!(word(&"${V:-".repeat(100_000), '\\', &lookup).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in "[$V{}:?+#%/\\\\\"' *-]{0,24}|.*") {
            let _ = word(&text, '\\', &lookup);
            let _ = body(&text, '`', &lookup);
        }
    }
}
