//! A project in a temporary directory, watched, with a mirror that believes only what it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use hd_actors::debouncer;
use hd_actors::events::{Event, Events, Listener};
use hd_actors::messages::{MountPointLost, Paths, PathsSettled, PathsTouched, Settled};
use hd_actors::model::pause::Pause;
use hd_actors::mount_server::mount_points::MountPoints;
use hd_actors::watcher::actor::child;
use hd_actors::watcher::watched::Watched;
use hd_actors::watcher::watches::Inotify;
use hd_config::{FileFilter, Files, WatchSet};
use hd_dag::TreePath;
use hd_store::Id;
use hd_supervision::testkit::{Tape, recorder, until};
use hd_supervision::{Latest, Port, Root, Runtime, Strategy, TreeSpec, WhenFull, block_on};
use tempfile::TempDir;

/// Held shared by all but the tests that inject faults into every watcher of the process.
pub(crate) static QUIET: RwLock<()> = RwLock::new(());

/// Content by path, without what is hidden.
pub(crate) type Tree = BTreeMap<TreePath, Vec<u8>>;

pub(crate) struct Rig {
    pub(crate) root: PathBuf,
    pub(crate) outside: PathBuf,
    pub(crate) points: MountPoints,
    pub(crate) lost: Tape<MountPointLost>,
    pub(crate) runtime: Runtime,
    pub(crate) batches: Arc<Mutex<Vec<PathsSettled>>>,
    pub(crate) notes: Arc<Mutex<Vec<String>>>,
    mirror: Arc<Mutex<Tree>>,
    tree: Root,
    _dir: TempDir,
}

struct Notes(Arc<Mutex<Vec<String>>>);

impl Listener for Notes {
    fn event(&self, event: Event) {
        if let Event::Note(note) = event {
            self.0.lock().unwrap().push(note);
        }
    }
}

pub(crate) fn path(text: &str) -> TreePath {
    TreePath::new(text.as_bytes()).unwrap()
}

/// Runs a test on a project that is watched from the start.
pub(crate) fn watched(prepare: impl FnOnce(&Path), test: impl AsyncFnOnce(&Rig)) {
    let _quiet = QUIET.read().unwrap_or_else(|e| e.into_inner());
    watched_by(prepare, |_| {}, test);
}

pub(crate) fn watched_by(
    prepare: impl FnOnce(&Path),
    adjust: impl FnOnce(&mut Watched),
    test: impl AsyncFnOnce(&Rig),
) {
    block_on(async {
        let rig = Rig::start(prepare, adjust);
        until("the first look at everything", || {
            rig.saw(|paths| *paths == Paths::Rescan)
        })
        .await;
        test(&rig).await;
        rig.end().await;
    })
    .unwrap();
}

impl Rig {
    fn start(prepare: impl FnOnce(&Path), adjust: impl FnOnce(&mut Watched)) -> Self {
        // In memory where that can be had: a busy disk turns a storm into a drizzle.
        let shm = Path::new("/dev/shm");
        let dir = if shm.is_dir() {
            tempfile::tempdir_in(shm)
        } else {
            tempfile::tempdir()
        };
        let dir = dir.unwrap();
        let base = dir.path().canonicalize().unwrap();
        let (root, outside) = (base.join("project"), base.join("outside"));
        fs::create_dir_all(&root).unwrap();
        fs::create_dir_all(&outside).unwrap();
        prepare(&root);
        let (points, notes) = (MountPoints::default(), Arc::default());
        let mut project = project(
            &root,
            &points,
            Events::new(Arc::new(Notes(Arc::clone(&notes)))),
        );
        adjust(&mut project);
        let (mirror, batches) = (
            Arc::<Mutex<Tree>>::default(),
            Arc::<Mutex<Vec<_>>>::default(),
        );
        let (lost, tree, runtime) = {
            let (mirror, batches, root) = (mirror.clone(), batches.clone(), root.clone());
            // What the tape would record is in `batches`; it only holds places.
            let (settled, _) = recorder("settled", 4096, move |batch: &PathsSettled| {
                look(&root, &batch.paths, &mut mirror.lock().unwrap());
                batches.lock().unwrap().push(batch.clone());
                Ok(Settled {
                    root: Id::of(b""),
                    changed: true,
                })
            });
            let (to_lost, lost) = recorder("lost", 8, |_: &MountPointLost| ());
            let runtime = Runtime::new();
            let touched = Port::<PathsTouched>::new("debouncer.touched", 256, WhenFull::Rescan);
            let pool = runtime.pool("watch", 1, 4).unwrap();
            let tree = TreeSpec::new("intake", Strategy::RestForOne)
                .child(debouncer::actor::child(
                    &touched,
                    (Latest::default(), settled),
                    Pause::default(),
                ))
                .child(child(project, Latest::default(), touched, to_lost, pool));
            (lost, tree.start(&runtime).unwrap(), runtime)
        };
        Self {
            root,
            outside,
            points,
            lost,
            runtime,
            batches,
            notes,
            mirror,
            tree,
            _dir: dir,
        }
    }

    async fn end(self) {
        self.tree.stopper().stop();
        let _ = self.tree.exit().await;
        assert!(self.runtime.close(Duration::from_secs(10)).await.is_empty());
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        fs::write(self.at(name), content).unwrap();
    }

    /// Tells whether there was a batch like that.
    pub(crate) fn saw(&self, is_it: impl Fn(&Paths) -> bool) -> bool {
        self.batches
            .lock()
            .unwrap()
            .iter()
            .any(|batch| is_it(&batch.paths))
    }

    /// Forgets the batches so far.
    pub(crate) fn forget(&self) {
        self.batches.lock().unwrap().clear();
    }

    /// Tells whether a batch since the last [`Self::forget`] leads to a path.
    pub(crate) fn covers(&self, name: &str) -> bool {
        let name = path(name);
        self.saw(|paths| match paths {
            Paths::Rescan => true,
            Paths::These(paths) => paths.iter().any(|path| name.starts_with(path)),
        })
    }

    /// Tells whether a batch since then speaks of a path or of something below it.
    pub(crate) fn names(&self, name: &str) -> bool {
        let name = path(name);
        self.saw(|paths| match paths {
            Paths::Rescan => false,
            Paths::These(paths) => paths.iter().any(|path| path.starts_with(&name)),
        })
    }

    /// Waits until the mirror is equal to the disk.
    pub(crate) async fn settles(&self, what: &str) {
        until(what, || *self.mirror.lock().unwrap() == read(&self.root)).await;
    }

    /// Counts the files the mirror knows, which is cheaper than comparing it.
    pub(crate) fn known(&self) -> usize {
        self.mirror.lock().unwrap().len()
    }

    /// Tells whether the kernel watches a directory for this process.
    pub(crate) fn is_watched(&self, name: &str) -> bool {
        let wanted = format!("ino:{:x} ", fs::metadata(self.at(name)).unwrap().ino());
        let infos = fs::read_dir("/proc/self/fdinfo").unwrap().flatten();
        let texts = infos.filter_map(|info| fs::read_to_string(info.path()).ok());
        texts.into_iter().any(|text| {
            text.lines()
                .any(|line| line.starts_with("inotify ") && line.contains(&wanted))
        })
    }
}

fn project(root: &Path, points: &MountPoints, events: Events) -> Watched {
    let watch = WatchSet::new(vec!["dist/**/*.js".to_owned(), ".env".to_owned()]).unwrap();
    Watched {
        root: root.to_owned(),
        files: FileFilter::new(&Files::default()).watching([watch]),
        led_to: BTreeMap::new(),
        named: BTreeSet::from([path("hd.toml")]),
        points: points.clone(),
        events,
        opener: Arc::new(Inotify::open),
        seen: Arc::default(),
    }
}

fn hidden(name: &[u8]) -> bool {
    [&b"node_modules"[..], b".git", b".venv"].contains(&name)
}

fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    look(root, &Paths::Rescan, &mut tree);
    tree
}

/// What the Invalidator does with a batch: looks where it was told to, and nowhere else.
fn look(root: &Path, paths: &Paths, mirror: &mut Tree) {
    match paths {
        Paths::Rescan => {
            mirror.clear();
            walk(root, &TreePath::root(), mirror);
        }
        Paths::These(paths) => {
            for path in paths {
                mirror.retain(|known, _| !known.starts_with(path));
                walk(root, path, mirror);
            }
        }
    }
}

fn walk(root: &Path, path: &TreePath, into: &mut Tree) {
    let place = root.join(std::ffi::OsStr::from_bytes(path.as_bytes()));
    if path.components().any(hidden) {
        return;
    }
    if let Ok(content) = fs::read(&place) {
        into.insert(path.clone(), content);
    }
    for entry in fs::read_dir(&place).into_iter().flatten().flatten() {
        let name = TreePath::new(entry.file_name().as_bytes()).unwrap();
        walk(root, &path.join_path(&name), into);
    }
}
