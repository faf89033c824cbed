//! From lines to instructions: parser directives, comments, continuation lines, heredocs.
//!
//! Rules as in the Dockerfile reference, "Format", "Parser directives" and "Here-Documents", and for
//! what it leaves open as BuildKit's parser does.

use std::ops::Range;

use super::heredoc::{self, Heredoc};
use crate::error::{ConfigError, Problem};
use crate::source::Source;

/// One instruction with its continuation lines joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Logical {
    /// The keyword in capitals.
    pub(crate) keyword: String,
    /// What follows the keyword, without surrounding blanks.
    pub(crate) args: String,
    /// Where pieces of `args` come from: offset in `args`, offset in the text; sorted.
    pub(crate) pieces: Vec<(usize, usize)>,
    /// Bodies of its heredocs, in order of their markers.
    pub(crate) heredocs: Vec<Heredoc>,
    /// The keyword in the text.
    pub(crate) span: Range<usize>,
}

impl Logical {
    /// Turns a range of `args` into one of the text.
    pub(crate) fn span_of(&self, range: Range<usize>) -> Range<usize> {
        let start = self.offset(range.start);
        // The end may lie on a later line than the start.
        let end = self.offset(range.end.saturating_sub(1)) + 1;
        start..end.max(start)
    }

    fn offset(&self, at: usize) -> usize {
        let piece = self.pieces.iter().rev().find(|(joined, _)| *joined <= at);
        piece.map_or(self.span.start, |(joined, source)| source + at - joined)
    }
}

/// All instructions of a file.
#[derive(Debug, Clone)]
pub(crate) struct Lexed {
    /// The escape character.
    pub(crate) escape: char,
    /// Directives as written: name, value, where.
    pub(crate) directives: Vec<(String, String, Range<usize>)>,
    /// Instructions in order.
    pub(crate) instructions: Vec<Logical>,
}

/// Splits a Dockerfile.
///
/// # Errors
/// An unknown escape character, or a heredoc that does not end.
pub(crate) fn lex(source: &Source, text: &str) -> Result<Lexed, ConfigError> {
    let mut lines = Lines { text, at: 0 };
    if text.starts_with('\u{feff}') {
        lines.at = '\u{feff}'.len_utf8();
    }
    let mut lexed = Lexed {
        escape: '\\',
        directives: Vec::new(),
        instructions: Vec::new(),
    };
    while let Some((name, value, span)) = lines.directive() {
        if name == "escape" {
            lexed.escape = match value.as_str() {
                "\\" => '\\',
                "`" => '`',
                _ => {
                    let message =
                        format!("the escape character is `\\` or a backtick, not {value:?}");
                    return Err(error(source, span, message, ""));
                }
            };
        }
        lexed.directives.push((name, value, span));
    }
    while let Some((line, start)) = lines.next_line() {
        if line.trim().is_empty() || is_comment(line) {
            continue;
        }
        let logical = instruction(source, &mut lines, line, start, lexed.escape)?;
        lexed.instructions.push(logical);
    }
    Ok(lexed)
}

fn instruction(
    source: &Source,
    lines: &mut Lines<'_>,
    first: &str,
    start: usize,
    escape: char,
) -> Result<Logical, ConfigError> {
    let mut joined = String::new();
    let mut pieces = Vec::new();
    let (mut line, mut at) = (first, start);
    loop {
        let indent = if joined.is_empty() {
            line.len() - line.trim_start().len()
        } else {
            0
        };
        pieces.push((joined.len(), at + indent));
        let line_text = line.get(indent..).unwrap_or_default();
        let Some(part) = continued(line_text, escape) else {
            joined.push_str(line_text);
            break;
        };
        joined.push_str(part);
        // Comments and empty lines inside an instruction are no part of it.
        let next = loop {
            match lines.next_line() {
                Some((next, _)) if next.trim().is_empty() || is_comment(next) => {}
                other => break other,
            }
        };
        let Some(next) = next else { break };
        (line, at) = next;
    }
    let joined = joined.trim_end();
    let keyword_end = joined.find(char::is_whitespace).unwrap_or(joined.len());
    let keyword = joined.get(..keyword_end).unwrap_or_default();
    let rest = joined.get(keyword_end..).unwrap_or_default();
    let shift = keyword_end + rest.len() - rest.trim_start().len();
    let args = rest.trim_start().to_owned();
    let begin = pieces.first().map_or(start, |(_, source)| *source);
    let mut logical = Logical {
        keyword: keyword.to_uppercase(),
        pieces: shifted(&pieces, shift),
        args,
        heredocs: Vec::new(),
        span: begin..begin + keyword.len(),
    };
    let heredocs = heredoc::markers(&logical.keyword, &logical.args);
    for mut marker in heredocs {
        let place = logical.span_of(marker.marker.clone());
        let Some(body) = lines.heredoc(&marker.name, marker.strip_tabs) else {
            let message = format!("the heredoc `{}` has no end", marker.name);
            let hint = format!("end it with a line that holds `{}` alone", marker.name);
            return Err(error(source, place, message, &hint));
        };
        marker.body = body;
        logical.heredocs.push(marker);
    }
    Ok(logical)
}

/// Moves the pieces by what was cut off at the front.
fn shifted(pieces: &[(usize, usize)], shift: usize) -> Vec<(usize, usize)> {
    let mut moved: Vec<(usize, usize)> = Vec::new();
    for (joined, source) in pieces {
        match joined.checked_sub(shift) {
            Some(at) => moved.push((at, *source)),
            None => {
                moved.clear();
                moved.push((0, source + (shift - joined)));
            }
        }
    }
    moved
}

/// The line without its escape at the end, if it goes on in the next.
fn continued(line: &str, escape: char) -> Option<&str> {
    let bare = line.trim_end_matches([' ', '\t', '\r']);
    bare.strip_suffix(escape)
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

fn error(source: &Source, span: Range<usize>, message: String, hint: &str) -> ConfigError {
    let hint = hint.to_owned();
    source.error(span, Problem::Import { message, hint })
}

struct Lines<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lines<'a> {
    /// The next line without its end, and where it begins.
    fn next_line(&mut self) -> Option<(&'a str, usize)> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let start = self.at;
        let end = rest.find('\n').map_or(rest.len(), |end| end + 1);
        self.at += end;
        let line = rest.get(..end).unwrap_or_default();
        let line = line.strip_suffix('\n').unwrap_or(line);
        Some((line.strip_suffix('\r').unwrap_or(line), start))
    }

    /// Reads a line `# name=value` of a known directive, or nothing.
    fn directive(&mut self) -> Option<(String, String, Range<usize>)> {
        let before = self.at;
        let found = self.next_line().and_then(|(line, start)| {
            let (name, value) = line.trim().strip_prefix('#')?.split_once('=')?;
            let name = name.trim().to_lowercase();
            let known = ["syntax", "escape", "check"].contains(&name.as_str());
            known.then(|| (name, value.trim().to_owned(), start..start + line.len()))
        });
        if found.is_none() {
            self.at = before;
        }
        found
    }

    fn heredoc(&mut self, name: &str, strip_tabs: bool) -> Option<String> {
        let mut body = String::new();
        while let Some((line, _)) = self.next_line() {
            let line = if strip_tabs {
                line.trim_start_matches('\t')
            } else {
                line
            };
            if line == name {
                return Some(body);
            }
            body.push_str(line);
            body.push('\n');
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lexed(text: &str) -> Lexed {
        lex(&Source::new("Dockerfile", text), text).unwrap()
    }

    fn args(text: &str) -> Vec<String> {
        let all = lexed(text).instructions;
        all.into_iter()
            .map(|one| format!("{} {}", one.keyword, one.args))
            .collect()
    }

    #[test]
    fn lines_are_joined_and_comments_are_left_out() {
        let text = "# a comment\n\nFROM  x\nrun a && \\\n  # no\n\n  b \\  \n c\nCMD x # y\n";
        assert_eq!(args(text), ["FROM x", "RUN a &&   b  c", "CMD x # y"]);
        assert_eq!(args("RUN a \\"), ["RUN a"]);
        assert_eq!(
            args("\u{feff}FROM a\r\nRUN b \\\r\n c\r\n"),
            ["FROM a", "RUN b  c"]
        );
        assert_eq!(args("  EXPOSE\t80"), ["EXPOSE 80"]);
    }

    #[test]
    fn directives_stand_at_the_top_only() {
        let all = lexed("# syntax=docker/dockerfile:1\n# escape=`\nFROM a`\n b\n# escape=\\\n");
        assert_eq!(all.escape, '`');
        assert_eq!(all.directives.len(), 2);
        assert_eq!(all.instructions[0].args, "a b");
        assert_eq!(
            lexed("FROM a\n# escape=`\nRUN b`\nRUN c")
                .instructions
                .len(),
            3
        );
        let text = "# escape=x\nFROM a";
        let wrong = lex(&Source::new("D", text), text).unwrap_err();
        assert_eq!(wrong.place().to_string(), "D:1:1");
    }

    #[test]
    fn heredocs_take_their_lines() {
        let text = "RUN cat <<EOF > f && cat <<-\"B\"\nx \\\n# y\nEOF\n\t\tz\n\tB\nCMD a\n";
        let all = lexed(text).instructions;
        assert_eq!(all.len(), 2);
        let bodies: Vec<&str> = all[0]
            .heredocs
            .iter()
            .map(|doc| doc.body.as_str())
            .collect();
        assert_eq!(bodies, ["x \\\n# y\n", "z\n"]);
        let open = "COPY <<A /b\nx\n";
        let wrong = lex(&Source::new("D", open), open).unwrap_err();
        assert_eq!(wrong.to_string(), "D:1:6: the heredoc `A` has no end");
    }

    #[test]
    fn places_are_those_of_the_text() {
        let text = "FROM a\n  RUN one \\\n   two\n";
        let run = &lexed(text).instructions[1];
        let two = run.args.find("two").unwrap();
        assert_eq!(&text[run.span_of(two..two + 3)], "two");
        assert_eq!(&text[run.span_of(0..3)], "one");
    }
}
