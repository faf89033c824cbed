//! The terminal of the person, while a command inside has one of its own.

mod raw;
pub(crate) mod relay;
mod screen;

use hd_sandbox::TtySize;

pub(crate) use self::raw::Raw;
pub(crate) use self::screen::Screen;

/// Gives the size of the terminal; 24 × 80 where it has none.
pub(crate) fn size() -> TtySize {
    match rustix::termios::tcgetwinsize(rustix::stdio::stdin()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => TtySize {
            rows: size.ws_row,
            columns: size.ws_col,
        },
        _ => TtySize {
            rows: 24,
            columns: 80,
        },
    }
}
