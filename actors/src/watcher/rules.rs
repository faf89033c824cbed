//! Which paths the watcher enters and reports: the same as the store's scan, and a few by name. Pure.

use std::collections::BTreeSet;

use hd_config::{DirFilter, FileFilter, FilterStack};
use hd_dag::TreePath;

use crate::model::compiled;
use crate::mount_server::mount_points::MountPoints;

/// What of a project is worth watching, with the ignore files seen so far.
#[derive(Debug)]
pub struct Rules {
    stack: FilterStack,
    named: BTreeSet<TreePath>,
    points: MountPoints,
}

impl Rules {
    /// Starts with no ignore file known; `named` are files that count whatever hides them.
    pub fn new(files: FileFilter, named: BTreeSet<TreePath>, points: MountPoints) -> Self {
        Self {
            stack: FilterStack::new(files),
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
        if name == b".git" || (is_dir && name == compiled::DIRECTORY.as_bytes()) {
            return false;
        }
        if self.rules.points.is_ours(path, is_dir) {
            return false;
        }
        self.filter.keep(name, is_dir) || self.rules.is_named(path, is_dir)
    }
}

#[cfg(test)]
mod tests {
    use hd_config::{Files, WatchSet};
    use hd_store::scan::Filter as _;

    use super::*;
    use crate::chunk_store::filter::ProjectFilter;

    fn path(text: &str) -> TreePath {
        TreePath::new(text.as_bytes()).unwrap()
    }

    fn parts(globs: &[&str]) -> (FileFilter, MountPoints) {
        let points = MountPoints::default();
        points.set([path(".venv")]);
        let globs = globs.iter().map(|glob| (*glob).to_owned()).collect();
        let filter = FileFilter::new(&Files::default());
        (filter.watching([WatchSet::new(globs).unwrap()]), points)
    }

    const IGNORE: &[u8] = b"node_modules\n*.log\ndist\n.env\n/conf\n";

    #[test]
    fn the_watcher_keeps_what_the_scan_keeps() {
        let (files, points) = parts(&["dist/**/*.js", ".env", "*.html"]);
        let scan = ProjectFilter::new(files.clone(), points.clone());
        let rules = Rules::new(files, BTreeSet::new(), points);
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
        let (files, points) = parts(&["dist/**/*.js", ".git/HEAD"]);
        let named = BTreeSet::from([path("conf/prod.env")]);
        let rules = Rules::new(files, named, points);
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
