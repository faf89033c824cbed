//! Files of `KEY=value` lines, as Compose reads an `env_file`.
//!
//! A line is blank, a `#` comment, `KEY=value` (`export` in front is allowed), or `KEY` alone, which takes the
//! caller's value and sets nothing where there is none. A value in single
//! quotes is literal; in double quotes `\n`, `\r`, `\t`, `\"`, `\\` and `\$` are escapes; both may span lines. A
//! bare value ends before ` #`. Values that are bare or in double quotes expand `${VAR:-x}`
//! ([`crate::expand`]); earlier lines of the file are visible to later ones.

use crate::error::{ConfigError, Problem};
use crate::expand::expand;
use crate::source::Source;

/// Parses the text of an env file; `file_name` is how errors call it. Later lines win, so put the
/// pairs into a map in order.
///
/// # Errors
/// A line that is not `KEY=value`, an open quote, or a value that does not expand; with its place.
pub fn parse(
    text: &str,
    file_name: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let mut lines = Lines::new(text, file_name, lookup);
    while let Some(read) = lines.next() {
        read.map_err(|refused| refused.error)?;
    }
    Ok(lines.pairs)
}

/// Parses the same, but leaves out each line that [`parse`] would refuse, and gives them too.
pub fn parse_leniently(
    text: &str,
    file_name: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> (Vec<(String, String)>, Vec<Refused>) {
    let mut lines = Lines::new(text, file_name, lookup);
    let mut refused = Vec::new();
    while let Some(read) = lines.next() {
        refused.extend(read.err());
    }
    (lines.pairs, refused)
}

/// A line that is left out.
#[derive(Debug, Clone)]
pub struct Refused {
    /// What is wrong with it, and where it stands.
    pub error: ConfigError,
    /// The variable that it was to set; none where it names none.
    pub variable: Option<String>,
}

/// Reads line by line.
struct Lines<'a> {
    source: Source,
    text: &'a str,
    at: usize,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    pairs: Vec<(String, String)>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str, file_name: &str, lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            source: Source::new(file_name, text),
            text,
            at: if text.starts_with('\u{feff}') { 3 } else { 0 },
            lookup,
            pairs: Vec::new(),
        }
    }

    /// Reads one variable, which joins the others; `None` at the end.
    fn next(&mut self) -> Option<Result<(), Refused>> {
        loop {
            let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
            let line = rest.split('\n').next().unwrap_or_default();
            let bare = line.trim();
            if !bare.is_empty() && !bare.starts_with('#') {
                return Some(self.pair(rest, line));
            }
            self.at += line.len() + 1;
        }
    }

    fn pair(&mut self, rest: &str, line: &str) -> Result<(), Refused> {
        let start = self.at;
        // Whatever is wrong with this line, the next one stands for itself.
        self.at += line.len() + 1;
        let fail = |offset: usize, variable: Option<&str>, message: String| Refused {
            error: self.source.error(
                start + offset..start + line.len(),
                Problem::Syntax { message },
            ),
            variable: variable.map(str::to_owned),
        };
        let indent = line.len() - line.trim_start().len();
        let (left, has_value) = match line.split_once('=') {
            Some((left, _)) => (left, true),
            None => (line.split(" #").next().unwrap_or(line), false),
        };
        let key = left.trim();
        let key = key.strip_prefix("export ").map_or(key, str::trim_start);
        if !has_value && !is_variable(key) {
            return Err(fail(indent, None, "expected `KEY=value`".to_owned()));
        }
        if !has_value {
            let callers = (self.lookup)(key);
            self.pairs
                .extend(callers.map(|value| (key.to_owned(), value)));
            return Ok(());
        }
        if key.is_empty() || key.contains(char::is_whitespace) || key.contains('\0') {
            let message = format!("{key:?} is no variable name");
            return Err(fail(indent, Some(key), message));
        }
        let begin = left.len() + 1;
        let Some((raw, used)) = value(rest.get(begin..).unwrap_or_default()) else {
            let message = format!("the quote of `{key}` is not closed");
            return Err(fail(begin, Some(key), message));
        };
        let known = |name: &str| {
            let earlier = self.pairs.iter().rev().find(|(key, _)| key == name);
            earlier
                .map(|(_, value)| value.clone())
                .or_else(|| (self.lookup)(name))
        };
        let value = match raw {
            Raw::Literal(text) => Ok(text),
            Raw::Expand(text) => expand(&text, &known),
        };
        let value = value.map_err(|error| fail(begin, Some(key), format!("`{key}`: {error}")));
        self.at = start + begin + used;
        self.pairs.push((key.to_owned(), value?));
        Ok(())
    }
}

/// Tells what can only be meant as the name of a variable.
fn is_variable(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().all(plain) && !text.starts_with(|c: char| c.is_ascii_digit()) && !text.is_empty()
}

enum Raw {
    Literal(String),
    Expand(String),
}

/// Reads a value and says how many bytes it took, its line break included; `None` on an open quote.
fn value(text: &str) -> Option<(Raw, usize)> {
    let trimmed = text.trim_start_matches([' ', '\t']);
    let skipped = text.len() - trimmed.len();
    let line_end = |from: usize| text.get(from..).and_then(|rest| rest.find('\n'));
    let after = |from: usize| line_end(from).map_or(text.len(), |end| from + end + 1);
    if let Some(quoted) = trimmed.strip_prefix('\'') {
        let (inside, _) = quoted.split_once('\'')?;
        return Some((
            Raw::Literal(inside.to_owned()),
            after(skipped + inside.len() + 2),
        ));
    }
    if let Some(quoted) = trimmed.strip_prefix('"') {
        let (inside, length) = unescape(quoted)?;
        return Some((Raw::Expand(inside), after(skipped + length + 1)));
    }
    let line = text.get(..line_end(0).unwrap_or(text.len()))?;
    let comment = line.find(" #").or_else(|| line.find("\t#"));
    let bare = line.get(..comment.unwrap_or(line.len()))?.trim();
    Some((Raw::Expand(bare.to_owned()), after(0)))
}

/// Reads up to the closing double quote; also says how many bytes that took.
fn unescape(text: &str) -> Option<(String, usize)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, at + 1)),
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                '$' => out.push_str("$$"),
                c @ ('"' | '\\') => out.push(c),
                c => out.extend(['\\', c]),
            },
            c => out.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{parse, parse_leniently};

    fn lookup(name: &str) -> Option<String> {
        (name == "HOST").then(|| "there".to_owned())
    }

    fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
        parse(text, ".env", &lookup).map_err(|error| error.to_string())
    }

    #[test]
    fn lines_are_read_as_compose_does() {
        let cases = [
            ("A=1\nB=2", vec![("A", "1"), ("B", "2")]),
            ("\u{feff}# c\n\n  export A = x y \r\n", vec![("A", "x y")]),
            (
                "A='lit ${HOST} # x' # note\nB=2",
                vec![("A", "lit ${HOST} # x"), ("B", "2")],
            ),
            ("A=\"a\\nb \\$HOST $HOST\"", vec![("A", "a\nb $HOST there")]),
            (
                "A=\"two\nlines\"\nB='x\ny'\n",
                vec![("A", "two\nlines"), ("B", "x\ny")],
            ),
            ("A=x#y # note", vec![("A", "x#y")]),
            ("A=\nB=", vec![("A", ""), ("B", "")]),
            ("A=1\nB=${A}${NONE:-2}", vec![("A", "1"), ("B", "12")]),
            ("A=x=y", vec![("A", "x=y")]),
            (
                "A=1\nHOST\nNONE\nB=$HOST",
                vec![("A", "1"), ("HOST", "there"), ("B", "there")],
            ),
            ("export HOST # the caller's", vec![("HOST", "there")]),
        ];
        for (text, expected) in cases {
            let expected = expected.into_iter();
            let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
            assert_eq!(pairs(text), Ok(expected.collect()), "{text:?}");
        }
    }

    #[test]
    fn failures_name_their_place() {
        let cases = [
            ("A=1\n  oh no\n", ".env:2:3: expected `KEY=value`"),
            ("2ND", ".env:1:1: expected `KEY=value`"),
            ("=1", ".env:1:1: \"\" is no variable name"),
            ("A=\"x", ".env:1:3: the quote of `A` is not closed"),
            ("A=${B:?b}", ".env:1:3: `A`: variable `B` is required: b"),
        ];
        for (text, expected) in cases {
            assert_eq!(pairs(text), Err(expected.to_owned()));
        }
    }

    #[test]
    fn a_line_that_is_left_out_costs_no_other() {
        let text = "A=1\nDE BUG\nB=a$1b\nC=\"x\ny ${\"\nD=${B:-2}\nE='open\nF=3\n";
        let (pairs, refused) = parse_leniently(text, ".env", &lookup);
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(pairs, ["A=1", "D=2", "F=3"]);
        let lost: Vec<_> = refused.iter().map(|one| one.variable.as_deref()).collect();
        assert_eq!(lost, [None, Some("B"), Some("C"), Some("E")]);
        let places: Vec<_> = refused.iter().map(|one| one.error.to_string()).collect();
        assert!(places[0].starts_with(".env:2:1: "), "{places:?}");
        assert!(places[3].starts_with(".env:7:3: "), "{places:?}");
    }

    proptest! {
        #[test]
        fn never_panics(text in "([A-C=\"'$\\\\{}# \n]|.){0,40}") {
            let read = pairs(&text);
            let (leniently, refused) = parse_leniently(&text, ".env", &lookup);
            prop_assert_eq!(read.is_ok(), refused.is_empty());
            if let Ok(read) = read {
                prop_assert_eq!(read, leniently);
            }
        }
    }
}
