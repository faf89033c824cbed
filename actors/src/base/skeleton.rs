//! Directories and files that every view must have before anything can be mounted in it.

use hd_dag::{Edit, Entry, Kind, Led, Meta, Rooted, TreeError, TreePath, Trees, follow};

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

/// Where a view has mounts of its own, and nothing of the tree is seen.
const PRIVATE: [&str; 6] = ["proc", "sys", "dev", "run", "tmp", "var/tmp"];

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
/// A link on the way is followed, as the kernel will. A name of another kind where a directory is needed is an
/// error of the image and is left for the sandbox to refuse; only a link or an absent name at a file's place is
/// replaced.
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
            let path = beside_links(trees, root, parse(file))?;
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
    let path = real(trees, &root, path)?;
    if hd_dag::get(trees, &root.tree, &path)?.is_none() {
        edits.push(Edit::Put {
            path,
            entry: Entry::dir(Meta::new(mode)),
            mtime_ns: 0,
        });
    }
    Ok(())
}

/// Gives where a directory of a tree really is: no link is on the way there, none at its end.
///
/// What leads to no directory, or to where nothing of the tree is seen, stays as it is.
pub fn real(trees: &dyn Trees, root: &Rooted, path: TreePath) -> Result<TreePath, TreeError> {
    let real = match follow(trees, root, &path, true)? {
        Led::There(real, Kind::Dir) | Led::Missing(real) => real,
        Led::There(..) | Led::Nowhere => return Ok(path),
    };
    let is_private = PRIVATE.iter().any(|at| real.starts_with(&parse(at)));
    Ok(if is_private || real.is_root() {
        path
    } else {
        real
    })
}

/// Gives where a file really is, be it a link itself.
fn beside_links(trees: &dyn Trees, root: Rooted, path: TreePath) -> Result<TreePath, TreeError> {
    Ok(match follow(trees, &root, &path, false)? {
        Led::There(real, _) | Led::Missing(real) => real,
        Led::Nowhere => path,
    })
}

fn grafted(base: &Base, path: &TreePath) -> bool {
    base.grafts().iter().any(|graft| graft.at == *path)
}

fn parse(path: &str) -> TreePath {
    TreePath::new(path.as_bytes()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use hd_dag::MemoryTrees;

    use super::super::ImageBase;
    use super::*;

    #[test]
    fn no_link_gives_way_to_what_is_needed_behind_it() {
        let trees = MemoryTrees::new();
        let link = |target: &str| Entry::symlink(0, 0, target.as_bytes().to_vec());
        let entries = [
            ("etc", link("usr/etc")),
            ("root", link("/var/home")),
            ("usr", Entry::dir(Meta::default_dir())),
            ("usr/etc", Entry::dir(Meta::default_dir())),
            ("var", link("data/var")),
        ];
        let entries = entries.map(|(at, entry)| (parse(at), entry, 0));
        let rooted = hd_dag::build(&trees, entries).unwrap();
        let base = Base::Image(ImageBase {
            reference: String::new(),
            digest: String::new(),
            rooted,
            env: Default::default(),
            workdir: None,
            user: String::new(),
            defaults: Default::default(),
        });
        let place = |at| real(&trees, &rooted, parse(at)).unwrap();
        let home = place("root");
        assert_eq!(home, parse("data/var/home"));
        // Nothing of the tree is seen below /run.
        assert_eq!(place("run/x"), parse("run/x"));
        let needed = Needed {
            workdir: place("srv/app"),
            caches: vec![home.join_path(&parse(".cache"))],
            home,
        };
        let made = ensure(&trees, &base, rooted, &needed).unwrap();
        let kind = |at| {
            let found = hd_dag::get(&trees, &made.tree, &parse(at)).unwrap();
            found.map(|entry| entry.kind())
        };
        for at in ["etc", "root", "var"] {
            assert_eq!(kind(at), Some(Kind::Symlink), "{at}");
        }
        for at in ["data/var/home/.cache", "data/var/tmp", "srv/app", "run"] {
            assert_eq!(kind(at), Some(Kind::Dir), "{at}");
        }
        assert_eq!(kind("usr/etc/hosts"), Some(Kind::Regular));
    }
}
