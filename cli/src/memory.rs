//! How the allocator gives memory back.

/// Blocks of at least so many bytes are memory of the kernel's own, given back when freed. Above every
/// buffer that is used again and again; below those of threads that serve FUSE (16 MiB each).
#[cfg(target_env = "gnu")]
const OWN_MAPPING: libc::c_int = 8 << 20;

/// Keeps big blocks out of the arenas.
///
/// By itself glibc puts blocks there once one of their size was freed (mallopt(3), `M_MMAP_THRESHOLD`),
/// where they stay, touched as a whole: 16 MiB for each thread that ever served a view.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "mallopt has no safe wrapper")]
pub(crate) fn give_back_big_blocks() {
    // SAFETY: called before any thread exists; a refusal changes nothing.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_MAPPING) };
}

/// Other allocators do so by themselves.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn give_back_big_blocks() {}
