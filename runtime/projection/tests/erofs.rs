//! Images as the kernel and another tool see them.
#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]
#![expect(clippy::print_stderr, reason = "what was skipped is told")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use hd_dag::{Entry, Meta, NodeCache, Rooted, StoreTrees, Target, TreePath};
use hd_projection::{Composite, Owner, erofs};
use hd_store::Store;

const NODE_BYTES: usize = 16 << 20;

struct Tree {
    entries: Vec<(TreePath, Entry, i64)>,
}

impl Tree {
    fn put(&mut self, path: impl AsRef<[u8]>, entry: Entry, mtime_ns: i64) {
        let path = TreePath::new(path.as_ref()).unwrap();
        self.entries.push((path, entry, mtime_ns));
    }

    fn into_lower(mut self, cas: &Path) -> Composite {
        self.entries.sort_by(|a, b| a.0.cmp(&b.0));
        let store = Store::open(cas).unwrap();
        let trees = StoreTrees::new(store.clone(), store.writer().unwrap(), NODE_BYTES);
        let rooted: Rooted = hd_dag::build(&trees, self.entries).unwrap();
        trees.commit().unwrap();
        let nodes = StoreTrees::read_only(store.clone(), NODE_BYTES);
        let nodes = Arc::new(NodeCache::new(Arc::new(nodes), NODE_BYTES));
        let at = TreePath::new(b"owned").unwrap();
        let owner = Owner { at, uid: 7, gid: 8 };
        Composite::new(store, nodes, rooted, Vec::new()).owned(vec![owner])
    }
}

fn regular(size: u64, link_group: Option<u64>) -> Target {
    Target::Regular {
        blob: hd_store::Id::of(&size.to_le_bytes()),
        size,
        link_group,
    }
}

/// Everything that an image must say.
fn all_kinds() -> Tree {
    let mut tree = Tree {
        entries: Vec::new(),
    };
    let entry = |mode, target| Entry {
        meta: Meta::owned(mode, 3, 70_000),
        target,
    };
    let ns = 1_500_000_000_123_456_789;
    tree.put("plain", entry(0o4751, regular(5, None)), ns);
    tree.put("empty", entry(0o644, regular(0, None)), -1_500_000_000);
    tree.put("huge", entry(0o600, regular((1 << 40) + 1, None)), ns);
    tree.put("fifo", entry(0o622, Target::Fifo), ns);
    tree.put(
        "null",
        entry(
            0o666,
            Target::Char {
                rdev: libc::makedev(1, 3),
            },
        ),
        ns,
    );
    tree.put(
        "disk",
        entry(
            0o660,
            Target::Block {
                rdev: libc::makedev(259, 70_000),
            },
        ),
        ns,
    );
    for target in [1, 59, 4000, 4064, 4065, 4095] {
        let link = Entry::symlink(1, 2, vec![b't'; target]);
        tree.put(format!("link-{target}"), link, ns);
    }
    tree.put(b"not \xff utf-8\n", entry(0o644, regular(1, None)), ns);
    tree.put([b'n'; 255], entry(0o644, regular(1, None)), ns);
    for name in ["links/a", "links/b", "owned/c"] {
        tree.put(name, entry(0o640, regular(9, Some(77))), ns);
    }
    tree.put(
        "owned/x",
        Entry::regular(Meta::new(0o644), hd_store::Id::of(b"x"), 3),
        ns,
    );
    tree.put("sticky", Entry::dir(Meta::owned(0o1777, 0, 0)), ns);
    // Before and behind the dots, in the order of bytes.
    for name in ["!x", "-x", ".x", "...", "x"] {
        tree.put(format!("order/{name}"), entry(0o644, regular(2, None)), ns);
    }
    let mut meta = Meta::new(0o644);
    for (name, value) in [
        ("user.note", &b"text"[..]),
        ("user.large", &[b'v'; 5000]),
        (
            "security.capability",
            b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ),
        ("trusted.overlay.opaque", b"y"),
        ("trusted.other", b"seen"),
    ] {
        meta.xattrs.insert(name.as_bytes().to_vec(), value.to_vec());
    }
    tree.put(
        "marked",
        Entry {
            meta: meta.clone(),
            target: regular(4, None),
        },
        ns,
    );
    tree.put(
        "marked dir/in",
        Entry {
            meta,
            target: regular(0, None),
        },
        ns,
    );
    for number in 0..100_000 {
        tree.put(
            format!("many/f{number:06}"),
            entry(0o644, regular(0, None)),
            ns,
        );
    }
    tree
}

/// Prints all that it finds below a directory, sorted, as lines of Python values.
const LIST: &str = r#"
import os, sys
top = sys.argv[1].encode()
os.chdir(top)
def show(path):
    s = os.lstat(path)
    link = os.readlink(path) if os.path.islink(path) else b""
    xattrs = sorted((n, os.getxattr(path, n, follow_symlinks=False)) for n in os.listxattr(path, follow_symlinks=False))
    print(path, oct(s.st_mode), s.st_uid, s.st_gid, s.st_nlink, s.st_rdev, s.st_mtime_ns,
          s.st_size if not os.path.isdir(path) else 0, len(link), xattrs)
def walk(path):
    show(path)
    if os.path.isdir(path) and not os.path.islink(path):
        names = os.listdir(path)
        assert len(names) == len(set(names))
        if len(names) > 1000:
            print(path, len(names), min(names), max(names), all(os.path.lexists(path + b"/" + n) for n in names))
        else:
            for name in sorted(names):
                walk(path + b"/" + name)
walk(b".")
assert not os.path.lexists(b"absent") and not os.path.lexists(b"many/f1") and not os.path.lexists(b"zzz")
"#;

fn mounted(image: &Path, at: &Path) -> String {
    let script = "mount -t erofs -o ro \"$0\" \"$1\" && exec python3 -c \"$2\" \"$1\"";
    let done = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .args([image, at])
        .arg(LIST)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{errors}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn is_able() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    let known = std::fs::read_to_string("/proc/filesystems").unwrap();
    let able = is_root && known.contains("erofs");
    if !able {
        eprintln!("SKIPPED: mounting an image needs root and EROFS");
    }
    able
}

#[test]
fn the_kernel_shows_what_the_tree_says() {
    if !is_able() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let lower = all_kinds().into_lower(&dir.path().join("cas"));
    let tree = erofs::describe(&lower).unwrap();
    let bytes = erofs::image(&tree).unwrap();
    assert_eq!(
        bytes,
        erofs::image(&erofs::describe(&lower).unwrap()).unwrap()
    );
    let (image, at) = (dir.path().join("image"), dir.path().join("at"));
    std::fs::write(&image, &bytes).unwrap();
    std::fs::create_dir(&at).unwrap();
    let shown = mounted(&image, &at);
    let line = |name: &str| {
        let start = format!("b'./{name}' ");
        let found = shown.lines().find_map(|line| line.strip_prefix(&start));
        found
            .unwrap_or_else(|| panic!("no {name} in {shown}"))
            .to_owned()
    };
    let ns = 1_500_000_000_123_456_789_i64;
    let far = |size: u64| {
        let path = erofs::object_path(&hd_store::Id::of(&size.to_le_bytes()));
        format!("[('trusted.overlay.metacopy', b''), ('trusted.overlay.redirect', b'/{path}')]")
    };
    let (null, disk) = (libc::makedev(1, 3), libc::makedev(259, 70_000));
    let huge = (1u64 << 40) + 1;
    let x = erofs::object_path(&hd_store::Id::of(b"x"));
    let cases: BTreeMap<&str, String> = BTreeMap::from([
        ("plain", format!("0o104751 3 70000 1 0 {ns} 5 0 {}", far(5))),
        (
            "empty",
            "0o100644 3 70000 1 0 -1500000000 0 0 []".to_owned(),
        ),
        (
            "huge",
            format!("0o100600 3 70000 1 0 {ns} {huge} 0 {}", far(huge)),
        ),
        ("fifo", format!("0o10622 3 70000 1 0 {ns} 0 0 []")),
        ("null", format!("0o20666 3 70000 1 {null} {ns} 0 0 []")),
        ("disk", format!("0o60660 3 70000 1 {disk} {ns} 0 0 []")),
        (
            "links/a",
            format!("0o100640 3 70000 3 0 {ns} 9 0 {}", far(9)),
        ),
        (
            "owned/c",
            format!("0o100640 3 70000 3 0 {ns} 9 0 {}", far(9)),
        ),
        (
            "owned/x",
            format!(
                "0o100644 7 8 1 0 {ns} 3 0 [('trusted.overlay.metacopy', b''), ('trusted.overlay.redirect', b'/{x}')]"
            ),
        ),
        (
            "not \\xff utf-8\\n",
            format!("0o100644 3 70000 1 0 {ns} 1 0 {}", far(1)),
        ),
        (
            "order/!x",
            format!("0o100644 3 70000 1 0 {ns} 2 0 {}", far(2)),
        ),
        ("sticky", format!("0o41777 0 0 2 0 {ns} 0 0 []")),
        ("many", "100000 b'f000000' b'f099999' True".to_owned()),
    ]);
    for (name, expected) in cases {
        let all = shown.matches(&format!("b'./{name}' {expected}\n")).count();
        assert_eq!(all, 1, "{name} {expected}, not {}", line(name));
    }
    for target in [1, 59, 4000, 4064, 4065, 4095] {
        let expected = format!("0o120777 1 2 1 0 {ns} {target} {target} []");
        assert_eq!(line(&format!("link-{target}")), expected);
    }
    for (name, own) in [("marked", true), ("marked dir/in", false)] {
        let marked = line(name);
        assert!(marked.contains("('user.note', b'text')"), "{marked}");
        assert!(
            marked.contains(&format!("('user.large', b'{}')", "v".repeat(5000))),
            "{name}"
        );
        assert!(marked.contains("('trusted.other', b'seen')"), "{marked}");
        assert!(marked.contains("security.capability"), "{marked}");
        assert!(!marked.contains("opaque"), "{marked}");
        assert_eq!(marked.contains("redirect"), own, "{marked}");
    }
    assert!(
        shown.starts_with("b'.' 0o40755 0 0 8 0 "),
        "{}",
        &shown[..100]
    );
    assert!(shown.contains(&"n".repeat(255)));
}

#[test]
fn another_tool_finds_nothing_wrong() {
    if Command::new("fsck.erofs").arg("-V").output().is_err() {
        eprintln!("SKIPPED: no fsck.erofs");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut all = all_kinds();
    // It reads holes as if they were data.
    all.entries.retain(|(path, ..)| path.as_bytes() != b"huge");
    let lower = all.into_lower(&dir.path().join("cas"));
    let image = dir.path().join("image");
    let bytes = erofs::image(&erofs::describe(&lower).unwrap()).unwrap();
    std::fs::write(&image, &bytes).unwrap();
    // It ends well whatever it finds; only its words tell.
    let finds_nothing = || {
        let done = Command::new("fsck.erofs").arg("-d3").arg(&image).output();
        let done = done.unwrap();
        let said = [done.stdout, done.stderr].concat();
        String::from_utf8_lossy(&said).contains("No errors found")
    };
    assert!(finds_nothing());
    // It can tell: one bit of the superblock.
    let mut torn = bytes;
    torn[1024 + 36] ^= 1;
    std::fs::write(&image, &torn).unwrap();
    assert!(!finds_nothing());
}
