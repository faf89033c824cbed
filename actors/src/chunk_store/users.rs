//! Which paths use an object: what an error about damage has to name.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use hd_dag::{Target, TreePath, Trees, list};
use hd_store::{Id, Link, NodeKind, Store};

/// Paths that are named for one object; one that occurs everywhere is not listed everywhere.
const NAMED_MAX: usize = 16;

/// Objects and the paths of trees that need them, the paths sorted.
pub type Users = BTreeMap<Id, BTreeSet<String>>;

/// Looks through all trees that references lead to. Blocks.
///
/// Paths are relative to the project, or to the root of the view they were found in. An object
/// that no tree leads to has no path.
///
/// # Errors
/// I/O errors of the store; what is lost is passed over, its own path is named.
pub fn paths_of(
    store: &Store,
    trees: &dyn Trees,
    objects: &BTreeSet<Id>,
) -> hd_store::Result<Users> {
    let mut search = Search {
        store,
        trees,
        objects,
        seen: HashSet::new(),
        users: Users::new(),
    };
    if objects.is_empty() {
        return Ok(search.users);
    }
    for (_, record) in store.sound_refs()? {
        for link in record.links {
            if let Link::Node(NodeKind::Tree, tree) = link {
                search.below(tree)?;
            }
        }
    }
    Ok(search.users)
}

/// Puts into words what is lost and which paths need it.
pub fn told(lost: &BTreeSet<Id>, users: &Users) -> String {
    let one = |id: &Id| match users.get(id) {
        Some(paths) => {
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            format!("{id} (used by {})", paths.join(", "))
        }
        None => format!("{id} (used by no path)"),
    };
    let all: Vec<String> = lost.iter().map(one).collect();
    format!("damaged in the store: {}", all.join("; "))
}

struct Search<'a> {
    store: &'a Store,
    trees: &'a dyn Trees,
    objects: &'a BTreeSet<Id>,
    /// Trees that were looked through: a second place of one is not worth another look.
    seen: HashSet<Id>,
    users: Users,
}

impl Search<'_> {
    fn below(&mut self, root: Id) -> hd_store::Result<()> {
        let mut waiting = vec![(TreePath::root(), root)];
        while let Some((dir, tree)) = waiting.pop() {
            if !self.seen.insert(tree) {
                continue;
            }
            if self.objects.contains(&tree) {
                self.name(tree, &dir);
            }
            let Ok(entries) = list(self.trees, &tree) else {
                continue;
            };
            for entry in entries {
                let Ok((name, entry)) = entry else {
                    // A part of a large directory is lost.
                    break;
                };
                let path = dir.join(&name);
                match &entry.target {
                    Target::Dir { tree, .. } if *tree != hd_dag::empty_tree() => {
                        waiting.push((path, *tree));
                    }
                    Target::Regular { blob, .. } => self.file(&path, *blob)?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &TreePath, blob: Id) -> hd_store::Result<()> {
        if self.objects.contains(&blob) {
            self.name(blob, path);
        }
        for piece in self.store.pieces(&blob)? {
            if self.objects.contains(&piece) {
                self.name(piece, path);
            }
        }
        Ok(())
    }

    fn name(&mut self, object: Id, path: &TreePath) {
        let paths = self.users.entry(object).or_default();
        if paths.len() < NAMED_MAX {
            let shown = path.to_string();
            paths.insert(if shown.is_empty() {
                "/".to_owned()
            } else {
                shown
            });
        }
    }
}
