//! Directories and files that every view must have before anything can be mounted in it.

use hd_dag::{Edit, Entry, Kind, Meta, Rooted, TreeError, TreePath, Trees};

use super::Base;

/// Directories of a view: path and mode. Those an image has are left as they are.
const DIRECTORIES: [(&str, u32); 8] = [
    ("proc", 0o555),
    ("sys", 0o555),
    ("dev", 0o755),
    ("run", 0o755),
    ("tmp", 0o1777),
    ("var", 0o755),
    ("var/tmp", 0o1777),
    ("etc", 0o755),
];

/// Files on which the host's network files are bound.
const FILES: [&str; 2] = ["etc/resolv.conf", "etc/hosts"];

/// What a view needs besides the fixed list.
#[derive(Clone, Debug)]
pub struct Needed {
    /// Working directory.
    pub workdir: TreePath,
    /// Home directory.
    pub home: TreePath,
    /// Directories below home that get a private mount (`.cache`, `.npm`).
    pub caches: Vec<TreePath>,
}

/// Adds what is missing to the base's tree, so that no mount ever has to create its target in a
/// write layer.
///
/// A name of another kind where a directory is needed is an error of the image and is left for
/// the sandbox to refuse; only a link or an absent name at a file's place is replaced.
pub fn ensure(
    trees: &dyn Trees,
    base: &Base,
    root: Rooted,
    needed: &Needed,
) -> Result<Rooted, TreeError> {
    let mut edits = Vec::new();
    for (path, mode) in DIRECTORIES {
        let path = parse(path);
        if grafted(base, &path) {
            continue;
        }
        add_directory(trees, root, &mut edits, path, mode)?;
    }
    add_directory(trees, root, &mut edits, needed.workdir.clone(), 0o755)?;
    add_directory(trees, root, &mut edits, needed.home.clone(), 0o755)?;
    for cache in &needed.caches {
        add_directory(trees, root, &mut edits, cache.clone(), 0o755)?;
    }
    if let Base::Host(host) = base {
        for (path, target) in &host.links {
            let entry = Entry::symlink(0, 0, target.clone());
            edits.push(Edit::Put {
                path: parse(path.trim_start_matches('/')),
                entry,
                mtime_ns: 0,
            });
        }
    } else {
        for file in FILES {
            let path = parse(file);
            let present = hd_dag::get(trees, &root.tree, &path)?;
            if present.is_none_or(|entry| entry.kind() != Kind::Regular) {
                let entry = Entry::regular(Meta::new(0o644), hd_store::Id::of(b""), 0);
                edits.push(Edit::Put {
                    path,
                    entry,
                    mtime_ns: 0,
                });
            }
        }
    }
    hd_dag::apply(trees, &root, edits).map(|(root, _)| root)
}

fn add_directory(
    trees: &dyn Trees,
    root: Rooted,
    edits: &mut Vec<Edit>,
    path: TreePath,
    mode: u32,
) -> Result<(), TreeError> {
    if hd_dag::get(trees, &root.tree, &path)?.is_none() {
        edits.push(Edit::Put {
            path,
            entry: Entry::dir(Meta::new(mode)),
            mtime_ns: 0,
        });
    }
    Ok(())
}

fn grafted(base: &Base, path: &TreePath) -> bool {
    base.grafts().iter().any(|graft| graft.at == *path)
}

fn parse(path: &str) -> TreePath {
    TreePath::new(path.as_bytes()).unwrap_or_default()
}
