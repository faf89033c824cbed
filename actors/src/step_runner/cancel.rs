//! A running chain as seen from outside: superseded or not, and what its steps have observed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hd_dag::Change;
use hd_dag::trace::touched_by;
use hd_projection::Recorder;

use super::wanted::Wanted;

/// Shared between the actor, which decides, and the jobs, which run.
#[derive(Debug, Default)]
pub struct Cancel {
    superseded: AtomicBool,
    killed: AtomicBool,
    running: Mutex<Vec<Arc<RunningStep>>>,
    ended: Mutex<Vec<Wanted>>,
}

/// A step that runs.
#[derive(Debug)]
struct RunningStep {
    recorder: Arc<Recorder>,
    wanted: Wanted,
    killed: AtomicBool,
}

/// A step that runs, for the one who waits for it; dropping it says that it does not any more.
#[derive(Debug)]
pub struct Running<'a> {
    cancel: &'a Cancel,
    step: Arc<RunningStep>,
}

impl Cancel {
    /// Tells the chain that a newer one waits: no further step begins.
    ///
    /// Steps that run go on unless `changes` (paths from the root of the view) touch what they have
    /// observed so far, or are not among the `wanted` as they run; those are killed. Answers whether
    /// any is.
    pub fn supersede(&self, changes: &[Change], wanted: &[Wanted]) -> bool {
        self.superseded.store(true, Ordering::SeqCst);
        let mut killed = false;
        for step in self.running().iter() {
            let is_wanted = wanted.iter().any(|one| one.runs_like(&step.wanted));
            if !is_wanted || touched_by(&step.recorder.trace(), changes).is_some() {
                step.killed.store(true, Ordering::SeqCst);
                killed = true;
            }
        }
        killed
    }

    /// Ends the chain and the steps that run.
    pub fn kill(&self) {
        self.superseded.store(true, Ordering::SeqCst);
        self.killed.store(true, Ordering::SeqCst);
    }

    /// Tells whether no further step may begin.
    pub fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::SeqCst)
    }

    /// Says that a step runs, by its recorder.
    pub fn begin(&self, recorder: Arc<Recorder>, wanted: &Wanted) -> Running<'_> {
        let step = Arc::new(RunningStep {
            recorder,
            wanted: wanted.clone(),
            killed: AtomicBool::new(false),
        });
        self.running().push(step.clone());
        Running { cancel: self, step }
    }

    /// Says that a step has a result.
    pub(super) fn ended(&self, wanted: &Wanted) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.push(wanted.clone());
    }

    /// Tells whether the step of that name (`step-1` or slug) has a result.
    pub(super) fn has_ended(&self, name: &str) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.iter().any(|step| step.is_called(name))
    }

    fn running(&self) -> MutexGuard<'_, Vec<Arc<RunningStep>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running<'_> {
    /// Tells whether the step must end.
    pub fn is_killed(&self) -> bool {
        self.cancel.killed.load(Ordering::SeqCst) || self.step.killed.load(Ordering::SeqCst)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut running = self.cancel.running();
        running.retain(|step| !Arc::ptr_eq(step, &self.step));
    }
}

#[cfg(test)]
mod tests {
    use hd_dag::trace::Seen;
    use hd_dag::{Entry, Meta, TreePath};
    use hd_store::Id;

    use super::*;

    fn change(path: &str) -> Change {
        let entry = Entry::regular(Meta::default(), Id::of(b"x"), 1);
        Change {
            path: TreePath::new(path.as_bytes()).unwrap(),
            old: None,
            new: Some(entry),
        }
    }

    #[test]
    fn only_the_step_that_saw_the_changed_path_is_killed() {
        let cancel = Cancel::default();
        let recorder = Arc::new(Recorder::default());
        let path = TreePath::new(b"a").unwrap();
        recorder.looked_up(&path, Seen::Absent);
        let step = Wanted::default();
        let all = [step.clone()];
        let (saw, blind) = (
            cancel.begin(recorder, &step),
            cancel.begin(Arc::default(), &step),
        );
        assert!(!cancel.supersede(&[change("b")], &all));
        assert!(cancel.is_superseded() && !saw.is_killed());
        assert!(cancel.supersede(&[change("a")], &all));
        assert!(saw.is_killed() && !blind.is_killed());
        drop(saw);
        assert!(
            !cancel.supersede(&[change("a")], &all),
            "it does not run any more"
        );
        cancel.kill();
        assert!(blind.is_killed());
    }
}
