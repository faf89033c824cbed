//! What a command leaves of the screen when it is killed.

use super::relay::write_all;

/// To the other screen, on which an editor or a pager draws, and back to the lines that were there before.
const THERE: &[u8] = b"\x1b[?1049h";
const BACK: &[u8] = b"\x1b[?1049l";
/// The mouse is the terminal's own again, what is pasted comes as it is, the cursor is seen, letters are plain.
const PLAIN: &[u8] = b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?2004l\x1b[?25h\x1b[0m";

/// Which screen a command draws on.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    is_other: bool,
    /// The end of what was shown: a change of the screen may come in two pieces.
    tail: Vec<u8>,
}

impl Screen {
    /// Looks at what is shown.
    pub(super) fn note(&mut self, piece: &[u8]) {
        self.tail.extend_from_slice(piece);
        let mut ends = self.tail.windows(THERE.len()).rev();
        if let Some(last) = ends.find(|seen| [THERE, BACK].contains(seen)) {
            self.is_other = last == THERE;
        }
        let old = self.tail.len().saturating_sub(THERE.len() - 1);
        self.tail.drain(..old);
    }

    /// Puts the terminal in order, for a command that could not do so itself any more.
    pub(crate) fn give_back(&self) {
        // A terminal that is gone needs no order.
        let _ = write_all(&self.order());
    }

    fn order(&self) -> Vec<u8> {
        // Where the first screen is up already, this would move the cursor.
        let back = if self.is_other { BACK } else { &[] };
        [back, PLAIN].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_screen_is_left_by_whom_it_was_entered() {
        let cases: [(&[&str], bool); 6] = [
            (&["plain"], false),
            (&["a\x1b[?1049hb"], true),
            (&["a\x1b[?10", "4", "9hb"], true),
            (&["\x1b[?1049h", "edit", "\x1b[?1049l$ "], false),
            (&["\x1b[?1049h\x1b[?1049l\x1b[?1049h"], true),
            (&["\x1b[?1049", "l\x1b[?1049h", "more"], true),
        ];
        for (pieces, is_other) in cases {
            let mut screen = Screen::default();
            for piece in pieces {
                screen.note(piece.as_bytes());
            }
            let order = screen.order();
            assert_eq!(order.starts_with(BACK), is_other, "{pieces:?}");
            assert!(order.ends_with(PLAIN));
        }
    }
}
