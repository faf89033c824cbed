//! Reports every panic, with the actor or pool it happened in.
//!
//! The hook speaks before unwinding starts, so a panic is on record even where nobody catches it.

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};

use crate::lock;

/// How many reports [`recent`] remembers.
const RECENT_MAX: usize = 32;

static TOTAL: AtomicU64 = AtomicU64::new(0);
static RECENT: Mutex<VecDeque<PanicReport>> = Mutex::new(VecDeque::new());

thread_local! {
    static LABEL: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
    static LAST: RefCell<Option<PanicReport>> = const { RefCell::new(None) };
}

/// One panic, as the hook saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanicReport {
    /// The actor or pool that was at work, when known.
    pub actor: Option<Arc<str>>,
    /// The name of the thread.
    pub thread: String,
    /// What `panic!` said.
    pub message: String,
    /// `file:line:column`.
    pub location: String,
}

impl fmt::Display for PanicReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at {})", self.message, self.location)
    }
}

/// Installs the hook, once per process.
///
/// It reports through `tracing::error!`; where no subscriber listens, the hook that was there
/// before speaks instead, so that no panic goes unreported.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let report = record(info);
            if tracing::enabled!(tracing::Level::ERROR) {
                let actor = report.actor.as_deref().unwrap_or("-");
                tracing::error!(
                    actor,
                    thread = report.thread,
                    location = report.location,
                    "panic: {}",
                    report.message
                );
            } else {
                before(info);
            }
        }));
    });
}

/// Returns how many panics this process has seen since [`install`].
#[must_use]
pub fn total() -> u64 {
    TOTAL.load(Ordering::Relaxed)
}

/// Returns the last panics, oldest first, at most 32.
#[must_use]
pub fn recent() -> Vec<PanicReport> {
    lock(&RECENT).iter().cloned().collect()
}

fn record(info: &PanicHookInfo<'_>) -> PanicReport {
    let report = PanicReport {
        // A panic may come while the thread's locals are already gone.
        actor: LABEL
            .try_with(|label| label.borrow().clone())
            .ok()
            .flatten(),
        thread: std::thread::current()
            .name()
            .unwrap_or("unnamed")
            .to_owned(),
        message: payload_text(info.payload()),
        location: info
            .location()
            .map_or_else(|| "unknown".to_owned(), ToString::to_string),
    };
    TOTAL.fetch_add(1, Ordering::Relaxed);
    let mut recent = lock(&RECENT);
    if recent.len() == RECENT_MAX {
        recent.pop_front();
    }
    recent.push_back(report.clone());
    drop(recent);
    let _ = LAST.try_with(|last| last.replace(Some(report.clone())));
    report
}

/// Describes a caught panic: what the hook noted on this thread, else the payload alone.
pub fn describe(payload: &(dyn Any + Send)) -> String {
    let text = payload_text(payload);
    match LAST.take() {
        Some(report) if report.message == text => report.to_string(),
        _ => text,
    }
}

fn payload_text(payload: &dyn Any) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a payload that is not text".to_owned()
    }
}

/// Names the actor that is at work on this thread until dropped.
#[derive(Debug)]
pub(crate) struct Label(Option<Arc<str>>);

impl Label {
    pub(crate) fn enter(name: &Arc<str>) -> Self {
        Self(LABEL.replace(Some(Arc::clone(name))))
    }

    #[cfg(feature = "fault")]
    pub(crate) fn current() -> Option<Arc<str>> {
        LABEL.with_borrow(Clone::clone)
    }
}

impl Drop for Label {
    fn drop(&mut self) {
        LABEL.set(self.0.take());
    }
}
