//! What is asked of the kernel for a file system that never changes while it is mounted.

use fuser::{InitFlags, KernelConfig};

/// Largest read-ahead asked of the kernel, bytes.
const READ_AHEAD: u32 = 1 << 20;
/// Requests in the background, read-ahead above all, that may wait.
const BACKGROUND_MAX: u16 = 64;

/// Asks for parallel look-ups and reads, no OPENDIR, a large read-ahead, and `more`.
///
/// A kernel without one of them is slower, not wrong.
pub(crate) fn configure(config: &mut KernelConfig, more: &[InitFlags]) {
    let always = [
        InitFlags::FUSE_PARALLEL_DIROPS,
        InitFlags::FUSE_ASYNC_READ,
        InitFlags::FUSE_NO_OPENDIR_SUPPORT,
    ];
    for wanted in always.iter().chain(more) {
        let _ = config.add_capabilities(*wanted);
    }
    let _ = config
        .set_max_readahead(READ_AHEAD)
        .or_else(|most| config.set_max_readahead(most));
    let _ = config.set_max_background(BACKGROUND_MAX);
}
