//! Scans after a change: never fooled by equal sizes and times, never vouching for lost content.
#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::SystemTime;

use common::project::{Project, Rules, blob, by_path};
use common::{TextLinks, noise};
use hd_store::scan::scan;
use hd_store::{GcOptions, Id, Store};

#[test]
fn equal_size_and_mtime_do_not_hide_other_bytes() {
    let project = Project::new();
    project.write("file", b"one");
    project.write("other", b"same");
    let settled = project.settle();
    let path = project.root.join("file");
    let mtime = fs::metadata(&path).unwrap().modified().unwrap();
    let forge = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(mtime)
            .unwrap();
    };
    forge(b"two");
    let report = project.scan();
    assert_eq!(blob(&report, "file"), Id::of(b"two"));
    assert_eq!((report.counts.hashed, report.unchanged), (1, false));
    assert_eq!(blob(&report, "other"), blob(&settled, "other"));
    // Saves right behind a scan, as fast as they come.
    for round in 0..200_u32 {
        let bytes = format!("{:03}", round % 1000);
        forge(bytes.as_bytes());
        assert_eq!(
            blob(&project.scan(), "file"),
            Id::of(bytes.as_bytes()),
            "round {round}"
        );
    }
    // Another file in its place, with the same times.
    fs::write(project.root.join("new"), b"abc").unwrap();
    fs::rename(project.root.join("new"), &path).unwrap();
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(mtime)
        .unwrap();
    assert_eq!(blob(&project.scan(), "file"), Id::of(b"abc"));
}

#[test]
fn every_kind_of_change_is_seen_and_a_touch_changes_no_content() {
    let project = Project::new();
    for path in ["a/b/one", "a/two", "three", "gone/x", "swap"] {
        project.write(path, path.as_bytes());
    }
    project.settle();
    let check = |what: &str| {
        let incremental = project.scan();
        assert!(!incremental.unchanged, "{what}");
        assert_eq!(
            incremental.entries,
            project.scan_from_scratch().entries,
            "{what}"
        );
    };
    project.write("a/b/new", b"new");
    check("a new file");
    fs::rename(project.root.join("a/two"), project.root.join("a/b/two")).unwrap();
    check("a move");
    fs::remove_dir_all(project.root.join("gone")).unwrap();
    check("a removal");
    fs::remove_file(project.root.join("swap")).unwrap();
    project.write("swap/now/a/dir", b"x");
    check("a file that became a directory");
    fs::remove_dir_all(project.root.join("a/b")).unwrap();
    symlink("three", project.root.join("a/b")).unwrap();
    check("a directory that became a link");
    fs::set_permissions(
        project.root.join("three"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    check("a mode");
    project.write(".ignore", b"three\n");
    check("an ignore file");
    fs::write(project.root.join(".ignore"), b"other\n").unwrap();
    check("rules that changed while the names did not");
    project.settle();
    fs::File::options()
        .write(true)
        .open(project.root.join("three"))
        .unwrap()
        .set_modified(SystemTime::now())
        .unwrap();
    let touched = project.scan();
    assert_eq!(
        (touched.counts.hashed, blob(&touched, "three")),
        (1, Id::of(b"three"))
    );
}

#[test]
fn a_cache_never_vouches_for_what_a_collection_took_or_a_disk_spoiled() {
    let project = Project::new();
    project.write("file", &noise(1, 3000));
    project.write("large", &noise(2, 300_000));
    let settled = project.settle();
    // Nothing refers to the blobs, so they go.
    project.store.gc(&TextLinks, &GcOptions::new(0)).unwrap();
    assert!(!project.store.contains(&blob(&settled, "file")).unwrap());
    let report = project.scan();
    assert_eq!((report.counts.hashed, report.unchanged), (2, false));
    assert_eq!(
        project.store.read_blob(&blob(&report, "file")).unwrap(),
        noise(1, 3000)
    );
    project.settle();
    // A bit flips in the stored copy of a chunk in the middle of the large one.
    let segment = common::segments(project.store.path())[0].clone();
    let mut bytes = fs::read(&segment).unwrap();
    let needle = &noise(2, 300_000)[150_000..150_100];
    let at = bytes
        .windows(100)
        .position(|window| window == needle)
        .unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let fresh = Store::open(project.store.path()).unwrap();
    let damaged = fresh.read_blob(&blob(&report, "large"));
    assert!(matches!(damaged, Err(hd_store::Error::Damaged { .. })));
    let mut writer = fresh.writer().unwrap();
    let healed = scan(
        &fresh,
        &mut writer,
        &project.root,
        &Rules::new(),
        Some(&project.cache),
    )
    .unwrap();
    assert_eq!(
        healed.counts.hashed, 1,
        "only what is damaged is read again"
    );
    assert_eq!(
        fresh.read_blob(&blob(&healed, "large")).unwrap(),
        noise(2, 300_000)
    );
}

#[test]
fn dirty_paths_are_answered_and_nothing_else() {
    let project = Project::new();
    for path in ["a/one", "a/two", "b/c/three", "four"] {
        project.write(path, path.as_bytes());
    }
    project.write("a/.ignore", b"hidden\n");
    project.scan();
    project.write("a/one", b"changed");
    project.write("a/hidden", b"no");
    project.write("b/new/dir/file", b"new");
    fs::remove_file(project.root.join("four")).unwrap();
    symlink("x", project.root.join("link")).unwrap();
    let paths = [
        "a/one",
        "four",
        "a/hidden",
        "b/new",
        "b/new/dir/file",
        "link",
        "never",
        "../x",
        "b/c/three/y",
    ];
    let report = project.paths(&paths);
    let present: Vec<_> = report
        .present
        .iter()
        .map(|e| String::from_utf8_lossy(&e.path).into_owned())
        .collect();
    let expected = [
        "",
        "a",
        "a/one",
        "b",
        "b/c",
        "b/new",
        "b/new/dir",
        "b/new/dir/file",
        "link",
    ];
    assert_eq!(present, expected);
    let gone: Vec<_> = report
        .gone
        .iter()
        .map(|path| String::from_utf8_lossy(path).into_owned())
        .collect();
    assert_eq!(gone, ["../x", "a/hidden", "b/c/three/y", "four", "never"]);
    assert_eq!(report.walked, [b"b/new".to_vec()]);
    let whole = project.scan();
    let whole = by_path(&whole.entries);
    for entry in &report.present {
        assert_eq!(whole[&*String::from_utf8_lossy(&entry.path)], entry);
    }
    assert_eq!(
        project.store.read_blob(&Id::of(b"changed")).unwrap(),
        b"changed"
    );
    // New rules concern the whole directory.
    project.write("a/.ignore", b"two\n");
    let report = project.paths(&["a/.ignore"]);
    assert_eq!(report.walked, [b"a".to_vec()]);
    let present: Vec<_> = report.present.iter().map(|e| e.path.clone()).collect();
    assert_eq!(
        present,
        [
            b"".to_vec(),
            b"a".to_vec(),
            b"a/.ignore".to_vec(),
            b"a/hidden".to_vec(),
            b"a/one".to_vec()
        ]
    );
}
