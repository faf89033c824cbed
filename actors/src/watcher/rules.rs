//! Which paths the watcher enters and reports: the same as the store's scan, and a few by name. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use hd_config::{DirFilter, FileFilter, FilterStack, WatchSet};
use hd_dag::TreePath;

use crate::mount_server::mount_points::MountPoints;

/// Compiled Python beside sources is never part of a project.
const COMPILED_PYTHON: &[u8] = b"__pycache__";

/// What of a project is worth watching, with the ignore files seen so far.
#[derive(Debug)]
pub struct Rules {
    stack: FilterStack,
    watches: Arc<Vec<WatchSet>>,
    /// Directories and files that watch patterns name before their first wildcard.
    roots: Vec<Vec<u8>>,
    named: BTreeSet<TreePath>,
    points: MountPoints,
}

impl Rules {
    /// Starts with no ignore file known; `named` are files that count whatever hides them.
    pub fn new(
        files: FileFilter,
        watches: Arc<Vec<WatchSet>>,
        named: BTreeSet<TreePath>,
        points: MountPoints,
    ) -> Self {
        let roots = watches.iter().flat_map(WatchSet::literal_roots);
        let roots = roots
            .filter(|root| !root.is_empty())
            .map(|root| root.as_bytes().to_vec());
        Self {
            roots: roots.collect(),
            stack: FilterStack::new(files),
            watches,
            named,
            points,
        }
    }

    /// Names of the files whose bytes are wanted for each directory.
    pub fn ignore_file_names(&self) -> &[String] {
        self.stack.filter().ignore_file_names()
    }

    /// Directories hd made in the project.
    pub fn points(&self) -> &MountPoints {
        &self.points
    }

    /// Takes in the ignore files of a directory in place of what was known of it; directories above
    /// must have been entered before.
    pub fn enter(&self, dir: &TreePath, ignore_files: &[(String, Vec<u8>)]) -> DirRules<'_> {
        let filter = self.stack.enter(dir.as_bytes(), ignore_files);
        DirRules {
            rules: self,
            filter,
            dir: dir.clone(),
        }
    }

    /// Forgets the ignore files at and below a directory.
    pub fn forget(&self, dir: &TreePath) {
        self.stack.forget(dir.as_bytes());
    }

    /// Tells whether a path counts, given that the directory it lies in does.
    pub fn keeps(&self, path: &TreePath, is_dir: bool) -> bool {
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return true;
        };
        let filter = self.stack.dir(dir.as_bytes());
        DirRules {
            rules: self,
            filter,
            dir,
        }
        .keeps_at(path, name, is_dir)
    }

    /// A pattern a service watches beats ignore files: the file is wanted, and so is the way to it.
    fn is_watched(&self, path: &[u8], is_dir: bool) -> bool {
        if is_dir {
            self.roots.iter().any(|root| is_at_or_below(root, path))
        } else {
            self.watches.iter().any(|watch| watch.matches(path))
        }
    }

    fn is_named(&self, path: &TreePath, is_dir: bool) -> bool {
        self.named.iter().any(|named| {
            if is_dir {
                named.starts_with(path)
            } else {
                named == path
            }
        })
    }
}

fn is_at_or_below(path: &[u8], dir: &[u8]) -> bool {
    path.strip_prefix(dir)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// The rules for the entries of one directory.
#[derive(Debug)]
pub struct DirRules<'a> {
    rules: &'a Rules,
    filter: DirFilter,
    dir: TreePath,
}

impl DirRules<'_> {
    /// Gives the path of an entry if it counts.
    pub fn kept(&self, name: &[u8], is_dir: bool) -> Option<TreePath> {
        let name = TreePath::new(name).ok()?;
        let path = self.dir.join_path(&name);
        self.keeps_at(&path, name.as_bytes(), is_dir)
            .then_some(path)
    }

    fn keeps_at(&self, path: &TreePath, name: &[u8], is_dir: bool) -> bool {
        if name == b".git" || (is_dir && name == COMPILED_PYTHON) {
            return false;
        }
        if self.rules.points.is_ours(path, is_dir) {
            return false;
        }
        self.filter.keep(name, is_dir)
            || self.rules.is_watched(path.as_bytes(), is_dir)
            || self.rules.is_named(path, is_dir)
    }
}

#[cfg(test)]
mod tests {
    use hd_config::Files;
    use hd_store::scan::Filter as _;

    use super::*;
    use crate::chunk_store::filter::ProjectFilter;

    fn path(text: &str) -> TreePath {
        TreePath::new(text.as_bytes()).unwrap()
    }

    fn watches(globs: &[&str]) -> Arc<Vec<WatchSet>> {
        Arc::new(vec![
            WatchSet::new(globs.iter().map(|glob| (*glob).to_owned()).collect()).unwrap(),
        ])
    }

    fn parts() -> (FileFilter, Arc<Vec<WatchSet>>, MountPoints) {
        let points = MountPoints::default();
        points.set([path(".venv")]);
        let watched = watches(&["dist/**/*.js", ".env", "*.html"]);
        (FileFilter::new(&Files::default()), watched, points)
    }

    const IGNORE: &[u8] = b"node_modules\n*.log\ndist\n.env\n/conf\n";

    #[test]
    fn the_watcher_keeps_what_the_scan_keeps() {
        let (files, watched, points) = parts();
        let scan = ProjectFilter::new(files.clone(), watched.clone(), points.clone());
        let rules = Rules::new(files, watched, BTreeSet::new(), points);
        let ignore = [(".gitignore".to_owned(), IGNORE.to_vec())];
        let nested = [(".gitignore".to_owned(), b"!keep.log\nout\n".to_vec())];
        let none = [].as_slice();
        let dirs = [
            ("", ignore.as_slice()),
            ("src", nested.as_slice()),
            ("dist", none),
            ("src/deep", none),
        ];
        let names = [
            "app.py",
            ".env",
            "x.log",
            "keep.log",
            "dist",
            "out",
            "src",
            "node_modules",
            ".git",
            "target",
            ".venv",
            "__pycache__",
            "conf",
            "a.js",
            "a.html",
            "deep",
        ];
        for (dir, files) in dirs {
            let (by_scan, by_watcher) = (
                scan.enter(dir.as_bytes(), files),
                rules.enter(&path(dir), files),
            );
            for name in names {
                for is_dir in [false, true] {
                    let kept = by_scan.keep(name.as_bytes(), is_dir);
                    let whole = path(dir).join_path(&path(name));
                    let case = format!("{whole} dir={is_dir}");
                    assert_eq!(
                        by_watcher.kept(name.as_bytes(), is_dir).is_some(),
                        kept,
                        "{case}"
                    );
                    assert_eq!(rules.keeps(&whole, is_dir), kept, "{case}");
                }
            }
        }
    }

    #[test]
    fn watched_and_named_files_beat_ignore_files_and_nothing_beats_git() {
        let (files, _, points) = parts();
        let named = BTreeSet::from([path("conf/prod.env")]);
        let watched = watches(&["dist/**/*.js", ".git/HEAD"]);
        let rules = Rules::new(files, watched, named, points);
        let root = rules.enter(
            &TreePath::root(),
            &[(".gitignore".to_owned(), IGNORE.to_vec())],
        );
        let kept = |name: &str, is_dir| root.kept(name.as_bytes(), is_dir).is_some();
        assert!(kept("dist", true) && kept("conf", true));
        assert!(!kept("node_modules", true) && !kept(".git", true) && !kept(".venv", true));
        assert!(rules.keeps(&path("conf/prod.env"), false));
        assert!(!kept("conf", false), "only the way to it");
        rules.forget(&TreePath::root());
        assert!(rules.keeps(&path("node_modules"), true));
    }
}
