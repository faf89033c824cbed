//! What changed and was not acted on yet, by the generation of steps that is the first to see it. Pure.

use hd_dag::Change;

use super::batch::merged;

/// Changes since the last generation whose outcome was acted on, in order.
#[derive(Debug, Default)]
pub(super) struct Pending(Vec<(u64, Change)>);

impl Pending {
    /// Adds what a generation is the first to see.
    pub(super) fn add(&mut self, generation: u64, changes: impl IntoIterator<Item = Change>) {
        let changes = changes.into_iter().map(|change| (generation, change));
        self.0.extend(changes);
    }

    /// Gives what a generation has seen: what came later is none of its outcome.
    pub(super) fn seen_by(&self, generation: u64) -> Vec<Change> {
        let seen = self.0.iter().filter(|(first, _)| *first <= generation);
        seen.map(|(_, change)| change.clone()).collect()
    }

    /// Keeps each path once of what a generation has seen that came to nothing: the next one that is acted on has seen
    /// all of it. Not while the outcome of an earlier one is, which has seen a part.
    pub(super) fn came_to_nothing(&mut self, generation: u64) {
        let merged = merged(&self.seen_by(generation));
        self.acted_on(generation);
        let later = std::mem::take(&mut self.0);
        self.add(generation, merged);
        self.0.extend(later);
    }

    /// Forgets what a generation has seen that was acted on.
    pub(super) fn acted_on(&mut self, generation: u64) {
        self.0.retain(|(first, _)| *first > generation);
    }
}

#[cfg(test)]
mod tests {
    use hd_dag::TreePath;

    use super::*;

    fn change(path: &str) -> Change {
        Change {
            path: TreePath::new(path.as_bytes()).unwrap(),
            old: None,
            new: None,
        }
    }

    #[test]
    fn what_came_while_an_outcome_was_acted_on_is_left_to_the_next() {
        let mut pending = Pending::default();
        // Generation 1 was overtaken: the second one has seen its changes, too.
        pending.add(1, [change("a")]);
        pending.add(2, [change("b")]);
        pending.add(3, [change("c")]);
        assert_eq!(pending.seen_by(2), [change("a"), change("b")]);
        pending.acted_on(2);
        assert_eq!(pending.seen_by(2), []);
        assert_eq!(pending.seen_by(3), [change("c")]);
    }

    #[test]
    fn generations_that_fail_leave_each_path_once() {
        let mut pending = Pending::default();
        for generation in 1..=3 {
            pending.add(generation, [change("a"), change("b")]);
            pending.came_to_nothing(generation);
        }
        pending.add(4, [change("a")]);
        pending.came_to_nothing(3);
        assert_eq!(pending.seen_by(3), [change("a"), change("b")]);
        assert_eq!(pending.0.len(), 3, "what came since is another matter");
        pending.came_to_nothing(4);
        assert_eq!(pending.seen_by(4), [change("a"), change("b")]);
    }
}
