//! The rules measured on actix, as tests: what it does by itself (E1–E14 of the research) must not
//! be what happens here.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod bounds;
mod clock;
mod dynamic;
mod escalation;
mod faults;
mod lanes;
mod observing;
mod pools;
mod restart;
mod shutdown;
mod slots;
mod storm;
mod support;
