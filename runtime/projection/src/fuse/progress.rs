//! How far the content of a file has come to the kernel.

use std::sync::atomic::{AtomicU8, Ordering};

const UNTOUCHED: u8 = 0;
const QUEUED: u8 = 1;
const GIVEN: u8 = 2;

/// How far the content of a file has come to the kernel: from untouched over queued (to be pushed) to given (being
/// pushed, or asked for), never back from there.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU8);

impl Progress {
    /// Tells whether nobody has thought of it yet.
    pub(super) fn is_untouched(&self) -> bool {
        self.0.load(Ordering::Acquire) == UNTOUCHED
    }

    /// Queues an untouched file; false for any other.
    pub(super) fn queue(&self) -> bool {
        self.moved(UNTOUCHED, QUEUED)
    }

    /// Leaves a queued file to be asked for.
    pub(super) fn leave(&self) {
        self.moved(QUEUED, UNTOUCHED);
    }

    /// Takes a queued file to push it now; false when the kernel has asked for it meanwhile.
    pub(super) fn take(&self) -> bool {
        self.moved(QUEUED, GIVEN)
    }

    /// Notes that the kernel asks for it, so that nobody pushes it from now on; says whether it was untouched.
    pub(super) fn asked(&self) -> bool {
        self.0.swap(GIVEN, Ordering::AcqRel) == UNTOUCHED
    }

    fn moved(&self, from: u8, to: u8) -> bool {
        let moved = self
            .0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        moved.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_asks_for_is_pushed_no_more() {
        let file = Progress::default();
        assert!(file.queue() && !file.queue(), "queued once");
        file.leave();
        assert!(file.is_untouched() && file.queue());
        assert!(!file.asked(), "it was queued");
        assert!(!file.take() && !file.queue(), "the kernel has asked");
        let file = Progress::default();
        assert!(file.asked() && !file.asked(), "untouched once");
        let file = Progress::default();
        assert!(file.queue() && file.take() && !file.take());
        file.leave();
        assert!(!file.is_untouched(), "it was given");
    }
}
