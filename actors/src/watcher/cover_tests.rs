//! Subtrees on a kernel that is simulated: one watch per inode, as inotify has it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use hd_config::{FileFilter, Files};
use hd_supervision::{Coalesce, Port, WhenFull};

use super::super::outbox::Outbox;
use super::super::rules::Rules;
use super::*;
use crate::mount_server::mount_points::MountPoints;

#[derive(Default)]
struct Kernel {
    inodes: HashSet<u64>,
    by_path: HashMap<std::path::PathBuf, u64>,
    adds: usize,
}

#[derive(Clone, Default)]
struct Simulated(Arc<Mutex<Kernel>>);

impl Watches for Simulated {
    fn add(&mut self, dir: &Path) -> Result<(), Refusal> {
        let inode = fs::metadata(dir).map_err(|_| Refusal::Gone)?.ino();
        let mut kernel = self.0.lock().unwrap();
        kernel.adds += 1;
        kernel.inodes.insert(inode);
        kernel.by_path.insert(dir.to_owned(), inode);
        Ok(())
    }

    fn remove(&mut self, dir: &Path) {
        let mut kernel = self.0.lock().unwrap();
        if let Some(inode) = kernel.by_path.remove(dir) {
            kernel.inodes.remove(&inode);
        }
    }
}

struct Bench {
    dir: tempfile::TempDir,
    sight: Sight,
    kernel: Simulated,
}

fn path(text: &str) -> TreePath {
    TreePath::new(text.as_bytes()).unwrap()
}

impl Bench {
    fn new(dirs: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in dirs {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let files = FileFilter::new(&Files::default());
        let rules = Rules::new(files, BTreeSet::new(), MountPoints::default());
        let touched = Port::new("touched", 1, WhenFull::Rescan);
        let outbox = Arc::new(Outbox::new(touched, Port::new("lost", 1, WhenFull::Rescan)));
        let sight = Sight::new(
            dir.path().to_owned(),
            rules,
            BTreeMap::new(),
            outbox,
            Coalesce::default(),
        );
        let bench = Self {
            dir,
            sight,
            kernel: Simulated::default(),
        };
        bench.job(|cover| cover.renew(BTreeSet::from([TreePath::root()])));
        bench
    }

    fn job(&self, job: impl FnOnce(&mut Cover<'_>)) -> Outcome {
        let (mut kernel, stop) = (self.kernel.clone(), AtomicBool::new(false));
        let mut cover = Cover::new(&self.sight, &mut kernel, &stop);
        job(&mut cover);
        cover.finish()
    }

    fn renew(&self, name: &str) -> BTreeSet<TreePath> {
        self.job(|cover| cover.renew(BTreeSet::from([path(name)])))
            .touched
    }

    /// The directories of which the kernel tells, of all there are.
    fn seen(&self) -> Vec<String> {
        let kernel = self.kernel.0.lock().unwrap();
        let registry = self.sight.registry();
        let all = registry.subtree(&TreePath::root()).into_iter();
        all.filter(|(path, _)| {
            fs::metadata(self.sight.place(path))
                .is_ok_and(|meta| kernel.inodes.contains(&meta.ino()))
        })
        .map(|(path, _)| path.to_string())
        .collect()
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.dir.path().join(from), self.dir.path().join(to)).unwrap();
    }
}

#[test]
fn a_directory_found_under_its_new_name_first_stays_watched() {
    let bench = Bench::new(&["a/x/deep"]);
    fs::create_dir(bench.dir.path().join("b")).unwrap();
    bench.rename("a/x", "b/x");
    bench.renew("b");
    let touched = bench.renew("a/x");
    assert_eq!(bench.seen(), ["", "a", "b", "b/x", "b/x/deep"]);
    assert_eq!(
        touched,
        BTreeSet::from([path("b/x"), path("b/x/deep")]),
        "it was not, for a moment"
    );
}

#[test]
fn what_came_is_watched_and_touched_and_what_went_is_forgotten() {
    let bench = Bench::new(&["a/b", "target/x", "c"]);
    assert_eq!(bench.seen(), ["", "a", "a/b", "c"]);
    fs::create_dir_all(bench.dir.path().join("new/node/deep")).unwrap();
    assert_eq!(bench.renew("new"), BTreeSet::from([path("new")]));
    bench.rename("a", "target/a");
    assert_eq!(
        bench.renew("a"),
        BTreeSet::new(),
        "whoever saw it go has said so"
    );
    assert_eq!(
        bench.renew("target/a"),
        BTreeSet::new(),
        "what is above it does not count"
    );
    assert_eq!(bench.seen(), ["", "c", "new", "new/node", "new/node/deep"]);
}

#[test]
fn asking_the_rules_again_leaves_known_watches_alone() {
    let bench = Bench::new(&["a/gen/x", "a/src", "c"]);
    let before = bench.kernel.0.lock().unwrap().adds;
    let ignore = bench.dir.path().join("a/.gitignore");
    fs::write(&ignore, "gen\n").unwrap();
    let refilter = || {
        bench
            .job(|cover| cover.refilter(BTreeSet::from([path("a")])))
            .touched
    };
    assert_eq!(refilter(), BTreeSet::from([path("a")]));
    assert_eq!(bench.seen(), ["", "a", "a/src", "c"]);
    assert_eq!(
        bench.kernel.0.lock().unwrap().adds,
        before,
        "nothing new to watch"
    );
    fs::remove_file(&ignore).unwrap();
    refilter();
    assert_eq!(bench.seen(), ["", "a", "a/gen", "a/gen/x", "a/src", "c"]);
    assert_eq!(bench.kernel.0.lock().unwrap().adds, before + 2);
}
