//! x
use crate::runner::Test;
pub(crate) const TESTS: &[Test] = &[];
