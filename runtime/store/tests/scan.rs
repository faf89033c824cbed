//! Scans: complete, and cheap when nothing changed.
#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::SystemTime;

use common::noise;
use common::project::{Project, Rules, blob, by_path};
use hd_store::Id;
use hd_store::scan::{NoteReason, ScannedKind, scan};

#[test]
fn everything_is_seen_as_it_is() {
    let project = Project::new();
    project.write("b/c/deep.txt", b"deep");
    project.write("a.txt", b"hello");
    project.write("a/x", b"");
    project.write("large", &noise(1, 500_000));
    project.write("node_modules/no", b"never read");
    project.write("b/.ignore", b"secret\nbuild\n");
    project.write("b/secret", b"hidden");
    project.write("b/build/out", b"hidden");
    let odd = std::ffi::OsString::from_vec(b"n\xff\n\x1b".to_vec());
    fs::write(project.root.join(&odd), b"odd").unwrap();
    symlink("../outside/\u{e9}", project.root.join("link")).unwrap();
    fs::set_permissions(
        project.root.join("a.txt"),
        fs::Permissions::from_mode(0o4751),
    )
    .unwrap();
    let fifo = project.root.join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::from(0o600)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(project.root.join("socket")).unwrap();
    let attributes = rustix::fs::setxattr(
        project.root.join("a.txt"),
        "user.k",
        b"v\0",
        rustix::fs::XattrFlags::empty(),
    );

    let report = project.scan();
    let paths: Vec<&[u8]> = report
        .entries
        .iter()
        .map(|entry| entry.path.as_slice())
        .collect();
    let expected: [&[u8]; 12] = [
        b"",
        b"a",
        b"a/x",
        b"a.txt",
        b"b",
        b"b/.ignore",
        b"b/c",
        b"b/c/deep.txt",
        b"large",
        b"link",
        odd.as_bytes(),
        b"pipe",
    ];
    assert_eq!(paths, expected);
    let entries = by_path(&report.entries);
    assert_eq!(entries["a.txt"].mode, 0o4751);
    if attributes.is_ok() {
        assert_eq!(entries["a.txt"].xattrs[&b"user.k"[..]], b"v\0");
    }
    assert_eq!(entries["pipe"].kind, ScannedKind::Fifo);
    assert_eq!(
        entries["link"].kind,
        ScannedKind::Symlink {
            target: "../outside/\u{e9}".into()
        }
    );
    assert_eq!(entries["a"].kind, ScannedKind::Dir);
    assert_eq!(
        entries["a/x"].kind,
        ScannedKind::Regular {
            blob: Id::of(b""),
            size: 0
        }
    );
    let stat = fs::metadata(project.root.join("b/c/deep.txt")).unwrap();
    let mtime = stat
        .modified()
        .unwrap()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    assert_eq!(entries["b/c/deep.txt"].mtime_ns as u128, mtime.as_nanos());
    assert_eq!(report.notes.len(), 1);
    assert_eq!(
        (report.notes[0].path.as_slice(), &report.notes[0].reason),
        (&b"socket"[..], &NoteReason::Socket)
    );
    assert_eq!(
        project.store.read_blob(&blob(&report, "large")).unwrap(),
        noise(1, 500_000)
    );
    assert_eq!(
        project
            .store
            .read_blob(&blob(&report, "b/c/deep.txt"))
            .unwrap(),
        b"deep"
    );

    let settled = project.settle();
    assert_eq!(
        settled.entries, report.entries,
        "attributes and links come from the cache too"
    );
    assert_eq!(project.scan_from_scratch().entries, report.entries);
}

#[test]
fn a_scan_without_a_change_reads_lists_and_writes_nothing() {
    let project = Project::new();
    for number in 0..300 {
        project.write(&format!("d{}/f{number}", number % 7), &noise(number, 100));
    }
    project.settle();
    let cache = fs::metadata(&project.cache).unwrap().modified().unwrap();
    let segment = fs::metadata(&common::segments(project.store.path())[0]).unwrap();
    let report = project.scan();
    assert!(report.unchanged);
    assert_eq!(
        (
            report.counts.hashed,
            report.counts.listed,
            report.entries.len()
        ),
        (0, 0, 308)
    );
    assert_eq!(report.counts.stated, 308);
    assert_eq!(
        fs::metadata(&project.cache).unwrap().modified().unwrap(),
        cache
    );
    let after = fs::metadata(&common::segments(project.store.path())[0]).unwrap();
    assert_eq!(
        (after.len(), after.modified().unwrap()),
        (segment.len(), segment.modified().unwrap())
    );
}

#[test]
fn links_are_never_followed_and_a_lost_root_is_no_empty_project() {
    let project = Project::new();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), b"secret").unwrap();
    symlink(outside.path(), project.root.join("out")).unwrap();
    symlink(".", project.root.join("loop")).unwrap();
    let report = project.scan();
    assert_eq!(report.entries.len(), 3);
    let report = project.paths(&["out/secret", "loop/loop"]);
    assert_eq!((report.gone.len(), report.counts.hashed), (2, 0));
    fs::remove_dir_all(&project.root).unwrap();
    let mut writer = project.store.writer().unwrap();
    let lost = scan(
        &project.store,
        &mut writer,
        Path::new(&project.root),
        &Rules::new(),
        None,
    );
    assert!(lost.unwrap_err().to_string().contains("project"));
}

#[test]
fn very_deep_directories_are_no_problem() {
    let project = Project::new();
    let mut dir = rustix::fs::open(
        &project.root,
        rustix::fs::OFlags::PATH,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    let name = "d".repeat(100);
    for _ in 0..120 {
        rustix::fs::mkdirat(&dir, &name, rustix::fs::Mode::from(0o755)).unwrap();
        dir = rustix::fs::openat(
            &dir,
            &name,
            rustix::fs::OFlags::PATH,
            rustix::fs::Mode::empty(),
        )
        .unwrap();
    }
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CREATE;
    let file = rustix::fs::openat(&dir, "leaf", flags, rustix::fs::Mode::from(0o644)).unwrap();
    std::io::Write::write_all(&mut fs::File::from(file), b"deep").unwrap();
    let report = project.scan();
    let last = report.entries.last().unwrap();
    assert_eq!(last.path.len(), 120 * 101 + 4);
    assert_eq!(
        last.kind,
        ScannedKind::Regular {
            blob: Id::of(b"deep"),
            size: 4
        }
    );
    assert_eq!(project.settle().entries, report.entries);
}
