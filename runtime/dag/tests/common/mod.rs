//! Models and strategies that several tests share.
#![allow(dead_code, reason = "each test file uses a part")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::sync::Mutex;

use hd_dag::*;
use hd_store::{Id, NodeKind};
use proptest::prelude::*;

/// Entries by path: the plainest possible tree.
pub(crate) type Model = BTreeMap<TreePath, (Entry, i64)>;

pub(crate) fn path(text: &str) -> TreePath {
    text.parse().unwrap()
}

pub(crate) fn file(content: &str) -> Entry {
    let (blob, size) = (Id::of(content.as_bytes()), content.len() as u64);
    Entry::regular(Meta::new(0o644), blob, size)
}

pub(crate) fn dir() -> Entry {
    Entry::dir(Meta::new(0o755))
}

pub(crate) fn put(at: &str, entry: Entry, mtime_ns: i64) -> Edit {
    Edit::Put {
        path: path(at),
        entry,
        mtime_ns,
    }
}

pub(crate) fn remove(at: &str) -> Edit {
    Edit::Remove { path: path(at) }
}

/// Builds a tree from `(path, entry)` with the position as time.
pub(crate) fn tree(trees: &dyn Trees, entries: &[(&str, Entry)]) -> Rooted {
    let mut model = Model::new();
    for (number, (at, entry)) in entries.iter().enumerate() {
        model.insert(path(at), (entry.clone(), number as i64));
    }
    from_model(trees, &model)
}

pub(crate) fn from_model(trees: &dyn Trees, model: &Model) -> Rooted {
    let entries = model.iter();
    build(trees, entries.map(|(p, (e, t))| (p.clone(), e.clone(), *t))).unwrap()
}

/// Reads a tree back; directories are shown empty and unmarked, as the model has them.
pub(crate) fn to_model(trees: &dyn Trees, root: &Rooted) -> Model {
    walk(trees, root)
        .unwrap()
        .map(|item| item.unwrap())
        .map(|item| (item.path, (plain(item.entry), item.mtime_ns)))
        .collect()
}

pub(crate) fn plain(mut entry: Entry) -> Entry {
    if let Target::Dir { tree, marked, .. } = &mut entry.target {
        (*tree, *marked) = (empty_tree(), false);
    }
    entry
}

pub(crate) fn is_dir(entry: &Entry) -> bool {
    entry.kind() == Kind::Dir
}

pub(crate) fn remove_below(model: &mut Model, at: &TreePath) {
    model.retain(|p, _| !p.starts_with(at));
}

/// What one edit does, said plainly.
pub(crate) fn edit_model(model: &mut Model, edit: &Edit) {
    match edit {
        Edit::Remove { path } => remove_below(model, path),
        Edit::Put {
            path,
            entry,
            mtime_ns,
        } => {
            let mut parent = path.parent();
            while let Some(at) = parent.filter(|at| !at.is_root()) {
                if !model.get(&at).is_some_and(|(entry, _)| is_dir(entry)) {
                    model.insert(at.clone(), (Entry::dir(Meta::default_dir()), 0));
                }
                parent = at.parent();
            }
            let joins = is_dir(entry) && model.get(path).is_some_and(|(old, _)| is_dir(old));
            if !joins {
                remove_below(model, path);
            }
            model.insert(path.clone(), (entry.clone(), *mtime_ns));
        }
        Edit::Graft { .. } => unreachable!("not in the model"),
    }
}

pub(crate) fn any_path() -> impl Strategy<Value = TreePath> {
    prop::collection::vec("[abc]", 1..5).prop_map(|names| path(&names.join("/")))
}

pub(crate) fn any_meta() -> impl Strategy<Value = Meta> {
    let mode = prop::sample::select(vec![0o644, 0o755, 0o4755]);
    (mode, 0..2u32, any::<bool>()).prop_map(|(mode, uid, attribute)| {
        let mut meta = Meta::owned(mode, uid, uid);
        if attribute {
            meta.xattrs.insert(b"user.a".to_vec(), b"1".to_vec());
        }
        meta
    })
}

pub(crate) fn any_leaf() -> impl Strategy<Value = Entry> {
    let target = prop_oneof![
        4 => (0..3u8, prop::option::weighted(0.2, 0..3u64)).prop_map(|(n, link_group)| {
            let (blob, size) = (Id::of(&[n]), u64::from(n));
            Target::Regular { blob, size, link_group }
        }),
        1 => "[xy]".prop_map(|text| Target::Symlink { target: text.into_bytes() }),
        1 => Just(Target::Fifo),
        1 => (0..3u64).prop_map(|rdev| Target::Char { rdev }),
        1 => (0..3u64).prop_map(|rdev| Target::Block { rdev }),
    ];
    (any_meta(), target).prop_map(|(mut meta, target)| {
        if matches!(target, Target::Symlink { .. }) {
            meta.mode = 0o777;
        }
        Entry { meta, target }
    })
}

pub(crate) fn any_entry() -> impl Strategy<Value = Entry> {
    prop_oneof![3 => any_leaf(), 2 => any_meta().prop_map(Entry::dir)]
}

pub(crate) fn any_edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => (any_path(), any_entry(), -3..4i64).prop_map(|(path, entry, mtime_ns)| Edit::Put {
            path, entry, mtime_ns
        }),
        1 => any_path().prop_map(|path| Edit::Remove { path }),
    ]
}

pub(crate) fn any_model() -> impl Strategy<Value = Model> {
    prop::collection::vec(any_edit(), 0..25).prop_map(|edits| {
        let mut model = Model::new();
        edits.iter().for_each(|edit| edit_model(&mut model, edit));
        model
    })
}

/// What was loaded and saved: `(nodes, bytes)` each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) loads: usize,
    pub(crate) loaded: usize,
    pub(crate) saves: usize,
    pub(crate) saved: usize,
}

/// Counts what passes through.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    pub(crate) inner: MemoryTrees,
    count: Mutex<Count>,
}

impl Counting {
    /// Returns the count since the last call.
    pub(crate) fn take(&self) -> Count {
        std::mem::take(&mut *self.count.lock().unwrap())
    }
}

impl Trees for Counting {
    fn load(&self, kind: NodeKind, id: &Id) -> Result<Vec<u8>, TreeError> {
        let bytes = self.inner.load(kind, id)?;
        let mut count = self.count.lock().unwrap();
        count.loads += 1;
        count.loaded += bytes.len();
        Ok(bytes)
    }

    fn save(&self, kind: NodeKind, bytes: &[u8]) -> Result<Id, TreeError> {
        let mut count = self.count.lock().unwrap();
        count.saves += 1;
        count.saved += bytes.len();
        drop(count);
        self.inner.save(kind, bytes)
    }
}
