//! Archives of every kind, read entry by entry.

use ::tar::EntryType;

use super::*;
use crate::tarball::Tarball;

fn entries(bytes: &[u8]) -> Result<Vec<TarEntry>, LayerError> {
    let mut archive = TarReader::new(bytes, Limits::default());
    let mut all = Vec::new();
    while let Some(entry) = archive.next_entry()? {
        all.push(entry);
    }
    archive.drain()?;
    Ok(all)
}

#[test]
fn every_kind_and_format_of_entry_is_read() {
    let long = "deep/".repeat(60) + "end";
    let bytes = Tarball::new()
        .dir("./")
        .put(EntryType::Regular, "./bin/su", "", b"x", 0o4755)
        .symlink("up", "../../../../etc/passwd")
        .header(EntryType::Char, b"null", b"", |header| {
            header.set_device_major(1).expect("major");
            header.set_device_minor(3).expect("minor");
        })
        .put(EntryType::Fifo, "fifo", "", b"", 0o600)
        .long_name(&long)
        .file("cut", b"long")
        .pax(&[
            ("path", b"bad\xff\xfe"),
            ("mtime", b"1700000000.5"),
            ("uid", b"3000000"),
            ("SCHILY.xattr.user.k", b"a\nb"),
        ])
        .file("cut", b"")
        .header(EntryType::Regular, b"gnu", b"", |header| {
            // Binary numbers, as GNU tar writes what octal cannot hold.
            header.as_old_mut().mtime = [0xff; 12];
            header.set_uid(4_000_000_000);
        })
        .header(EntryType::Regular, b"v7dir/", b"", |_| {})
        .header(EntryType::XGlobalHeader, b"g", b"9 a=bcde\n", |_| {})
        .end();
    let all = entries(&bytes).expect("entries");
    let paths: Vec<String> = all.iter().map(|entry| entry.path.to_string()).collect();
    let wanted = [
        "",
        "bin/su",
        "up",
        "null",
        "fifo",
        &long,
        "bad\\xff\\xfe",
        "gnu",
        "v7dir",
    ];
    assert_eq!(paths, wanted);
    assert_eq!(all[1].mode, 0o4755);
    assert_eq!(all[3].kind, TarKind::Char { rdev: 0x103 });
    assert_eq!(all[5].kind, TarKind::Regular { size: 4 });
    let pax = &all[6];
    assert_eq!(
        (pax.uid, pax.mtime_ns),
        (3_000_000, 1_700_000_000_500_000_000)
    );
    assert_eq!(
        pax.xattrs.get(b"user.k".as_slice()).map(Vec::as_slice),
        Some(&b"a\nb"[..])
    );
    assert_eq!(
        (all[7].uid, all[7].mtime_ns),
        (4_000_000_000, -1_000_000_000)
    );
    assert_eq!(all[8].kind, TarKind::Dir);
}

#[test]
fn malformed_archives_are_refused() {
    #[rustfmt::skip]
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("cut in content", Tarball::new().file("a", &[7; 600]).cut()[..1000].to_vec()),
        ("cut in header", Tarball::new().file("a", b"").cut()[..300].to_vec()),
        ("bad checksum", { let mut bytes = Tarball::new().file("a", b"x").end(); bytes[0] = b'b'; bytes }),
        ("dangling pax", Tarball::new().pax(&[("path", b"x")]).end()),
        ("two pax", Tarball::new().pax(&[("path", b"x")]).pax(&[("path", b"y")]).file("a", b"").end()),
        ("unknown type", Tarball::new().header(EntryType::new(b'Z'), b"a", b"", |_| {}).end()),
        ("parent", Tarball::new().file("../a", b"").end()),
        ("inner parent", Tarball::new().file("a/../../b", b"").end()),
        ("link up", Tarball::new().link("a", "../../etc/shadow").end()),
        ("pax parent", Tarball::new().pax(&[("path", b"/x/../../y")]).file("a", b"").end()),
        ("huge uid", Tarball::new().pax(&[("uid", b"4294967296")]).file("a", b"").end()),
        ("pax NUL", Tarball::new().pax(&[("path", b"a\0b")]).file("a", b"").end()),
        ("html", b"<html><body>please log in</body></html>".repeat(40).to_vec()),
        ("huge size", Tarball::new().pax(&[("size", b"18446744073709551615")]).file("a", b"").end()),
    ];
    for (name, bytes) in table {
        assert!(entries(&bytes).is_err(), "{name}");
    }
}

#[test]
fn limits_hold() {
    let bytes = Tarball::new().file("a", &[7; 2000]).file("b", b"").end();
    let small = [
        Limits {
            entries: 1,
            ..Limits::default()
        },
        Limits {
            bytes: 1500,
            ..Limits::default()
        },
    ];
    for limits in small {
        let mut archive = TarReader::new(bytes.as_slice(), limits);
        let error = loop {
            match archive.next_entry() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{limits:?} did not hold"),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("limit"), "{error}");
    }
}
