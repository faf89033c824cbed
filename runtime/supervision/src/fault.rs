//! Panics and standstills on demand, so that tests can kill any actor at a chosen message, or let it get stuck.
//!
//! Each message an actor takes from a port or slot passes the point named like the actor. `HD_FAULT=invalidator:3`
//! lets the third one panic, `invalidator:3+` that one and all after it, and at `invalidator:3~2000` the actor stands
//! still for 2000 milliseconds, and with it all that share its thread; several are separated by commas. Without the cargo feature `fault` nothing of this exists: [`point`] is empty.

/// Does nothing: the feature `fault` is off.
#[cfg(not(feature = "fault"))]
#[inline(always)]
pub fn point(_name: &str) {}

/// Passes the point named like the actor at work on this thread.
#[inline(always)]
pub(crate) fn point_of_actor() {
    #[cfg(feature = "fault")]
    if let Some(name) = crate::panics::Label::current() {
        point(&name);
    }
}

#[cfg(feature = "fault")]
pub use armed::{arm, arm_from, disarm, point};

#[cfg(feature = "fault")]
mod armed {
    use std::sync::{Mutex, Once};
    use std::time::{Duration, Instant};

    use crate::lock;

    /// The environment variable read when the first point is passed.
    const VARIABLE: &str = "HD_FAULT";

    struct Fault {
        name: String,
        /// Passes left until the first panic.
        left: u32,
        /// Panics at every pass from then on.
        repeats: bool,
        spent: bool,
        /// Stands still for so long instead.
        stands: Option<Duration>,
    }

    /// What a point is to do.
    enum Due {
        Nothing,
        Panic,
        Stand(Duration),
    }

    static FAULTS: Mutex<Vec<Fault>> = Mutex::new(Vec::new());
    static FROM_ENVIRONMENT: Once = Once::new();

    /// Passes the point `name`.
    ///
    /// # Panics
    /// When a fault armed for it is due.
    pub fn point(name: &str) {
        FROM_ENVIRONMENT.call_once(|| {
            if let Ok(text) = std::env::var(VARIABLE) {
                arm_from(&text);
            }
        });
        match due(name) {
            Due::Nothing => {}
            Due::Panic => panic!("injected fault at {name}"),
            Due::Stand(time) => {
                let over = Instant::now() + time;
                while let Some(left) = over.checked_duration_since(Instant::now()) {
                    std::thread::park_timeout(left);
                }
            }
        }
    }

    /// Lets pass number `nth` (from 1, counted from now) of the point `name` panic, once.
    pub fn arm(name: &str, nth: u32) {
        push(name, nth, false, None);
    }

    /// Arms what a text in the form of `HD_FAULT` says; parts it cannot read are reported and skipped.
    pub fn arm_from(text: &str) {
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, count) = part.rsplit_once(':').unwrap_or((part, "1"));
            let (count, stands) = match count.split_once('~') {
                Some((count, time)) => (count, time.parse().ok().map(Duration::from_millis)),
                None => (count, None),
            };
            let (count, repeats) = match count.strip_suffix('+') {
                Some(count) => (count, true),
                None => (count, false),
            };
            match count.parse() {
                Ok(nth) => push(name, nth, repeats, stands),
                Err(_) => tracing::error!(part, "cannot read this part of {VARIABLE}"),
            }
        }
    }

    /// Takes back every fault armed for `name`.
    pub fn disarm(name: &str) {
        lock(&FAULTS).retain(|fault| fault.name != name);
    }

    fn push(name: &str, nth: u32, repeats: bool, stands: Option<Duration>) {
        lock(&FAULTS).push(Fault {
            name: name.to_owned(),
            left: nth.max(1),
            repeats,
            spent: false,
            stands,
        });
    }

    fn due(name: &str) -> Due {
        let mut due = Due::Nothing;
        for fault in lock(&FAULTS).iter_mut() {
            if fault.name == name && !fault.spent {
                fault.left = fault.left.saturating_sub(1);
                let fires = fault.left == 0;
                fault.spent = fires && !fault.repeats;
                due = match (fires, fault.stands, due) {
                    (true, None, _) => Due::Panic,
                    (true, Some(time), Due::Nothing) => Due::Stand(time),
                    (_, _, due) => due,
                };
            }
        }
        due
    }
}
