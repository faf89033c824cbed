//! Bytes into lines of bounded length.

/// Longest line in bytes; a longer one is split.
pub(crate) const LINE_MAX: usize = 16 * 1024;

/// Holds the beginning of a line until its end comes.
#[derive(Debug, Default)]
pub(crate) struct Splitter(Vec<u8>);

impl Splitter {
    /// Takes bytes and gives the lines that are complete now.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.0.extend_from_slice(piece);
            let whole = self.0.pop_if(|last| *last == b'\n').is_some();
            while self.0.len() > LINE_MAX {
                let rest = self.0.split_off(boundary(&self.0));
                lines.push(text(&std::mem::replace(&mut self.0, rest)));
            }
            if whole {
                lines.push(text(&std::mem::take(&mut self.0)));
            }
        }
        lines
    }

    /// Gives what came after the last line's end, if anything did.
    pub(crate) fn rest(self) -> Option<String> {
        (!self.0.is_empty()).then(|| text(&self.0))
    }
}

/// Where to split: not inside a character, if it is text.
fn boundary(bytes: &[u8]) -> usize {
    let continues = |at: &usize| bytes.get(*at).is_some_and(|byte| byte & 0xC0 == 0x80);
    (LINE_MAX - 3..=LINE_MAX)
        .rev()
        .find(|at| !continues(at))
        .unwrap_or(LINE_MAX)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .trim_end_matches('\r')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_and_their_ends() {
        let mut splitter = Splitter::default();
        assert_eq!(splitter.take(b"a\r\n\nb"), ["a", ""]);
        assert_eq!(splitter.take(b"c\n\xff\n"), ["bc", "\u{fffd}"]);
        assert_eq!(splitter.take(b"no end"), [""; 0]);
        assert_eq!(splitter.rest().as_deref(), Some("no end"));
        assert_eq!(Splitter::default().rest(), None);
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_bounded_lines(
            text in "[a\u{e4}\u{1f980}\n]{0,80}",
            repeat in 1_usize..1500,
            cut in 1_usize..70_000,
        ) {
            let text = text.repeat(repeat);
            let split = |size: usize| {
                let mut splitter = Splitter::default();
                let mut lines: Vec<String> =
                    text.as_bytes().chunks(size).flat_map(|chunk| splitter.take(chunk)).collect();
                lines.extend(splitter.rest());
                lines
            };
            let lines = split(cut);
            prop_assert!(lines.iter().all(|line| line.len() <= LINE_MAX));
            prop_assert_eq!(lines.concat(), text.replace('\n', ""));
            prop_assert_eq!(lines, split(1));
        }
    }
}
