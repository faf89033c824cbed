//! A tree as a mounted file system, with a trace of what was read.
