//! Layers laid upon each other, with what they leave open settled by those below.

use hd_dag::{Entry, Kind, MemoryTrees, Meta, Rooted, Target, TreePath, build, get_stamped, walk};
use hd_store::Id;

use super::*;
use crate::layer::Limits;
use crate::layer::draft::{Draft, Layer};
use crate::layer::tar::TarReader;
use crate::tarball::Tarball;

fn path(text: &str) -> TreePath {
    text.parse().expect("path")
}

/// Lays archives upon each other, lowest first.
fn image(trees: &MemoryTrees, layers: &[Vec<u8>]) -> Result<Rooted, StackError> {
    let mut rooted = Rooted::empty();
    for (number, bytes) in layers.iter().enumerate() {
        let mut archive = TarReader::new(bytes.as_slice(), Limits::default());
        let mut draft = Draft::default();
        while let Some(entry) = archive.next_entry()? {
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut archive.content(), &mut content).expect("content");
            draft.add(entry, Some((Id::of(&content), content.len() as u64)))?;
        }
        let Layer { entries, open } = draft.finish(&[number as u8])?;
        let layer = build(trees, entries)?;
        rooted = lay(trees, &rooted, &layer, &open, &[number as u8])?;
    }
    check_mount_points(trees, &rooted)?;
    Ok(rooted)
}

fn names(trees: &MemoryTrees, rooted: &Rooted) -> Vec<String> {
    let items = walk(trees, rooted).expect("walk");
    items
        .map(|item| item.expect("item").path.to_string())
        .collect()
}

fn at(trees: &MemoryTrees, rooted: &Rooted, place: &str) -> (Entry, i64) {
    let found = get_stamped(trees, rooted, &path(place)).expect("read");
    let (entry, stamp) = found.unwrap_or_else(|| panic!("{place} is missing"));
    (entry, stamp.mtime_ns)
}

#[test]
fn a_directory_nobody_described_stays_as_it_was_below() {
    let trees = MemoryTrees::default();
    let lower = Tarball::new()
        .put(tar::EntryType::Directory, "root", "", b"", 0o700)
        .file("root/old", b"");
    let upper = Tarball::new()
        .file("root/new", b"")
        .file("made/new", b"")
        .file("root/.wh.old", b"");
    let rooted = image(&trees, &[lower.end(), upper.end()]).expect("image");
    assert_eq!(
        names(&trees, &rooted),
        ["made", "made/new", "root", "root/new"]
    );
    let (root, mtime) = at(&trees, &rooted, "root");
    assert_eq!((root.meta.mode, mtime), (0o700, 1_700_000_000_000_000_000));
    assert_eq!(at(&trees, &rooted, "made").0.meta, Meta::default_dir());
}

#[test]
fn an_undescribed_directory_that_is_a_symlink_below_is_followed() {
    let trees = MemoryTrees::default();
    let lower = Tarball::new()
        .put(tar::EntryType::Directory, "usr/lib", "", b"", 0o711)
        .file("usr/lib/libc", b"")
        .file("usr/lib/old", b"")
        .symlink("lib", "usr/lib")
        .symlink("lib64", "/lib/../lib");
    let upper = Tarball::new()
        .file("lib/libx", b"x")
        .file("lib/.wh.old", b"")
        .file("lib64/liby", b"y")
        .file("usr/lib/libz", b"z");
    let rooted = image(&trees, &[lower.end(), upper.end()]).expect("image");
    let wanted = [
        "lib",
        "lib64",
        "usr",
        "usr/lib",
        "usr/lib/libc",
        "usr/lib/libx",
        "usr/lib/liby",
        "usr/lib/libz",
    ];
    assert_eq!(names(&trees, &rooted), wanted);
    assert_eq!(at(&trees, &rooted, "lib").0.kind(), Kind::Symlink);
    assert_eq!(at(&trees, &rooted, "usr/lib").0.meta.mode, 0o711);
}

#[test]
fn a_described_directory_replaces_a_symlink_and_loops_are_no_directory() {
    let trees = MemoryTrees::default();
    let lower = Tarball::new()
        .dir("real")
        .symlink("a", "real")
        .symlink("loop", "loop");
    let upper = Tarball::new().dir("a").file("a/x", b"").file("loop/x", b"");
    let rooted = image(&trees, &[lower.end(), upper.end()]).expect("image");
    assert_eq!(
        names(&trees, &rooted),
        ["a", "a/x", "loop", "loop/x", "real"]
    );
}

#[test]
fn a_hard_link_to_a_lower_file_makes_both_one() {
    let trees = MemoryTrees::default();
    let lower = Tarball::new()
        .put(tar::EntryType::Regular, "usr/f", "", b"x", 0o4755)
        .symlink("alias", "usr")
        .file("gone", b"y");
    let upper = Tarball::new()
        .link("g", "alias/f")
        .link("kept", "gone")
        .file("gone", b"new");
    let rooted = image(&trees, &[lower.end(), upper.end()]).expect("image");
    let group = |place: &str| match at(&trees, &rooted, place).0.target {
        Target::Regular {
            link_group, blob, ..
        } => (link_group, blob),
        other => panic!("{other:?}"),
    };
    assert!(group("g").0.is_some());
    assert_eq!(group("g"), group("usr/f"));
    assert_eq!(at(&trees, &rooted, "g").0.meta.mode, 0o4755);
    assert_eq!(
        (group("kept").1, group("gone").1),
        (Id::of(b"y"), Id::of(b"new"))
    );
    assert_ne!(group("kept").0, group("gone").0);
}

#[test]
fn links_to_nothing_and_bad_mount_points_are_refused() {
    let trees = MemoryTrees::default();
    let dangling = Tarball::new().link("a", "no/such").end();
    assert!(image(&trees, &[dangling]).is_err());
    let directory = image(
        &trees,
        &[
            Tarball::new().dir("d").end(),
            Tarball::new().link("a", "d").end(),
        ],
    );
    assert!(directory.is_err());
    for name in ["dev", "proc", "sys"] {
        let evil = Tarball::new().symlink(name, "/tmp/x").end();
        assert!(image(&trees, &[evil]).is_err(), "{name}");
        let file = Tarball::new().file(name, b"").end();
        assert!(image(&trees, &[file]).is_err(), "{name}");
    }
}

#[test]
fn an_opaque_root_hides_every_lower_layer() {
    let trees = MemoryTrees::default();
    let upper = Tarball::new().file("b", b"").file(".wh..wh..opq", b"");
    let rooted = image(&trees, &[Tarball::new().file("a", b"").end(), upper.end()]).expect("image");
    assert_eq!(names(&trees, &rooted), ["b"]);
}

#[test]
fn paths_of_two_thousand_levels_are_taken() {
    let trees = MemoryTrees::default();
    let deep = "d/".repeat(2000) + "end";
    let lower = Tarball::new()
        .pax(&[("path", deep.as_bytes())])
        .file("cut", b"x");
    let upper = Tarball::new()
        .pax(&[("path", format!("{deep}2").as_bytes())])
        .file("cut", b"y");
    let rooted = image(&trees, &[lower.end(), upper.end()]).expect("image");
    assert_eq!(names(&trees, &rooted).len(), 2002);
}
