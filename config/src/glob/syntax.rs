//! What git (wildmatch) and globset read differently, rewritten for globset: character classes never
//! match a slash, know `[:alpha:]` and the like, and take `\` as an escape; braces may be plain.

use std::iter::Peekable;
use std::str::Chars;

/// Rewrites a pattern; `plain_braces` makes `{` and `}` ordinary characters, as they are to git.
///
/// # Errors
/// A class that is not closed or means nothing, or a backslash at the end: git matches nothing then.
pub(super) fn rewrite(text: &str, plain_braces: bool) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let escaped = chars.next().ok_or("it ends with a backslash")?;
                out.extend(['\\', escaped]);
            }
            '[' => Class::read(&mut chars)?.write(&mut out),
            '{' | '}' if plain_braces => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    Ok(out)
}

/// A bracket expression: a set of ASCII characters, and others one by one.
struct Class {
    negated: bool,
    ascii: [bool; 128],
    others: Vec<char>,
}

impl Class {
    /// Reads what follows `[`, up to and including `]`.
    fn read(chars: &mut Peekable<Chars<'_>>) -> Result<Self, String> {
        let negated = chars.next_if(|c| matches!(c, '!' | '^')).is_some();
        let mut class = Self {
            negated,
            ascii: [false; 128],
            others: Vec::new(),
        };
        let mut previous = None;
        let mut is_first = true;
        loop {
            let c = chars.next().ok_or("a `[` is not closed by `]`")?;
            match c {
                ']' if !is_first => return Ok(class),
                '[' if chars.peek() == Some(&':') && closes_name(chars) => {
                    class.add_named(chars)?;
                    previous = None;
                }
                '-' if previous.is_some() && chars.peek().is_some_and(|c| *c != ']') => {
                    let last = unescaped(chars)?;
                    class.add_range(previous.unwrap_or(last), last)?;
                    previous = None;
                }
                c => {
                    let c = if c == '\\' {
                        unescaped_after(chars)?
                    } else {
                        c
                    };
                    class.add(c);
                    previous = Some(c);
                }
            }
            is_first = false;
        }
    }

    fn add(&mut self, c: char) {
        match self.ascii.get_mut(c as usize) {
            Some(slot) => *slot = true,
            None => self.others.push(c),
        }
    }

    fn add_range(&mut self, first: char, last: char) -> Result<(), String> {
        if !first.is_ascii() || !last.is_ascii() {
            return Err("a range in `[…]` is not ASCII".to_owned());
        }
        (first..=last).for_each(|c| self.add(c));
        Ok(())
    }

    /// Reads `:alpha:]`, the `[` before it is already read.
    fn add_named(&mut self, chars: &mut Peekable<Chars<'_>>) -> Result<(), String> {
        let name: String = chars.by_ref().take_while(|c| *c != ']').collect();
        let belongs = named(name.trim_matches(':'))
            .ok_or_else(|| format!("`[{name}]` is no class of characters"))?;
        let members = (0..128u8).filter(belongs);
        members.for_each(|byte| self.add(char::from(byte)));
        Ok(())
    }

    /// Writes the set so that no character stands where globset would read it as syntax.
    fn write(mut self, out: &mut String) {
        // No class matches a slash: a negated one must say so.
        self.ascii[usize::from(b'/')] = self.negated;
        out.push('[');
        if self.negated {
            out.push('!');
        }
        let has = |c: char| self.ascii.get(c as usize).copied().unwrap_or_default();
        if has(']') {
            out.push(']');
        }
        // A path never holds a NUL; it keeps what follows from standing first.
        out.push('\0');
        let plain = (1..128u8).map(char::from);
        out.extend(plain.filter(|c| has(*c) && !matches!(c, ']' | '-')));
        out.extend(&self.others);
        if has('-') {
            out.push('-');
        }
        out.push(']');
    }
}

/// Tells whether `:name:]` follows.
fn closes_name(chars: &Peekable<Chars<'_>>) -> bool {
    let mut name: String = chars.clone().take_while(|c| *c != ']').collect();
    let closed = chars.clone().any(|c| c == ']');
    closed && name.len() > 1 && name.pop() == Some(':')
}

fn unescaped(chars: &mut Peekable<Chars<'_>>) -> Result<char, String> {
    match chars.next() {
        Some('\\') => unescaped_after(chars),
        Some(c) => Ok(c),
        None => Err("a `[` is not closed by `]`".to_owned()),
    }
}

fn unescaped_after(chars: &mut Peekable<Chars<'_>>) -> Result<char, String> {
    chars
        .next()
        .ok_or_else(|| "it ends with a backslash".to_owned())
}

type Belongs = fn(&u8) -> bool;

fn named(name: &str) -> Option<Belongs> {
    let belongs: Belongs = match name {
        "alnum" => u8::is_ascii_alphanumeric,
        "alpha" => u8::is_ascii_alphabetic,
        "blank" => |byte| matches!(byte, b' ' | b'\t'),
        "cntrl" => u8::is_ascii_control,
        "digit" => u8::is_ascii_digit,
        "graph" => u8::is_ascii_graphic,
        "lower" => u8::is_ascii_lowercase,
        "print" => |byte| byte.is_ascii_graphic() || *byte == b' ',
        "punct" => u8::is_ascii_punctuation,
        "space" => |byte| byte.is_ascii_whitespace() || *byte == 0x0b,
        "upper" => u8::is_ascii_uppercase,
        "xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    };
    Some(belongs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::rewrite;

    #[test]
    fn what_git_cannot_read_is_refused() {
        for text in ["[a", "[]", "a\\", "[a-", "[[:nope:]]", "[é-ü]", "[a\\"] {
            assert!(rewrite(text, true).is_err(), "{text}");
        }
    }

    #[test]
    fn braces_are_plain_only_to_git() {
        assert_eq!(rewrite("{a,\\}b}", true).as_deref(), Ok("\\{a,\\}b\\}"));
        assert_eq!(rewrite("*.{a,b}", false).as_deref(), Ok("*.{a,b}"));
    }

    proptest! {
        #[test]
        fn globset_takes_every_class_that_is_written(
            text in "\\[[!^]?[]a-z\\\\!^:/\\[-]{1,6}\\]",
        ) {
            if let Ok(glob) = rewrite(&text, true) {
                let built = globset::GlobBuilder::new(&glob).literal_separator(true).build();
                prop_assert!(built.is_ok(), "{} became {:?}", text, glob);
            }
        }
    }
}
