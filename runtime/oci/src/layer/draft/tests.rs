//! Layers gathered from archives, legal and otherwise.

use hd_dag::Kind;
use proptest::prelude::*;
use tar::EntryType;

use super::*;
use crate::layer::Limits;
use crate::layer::tar::TarReader;
use crate::tarball::Tarball;

fn path(text: &str) -> TreePath {
    text.parse().expect("path")
}

/// Reads a layer, with the content's hash in place of a store.
fn layer(bytes: &[u8]) -> Result<Layer, LayerError> {
    gather(Draft::default(), bytes)
}

fn gather(mut draft: Draft, bytes: &[u8]) -> Result<Layer, LayerError> {
    let mut archive = TarReader::new(bytes, Limits::default());
    while let Some(entry) = archive.next_entry()? {
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut archive.content(), &mut content)?;
        let stored = (Id::of(&content), content.len() as u64);
        draft.add(entry, Some(stored))?;
    }
    draft.finish(b"test")
}

fn shape(layer: &Layer) -> Vec<(String, Kind)> {
    let shown =
        |(path, entry, _): &(TreePath, hd_dag::Entry, i64)| (path.to_string(), entry.kind());
    layer.entries.iter().map(shown).collect()
}

fn opaque(layer: &Layer, at: &str) -> bool {
    let found = layer.entries.iter().find(|(place, ..)| *place == path(at));
    matches!(found, Some((_, entry, _)) if matches!(entry.target, Target::Dir { opaque: true, .. }))
}

#[test]
fn a_layer_is_gathered_with_its_markers() {
    let bytes = Tarball::new()
        .file("opt/.wh.gone", b"")
        .dir("first")
        .file("first/.wh..wh..opq", b"")
        .file("first/new", b"n")
        .dir("last")
        .file("last/new", b"n")
        .file("last/.wh..wh..opq", b"")
        .file(".wh.again", b"")
        .dir("again")
        .file("again/x", b"")
        .file(".wh..wh.plnk", b"")
        .file(".wh.file", b"")
        .file("file", b"new")
        .end();
    let layer = layer(&bytes).expect("layer");
    let wanted = [
        ("again", Kind::Dir),
        ("again/x", Kind::Regular),
        ("file", Kind::Regular),
        ("first", Kind::Dir),
        ("first/new", Kind::Regular),
        ("last", Kind::Dir),
        ("last/new", Kind::Regular),
        ("opt", Kind::Dir),
        ("opt/gone", Kind::Whiteout),
    ];
    let wanted: Vec<(String, Kind)> = wanted.map(|(path, kind)| (path.to_owned(), kind)).into();
    assert_eq!(shape(&layer), wanted);
    assert!(opaque(&layer, "first") && opaque(&layer, "last") && opaque(&layer, "again"));
    assert!(!opaque(&layer, "opt"));
    assert_eq!(layer.open.implicit, [path("opt")]);
    assert!(!layer.open.opaque_root);
    let root = Tarball::new()
        .file(".wh..wh..opq", b"")
        .file("a", b"")
        .end();
    assert!(self::layer(&root).expect("layer").open.opaque_root);
}

#[test]
fn hard_links_share_a_group_and_their_target_s_metadata() {
    let bytes = Tarball::new()
        .put(EntryType::Regular, "a", "", b"x", 0o4755)
        .link("b", "/a")
        .link("c", "./b")
        .file("alone", b"x")
        .link("lower", "usr/lower")
        .link("lower2", "lower")
        .end();
    let layer = layer(&bytes).expect("layer");
    let group = |index: usize| match &layer.entries[index].1.target {
        Target::Regular { link_group, .. } => *link_group,
        other => panic!("{other:?}"),
    };
    assert_eq!(shape(&layer).len(), 4);
    assert!(group(0).is_some());
    assert_eq!((group(0), group(0), group(1)), (group(2), group(3), None));
    assert_eq!(layer.entries[2].1.meta.mode, 0o4755);
    let to = |name: &str| (path(name), path("usr/lower"));
    assert_eq!(layer.open.links, [to("lower"), to("lower2")]);
}

#[test]
fn what_the_specification_forbids_is_refused() {
    #[rustfmt::skip]
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("twice", Tarball::new().file("a", b"1").file("./a", b"2").end()),
        ("file and link", Tarball::new().file("a", b"1").symlink("a", "b").end()),
        ("file and dir", Tarball::new().file("a", b"1").dir("a").end()),
        ("dir with other words", Tarball::new().dir("a").put(EntryType::Directory, "a", "", b"", 0o700).end()),
        ("through a symlink", Tarball::new().symlink("a", "/etc").file("a/passwd", b"").end()),
        ("below a file", Tarball::new().file("a", b"").file("a/b", b"").end()),
        ("file over children", Tarball::new().file("a/b", b"").file("a", b"").end()),
        ("link to itself", Tarball::new().file("a", b"").link("a", "a").end()),
        ("link to a directory", Tarball::new().dir("a").link("b", "a").end()),
        ("link to what it removes", Tarball::new().link("b", "d/f").file(".wh.d", b"").end()),
        ("link to what it hides", Tarball::new().link("b", "d/f").file("d/.wh..wh..opq", b"").end()),
        ("nameless whiteout", Tarball::new().file(".wh.", b"").end()),
        ("dotted whiteout", Tarball::new().file("a/.wh...", b"").end()),
        ("below a whiteout", Tarball::new().file(".wh.a/b", b"").end()),
        ("root as file", Tarball::new().file("./", b"").symlink("/", "x").end()),
    ];
    for (name, bytes) in table {
        assert!(layer(&bytes).is_err(), "{name}");
    }
    let same = Tarball::new().dir("a").dir("a/").file("a/b", b"").end();
    assert!(layer(&same).is_ok(), "builders repeat directories");
}

#[test]
fn all_that_is_kept_in_memory_has_one_bound() {
    let (name, left) = ("n".repeat(60), 150);
    let attribute = [("SCHILY.xattr.user.x", &[7; 150][..])];
    let small = [("SCHILY.xattr.user.x", &[7; 60][..])];
    let file = || Tarball::new().file("a", b"");
    let whiteout = |at: u8| format!("{at}/.wh.{name}");
    #[rustfmt::skip]
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("names", file().file(&name, b"").dir(&format!("{name}1")).dir(&format!("{name}2")).end()),
        ("parents", file().file(&format!("{name}/b/c/x"), b"").end()),
        ("whiteouts", file().file(&whiteout(1), b"").file(&whiteout(2), b"").file(&whiteout(3), b"").end()),
        ("attributes", file().pax(&attribute).file("b", b"").end()),
        ("attributes of links", Tarball::new().pax(&small).file("a", b"").link("b", "a").link("c", "a").end()),
        ("targets", file().symlink("b", &name).symlink("c", &name).symlink("d", &name).end()),
        ("targets below", file().link("b", &name).link("c", "b").link("d", "b").end()),
    ];
    for (name, bytes) in table {
        assert!(layer(&bytes).is_ok(), "{name}");
        let near = Draft {
            held: MAX_HELD - left,
            ..Draft::default()
        };
        let error = gather(near, &bytes).expect_err(name);
        assert!(error.to_string().contains("attributes"), "{name}: {error}");
    }
    let near = Draft {
        held: MAX_HELD - left,
        ..Draft::default()
    };
    assert!(gather(near, &file().file(&name, b"").end()).is_ok());
}

fn sample() -> Vec<u8> {
    Tarball::new()
        .dir("d")
        .file("d/f", b"content")
        .link("d/l", "d/f")
        .symlink("s", "d")
        .pax(&[
            ("path", b"p/q"),
            ("mtime", b"-1.5"),
            ("SCHILY.xattr.user.x", b"v"),
        ])
        .file("cut", &[9; 700])
        .long_name("long/name")
        .file("cut", b"")
        .file("d/.wh.x", b"")
        .end()
}

proptest! {
    #[test]
    fn mutated_archives_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        keep in any::<prop::sample::Index>(),
        fix in any::<bool>(),
    ) {
        let mut bytes = sample();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if fix {
            fix_checksums(&mut bytes);
        }
        bytes.truncate(keep.index(bytes.len()) + 1);
        let _ = layer(&bytes);
    }

    #[test]
    fn any_order_of_names_and_kinds_is_gathered_or_refused(
        made in prop::collection::vec(("(a|b|\\.wh\\.a|\\.wh\\.\\.wh\\.\\.opq)(/(a|b|\\.wh\\.b)){0,2}", 0..4usize), 0..12),
    ) {
        let archive = made.iter().fold(Tarball::new(), |archive, (path, kind)| match kind {
            0 => archive.dir(path),
            1 => archive.file(path, b"x"),
            2 => archive.symlink(path, "a"),
            _ => archive.link(path, "a/b"),
        });
        if let Ok(layer) = layer(&archive.end()) {
            let trees = hd_dag::MemoryTrees::default();
            prop_assert!(layer.entries.is_sorted_by(|a, b| a.0 < b.0));
            prop_assert!(hd_dag::build(&trees, layer.entries).is_ok());
        }
    }
}

/// Makes every block that looks like a header pass the checksum, so that mutations get beyond it.
fn fix_checksums(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}
