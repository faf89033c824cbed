//! Services that write files they watch themselves: pure, the clock comes in as a parameter.
//!
//! Such a service restarts for ever: it starts, writes, is restarted, writes. Its own writes of such a
//! file are then withheld from it; everything else it watches goes on as before. When it has been quiet
//! for a while the rule holds again; what is known to be written by the service is withheld at once the
//! next time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hd_dag::TreePath;

/// Restarts for a file the service was seen to write, within [`WINDOW`], that are a loop.
const SEEN_MAX: usize = 3;
/// The same where nobody can see who writes: restarts in a row, each for a change within [`SOON`] of
/// the start before. High, since somebody who saves again as soon as the answer is there looks the same.
const GUESSED_MAX: usize = 10;
/// Restarts further back count for nothing.
const WINDOW: Duration = Duration::from_secs(60);
/// A change this soon after a start may be its doing.
pub(super) const SOON: Duration = Duration::from_secs(2);
/// Quiet after which the rule holds again.
pub(super) const QUIET: Duration = Duration::from_secs(10);

/// Who changed a file, as far as can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// The service itself, for certain.
    Itself,
    /// Perhaps the service: nobody can know, and it has just been started.
    Perhaps,
    /// Somebody else, or the service after a long time.
    Other,
}

/// What is to be done about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Whatever the rule says.
    Follow,
    /// Nothing; that it is so is news.
    Suspend,
    /// Nothing.
    Withhold,
}

/// A rule that holds again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lifted {
    pub(super) service: String,
    pub(super) path: TreePath,
    /// It may have been changed by somebody else meanwhile.
    pub(super) may_be_stale: bool,
}

/// Files of services that they change themselves.
#[derive(Debug, Default)]
pub(super) struct Loops(BTreeMap<(String, TreePath), Course>);

#[derive(Debug, Default)]
struct Course {
    restarts: Vec<Instant>,
    /// When it was changed last while it was suspended.
    suspended: Option<Instant>,
    /// The service is known to write it.
    known: bool,
}

impl Loops {
    /// Decides about a change of a file that a service watches.
    pub(super) fn judge(
        &mut self,
        service: &str,
        path: &TreePath,
        writer: Writer,
        now: Instant,
    ) -> Verdict {
        let key = (service.to_owned(), path.clone());
        if writer == Writer::Other && !self.0.contains_key(&key) {
            return Verdict::Follow;
        }
        let course = self.0.entry(key).or_default();
        match (writer, course.suspended) {
            // It is known who writes, and this was somebody else.
            (Writer::Other, Some(_)) if course.known => Verdict::Follow,
            (_, Some(_)) => {
                course.suspended = Some(now);
                Verdict::Withhold
            }
            (Writer::Other, None) => {
                course.restarts.clear();
                Verdict::Follow
            }
            (writer, None) => course.counts(writer, now),
        }
    }

    /// Lets rules hold again whose files have been quiet.
    pub(super) fn lift(&mut self, now: Instant) -> Vec<Lifted> {
        let quiet = |at: &mut Instant| now.saturating_duration_since(*at) >= QUIET;
        self.lift_if(quiet)
    }

    /// Lets all rules hold again, and forgets what was learnt.
    pub(super) fn resume(&mut self) -> Vec<Lifted> {
        let lifted = self.lift_if(|_| true);
        self.0.clear();
        lifted
    }

    /// Gives when to look whether a rule can hold again.
    pub(super) fn due(&self) -> Option<Instant> {
        let suspended = self.0.values().filter_map(|course| course.suspended);
        suspended.min().map(|at| at + QUIET)
    }

    /// Gives the suspended files by service.
    pub(super) fn suspended(&self) -> BTreeMap<String, Vec<(TreePath, bool)>> {
        self.files(|course| course.suspended.is_some())
    }

    /// The same with those that would be suspended at once the next time.
    pub(super) fn withheld(&self) -> BTreeMap<String, Vec<(TreePath, bool)>> {
        self.files(|course| course.suspended.is_some() || course.known)
    }

    fn files(&self, is_meant: impl Fn(&Course) -> bool) -> BTreeMap<String, Vec<(TreePath, bool)>> {
        let mut found = BTreeMap::<String, Vec<(TreePath, bool)>>::new();
        for ((service, path), course) in &self.0 {
            if is_meant(course) {
                let of = found.entry(service.clone()).or_default();
                of.push((path.clone(), course.known));
            }
        }
        found
    }

    fn lift_if(&mut self, mut is_over: impl FnMut(&mut Instant) -> bool) -> Vec<Lifted> {
        let mut lifted = Vec::new();
        for ((service, path), course) in &mut self.0 {
            if course.suspended.take_if(&mut is_over).is_some() {
                course.restarts.clear();
                lifted.push(Lifted {
                    service: service.clone(),
                    path: path.clone(),
                    may_be_stale: !course.known,
                });
            }
        }
        self.0.retain(|_, course| {
            course.known || course.suspended.is_some() || !course.restarts.is_empty()
        });
        lifted
    }
}

impl Course {
    fn counts(&mut self, writer: Writer, now: Instant) -> Verdict {
        self.restarts
            .retain(|at| now.saturating_duration_since(*at) < WINDOW);
        self.restarts.push(now);
        let most = if writer == Writer::Itself {
            SEEN_MAX
        } else {
            GUESSED_MAX
        };
        if !self.known && self.restarts.len() < most {
            return Verdict::Follow;
        }
        self.suspended = Some(now);
        let was_known = self.known;
        self.known |= writer == Writer::Itself;
        if was_known {
            Verdict::Withhold
        } else {
            Verdict::Suspend
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text.as_bytes()).unwrap()
    }

    /// Judges changes of one file, so many milliseconds apart.
    fn judged(writers: &[(u64, Writer)]) -> (Loops, Vec<Verdict>, Instant) {
        let (mut loops, mut now) = (Loops::default(), Instant::now());
        let mut verdicts = Vec::new();
        for (after, writer) in writers {
            now += Duration::from_millis(*after);
            verdicts.push(loops.judge("web", &path("db"), *writer, now));
        }
        (loops, verdicts, now)
    }

    #[test]
    fn what_it_is_seen_to_write_again_and_again_is_suspended_for_itself_only() {
        use Verdict::{Follow, Suspend, Withhold};
        use Writer::{Itself, Other};
        let (mut loops, verdicts, now) = judged(&[
            (0, Itself),
            (300, Itself),
            (300, Itself),
            (300, Itself),
            (300, Other),
            (300, Itself),
        ]);
        assert_eq!(
            verdicts,
            [Follow, Follow, Suspend, Withhold, Follow, Withhold]
        );
        assert_eq!(loops.suspended()["web"], [(path("db"), true)]);
        assert_eq!(loops.due(), Some(now + QUIET));
        assert_eq!(loops.lift(now + QUIET / 2), []);
        let lifted = loops.lift(now + QUIET);
        assert!(!lifted[0].may_be_stale && lifted.len() == 1);
        assert!(loops.suspended().is_empty() && loops.due().is_none());
        // It is known by now.
        assert_eq!(loops.withheld()["web"], [(path("db"), true)]);
        let later = now + QUIET * 2;
        assert_eq!(loops.judge("web", &path("db"), Itself, later), Withhold);
        assert_eq!(loops.judge("web", &path("a.py"), Itself, later), Follow);
        assert_eq!(loops.resume().len(), 1);
        assert_eq!(loops.judge("web", &path("db"), Itself, later), Follow);
    }

    #[test]
    fn writes_far_apart_are_no_loop() {
        let far = (WINDOW.as_millis() as u64, Writer::Itself);
        let (_, verdicts, _) = judged(&[far; 20]);
        assert!(verdicts.iter().all(|one| *one == Verdict::Follow));
    }

    #[test]
    fn where_nobody_can_know_it_takes_a_longer_row_that_any_other_change_ends() {
        let mut row = [(500, Writer::Perhaps); GUESSED_MAX];
        let (mut loops, verdicts, now) = judged(&row);
        assert_eq!(verdicts.last(), Some(&Verdict::Suspend));
        assert_eq!(
            loops.judge("web", &path("db"), Writer::Other, now),
            Verdict::Withhold,
            "who writes is not known"
        );
        assert!(loops.lift(now + QUIET)[0].may_be_stale && loops.withheld().is_empty());
        row[GUESSED_MAX / 2].1 = Writer::Other;
        let (_, verdicts, _) = judged(&row);
        assert!(verdicts.iter().all(|one| *one == Verdict::Follow));
    }
}
