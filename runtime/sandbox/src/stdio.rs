//! What a command has as its open descriptors.

use crate::wire::Wires;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The descriptors of a command. Absent ones are its terminal when [`Command::tty`] is set, else `/dev/null`, opened
/// inside.
#[derive(Debug, Default)]
pub struct Stdio {
    /// Descriptor 0.
    pub stdin: Option<OwnedFd>,
    /// Descriptor 1.
    pub stdout: Option<OwnedFd>,
    /// Descriptor 2.
    pub stderr: Option<OwnedFd>,
    /// Descriptors 3 and on. A command whose environment says `LISTEN_FDS` gets its own id as `LISTEN_PID` besides.
    pub extra: Vec<OwnedFd>,
}

impl Stdio {
    pub(crate) fn wires(&self) -> Wires {
        let standard = [
            self.stdin.is_some(),
            self.stdout.is_some(),
            self.stderr.is_some(),
        ];
        Wires {
            standard,
            extra: self.extra.len(),
        }
    }

    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let standard = [&self.stdin, &self.stdout, &self.stderr];
        standard
            .into_iter()
            .flatten()
            .chain(&self.extra)
            .map(AsFd::as_fd)
    }
}
