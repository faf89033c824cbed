//! The memory of the process beyond what it needs.

/// Gives freed memory back to the system.
///
/// glibc keeps what was freed for the next time (malloc_trim(3)); after a step, which reads much at once, the
/// next time may be hours away. A few milliseconds, so not on an actor's thread.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        #[expect(unsafe_code, reason = "no crate in use wraps malloc_trim")]
        // SAFETY: it may be called by any thread at any time (malloc_trim(3): MT-Safe).
        let _given = unsafe { libc::malloc_trim(0) };
    }
}
