//! Whether anybody still reads stdout: who prints only now and then would else not notice for long.

use rustix::event::{PollFd, PollFlags};
use rustix::stdio::stdout;

/// Gives what to wait for beside something else: it wakes when the reader goes, and for nothing else.
pub(crate) fn wanted() -> PollFd<'static> {
    PollFd::from_borrowed_fd(stdout(), PollFlags::empty())
}

/// Tells whether the reader has gone.
pub(crate) fn is_gone(waited: &PollFd<'_>) -> bool {
    // A stdout that was closed from the start has never had one.
    waited.revents().intersects(PollFlags::ERR | PollFlags::HUP)
}
