//! Which steps may begin now: pure.

use super::wanted::Wanted;

/// How far each step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Running,
    Done,
}

/// The steps of one chain and how far they are.
#[derive(Debug)]
pub(super) struct Schedule<'a> {
    steps: &'a [Wanted],
    phases: Vec<Phase>,
    jobs: usize,
}

impl<'a> Schedule<'a> {
    /// At most `jobs` steps run at a time.
    pub(super) fn new(steps: &'a [Wanted], jobs: usize) -> Self {
        Self {
            steps,
            phases: vec![Phase::Waiting; steps.len()],
            jobs: jobs.max(1),
        }
    }

    /// Marks the next step that may begin as running and gives its index.
    ///
    /// It is the first whose upstream is done and whose caches nobody uses: a cache belongs to one
    /// step at a time. A command that another file system is getting just now waits for that.
    pub(super) fn begin(&mut self) -> Option<usize> {
        if self.running() >= self.jobs {
            return None;
        }
        let next = (0..self.steps.len()).find(|index| self.may_begin(*index))?;
        self.phases[next] = Phase::Running;
        Some(next)
    }

    /// Marks a step as done.
    pub(super) fn done(&mut self, index: usize) {
        self.phases[index] = Phase::Done;
    }

    /// How many run.
    pub(super) fn running(&self) -> usize {
        let running = self.phases.iter().filter(|phase| **phase == Phase::Running);
        running.count()
    }

    fn may_begin(&self, index: usize) -> bool {
        let step = &self.steps[index];
        self.phases[index] == Phase::Waiting
            && step.after().all(|up| self.phases[up] == Phase::Done)
            && !self.steps.iter().zip(&self.phases).any(|(other, phase)| {
                *phase == Phase::Running && (shares_a_cache(step, other) || are_twins(step, other))
            })
    }
}

fn shares_a_cache(step: &Wanted, other: &Wanted) -> bool {
    let shares = |name: &String| step.options.caches.contains(name);
    other.options.caches.iter().any(shares)
}

/// What one of two file systems gets is likely to be found valid for the other.
fn are_twins(step: &Wanted, other: &Wanted) -> bool {
    step.options.stage != other.options.stage
        && step.command == other.command
        && step.options.env == other.options.env
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::wanted::Options;
    use super::*;

    fn step(upstream: &[usize], caches: &[&str]) -> Wanted {
        Wanted {
            upstream: upstream.to_vec(),
            options: Options {
                caches: caches.iter().map(|name| (*name).to_owned()).collect(),
                ..Options::default()
            },
            ..Wanted::default()
        }
    }

    #[test]
    fn independent_steps_run_beside_each_other_up_to_the_limit() {
        let steps = [
            step(&[], &[]),
            step(&[], &[]),
            step(&[], &[]),
            step(&[0, 1], &[]),
        ];
        let mut schedule = Schedule::new(&steps, 2);
        assert_eq!(
            [schedule.begin(), schedule.begin(), schedule.begin()],
            [Some(0), Some(1), None]
        );
        schedule.done(1);
        assert_eq!(schedule.begin(), Some(2));
        schedule.done(0);
        assert_eq!(schedule.begin(), Some(3), "what it stands on is done");
        assert_eq!(schedule.running(), 2);
    }

    #[test]
    fn a_cache_belongs_to_one_step_at_a_time() {
        let steps = [
            step(&[], &["cargo"]),
            step(&[], &["npm", "cargo"]),
            step(&[], &["npm"]),
        ];
        let mut schedule = Schedule::new(&steps, 8);
        assert_eq!(
            [schedule.begin(), schedule.begin(), schedule.begin()],
            [Some(0), Some(2), None]
        );
        schedule.done(0);
        assert_eq!(schedule.begin(), None);
        schedule.done(2);
        assert_eq!(schedule.begin(), Some(1));
    }

    #[test]
    fn the_same_command_in_two_stages_runs_once_at_a_time() {
        let mut steps = [step(&[], &[]), step(&[], &[]), step(&[], &[])];
        (steps[0].command, steps[1].command) = ("apt".to_owned(), "apt".to_owned());
        steps[0].options.stage = Some("build".to_owned());
        let mut schedule = Schedule::new(&steps, 8);
        assert_eq!([schedule.begin(), schedule.begin()], [Some(0), Some(2)]);
        assert_eq!(schedule.begin(), None);
        schedule.done(0);
        assert_eq!(schedule.begin(), Some(1));
    }

    proptest! {
        /// Whatever ends first, every step runs once, never before what it stands on.
        #[test]
        fn all_steps_run_once_after_their_upstream(
            edges in prop::collection::vec(any::<u8>(), 8),
            jobs in 0usize..4,
            ends in prop::collection::vec(any::<usize>(), 64),
        ) {
            let steps: Vec<Wanted> = edges
                .iter()
                .enumerate()
                .map(|(at, bits)| {
                    let upstream: Vec<usize> = (0..at).filter(|up| bits & (1 << up) != 0).collect();
                    step(&upstream, &[])
                })
                .collect();
            let mut schedule = Schedule::new(&steps, jobs);
            let (mut running, mut order) = (Vec::new(), Vec::new());
            for end in ends {
                while let Some(index) = schedule.begin() {
                    prop_assert!(steps[index].upstream.iter().all(|up| order.contains(up)));
                    running.push(index);
                }
                prop_assert!(running.len() <= jobs.max(1));
                if running.is_empty() {
                    break;
                }
                let index = running.swap_remove(end % running.len());
                schedule.done(index);
                order.push(index);
            }
            order.sort_unstable();
            prop_assert_eq!(order, (0..steps.len()).collect::<Vec<_>>());
        }
    }
}
