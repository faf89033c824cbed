//! Colours, or none.

use std::fmt::Display;

/// How a piece of text stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tint {
    /// What matters less.
    Dim,
    /// What matters most.
    Bold,
    /// It failed.
    Bad,
    /// It is well.
    Good,
    /// It needs a look.
    Warn,
    /// Names of things.
    Name,
}

/// Colours of service names, one after the other: no red, which means failure.
const PALETTE: [&str; 6] = ["36", "33", "35", "32", "34", "96"];

/// Puts colours around text, where colours are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    colour: bool,
}

impl Style {
    /// Makes a style with or without colours.
    pub(crate) fn new(colour: bool) -> Self {
        Self { colour }
    }

    /// Tells whether colours are wanted.
    pub(crate) fn colour(self) -> bool {
        self.colour
    }

    /// Tints `text`.
    pub(crate) fn paint(self, tint: Tint, text: impl Display) -> String {
        let code = match tint {
            Tint::Dim => "2",
            Tint::Bold => "1",
            Tint::Bad => "31",
            Tint::Good => "32",
            Tint::Warn => "33",
            Tint::Name => "36",
        };
        self.wrap(code, text)
    }

    /// Tints the `index`-th of several names.
    pub(crate) fn name(self, index: usize, text: impl Display) -> String {
        self.wrap(PALETTE[index % PALETTE.len()], text)
    }

    fn wrap(self, code: &str, text: impl Display) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_string()
        }
    }
}

/// Makes a foreign line safe for a terminal: of text overwritten by carriage returns the last, no
/// control characters, no escape sequences but (when wanted) colours.
pub(crate) fn tame(line: &str, colour: bool) -> String {
    let line = line.trim_end_matches('\r');
    let line = line.rsplit('\r').next().unwrap_or_default();
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    let mut coloured = false;
    while let Some(at) = rest.find(|c: char| c.is_control() && c != '\t') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = escape_length(rest);
        let sequence = &rest[..length];
        if colour && sequence.starts_with("\u{1b}[") && sequence.ends_with('m') {
            out.push_str(sequence);
            coloured = true;
        }
        rest = &rest[length..];
    }
    out.push_str(rest);
    if coloured {
        out.push_str("\u{1b}[0m");
    }
    out
}

/// A command on one line, however many lines it was written in.
pub(crate) fn one_line(command: &str) -> String {
    let lines: Vec<&str> = command.lines().map(str::trim).collect();
    tame(lines.join(" ").trim(), false)
}

/// Length in bytes of the control character or escape sequence (ECMA-48) that `text` begins with.
fn escape_length(text: &str) -> usize {
    let first = text.chars().next().map_or(0, char::len_utf8);
    let Some(after) = text.strip_prefix('\u{1b}') else {
        return first;
    };
    match after.chars().next() {
        Some('[') => {
            let end =
                after[1..].find(|c: char| ('\u{40}'..='\u{7e}').contains(&c) || c.is_control());
            end.map_or(text.len(), |end| {
                let last = after[1 + end..].chars().next().filter(|c| !c.is_control());
                2 + end + last.map_or(0, char::len_utf8)
            })
        }
        // A string (title, link): up to BEL or ST.
        Some(']' | 'P' | '_' | '^' | 'X') => {
            let bell = after.find('\u{7}').map(|at| at + 2);
            let st = after.find("\u{1b}\\").map(|at| at + 3);
            bell.into_iter().chain(st).min().unwrap_or(text.len())
        }
        Some(next) if !next.is_control() => 1 + next.len_utf8(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn colours_only_where_wanted() {
        assert_eq!(Style::new(false).paint(Tint::Bad, "x"), "x");
        assert_eq!(
            Style::new(true).paint(Tint::Bad, "x"),
            "\u{1b}[31mx\u{1b}[0m"
        );
        assert_ne!(Style::new(true).name(0, "x"), Style::new(true).name(1, "x"));
    }

    #[test]
    fn foreign_lines_are_tamed() {
        let cases = [
            ("plain\tß", true, "plain\tß"),
            ("10%\r50%\r100%\r", true, "100%"),
            ("\u{1b}[31mred", true, "\u{1b}[31mred\u{1b}[0m"),
            ("\u{1b}[31mred\u{1b}[0m", false, "red"),
            ("up\u{1b}[2Ahome\u{1b}[H!", true, "uphome!"),
            (
                "\u{1b}]0;title\u{7}x\u{1b}]8;;http://a\u{1b}\\link",
                true,
                "xlink",
            ),
            ("bell\u{7} null\0 \u{1b}7x \u{1b}", true, "bell null x "),
        ];
        for (line, colour, expected) in cases {
            assert_eq!(tame(line, colour), expected, "{line:?}");
        }
    }

    #[test]
    fn a_command_of_several_lines_is_shown_on_one() {
        assert_eq!(one_line("\na &&\r\n  b\nc\u{7}"), "a && b c");
    }

    proptest! {
        #[test]
        fn nothing_but_colours_gets_through(line in "(\u{1b}[\\[\\]P0-9;mAHß]{0,6}|.){0,20}", colour: bool) {
            let tamed = tame(&line, colour);
            let bare = tame(&tamed, false);
            prop_assert!(!bare.chars().any(|c| c.is_control() && c != '\t'));
            prop_assert!(colour || bare == tamed);
        }
    }
}
