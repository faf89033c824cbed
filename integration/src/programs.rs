//! Small random programs for `programs/observer.c`, and the random trees they look at.
//!
//! Names, contents and targets come from small sets, so that programs meet what edits change.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use fastrand::Rng;

use crate::env::workspace;
use crate::run::Run;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const TEXTS: [&str; 5] = ["one", "two", "three", "", "twenty-two"];
const MODES: [u32; 5] = [0o644, 0o755, 0o600, 0o700, 0o444];

/// Operations on one path that only look.
const LOOKS: [&str; 17] = [
    "stat", "lstat", "statx", "access", "read", "nofollow", "beneath", "inroot", "nosym", "map",
    "maps", "list", "exec", "cd", "target", "xget", "xlist",
];
/// Operations on one path that change something.
const CHANGES: [&str; 5] = ["cut", "mkdir", "rm", "rmdir", "xdel"];
/// Operations on two paths.
const MOVES: [&str; 4] = ["mv", "mvn", "mvx", "ln"];
/// Operations on a path and a word.
const FILLS: [&str; 3] = ["put", "excl", "app"];

/// Makes programs and edits; the same number makes the same ones.
#[derive(Debug)]
pub struct Generator(Rng);

/// A case: a directory with a tree, and a program that runs in it.
#[derive(Debug)]
pub struct Case {
    /// Name of its directory and of its step.
    pub name: String,
    /// The case whose output it sees, by number.
    pub needs: Option<usize>,
    /// What the observer is told to do.
    pub program: String,
}

impl Generator {
    /// Starts from a number.
    pub fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    /// Gives so many cases; some look at what an earlier one left.
    pub fn cases(&mut self, count: usize) -> Vec<Case> {
        let name = |index: usize| format!("c{index:02}");
        let mut cases = Vec::with_capacity(count);
        for index in 0..count {
            let needs = (index > 0 && self.one_in(3)).then(|| self.0.usize(..index));
            let beside = needs.map(name);
            let length = self.0.usize(3..12);
            let ops: Vec<String> = (0..length).map(|_| self.op(beside.as_deref())).collect();
            cases.push(Case {
                name: name(index),
                needs,
                program: ops.join("; "),
            });
        }
        cases
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.0.u32(..count) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.0.usize(..from.len())]
    }

    /// A path beneath a case's directory.
    fn own(&mut self) -> String {
        let depth = 1 + usize::from(self.0.bool()) + usize::from(self.one_in(4));
        let names: Vec<&str> = (0..depth).map(|_| self.pick(&NAMES)).collect();
        names.join("/")
    }

    /// A path to look at: its own, around a corner, or another directory's.
    fn path(&mut self, beside: Option<&str>) -> String {
        let own = self.own();
        match (self.0.u32(..10), beside) {
            (0, _) => format!("{}/../{own}", self.pick(&NAMES)),
            (1, _) => format!("../shared/{own}"),
            (2..=4, Some(beside)) => format!("../{beside}/{own}"),
            (5, Some(beside)) => format!("../{beside}"),
            (6, _) => ".".to_owned(),
            _ => own,
        }
    }

    /// Most likely a directory.
    fn directory(&mut self, beside: Option<&str>) -> String {
        match (self.0.u32(..6), beside) {
            (0..=2, _) => ".".to_owned(),
            (3, Some(beside)) => format!("../{beside}"),
            (4, _) => "../shared".to_owned(),
            _ => self.pick(&NAMES).to_owned(),
        }
    }

    fn op(&mut self, beside: Option<&str>) -> String {
        let before = self.pick(&["", "", "", "", "t ", "f ", "if ", "un ", "if f "]);
        let op = match self.0.u32(..23) {
            0..=9 => format!("{} {}", self.pick(&LOOKS), self.path(beside)),
            // A script that reads one of the other names must not wait for a writer.
            10 if self.one_in(3) => format!("fifo {0}/p; lstat {0}/p", self.pick(&NAMES)),
            10 => format!("at {} {}", self.path(beside), self.own()),
            11..=12 => format!("{} {}", self.pick(&CHANGES), self.own()),
            13..=15 => format!("{} {} {}", self.pick(&MOVES), self.own(), self.own()),
            16 => format!("sym {} {}", self.own(), self.target()),
            17 => format!("chmod {} {:o}", self.own(), self.pick(&MODES)),
            18 => format!("xset {} {}", self.own(), self.pick(&["x", "y"])),
            19 => {
                let (fill, text) = (self.pick(&FILLS), self.pick(&["one", "two", "three"]));
                format!("{fill} {} {text}", self.own())
            }
            _ => format!("list {}", self.directory(beside)),
        };
        format!("{before}{op}")
    }

    fn target(&mut self) -> String {
        let own = self.own();
        match self.0.u32(..4) {
            0 => format!("../{own}"),
            1 => format!("../shared/{own}"),
            _ => own,
        }
    }

    /// Changes a tree by one random edit. One that does not fit what is there changes nothing.
    pub fn edit(&mut self, directory: &Path) {
        let at = directory.join(self.own());
        match self.0.u32(..12) {
            0..=3 => self.fill(&at),
            4..=5 => drop(fs::create_dir(&at)),
            6 => drop(fs::remove_file(&at)),
            7 => drop(fs::remove_dir_all(&at)),
            8 => drop(symlink(self.target(), &at)),
            9 => drop(fs::rename(&at, directory.join(self.own()))),
            10 => {
                let mode = self.pick(&MODES);
                let is_plain = at.symlink_metadata().is_ok_and(|meta| !meta.is_symlink());
                if is_plain {
                    drop(fs::set_permissions(&at, Permissions::from_mode(mode)));
                }
            }
            _ => {
                let value = self.pick(&["x", "y"]);
                let flags = rustix::fs::XattrFlags::empty();
                let _ = rustix::fs::lsetxattr(&at, "user.a", value.as_bytes(), flags);
            }
        }
    }

    fn fill(&mut self, at: &Path) {
        if at.is_symlink() || at.is_dir() {
            return;
        }
        let text = if self.one_in(3) {
            format!("#!/bin/sh\nread word < {}; echo \"$word\"\n", self.own())
        } else {
            self.pick(&TEXTS).to_owned()
        };
        if fs::write(at, text).is_ok() && self.0.bool() {
            drop(fs::set_permissions(at, Permissions::from_mode(0o755)));
        }
    }
}

/// Makes the observer.
pub fn compile(to: &Path) {
    let source = workspace().join("integration/programs/observer.c");
    let run = Run::new(Path::new("cc")).args(["-O1", "-pthread", "-o"]);
    run.args([to, &source]).finish().ok();
}

/// Writes the `hd.toml` in which each case is a step, with one more, `all`, that sees what they left.
pub fn toml(cases: &[Case]) -> String {
    let mut text = "[environment]\nname = \"programs\"\n".to_owned();
    for case in cases {
        let needs = case.needs.map(|index| format!("{:?}", cases[index].name));
        text += &format!(
            "\n[[build.step]]\nname = \"{name}\"\nrun = \"./observer {name} '{program}'\"\nneeds = [{needs}]\n",
            name = case.name,
            program = case.program,
            needs = needs.unwrap_or_default(),
        );
    }
    text + "\n[[build.step]]\nname = \"all\"\nrun = \"true\"\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_makes_the_same_programs_again_and_another_makes_others() {
        let text = |seed| toml(&Generator::new(seed).cases(20));
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
    }

    #[test]
    fn all_operations_occur() {
        let text = toml(&Generator::new(1).cases(300));
        for op in LOOKS.iter().chain(&CHANGES).chain(&MOVES).chain(&FILLS) {
            assert!(text.contains(&format!("{op} ")), "{op}");
        }
    }
}
