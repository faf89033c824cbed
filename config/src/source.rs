//! The text being read, and where in it something stands.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{ConfigError, Place, Problem};

/// A named text: turns byte ranges into places and problems into errors.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    file: Arc<str>,
    text: Arc<str>,
}

impl Source {
    pub(crate) fn new(file: &str, text: &str) -> Self {
        Self {
            file: file.into(),
            text: text.into(),
        }
    }

    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        let end = span.end.min(self.text.len());
        let mut start = span.start.min(end);
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.get(line_start..).unwrap_or_default();
        Place {
            file: Arc::clone(&self.file),
            line: before.matches('\n').count() + 1,
            // A byte order mark takes no column.
            column: line.chars().filter(|c| *c != '\u{feff}').count() + 1,
            span: start..end,
        }
    }

    /// What is written there.
    pub(crate) fn text_at(&self, span: Range<usize>) -> &str {
        self.text.get(span).unwrap_or_default()
    }

    pub(crate) fn error(&self, span: Range<usize>, problem: Problem) -> ConfigError {
        ConfigError::new(self.place(span), Arc::clone(&self.text), problem)
    }
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let source = Source::new("hd.toml", "\u{feff}a = 1\nß = 2\n");
        let cases = [
            (3..4, "hd.toml:1:1"),
            (9..11, "hd.toml:2:1"),
            (12..13, "hd.toml:2:3"),
            (10..11, "hd.toml:2:1"), // inside the two bytes of ß
            (99..120, "hd.toml:3:1"),
        ];
        for (span, expected) in cases {
            assert_eq!(source.place(span).to_string(), expected);
        }
    }
}
