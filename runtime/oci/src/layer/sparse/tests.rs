//! Sparse files as GNU tar itself writes them, and as nobody should.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use ::tar::EntryType;
use proptest::prelude::*;

use crate::layer::entry::TarKind;
use crate::layer::tar::TarReader;
use crate::layer::{LayerError, Limits};
use crate::tarball::Tarball;

/// Every way in which GNU tar stores a sparse file.
const FORMATS: [&[&str]; 4] = [
    &["--format=gnu"],
    &["--format=pax", "--sparse-version=0.0"],
    &["--format=pax", "--sparse-version=0.1"],
    &["--format=pax", "--sparse-version=1.0"],
];

/// Writes a file with data at some blocks of 4 KiB and holes at all others.
fn make(path: &Path, blocks: &[(u64, u8)], size: u64) {
    let file = File::create(path).expect("create");
    file.set_len(size).expect("length");
    for (block, byte) in blocks {
        let at = block * 4096;
        if at < size {
            let length = (size - at).min(4096) as usize;
            file.write_all_at(&vec![*byte; length], at).expect("write");
        }
    }
}

fn read(bytes: &[u8]) -> Result<Vec<(String, u64, Vec<u8>)>, LayerError> {
    let mut archive = TarReader::new(bytes, Limits::default());
    let mut files = Vec::new();
    while let Some(entry) = archive.next_entry()? {
        let TarKind::Regular { size } = entry.kind else {
            continue;
        };
        let mut content = Vec::new();
        archive.content().read_to_end(&mut content)?;
        files.push((entry.path.to_string(), size, content));
    }
    archive.drain()?;
    Ok(files)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_file_is_what_it_was_before_gnu_tar_stored_it(
        blocks in prop::collection::btree_map(0u64..400, 1u8..255, 0..60),
        size in 0u64..400 * 4096,
    ) {
        let place = tempfile::tempdir().expect("a directory");
        let blocks: Vec<(u64, u8)> = blocks.into_iter().collect();
        let long = format!("{}/sparse", "long".repeat(40));
        std::fs::create_dir(place.path().join("long".repeat(40))).expect("mkdir");
        make(&place.path().join(&long), &blocks, size);
        make(&place.path().join("after"), &[], 5);
        let whole = std::fs::read(place.path().join(&long)).expect("read");
        for format in FORMATS {
            let packed = Command::new("tar")
                .args(["--sparse", "-cf", "-"])
                .args(format)
                .args([&long, "after"])
                .current_dir(place.path())
                .output()
                .expect("GNU tar");
            prop_assert!(packed.status.success(), "{packed:?}");
            let files = read(&packed.stdout).expect("its archive is read");
            prop_assert_eq!(files.len(), 2);
            let (name, length, content) = &files[0];
            prop_assert_eq!((name, *length), (&long, size), "{:?}", format);
            prop_assert!(*content == whole, "{format:?}");
            prop_assert_eq!(&files[1].2, &[0; 5]);
        }
    }
}

#[test]
fn holes_are_stored_as_holes_by_the_tar_of_this_test() {
    let place = tempfile::tempdir().expect("a directory");
    let blocks: Vec<(u64, u8)> = (0..100).map(|block| (block * 3, 7)).collect();
    make(&place.path().join("sparse"), &blocks, 1 << 26);
    for format in FORMATS {
        let packed = Command::new("tar")
            .args(["--sparse", "-cf", "-"])
            .args(format)
            .arg("sparse")
            .current_dir(place.path())
            .output();
        let packed = packed.expect("GNU tar").stdout;
        // More parts than the header holds, and far fewer bytes than the file has.
        assert!(
            packed.len() < 1 << 20,
            "{} bytes of {format:?}",
            packed.len()
        );
        assert_eq!(read(&packed).expect("read")[0].1, 1 << 26);
    }
}

#[test]
fn maps_that_make_no_sense_are_refused() {
    let file = |records: &[(&str, &[u8])], content: &[u8]| {
        Tarball::new().pax(records).file("a", content).end()
    };
    let one = |size: &'static [u8], map: &'static [u8]| {
        file(
            &[("GNU.sparse.size", size), ("GNU.sparse.map", map)],
            b"abcd",
        )
    };
    let with_map = |map: &str| {
        let mut content = map.as_bytes().to_vec();
        content.resize(content.len().next_multiple_of(512), 0);
        content.extend_from_slice(b"abcd");
        let records: [(&str, &[u8]); 2] =
            [("GNU.sparse.major", b"1"), ("GNU.sparse.realsize", b"10")];
        file(&records, &content)
    };
    assert_eq!(
        read(&one(b"10", b"2,2,8,2")).expect("good")[0].2,
        b"\0\0ab\0\0\0\0cd"
    );
    assert_eq!(
        read(&with_map("1\n3\n4\n")).expect("good")[0].2,
        b"\0\0\0abcd\0\0\0"
    );
    #[rustfmt::skip]
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("out of order", one(b"10", b"8,2,2,2")),
        ("overlap", one(b"10", b"0,3,2,1")),
        ("beyond the end", one(b"10", b"8,4")),
        ("overflow", one(b"18446744073709551615", b"18446744073709551615,4")),
        ("more stored", one(b"10", b"0,2")),
        ("less stored", one(b"10", b"0,8")),
        ("no size", file(&[("GNU.sparse.map", b"0,4")], b"abcd")),
        ("no number", with_map("1\nx\n4\n")),
        ("negative", with_map("1\n-3\n4\n")),
        ("no end", with_map("900\n1\n1\n")),
        ("long number", with_map("111111111111111111111111111111\n")),
        ("old without its header", Tarball::new().header(EntryType::GNUSparse, b"a", b"", |_| {}).end()),
    ];
    for (name, bytes) in table {
        assert!(read(&bytes).is_err(), "{name}");
    }
}

#[test]
fn a_disk_of_zeros_is_a_bomb() {
    let records: [(&str, &[u8]); 2] = [
        ("GNU.sparse.size", b"1099511627776"),
        ("GNU.sparse.map", b"0,0"),
    ];
    let error = read(&Tarball::new().pax(&records).file("a", b"").end()).expect_err("a bomb");
    assert!(error.to_string().contains("holes"), "{error}");
    // Many holes of a permitted size are one as well.
    let records: [(&str, &[u8]); 2] = [
        ("GNU.sparse.size", b"600000000"),
        ("GNU.sparse.map", b"0,0"),
    ];
    let two = Tarball::new().pax(&records).file("a", b"");
    let two = two.pax(&records).file("b", b"").end();
    let mut archive = TarReader::new(two.as_slice(), Limits::default());
    archive.next_entry().expect("the first").expect("an entry");
    let error = archive.next_entry().expect_err("the second");
    assert!(error.to_string().contains("holes"), "{error}");
}
