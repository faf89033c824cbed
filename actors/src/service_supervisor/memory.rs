//! What outlives a supervisor that panicked: the wish it served, and where its service stood.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hd_store::Id;

use super::lifecycle::Past;
use super::spawner::{Process, Spawner};
use crate::messages::{Origin, RestartCause};

/// What was asked for last.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// The batch.
    pub(crate) origin: Origin,
    /// Why.
    pub(crate) cause: RestartCause,
    /// Id of the view's tree.
    pub(crate) view: Id,
    /// Where to start.
    pub(crate) spawner: Arc<dyn Spawner>,
}

/// Shared by the incarnations of one supervisor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(Arc<Mutex<Remembered>>);

#[derive(Debug, Default)]
struct Remembered {
    wish: Option<Wish>,
    past: Past,
    watch_restarts: u64,
    process: Option<Weak<dyn Process>>,
}

impl Memory {
    /// Remembers a wish.
    pub(crate) fn wish(&self, wish: Wish) {
        self.lock().wish = Some(wish);
    }

    /// Remembers that what rested is to run again.
    pub(crate) fn runs(&self) {
        let mut held = self.lock();
        (held.past.rests, held.past.is_stopped) = (None, false);
    }

    /// Gives the last wish.
    pub(crate) fn last_wish(&self) -> Option<Wish> {
        self.lock().wish.clone()
    }

    /// Remembers where the service stands.
    pub(crate) fn stands(&self, past: Past) {
        self.lock().past = past;
    }

    /// Gives where the service stood.
    pub(crate) fn past(&self) -> Past {
        self.lock().past.clone()
    }

    /// Counts a restart for a change.
    pub(crate) fn count_watch_restart(&self) {
        self.lock().watch_restarts += 1;
    }

    /// Gives the number of restarts for a change.
    pub(crate) fn watch_restarts(&self) -> u64 {
        self.lock().watch_restarts
    }

    /// Remembers the process that was started last, without keeping it.
    pub(crate) fn set_process(&self, process: &Arc<dyn Process>) {
        self.lock().process = Some(Arc::downgrade(process));
    }

    /// Gives the process that was started last, if it may still be there.
    pub(crate) fn process(&self) -> Option<Arc<dyn Process>> {
        self.lock().process.as_ref()?.upgrade()
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells whether a service starts for this though a person stopped it: somebody asks for it, or says in the
/// `hd.toml` what it is now.
pub(crate) fn starts_stopped(cause: &RestartCause) -> bool {
    match cause {
        RestartCause::Asked => true,
        // The environment is none of its own keys: it changes for all.
        RestartCause::Changed(keys) => !matches!(keys.as_slice(), [key] if key == "environment"),
        _ => false,
    }
}

/// Says why a service is restarted; empty for its first start.
pub(crate) fn told(cause: &RestartCause) -> String {
    match cause {
        RestartCause::Boot => String::new(),
        RestartCause::Watched(paths) | RestartCause::Acted { paths, .. } => {
            match paths.as_slice() {
                [] => "watched files changed".to_owned(),
                [path] => format!("{path} changed"),
                [path, more @ ..] => format!("{path} and {} more changed", more.len()),
            }
        }
        RestartCause::View(steps) if steps.is_empty() => "its view changed".to_owned(),
        RestartCause::View(steps) => format!("output of {} changed", steps.join(", ")),
        RestartCause::MountPoint(path) => format!("{path} was removed on the host"),
        RestartCause::ProjectReplaced => {
            "another directory is in the place of the project".to_owned()
        }
        RestartCause::ViewLost => "its view was lost and is made anew".to_owned(),
        RestartCause::Changed(keys) => format!("{} changed in hd.toml", keys.join(", ")),
        RestartCause::Asked => "asked for".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hd_dag::TreePath;

    #[test]
    fn only_who_asks_or_defines_it_anew_starts_what_was_stopped() {
        let changed = |key: &str| RestartCause::Changed(vec![key.to_owned()]);
        let start = [RestartCause::Asked, changed("env")];
        assert!(start.iter().all(starts_stopped));
        let stay = [
            RestartCause::Boot,
            RestartCause::Watched(Vec::new()),
            RestartCause::View(Vec::new()),
            RestartCause::ViewLost,
            RestartCause::ProjectReplaced,
            changed("environment"),
        ];
        assert!(!stay.iter().any(starts_stopped));
    }

    #[test]
    fn causes_in_words() {
        let path = |text: &str| TreePath::new(text.as_bytes()).unwrap();
        let cases = [
            (RestartCause::Boot, ""),
            (
                RestartCause::Watched(vec![path("app.py")]),
                "app.py changed",
            ),
            (
                RestartCause::Watched(vec![path("a"), path("b"), path("c")]),
                "a and 2 more changed",
            ),
            (
                RestartCause::View(vec!["step-1".into(), "step-2".into()]),
                "output of step-1, step-2 changed",
            ),
            (RestartCause::View(Vec::new()), "its view changed"),
            (
                RestartCause::MountPoint(path(".venv")),
                ".venv was removed on the host",
            ),
            (
                RestartCause::Changed(vec!["port".into(), "env".into()]),
                "port, env changed in hd.toml",
            ),
            (RestartCause::Asked, "asked for"),
        ];
        for (cause, text) in cases {
            assert_eq!(told(&cause), text);
        }
    }
}
