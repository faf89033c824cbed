//! Who does what, and when.
