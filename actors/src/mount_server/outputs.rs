//! Which outputs of steps can be shown over a live project: pure.
//!
//! A live project is the host's own directory. Over it an output is mounted only if it is a
//! whole directory that the project itself does not have (`.venv`, `node_modules`); files, and
//! directories that lie inside one of the project's, cannot be shown without hiding or writing
//! the person's own files.

use std::collections::BTreeSet;

use hd_dag::{Kind, Rooted, TreeError, TreePath, Trees, get, subtree};

/// Outputs at or below the working directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveOutputs {
    /// Directories to mount, relative to the project, sorted.
    pub shown: Vec<TreePath>,
    /// What cannot be shown live, relative to the project, sorted.
    pub hidden: Vec<TreePath>,
    /// Names in the project's own top directory at or below which there are outputs: what is said here holds
    /// for as long as the project has them.
    pub taken: BTreeSet<TreePath>,
}

impl LiveOutputs {
    /// Tells whether the outputs of the same steps would be sorted like this over another project tree, too.
    ///
    /// That what is shown is still absent goes without saying: what lies there is a mount point, and hidden
    /// from the scan.
    pub fn stands(&self, trees: &dyn Trees, project: Rooted) -> Result<bool, TreeError> {
        for name in &self.taken {
            if get(trees, &project.tree, name)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Sorts the outputs of a chain.
///
/// `lower` is base and outputs composed, `below` the base alone, both whole; `project` is the
/// project tree. What the base itself has in the working directory is no output.
pub fn live_outputs(
    trees: &dyn Trees,
    below: Rooted,
    lower: Rooted,
    project: Rooted,
    workdir: &TreePath,
) -> Result<LiveOutputs, TreeError> {
    let mut outputs = LiveOutputs::default();
    let Some(made) = subtree(trees, &lower, workdir)? else {
        return Ok(outputs);
    };
    let base = subtree(trees, &below, workdir)?.unwrap_or_else(Rooted::empty);
    let changes = hd_dag::diff(trees, &base.tree, &made.tree)?;
    for change in changes {
        if change.new.is_none() || outputs.shown.iter().any(|dir| change.path.starts_with(dir)) {
            continue;
        }
        let top = change.path.names().next();
        let top = top.map(|name| TreePath::root().join(&name));
        if let Some(top) = top.filter(|top| !outputs.taken.contains(top))
            && get(trees, &project.tree, &top)?.is_some()
        {
            outputs.taken.insert(top);
        }
        let is_dir = change
            .new
            .as_ref()
            .is_some_and(|entry| entry.kind() == Kind::Dir);
        let in_project = get(trees, &project.tree, &change.path)?;
        match (is_dir, in_project) {
            (true, None) if change.path.depth() == 1 => outputs.shown.push(change.path),
            // A directory both have: what differs is inside and comes by itself.
            (true, Some(entry)) if entry.kind() == Kind::Dir => {}
            (_, Some(entry)) if Some(&entry) == change.new.as_ref() => {}
            _ if outputs
                .hidden
                .iter()
                .any(|dir| change.path.starts_with(dir)) => {}
            _ => outputs.hidden.push(change.path),
        }
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use hd_dag::{Edit, Entry, MemoryTrees, Meta, apply};

    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text.as_bytes()).unwrap()
    }

    fn tree(trees: &MemoryTrees, files: &[&str]) -> Rooted {
        let edits = files.iter().map(|file| Edit::Put {
            path: path(file),
            entry: Entry::regular(Meta::new(0o644), hd_store::Id::of(file.as_bytes()), 1),
            mtime_ns: 0,
        });
        apply(trees, &Rooted::empty(), edits).unwrap().0
    }

    #[test]
    fn whole_new_directories_are_shown_and_the_rest_is_named() {
        let trees = MemoryTrees::new();
        let below = tree(&trees, &["w/of-the-base", "usr/bin/sh"]);
        let outputs = [
            "w/.venv/bin/python",
            "w/src/gen/a.py",
            "w/built.txt",
            "w/node_modules/x/y",
        ];
        let lower = tree(
            &trees,
            &[&["w/of-the-base", "usr/bin/sh"], &outputs[..]].concat(),
        );
        let project = tree(&trees, &["src/app.py"]);
        let found = live_outputs(&trees, below, lower, project, &path("w")).unwrap();
        assert_eq!(found.shown, [path(".venv"), path("node_modules")]);
        assert_eq!(found.hidden, [path("built.txt"), path("src/gen")]);
        assert!(found.stands(&trees, project).unwrap());
        let more = tree(&trees, &["src/app.py", "built.txt"]);
        assert!(found.stands(&trees, more).unwrap());
        // Without a directory of its own, that output can be shown.
        let less = tree(&trees, &["other/app.py"]);
        assert!(!found.stands(&trees, less).unwrap());
    }
}
