//! Black-box and fault tests through the real binary.
