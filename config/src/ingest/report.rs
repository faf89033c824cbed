//! What became of each line of an imported file.

use std::ops::Range;

use crate::source::Source;

/// How well a line was carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The `hd.toml` says the same.
    Translated,
    /// The `hd.toml` does about the same; the note says what differs.
    Approximated,
    /// The `hd.toml` does not hold it; the note says why.
    NotSupported,
}

impl Verdict {
    /// Name for reports and programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Translated => "translated",
            Self::Approximated => "approximated",
            Self::NotSupported => "not supported",
        }
    }
}

/// One instruction or key of the imported file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Name of the file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The first line of it as it stands there.
    pub text: String,
    /// What became of it.
    pub verdict: Verdict,
    /// How, or why not; may be empty when it was translated.
    pub notes: Vec<String>,
    /// Whether the result lacks something that it needs to run, where it is not supported.
    pub needed: bool,
}

/// Collects lines in the order in which they are opened.
#[derive(Debug)]
pub(crate) struct Book<'a> {
    source: &'a Source,
    text: &'a str,
    lines: Vec<Line>,
}

impl<'a> Book<'a> {
    pub(crate) fn new(source: &'a Source, text: &'a str) -> Self {
        Self {
            source,
            text,
            lines: Vec::new(),
        }
    }

    /// A book of the same file whose notes nobody reads.
    pub(crate) fn aside(&self) -> Self {
        Self::new(self.source, self.text)
    }

    /// Begins a line; it counts as translated until something else is said.
    pub(crate) fn open(&mut self, span: Range<usize>) -> usize {
        let place = self.source.place(span);
        let rest = self.text.get(place.span.start..).unwrap_or_default();
        self.lines.push(Line {
            file: place.file.to_string(),
            line: place.line,
            column: place.column,
            text: rest
                .lines()
                .next()
                .unwrap_or_default()
                .trim_end()
                .to_owned(),
            verdict: Verdict::Translated,
            notes: Vec::new(),
            needed: false,
        });
        self.lines.len() - 1
    }

    /// Adds how it was translated.
    pub(crate) fn translated(&mut self, at: usize, note: impl AsRef<str>) {
        self.say(at, Verdict::Translated, note.as_ref());
    }

    /// Adds what differs.
    pub(crate) fn approximated(&mut self, at: usize, note: impl AsRef<str>) {
        self.say(at, Verdict::Approximated, note.as_ref());
    }

    /// Says why it is left out, where nothing in the result needs it.
    pub(crate) fn left_out(&mut self, at: usize, note: impl AsRef<str>) {
        self.say(at, Verdict::NotSupported, note.as_ref());
    }

    /// Says why it cannot be had, though the result needs it.
    pub(crate) fn missing(&mut self, at: usize, note: impl AsRef<str>) {
        self.say(at, Verdict::NotSupported, note.as_ref());
        if let Some(line) = self.lines.get_mut(at) {
            line.needed = true;
        }
    }

    fn say(&mut self, at: usize, verdict: Verdict, note: &str) {
        let Some(line) = self.lines.get_mut(at) else {
            return;
        };
        line.verdict = line.verdict.max(verdict);
        if !line.notes.iter().any(|known| known == note) {
            line.notes.push(note.to_owned());
        }
    }

    /// The line that is opened next.
    pub(crate) fn next(&self) -> usize {
        self.lines.len()
    }

    /// The line number of what was opened.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.lines.get(at).map_or(0, |line| line.line)
    }

    pub(crate) fn finish(self) -> Vec<Line> {
        self.lines
    }
}
