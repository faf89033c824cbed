//! Trees of thousands of levels: nothing recurses with the depth.

mod common;

use common::*;
use hd_dag::*;

const LEVELS: usize = 3_000;

fn deep(leaf: &str) -> TreePath {
    path(&format!("{}{leaf}", "d/".repeat(LEVELS)))
}

fn put_deep(leaf: &str, content: &str) -> Edit {
    let (path, entry, mtime_ns) = (deep(leaf), file(content), 1);
    Edit::Put {
        path,
        entry,
        mtime_ns,
    }
}

#[test]
fn every_operation_goes_as_deep_as_the_tree() {
    let small_stack = std::thread::Builder::new().stack_size(128 << 10);
    let run = small_stack.spawn(|| {
        let trees = MemoryTrees::new();
        let (root, _) = apply(&trees, &Rooted::empty(), [put_deep("f", "1")]).unwrap();
        assert_eq!(walk(&trees, &root).unwrap().count(), LEVELS + 1);
        let scratch = build(&trees, [(deep("f"), file("1"), 1)]).unwrap();
        assert_eq!(scratch, root);
        let (layer, _) = apply(&trees, &Rooted::empty(), [put_deep("g", "2")]).unwrap();
        let composed = compose(&trees, &root, &layer).unwrap();
        let changes = diff(&trees, &root.tree, &composed.tree).unwrap();
        assert_eq!(changes.len(), 1);
        let (first, second) = (
            Layer {
                name: "a",
                rooted: root,
            },
            Layer {
                name: "b",
                rooted: layer,
            },
        );
        assert_eq!(merge_layers(&trees, &first, &second).unwrap(), composed);
        assert_eq!(
            get(&trees, &composed.tree, &deep("g")).unwrap(),
            Some(file("2"))
        );
        let (empty, delta) = apply(&trees, &composed, [remove("d")]).unwrap();
        assert_eq!((empty, delta.changes.len()), (Rooted::empty(), LEVELS + 2));
    });
    run.unwrap().join().unwrap();
}
