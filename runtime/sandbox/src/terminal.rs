//! The hd side of a terminal opened inside a sandbox.

use crate::error::{Context, Result};
use crate::spec::TtySize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The master side of a terminal: read the output from it, write the input to it.
///
/// When the last process on the other side is gone, reading gives `EIO`: that is the end of the output.
#[derive(Debug)]
pub struct Terminal {
    master: OwnedFd,
}

impl Terminal {
    pub(crate) fn new(master: OwnedFd) -> Self {
        Self { master }
    }

    /// Tells the terminal its new size; the foreground process gets `SIGWINCH`.
    pub fn resize(&self, size: TtySize) -> Result<()> {
        set_size(self.master.as_fd(), size).what(|| "resize the terminal".into())
    }

    /// Gives the descriptor away.
    pub fn into_fd(self) -> OwnedFd {
        self.master
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}

pub(crate) fn set_size(master: BorrowedFd<'_>, size: TtySize) -> rustix::io::Result<()> {
    let size = rustix::termios::Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(master, size)
}
