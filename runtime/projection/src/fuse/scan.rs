//! Tells which names of a listing a process will look up, and which files it will read: pure.
//!
//! A process that walks a tree looks up every name it was shown, or every name of a sort. Until a
//! process has shown that for a sort of names (a kind with a file-name extension), each of them
//! costs it a request of its own. What is foretold wrongly costs time, never a wrong answer: in a
//! traced view a name that is given away ahead of its look-up counts as observed.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use hd_dag::Kind;

/// Uses in a row after which the next one is foretold.
const TRUST: i32 = 8;
/// What passing one over costs in [`Scans::cautious`] and else; as many uses must follow before the
/// sort is trusted again.
const DOUBT: i32 = -32;
const MILD_DOUBT: i32 = 0;
/// Of trusted names every so-manieth is left to be asked for, so that a change shows; after so many
/// that were asked for indeed only every second one of those, and so on.
const PROBE: u32 = 16;
const CONFIRMATIONS: u32 = 8;
const HALVINGS_MAX: u32 = 3;
/// Most processes and open directories remembered.
const WALKERS_MAX: usize = 256;
const OPEN_MAX: usize = 64;

/// A sort of names.
pub(super) type Class = u64;

/// Gives the sort of a name.
pub(super) fn class(kind: Kind, name: &[u8]) -> Class {
    let mut hasher = DefaultHasher::new();
    (kind as u8).hash(&mut hasher);
    if kind != Kind::Dir {
        let dot = name.iter().rposition(|byte| *byte == b'.');
        dot.and_then(|dot| name.get(dot..)).hash(&mut hasher);
    }
    hasher.finish()
}

/// A directory that a process is going through.
#[derive(Debug)]
struct Open {
    dir: u64,
    classes: Arc<[Class]>,
    /// Names from here on were not yet used.
    next: usize,
    /// Names that need no request any more; of them nothing is learned.
    given: Vec<bool>,
}

#[derive(Debug, Default)]
struct Walker {
    open: Vec<Open>,
    scores: HashMap<Class, i32>,
    probes: Probes,
    doubt: i32,
}

/// Which trusted names are left to be asked for.
#[derive(Debug, Default)]
struct Probes {
    trusted: u32,
    /// Uses of trusted names since one was passed over.
    confirmed: u32,
}

impl Probes {
    /// Says that the next trusted name is one of them.
    fn next(&mut self) -> bool {
        let halvings = (self.confirmed / CONFIRMATIONS).min(HALVINGS_MAX);
        self.trusted += 1;
        self.trusted.is_multiple_of(PROBE << halvings)
    }
}

impl Walker {
    fn score(&mut self, class: Class, used: bool) {
        let score = self.scores.entry(class).or_default();
        if used {
            self.probes.confirmed += u32::from(*score >= TRUST);
            *score = (*score + 1).min(TRUST);
        } else {
            self.probes.confirmed = 0;
            *score = self.doubt;
        }
    }

    fn pass_over(&mut self, open: &Open, to: usize) {
        for at in open.next..to.min(open.classes.len()) {
            if !open.given.get(at).copied().unwrap_or(false) {
                self.score(open.classes[at], false);
            }
        }
    }

    /// Ends the directories opened after `dir`; says whether it is open.
    fn back_to(&mut self, dir: u64) -> bool {
        if !self.open.iter().any(|open| open.dir == dir) {
            return false;
        }
        while self.open.last().is_some_and(|open| open.dir != dir) {
            self.close();
        }
        true
    }

    fn close(&mut self) {
        if let Some(open) = self.open.pop() {
            self.pass_over(&open, open.classes.len());
        }
    }
}

/// What all processes of a view do.
#[derive(Debug)]
pub(super) struct Scans {
    walkers: HashMap<u32, Walker>,
    doubt: i32,
}

impl Scans {
    /// Where a name foretold wrongly makes results less often valid.
    pub(super) fn cautious() -> Self {
        Self {
            walkers: HashMap::new(),
            doubt: DOUBT,
        }
    }

    /// Where one foretold wrongly costs a moment only.
    pub(super) fn bold() -> Self {
        Self {
            walkers: HashMap::new(),
            doubt: MILD_DOUBT,
        }
    }

    fn walker(&mut self, process: u32) -> &mut Walker {
        if self.walkers.len() >= WALKERS_MAX && !self.walkers.contains_key(&process) {
            self.walkers.clear();
        }
        let doubt = self.doubt;
        self.walkers.entry(process).or_insert_with(|| Walker {
            doubt,
            ..Walker::default()
        })
    }

    /// Notes that a process starts to list a directory below `parent`.
    pub(super) fn listed(
        &mut self,
        process: u32,
        parent: u64,
        dir: u64,
        classes: impl FnOnce() -> Arc<[Class]>,
    ) {
        let walker = self.walker(process);
        if walker.back_to(dir) {
            walker.close();
        }
        if !walker.back_to(parent) {
            while !walker.open.is_empty() {
                walker.close();
            }
        }
        if walker.open.len() >= OPEN_MAX {
            walker.open.remove(0);
        }
        let classes = classes();
        walker.open.push(Open {
            dir,
            given: vec![false; classes.len()],
            classes,
            next: 0,
        });
    }

    /// Says which of the next names of a directory a process will use; those count as given.
    pub(super) fn foretell(
        &mut self,
        process: u32,
        dir: u64,
        names: std::ops::Range<usize>,
    ) -> Vec<bool> {
        let walker = self.walker(process);
        let Some(open) = walker.open.iter_mut().find(|open| open.dir == dir) else {
            return vec![false; names.len()];
        };
        let mut foretold = Vec::with_capacity(names.len());
        for at in names {
            let score = open
                .classes
                .get(at)
                .and_then(|class| walker.scores.get(class));
            let trusted = score.is_some_and(|score| *score >= TRUST) && !walker.probes.next();
            if let (true, Some(given)) = (trusted, open.given.get_mut(at)) {
                *given = true;
            }
            foretold.push(trusted);
        }
        foretold
    }

    /// Notes that a name will not be used, which says nothing: an empty file is never read.
    pub(super) fn give(&mut self, process: u32, dir: u64, at: usize) {
        let open = &mut self.walker(process).open;
        let given = open.iter_mut().rev().find(|open| open.dir == dir);
        if let Some(given) = given.and_then(|open| open.given.get_mut(at)) {
            *given = true;
        }
    }

    /// Notes that a process used the name at a position of a directory it had listed.
    pub(super) fn used(&mut self, process: u32, dir: u64, at: usize) {
        let walker = self.walker(process);
        if !walker.back_to(dir) {
            return;
        }
        let Some(mut open) = walker.open.pop() else {
            return;
        };
        if at >= open.next {
            walker.pass_over(&open, at);
            open.next = at + 1;
        }
        if let Some(class) = open.classes.get(at) {
            walker.score(*class, true);
        }
        walker.open.push(open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: u32 = 7;

    fn classes(names: &[&str]) -> Arc<[Class]> {
        let class = |name: &&str| class(Kind::Regular, name.as_bytes());
        names.iter().map(class).collect()
    }

    fn uses_all(scans: &mut Scans, dir: u64, names: &[&str]) {
        scans.listed(ME, 1, dir, || classes(names));
        for at in 0..names.len() {
            scans.used(ME, dir, at);
        }
    }

    fn foretold(scans: &mut Scans, dir: u64, names: &[&str]) -> Vec<bool> {
        scans.listed(ME, 1, dir, || classes(names));
        scans.foretell(ME, dir, 0..names.len())
    }

    #[test]
    fn a_sort_is_foretold_once_all_of_it_was_used_and_other_sorts_are_not() {
        let mut scans = Scans::cautious();
        uses_all(&mut scans, 2, &["a.py", "b.py", "c.py", "d.py"]);
        assert_eq!(foretold(&mut scans, 3, &["e.py"]), [false]);
        uses_all(&mut scans, 4, &["a.py", "b.py", "c.py", "d.py"]);
        assert_eq!(
            foretold(&mut scans, 5, &["e.py", "f.html"]),
            [false, false],
            "one was left out"
        );
        uses_all(&mut scans, 6, &["x.py"; 64]);
        assert_eq!(foretold(&mut scans, 7, &["e.py", "f.html"]), [true, false]);
    }

    #[test]
    fn a_name_passed_over_ends_the_trust_in_its_sort() {
        let mut scans = Scans::cautious();
        uses_all(&mut scans, 2, &["x.py"; 20]);
        scans.listed(ME, 1, 3, || classes(&["a.py", "b.py"]));
        scans.used(ME, 3, 1);
        assert_eq!(foretold(&mut scans, 4, &["e.py"]), [false]);
    }

    #[test]
    fn a_rest_left_alone_is_passed_over_when_the_process_goes_on_elsewhere() {
        let mut scans = Scans::cautious();
        uses_all(&mut scans, 2, &["x.py"; 20]);
        scans.listed(ME, 1, 3, || classes(&["a.py", "b.py"]));
        scans.used(ME, 3, 0);
        // A directory within it does not end it.
        scans.listed(ME, 3, 4, || classes(&["c.py"]));
        assert_eq!(scans.foretell(ME, 4, 0..1), [true]);
        scans.listed(ME, 1, 5, || classes(&["d.py"]));
        assert_eq!(scans.foretell(ME, 5, 0..1), [false]);
    }

    #[test]
    fn some_are_left_to_ask_for_fewer_the_longer_it_holds_and_another_process_learns_for_itself() {
        let mut scans = Scans::cautious();
        let asked = |scans: &mut Scans, dir| {
            let told = foretold(scans, dir, &["x.py"; 128]);
            let asked: Vec<usize> = (0..128).filter(|at| !told[*at]).collect();
            for at in &asked {
                scans.used(ME, dir, *at);
            }
            asked.len() as u32
        };
        uses_all(&mut scans, 2, &["x.py"; 8]);
        assert_eq!(asked(&mut scans, 3), 128 / PROBE);
        assert_eq!(asked(&mut scans, 4), 128 / (PROBE * 2));
        uses_all(&mut scans, 5, &["x.py"; 40]);
        assert_eq!(asked(&mut scans, 6), 128 / (PROBE << HALVINGS_MAX));
        scans.listed(ME, 1, 7, || classes(&["a.py", "b.py"]));
        scans.used(ME, 7, 1);
        uses_all(&mut scans, 8, &["x.py"; 40]);
        assert_eq!(asked(&mut scans, 9), 128 / PROBE, "one was passed over");
        scans.listed(ME + 1, 1, 3, || classes(&["x.py"]));
        assert_eq!(scans.foretell(ME + 1, 3, 0..1), [false]);
    }
}
