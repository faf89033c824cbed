//! Many lowers in one mount, as the kernel shows them.
#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]
#![expect(clippy::print_stderr, reason = "what was skipped is told")]

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use hd_dag::{Entry, Meta, NodeCache, StoreTrees, TreePath};
use hd_projection::{
    Composite, Content, Graft, Listed, Lower, Many, Node, ProjectionError, Recorder, Served, Watch,
    serve_many,
};
use hd_store::Store;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

const NODE_BYTES: usize = 16 << 20;

/// A tree that counts how often its content was asked for.
struct Counted {
    tree: Composite,
    reads: Arc<AtomicU64>,
}

impl Lower for Counted {
    fn root(&self) -> Result<Node, ProjectionError> {
        self.tree.root()
    }
    fn lookup(&self, parent: &Node, name: &[u8]) -> Result<Option<Node>, ProjectionError> {
        self.tree.lookup(parent, name)
    }
    fn list(&self, dir: &Node) -> Result<Vec<Listed>, ProjectionError> {
        self.tree.list(dir)
    }
    fn read(&self, file: &Node, offset: u64, len: usize) -> Result<Content, ProjectionError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.tree.read(file, offset, len)
    }
    fn read_link(&self, link: &Node) -> Result<Content, ProjectionError> {
        self.tree.read_link(link)
    }
    fn xattr(&self, node: &Node, name: &[u8]) -> Option<Vec<u8>> {
        self.tree.xattr(node, name)
    }
    fn xattrs(&self, node: &Node) -> Vec<Vec<u8>> {
        self.tree.xattrs(node)
    }
    fn has_xattrs(&self, stop: &dyn Fn() -> bool) -> Result<Option<bool>, ProjectionError> {
        self.tree.has_xattrs(stop)
    }
}

/// A mount that nothing but its descriptor keeps.
struct Mounted {
    _place: tempfile::TempDir,
    store: Store,
    mount: OwnedFd,
    many: Many<Counted>,
    reads: Arc<AtomicU64>,
    _served: Served,
}

impl Mounted {
    fn new() -> Option<Self> {
        let device = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/fuse");
        let (true, Ok(device)) = (rustix::process::geteuid().is_root(), device) else {
            eprintln!("SKIPPED: needs root and /dev/fuse");
            return None;
        };
        let device = OwnedFd::from(device);
        let context = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
        let number = device.as_raw_fd().to_string();
        let settings = [
            ("source", "hd"),
            ("fd", &number),
            ("rootmode", "40000"),
            ("user_id", "0"),
            ("group_id", "0"),
        ];
        for (key, value) in settings {
            fsconfig_set_string(&context, key, value).unwrap();
        }
        fsconfig_set_flag(&context, "default_permissions").unwrap();
        fsconfig_create(&context).unwrap();
        let (flags, attributes) = (FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty());
        let mount = fsmount(&context, flags, attributes).unwrap();
        let (served, many) = serve_many(device, ("test", 2)).unwrap();
        let place = tempfile::tempdir().unwrap();
        Some(Self {
            store: Store::open(place.path()).unwrap(),
            _place: place,
            mount,
            many,
            reads: Arc::default(),
            _served: served,
        })
    }

    /// Shows files, each with its text and time; gives what is observed of them.
    fn show(&self, name: &str, files: &[(&str, &str, i64)]) -> Arc<Recorder> {
        let recorder = Arc::new(Recorder::default());
        let lower = self.lower(files, Meta::new(0o644));
        let shown = self.many.show(name, lower, Watch::All(recorder.clone()));
        assert!(shown.unwrap());
        recorder
    }

    /// Shows a file of the host as `at`.
    fn show_host(&self, name: &str, at: &str, host: &Path) -> Arc<Recorder> {
        let recorder = Arc::new(Recorder::default());
        let graft = Graft {
            at: TreePath::new(at.as_bytes()).unwrap(),
            host: host.to_owned(),
            observed: true,
        };
        let lower = self.grafted(&[], Meta::new(0o644), vec![graft]);
        let shown = self.many.show(name, lower, Watch::All(recorder.clone()));
        assert!(shown.unwrap());
        recorder
    }

    fn lower(&self, files: &[(&str, &str, i64)], meta: Meta) -> Counted {
        self.grafted(files, meta, Vec::new())
    }

    fn grafted(&self, files: &[(&str, &str, i64)], meta: Meta, grafts: Vec<Graft>) -> Counted {
        let mut writer = self.store.writer().unwrap();
        let mut entries = Vec::new();
        for (path, text, mtime) in files {
            let blob = writer.put_blob(text.as_bytes()).unwrap();
            let entry = Entry::regular(meta.clone(), blob, text.len() as u64);
            entries.push((TreePath::new(path.as_bytes()).unwrap(), entry, *mtime));
        }
        let trees = StoreTrees::new(self.store.clone(), writer, NODE_BYTES);
        let rooted = hd_dag::build(&trees, entries).unwrap();
        trees.commit().unwrap();
        let nodes = StoreTrees::read_only(self.store.clone(), NODE_BYTES);
        let nodes = Arc::new(NodeCache::new(Arc::new(nodes), NODE_BYTES));
        Counted {
            tree: Composite::new(self.store.clone(), nodes, rooted, grafts),
            reads: self.reads.clone(),
        }
    }

    fn path(&self, below: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{below}", self.mount.as_raw_fd()).into()
    }

    fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }
}

/// The names that were looked up and found.
fn looked_up(recorder: &Recorder) -> Vec<String> {
    let trace = recorder.trace();
    let seen = trace
        .iter()
        .filter(|(_, observed)| observed.lookup.is_some())
        .map(|(path, _)| path.to_string());
    seen.collect()
}

#[test]
fn what_one_view_has_read_the_next_reads_from_memory_and_is_observed_all_the_same() {
    let Some(mounted) = Mounted::new() else {
        return;
    };
    let tree = [("tool/bin", "a tool", 1), ("tool/lib", "a library", 1)];
    let read = |view: &str, name: &str| {
        let path = mounted.path(&format!("{view}/{name}"));
        let number = fs::symlink_metadata(&path).unwrap().ino();
        (fs::read_to_string(&path).unwrap(), number)
    };
    let first = mounted.show("first", &tree);
    let (text, number) = read("first", "tool/bin");
    assert_eq!((text.as_str(), mounted.reads()), ("a tool", 1));
    mounted.many.end("first");

    // The same file of a tree that differs elsewhere.
    let second = mounted.show(
        "second",
        &[("tool/bin", "a tool", 1), ("tool/lib", "another", 1)],
    );
    assert_eq!(looked_up(&second), [""; 0]);
    assert_eq!(read("second", "tool/bin"), (text, number));
    assert_eq!(mounted.reads(), 1, "its pages were there");
    assert_eq!(looked_up(&second), ["tool", "tool/bin"]);
    assert_eq!(looked_up(&first), looked_up(&second));
    // What differs in its content, or in its time alone, is another file.
    assert_eq!(read("second", "tool/lib").0, "another");
    let third = mounted.show("third", &[("tool/bin", "a tool", 2)]);
    let (text, other) = read("third", "tool/bin");
    assert_eq!((text.as_str(), other == number), ("a tool", false));
    assert!(!mounted.path("third/tool/lib").exists());
    assert_eq!(looked_up(&third), ["tool", "tool/bin", "tool/lib"]);
    assert!(mounted.path("second/tool/lib").exists());
}

#[test]
fn a_host_file_that_changed_between_its_listing_and_its_reading_is_read_as_it_is_now() {
    let Some(mounted) = Mounted::new() else {
        return;
    };
    // Files that nobody has changed for a while, as those of a host mostly are.
    let place = tempfile::tempdir().unwrap();
    let host = place.path().join("module");
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let new = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    std::os::unix::fs::symlink(&old, &host).unwrap();
    mounted.show_host("first", "lib/module", &host);
    let read = |view: &str| {
        let path = mounted.path(&format!("{view}/lib/module"));
        let number = fs::symlink_metadata(&path).unwrap().ino();
        (fs::read_to_string(&path).unwrap(), number)
    };
    let (text, number) = read("first");
    assert_eq!(text, fs::read_to_string(&old).unwrap());

    let second = mounted.show_host("second", "lib/module", &host);
    let listed = fs::read_dir(mounted.path("second/lib")).unwrap();
    let numbers: Vec<u64> = listed.map(|entry| entry.unwrap().ino()).collect();
    assert_eq!(numbers, [number], "as yet it is the same file");
    assert_eq!(looked_up(&second), ["lib"]);
    fs::remove_file(&host).unwrap();
    std::os::unix::fs::symlink(&new, &host).unwrap();
    let (text, other) = read("second");
    assert_eq!(text, fs::read_to_string(&new).unwrap());
    assert_ne!(other, number);
}

/// The rename of a directory changes nothing in it, so that all is as it was when it is renamed back.
#[test]
fn what_was_read_while_another_directory_was_in_place_is_noted() {
    let Some(mounted) = Mounted::new() else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let (host, beside, away) = (
        place.path().join("tools"),
        place.path().join("beside"),
        place.path().join("away"),
    );
    let long_ago = SystemTime::now() - Duration::from_secs(60);
    for (dir, text) in [(&host, "own"), (&beside, "not")] {
        fs::create_dir(dir).unwrap();
        fs::write(dir.join("tool"), text).unwrap();
        let file = fs::File::options().append(true).open(dir.join("tool"));
        file.unwrap().set_modified(long_ago).unwrap();
        std::os::unix::fs::symlink(text, dir.join("link")).unwrap();
    }
    for name in ["tool", "link"] {
        let view = format!("during-{name}");
        let recorder = mounted.show_host(&view, "tools", &host);
        let path = mounted.path(&format!("{view}/tools/{name}"));
        fs::symlink_metadata(&path).unwrap();
        fs::rename(&host, &away).unwrap();
        fs::rename(&beside, &host).unwrap();
        let text = fs::read_to_string(&path);
        let text = text.or_else(|_| fs::read_link(&path).map(|to| to.display().to_string()));
        assert_eq!(text.unwrap(), "not");
        fs::rename(&host, &beside).unwrap();
        fs::rename(&away, &host).unwrap();
        assert!(recorder.is_overtaken(), "{name}");
        assert_eq!(recorder.failure(), None);
    }
    let recorder = mounted.show_host("after", "tools", &host);
    let after = mounted.path("after/tools");
    assert_eq!(fs::read_to_string(after.join("tool")).unwrap(), "own");
    assert_eq!(fs::read_link(after.join("link")).unwrap(), Path::new("own"));
    assert!(!recorder.is_overtaken());
}

#[test]
fn views_that_ended_go_when_there_are_many_and_what_is_shown_stays() {
    let Some(mounted) = Mounted::new() else {
        return;
    };
    let tree = [("a/file", "text", 1)];
    mounted.show("stays", &tree);
    let file = fs::File::open(mounted.path("stays/a/file")).unwrap();
    for number in 0..40 {
        let name = format!("run-{number}");
        mounted.show(&name, &tree);
        let path = mounted.path(&format!("{name}/a/file"));
        assert_eq!(fs::read_to_string(path).unwrap(), "text");
        mounted.many.end(&name);
    }
    assert_eq!(mounted.reads(), 1);
    assert!(mounted.path("run-39/a/file").exists());
    let deadline = Instant::now() + Duration::from_secs(20);
    while mounted.path("run-0/a/file").exists() {
        assert!(Instant::now() < deadline, "the kernel still has it");
        std::thread::yield_now();
    }
    assert_eq!(
        fs::read_to_string(mounted.path("stays/a/file")).unwrap(),
        "text"
    );
    drop(file);
}

#[test]
fn a_lower_with_attributes_is_refused_once_the_kernel_asks_for_none() {
    let Some(mounted) = Mounted::new() else {
        return;
    };
    mounted.show("plain", &[("file", "text", 1)]);
    let with = |name: &str| {
        let mut meta = Meta::new(0o644);
        meta.xattrs.insert(b"user.note".to_vec(), b"x".to_vec());
        let lower = mounted.lower(&[("file", "text", 1)], meta);
        mounted.many.show(name, lower, Watch::Nothing).unwrap()
    };
    let ask = || {
        let path = CString::new(mounted.path("plain/file").to_str().unwrap()).unwrap();
        let mut value = [0u8; 16];
        rustix::fs::getxattr(path.as_c_str(), "user.note", &mut value[..])
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while ask() != Err(rustix::io::Errno::OPNOTSUPP) {
        assert!(Instant::now() < deadline, "the kernel still asks");
    }
    assert!(!with("late"));
    mounted.show("another", &[("file", "text", 2)]);

    // Taken in before that, it is asked about, and then others are too.
    let Some(mounted) = Mounted::new() else {
        return;
    };
    let mut meta = Meta::new(0o644);
    meta.xattrs.insert(b"user.note".to_vec(), b"x".to_vec());
    let lower = mounted.lower(&[("file", "text", 1)], meta);
    assert!(mounted.many.show("first", lower, Watch::Nothing).unwrap());
    mounted.show("plain", &[("file", "text", 1)]);
    let value = |view: &str| {
        let path = mounted.path(&format!("{view}/file"));
        let mut value = [0u8; 16];
        rustix::fs::getxattr(&path, "user.note", &mut value[..])
    };
    for _ in 0..200 {
        assert_eq!(value("first"), Ok(1));
        assert_eq!(value("plain"), Err(rustix::io::Errno::NODATA));
    }
}
