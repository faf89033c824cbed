//! What a rescan says has changed, put upon what was known, is what a scan from scratch finds.
#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

use common::project::{Project, Rules};
use hd_store::scan::{Rescan, ScanCounts, Scanned, note, rescan};
use proptest::prelude::*;

type State = BTreeMap<Vec<u8>, Scanned>;

/// Follows a project by rescans alone.
struct Follower {
    project: Project,
    rules: Rules,
    /// What the project was when a note was left; the note is the number of the state.
    noted: Vec<State>,
    now: State,
    /// Scans that answered only what changed.
    partial: usize,
}

impl Follower {
    fn new(rules: Rules) -> Follower {
        Follower {
            project: Project::new(),
            rules,
            noted: Vec::new(),
            now: State::new(),
            partial: 0,
        }
    }

    fn look(&mut self) -> ScanCounts {
        let Project {
            store, root, cache, ..
        } = &self.project;
        let mut writer = store.writer().unwrap();
        let (saved, counts) = match rescan(store, &mut writer, root, &self.rules, cache).unwrap() {
            Rescan::All(report) => {
                let entries = report.entries.into_iter();
                self.now = entries.map(|entry| (entry.path.clone(), entry)).collect();
                (report.saved, report.counts)
            }
            Rescan::Since {
                note,
                changes,
                saved,
            } => {
                self.partial += 1;
                self.now = self.noted[usize::from(note[0])].clone();
                for gone in &changes.gone {
                    let below = [gone, &b"/"[..]].concat();
                    self.now
                        .retain(|path, _| path != gone && !path.starts_with(&below));
                }
                for entry in changes.present {
                    self.now.insert(entry.path.clone(), entry);
                }
                (saved, changes.counts)
            }
        };
        if let Some(stamp) = saved {
            note(cache, &stamp, &[self.noted.len() as u8]).unwrap();
            self.noted.push(self.now.clone());
        }
        counts
    }

    /// Waits until nothing that was written so far is racy any more: a few racy files are read again by
    /// every scan, since they are not worth a new cache.
    fn age(&self) {
        let mark = tempfile::NamedTempFile::new_in(self.project.cache.parent().unwrap()).unwrap();
        let written = mark.as_file().metadata().unwrap().modified().unwrap();
        while written.elapsed().unwrap_or_default() < Duration::from_millis(40) {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Looks until no entry is racy any more.
    fn settle(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let counts = self.look();
            if counts.hashed == 0 && counts.listed == 0 {
                return;
            }
            assert!(Instant::now() < deadline, "still not settled: {counts:?}");
        }
    }

    fn check(&self) {
        let scratch = self.project.scan_from_scratch().entries;
        let known: Vec<_> = self.now.values().cloned().collect();
        let mut expected = scratch;
        expected.sort_by(|a, b| a.path.cmp(&b.path));
        assert_eq!(known, expected);
    }
}

#[derive(Debug, Clone)]
enum Edit {
    Write(u8, u8),
    Remove(u8),
    MakeDir(u8),
    Rename(u8, u8),
    Mode(u8),
    Link(u8, u8),
    Ignore(u8, Option<u8>),
}

/// A few paths, three levels deep, so that edits meet each other.
fn path(number: u8) -> String {
    let names = ["a", "b", "node_modules"];
    let at = |level: u8| names[usize::from(number >> (level * 2)) % 3];
    match number % 4 {
        0 => at(1).to_owned(),
        1 => format!("{}/{}", at(1), at(2)),
        _ => format!("{}/{}/{}", at(1), at(2), at(3)),
    }
}

/// Does what can be done; an edit that meets something else in its way does nothing.
fn edit(project: &Project, edit: &Edit) {
    let at = |number: &u8| project.root.join(path(*number));
    match edit {
        Edit::Write(file, byte) => {
            let file = at(file);
            if fs::create_dir_all(file.parent().unwrap()).is_ok() {
                fs::write(file, vec![*byte; usize::from(*byte % 3) + 1]).ok();
            }
        }
        Edit::Remove(any) => {
            let any = at(any);
            fs::remove_dir_all(&any)
                .or_else(|_| fs::remove_file(&any))
                .ok();
        }
        Edit::MakeDir(dir) => {
            fs::create_dir_all(at(dir)).ok();
        }
        Edit::Rename(from, to) => {
            fs::rename(at(from), at(to)).ok();
        }
        Edit::Mode(any) => {
            let any = at(any);
            if let Ok(meta) = fs::symlink_metadata(&any)
                && !meta.is_symlink()
            {
                let mode = meta.permissions().mode() ^ 0o040;
                fs::set_permissions(any, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        Edit::Link(from, to) => {
            symlink(path(*to), at(from)).ok();
        }
        Edit::Ignore(file, name) => {
            let dir = at(file).parent().unwrap().to_owned();
            match name {
                Some(name) => {
                    let ignored = ["a", "b", "c"][usize::from(name % 3)];
                    fs::write(dir.join(".ignore"), format!("{ignored}\n")).ok();
                }
                None => drop(fs::remove_file(dir.join(".ignore")).ok()),
            }
        }
    }
}

fn edits() -> impl Strategy<Value = Edit> {
    let number = 0_u8..64;
    prop_oneof![
        6 => (number.clone(), any::<u8>()).prop_map(|(file, byte)| Edit::Write(file, byte)),
        2 => number.clone().prop_map(Edit::Remove),
        1 => number.clone().prop_map(Edit::MakeDir),
        2 => (number.clone(), number.clone()).prop_map(|(from, to)| Edit::Rename(from, to)),
        1 => number.clone().prop_map(Edit::Mode),
        1 => (number.clone(), number.clone()).prop_map(|(from, to)| Edit::Link(from, to)),
        2 => (number, prop::option::of(any::<u8>())).prop_map(|(dir, name)| Edit::Ignore(dir, name)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn changes_upon_what_was_known_are_what_is_there(
        batches in prop::collection::vec((prop::collection::vec(edits(), 1..8), any::<bool>()), 1..6),
        named: bool,
    ) {
        let mut follower = Follower::new(if named { Rules::named() } else { Rules::new() });
        for (batch, settled) in &batches {
            batch.iter().for_each(|one| edit(&follower.project, one));
            follower.look();
            follower.check();
            if *settled {
                follower.settle();
                follower.check();
            }
        }
    }
}

#[test]
fn a_small_edit_in_a_large_project_is_told_alone_and_again_until_much_has_changed() {
    let mut follower = Follower::new(Rules::named());
    for number in 0..3000 {
        let file = format!("d{}/f{number}", number / 100);
        follower.project.write(&file, number.to_string().as_bytes());
    }
    follower.age();
    follower.look();
    follower.settle();
    let states = follower.noted.len();
    follower.project.write("d7/f700", b"other");
    for _ in 0..3 {
        let counts = follower.look();
        assert_eq!((counts.hashed, counts.listed), (1, 0));
        follower.check();
    }
    assert_eq!(follower.noted.len(), states, "no new stat cache for that");
    for number in 0..40 {
        follower
            .project
            .write(&format!("d9/f{}", 900 + number), b"more");
    }
    follower.age();
    follower.look();
    follower.check();
    assert_eq!(follower.noted.len(), states + 1, "now it was worth one");
    follower.settle();
    assert!(follower.partial > 5);
}

#[test]
fn without_a_note_on_just_this_cache_everything_is_told() {
    let mut follower = Follower::new(Rules::named());
    follower.project.write("a", b"1");
    follower.look();
    follower.settle();
    let partial = follower.partial;
    let name = follower.project.cache.file_name().unwrap().to_owned();
    let mut noted = name;
    noted.push(".note");
    fs::remove_file(follower.project.cache.with_file_name(noted)).unwrap();
    follower.look();
    follower.check();
    assert_eq!(follower.partial, partial);
    // Another program's scan may replace the cache; the note is not about that one.
    follower.project.write("b", b"2");
    follower.project.scan();
    follower.look();
    follower.check();
}
