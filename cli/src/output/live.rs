//! A few live lines at the bottom of a terminal; what stays scrolls by above them.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The live lines.
#[derive(Debug)]
pub(crate) struct Live {
    area: MultiProgress,
    lines: Vec<ProgressBar>,
}

impl Live {
    /// Begins with none.
    pub(crate) fn new() -> Self {
        let area = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        Self {
            area,
            lines: Vec::new(),
        }
    }

    /// Shows exactly these lines, each cut to the width of the terminal.
    pub(crate) fn show(&mut self, lines: &[String]) {
        if lines.is_empty() && !self.lines.is_empty() {
            // All at once: one by one would flicker. A terminal that is gone needs no clearing.
            let _ = self.area.clear();
            self.lines
                .drain(..)
                .for_each(|line| self.area.remove(&line));
        }
        while self.lines.len() > lines.len() {
            if let Some(line) = self.lines.pop() {
                line.finish_and_clear();
                self.area.remove(&line);
            }
        }
        while self.lines.len() < lines.len() {
            let style = ProgressStyle::with_template("{wide_msg}");
            let line = self.area.add(ProgressBar::no_length());
            line.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            self.lines.push(line);
        }
        for (line, text) in self.lines.iter().zip(lines) {
            if line.message() != *text {
                line.set_message(text.clone());
            }
        }
    }

    /// Writes something that stays.
    pub(crate) fn above(&self, write: impl FnOnce()) {
        self.area.suspend(write);
    }
}
