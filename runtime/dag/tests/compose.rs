//! Layering against a plain model of what OCI says, and merging of layers.

mod common;

use common::*;
use hd_dag::*;
use proptest::prelude::*;

/// Lays a layer over a tree entry by entry, as an unpacker would.
fn compose_model(lower: &Model, layer: &Model) -> Model {
    let mut out = lower.clone();
    // Opaque directories hide what is below before anything of the layer is put.
    for (path, (entry, _)) in layer {
        if matches!(entry.target, Target::Dir { opaque: true, .. }) {
            remove_below(&mut out, path);
        }
    }
    for (path, (entry, mtime_ns)) in layer {
        if entry.kind() == Kind::Whiteout {
            remove_below(&mut out, path);
            continue;
        }
        let joins = is_dir(entry) && out.get(path).is_some_and(|(old, _)| is_dir(old));
        if !joins {
            remove_below(&mut out, path);
        }
        let mut entry = entry.clone();
        if let Target::Dir { opaque, .. } = &mut entry.target {
            *opaque = false;
        }
        out.insert(path.clone(), (entry, *mtime_ns));
    }
    out
}

/// Turns some entries of a model into whiteouts and some directories opaque.
fn any_layer() -> impl Strategy<Value = Model> {
    (any_model(), any::<u64>()).prop_map(|(model, mut bits)| {
        let mut out = Model::new();
        let mut gone: Option<TreePath> = None;
        for (path, (mut entry, mtime_ns)) in model {
            bits = bits.rotate_right(3) ^ 0x9e37_79b9;
            if gone.as_ref().is_some_and(|gone| path.starts_with(gone)) {
                continue;
            }
            if bits % 4 == 0 {
                entry = Entry::whiteout();
                gone = Some(path.clone());
            } else if let Target::Dir { opaque, .. } = &mut entry.target {
                *opaque = bits % 3 == 0;
            }
            out.insert(path, (entry, mtime_ns));
        }
        out
    })
}

/// A tree in which upper-case names are directories and lower-case ones are files, so that layers
/// never disagree on what is a directory.
fn any_typed() -> impl Strategy<Value = Model> {
    let parents = prop::collection::vec("[AB]", 0..3);
    let edit = (parents, "[abA]", any_leaf(), 0..5i64);
    prop::collection::vec(edit, 0..12).prop_map(|edits| {
        let mut model = Model::new();
        for (mut names, last, leaf, mtime_ns) in edits {
            let entry = if last == "A" { dir() } else { leaf };
            names.push(last);
            let edit = Edit::Put {
                path: path(&names.join("/")),
                entry,
                mtime_ns,
            };
            edit_model(&mut model, &edit);
        }
        model
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn composing_is_unpacking_in_order(lower in any_model(), layer in any_layer()) {
        let trees = MemoryTrees::new();
        let (a, b) = (from_model(&trees, &lower), from_model(&trees, &layer));
        let composed = compose(&trees, &a, &b).unwrap();
        let expected = compose_model(&lower, &layer);
        prop_assert_eq!(to_model(&trees, &composed), expected.clone());
        // Same ids as from scratch: no marker is left, times came along.
        prop_assert_eq!(composed, from_model(&trees, &expected));
    }

    #[test]
    fn nothing_is_the_identity(model in any_model()) {
        let trees = MemoryTrees::new();
        let root = from_model(&trees, &model);
        let nothing = Rooted::empty();
        prop_assert_eq!(compose(&trees, &root, &nothing).unwrap(), root);
        prop_assert_eq!(compose(&trees, &nothing, &root).unwrap(), root);
        prop_assert_eq!(compose(&trees, &root, &root).unwrap(), root);
    }

    #[test]
    fn layers_without_markers_and_type_changes_associate(
        a in any_typed(), b in any_typed(), c in any_typed(),
    ) {
        let trees = MemoryTrees::new();
        let [a, b, c] = [a, b, c].map(|model| from_model(&trees, &model));
        let compose = |lower: &Rooted, layer: &Rooted| compose(&trees, lower, layer).unwrap();
        prop_assert_eq!(compose(&compose(&a, &b), &c), compose(&a, &compose(&b, &c)));
    }

    #[test]
    fn merging_commutes_and_agrees_with_composing(a in any_typed(), b in any_typed()) {
        let trees = MemoryTrees::new();
        let [a, b] = [a, b].map(|model| from_model(&trees, &model));
        let layer = |name, rooted| Layer { name, rooted };
        let there = merge_layers(&trees, &layer("x", a), &layer("y", b));
        let back = merge_layers(&trees, &layer("y", b), &layer("x", a));
        match (there, back) {
            (Ok(there), Ok(back)) => {
                // Which hard-link group an entry of both gets is open, and no identity.
                prop_assert_eq!(there.times, back.times);
                let composed = compose(&trees, &a, &b).unwrap();
                let changes = diff(&trees, &composed.tree, &there.tree).unwrap();
                for change in changes {
                    prop_assert_eq!(change.old.unwrap().id(), change.new.unwrap().id());
                }
            }
            (Err(TreeError::Conflict { path, .. }), Err(TreeError::Conflict { path: other, .. })) => {
                prop_assert_eq!(path, other);
            }
            (there, back) => prop_assert!(false, "{there:?} {back:?}"),
        }
    }
}

#[test]
fn a_conflict_names_path_and_both_makers() {
    let trees = MemoryTrees::new();
    let a = tree(
        &trees,
        &[("d", dir()), ("d/f", file("1")), ("d/x", file("x"))],
    );
    let b = tree(
        &trees,
        &[("d", dir()), ("d/f", file("2")), ("d/y", file("y"))],
    );
    let (first, second) = (
        Layer {
            name: "npm ci",
            rooted: a,
        },
        Layer {
            name: "pip",
            rooted: b,
        },
    );
    let error = merge_layers(&trees, &first, &second)
        .unwrap_err()
        .to_string();
    assert_eq!(error, "d/f is written differently by npm ci and by pip");
    let b = tree(
        &trees,
        &[("d", dir()), ("d/f", file("1")), ("d/y", Entry::whiteout())],
    );
    let merged = merge_layers(
        &trees,
        &first,
        &Layer {
            name: "pip",
            rooted: b,
        },
    )
    .unwrap();
    let paths: Vec<_> = to_model(&trees, &merged)
        .into_keys()
        .map(|p| p.to_string())
        .collect();
    assert_eq!(paths, ["d", "d/f", "d/x", "d/y"]);
    let whiteout = get(&trees, &merged.tree, &path("d/y")).unwrap().unwrap();
    assert_eq!(whiteout.kind(), Kind::Whiteout);
    let d = get(&trees, &merged.tree, &path("d")).unwrap().unwrap();
    assert!(matches!(d.target, Target::Dir { marked: true, .. }));
}

fn wide(trees: &dyn Trees, top: &str, mark: bool) -> Rooted {
    let mut model = Model::new();
    let edits = (0..300).map(|n| put(&format!("{top}/d{n}/e/f"), file(&n.to_string()), 1));
    edits.for_each(|edit| edit_model(&mut model, &edit));
    edit_model(&mut model, &put("shared/both", file(top), 1));
    if mark {
        edit_model(
            &mut model,
            &put(&format!("{top}/d7/e/gone"), Entry::whiteout(), 0),
        );
    }
    from_model(trees, &model)
}

#[test]
fn subtrees_of_one_side_are_shared_unread() {
    let trees = Counting::default();
    let (lower, layer) = (wide(&trees, "lower", false), wide(&trees, "upper", false));
    trees.take();
    let composed = compose(&trees, &lower, &layer).unwrap();
    let cost = trees.take();
    assert!(cost.loads <= 8 && cost.saves <= 4, "{cost:?}");
    assert_eq!(to_model(&trees, &composed).len(), 2 + 600 * 3 + 2);

    // A marker is found without reading the 299 subtrees that have none.
    let marked = wide(&trees, "upper", true);
    trees.take();
    let again = compose(&trees, &lower, &marked).unwrap();
    let cost = trees.take();
    assert!(cost.loads <= 60 && cost.saves <= 14, "{cost:?}");
    assert_eq!(again.tree, composed.tree);
}

#[test]
fn what_comes_into_an_empty_directory_is_shared_unread() {
    let trees = Counting::default();
    let layer = wide(&trees, "upper", false);
    let mut model = Model::new();
    edit_model(&mut model, &put("upper", dir(), 0));
    let place = from_model(&trees, &model);
    trees.take();
    let composed = compose(&trees, &place, &layer).unwrap();
    let cost = trees.take();
    // Of 300 directories none is looked at, nor are their names.
    assert!(cost.loads <= 5 && cost.saves <= 2, "{cost:?}");
    assert!(cost.loaded < 1024, "{cost:?}");
    assert_eq!(composed, layer);
}

#[test]
fn hard_link_groups_come_along_and_stay_apart() {
    let trees = MemoryTrees::new();
    let linked = |group| {
        let mut entry = file("same");
        if let Target::Regular { link_group, .. } = &mut entry.target {
            *link_group = Some(group);
        }
        entry
    };
    let group = |layer: &str| link_group(layer.as_bytes(), &path("a"));
    assert_ne!(group("layer 1"), group("layer 2"));
    let lower = tree(
        &trees,
        &[
            ("a", linked(group("layer 1"))),
            ("b", linked(group("layer 1"))),
        ],
    );
    let layer = tree(
        &trees,
        &[
            ("a", linked(group("layer 2"))),
            ("c", linked(group("layer 2"))),
        ],
    );
    let composed = compose(&trees, &lower, &layer).unwrap();
    let groups = to_model(&trees, &composed)
        .into_iter()
        .map(|(p, (entry, _))| match entry.target {
            Target::Regular { link_group, .. } => (p.to_string(), link_group),
            _ => unreachable!("only files"),
        });
    let (one, two) = (Some(group("layer 1")), Some(group("layer 2")));
    let expected = [("a", two), ("b", one), ("c", two)].map(|(p, g)| (p.to_owned(), g));
    assert!(groups.eq(expected));
    assert_eq!(linked(1).id(), linked(2).id());
}
