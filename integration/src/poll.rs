//! Waiting for a state with a deadline, instead of sleeping and hoping.

use std::time::{Duration, Instant};

/// For what takes milliseconds when nothing is wrong.
pub const SHORT: Duration = Duration::from_secs(10);

/// For what downloads or builds.
pub const LONG: Duration = Duration::from_secs(180);

/// Asks `look` again and again until it answers; panics with `what` after `deadline`.
pub fn until<T>(what: &str, deadline: Duration, look: impl FnMut() -> Option<T>) -> T {
    within(deadline, look).unwrap_or_else(|| panic!("not within {deadline:?}: {what}"))
}

/// The same without the panic: `None` when the deadline passed.
pub fn within<T>(deadline: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        pause();
    }
}

/// For what must not happen: watches for `span`; panics as soon as `look` answers.
pub fn never<T: std::fmt::Debug>(what: &str, span: Duration, look: impl FnMut() -> Option<T>) {
    if let Some(seen) = within(span, look) {
        panic!("{what}: {seen:?}");
    }
}

/// Lets time pass, where the moment itself is what a test is about (a kill at a random moment).
pub fn let_pass(span: Duration) {
    let _: Option<()> = within(span, || None);
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one sleep: the pause between two looks"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}
