//! The filter keeps exactly the files git would call untracked, on random trees with nested ignore
//! files: git itself is the reference.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test stops on what it did not expect"
)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::Command;

use hd_config::{DirFilter, FileFilter, Files, FilterStack};
use proptest::prelude::*;

const NAMES: [&str; 10] = [
    "a", "b", "ab", "a b", "{a}", "a.c", "[a]", "foo", "é", "a-b",
];

fn git(root: &Path, args: &[&str]) -> Vec<u8> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(["-c", "core.excludesFile=/dev/null"])
        .args(args)
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("git runs");
    assert!(
        output.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

fn untracked(root: &Path) -> BTreeSet<Vec<u8>> {
    let args = [
        "ls-files",
        "-z",
        "--others",
        "--exclude-per-directory=.gitignore",
    ];
    let listed = git(root, &args);
    let paths = listed
        .split(|byte| *byte == 0)
        .filter(|path| !path.is_empty());
    paths.map(<[u8]>::to_vec).collect()
}

fn ignore_files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let content = fs::read(dir.join(".gitignore")).ok();
    content
        .map(|bytes| (".gitignore".to_owned(), bytes))
        .into_iter()
        .collect()
}

/// Walks as a scan does: each directory hands its filter down.
fn walk(root: &Path, filter: &DirFilter, stack: &FilterStack, kept: &mut BTreeSet<Vec<u8>>) {
    let dir = root.join(std::ffi::OsStr::from_bytes(filter.dir()));
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_vec();
        let is_dir = entry.file_type().unwrap().is_dir();
        if !filter.keep(&name, is_dir) {
            continue;
        }
        let mut path = filter.dir().to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(&name);
        if is_dir {
            let files = ignore_files(&entry.path());
            let _ = stack.enter(&path, &files);
            walk(root, &filter.enter(&name, &files), stack, kept);
        } else {
            kept.insert(path);
        }
    }
}

/// All files below `root`, without the repository itself.
fn all_files(root: &Path, dir: &Path, found: &mut BTreeSet<Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_name() == ".git" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            all_files(root, &entry.path(), found);
        } else {
            let path = entry.path().strip_prefix(root).unwrap().to_owned();
            found.insert(path.into_os_string().into_vec());
        }
    }
}

fn path(depth: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(NAMES.to_vec()), depth)
        .prop_map(|names| names.join("/"))
}

fn pattern() -> impl Strategy<Value = String> {
    let pieces = [
        "a",
        "b",
        "*",
        "?",
        "/",
        "**/",
        "/**",
        "[ab]",
        "[!a]",
        "[^b]",
        "{a,b}",
        "foo",
        "\\*",
        "\\a",
        "[a-c]",
        "[",
        "]",
        "!",
        "#",
        " ",
        "\\ ",
        "{a}",
        "[[:alpha:]]",
        "[]a]",
        "[a-]",
        "-",
        "é",
        "\\",
        ".",
    ];
    let piece = prop::sample::select(pieces.to_vec());
    let body = prop::collection::vec(piece, 1..5).prop_map(|pieces| pieces.concat());
    let ends = (
        prop::sample::select(vec!["", "", "!", "/"]),
        body,
        prop::sample::select(vec!["", "", "/", "\r"]),
    );
    ends.prop_map(|(begin, body, end)| format!("{begin}{body}{end}"))
        // git 2.39 reads `**` beside other characters by comparing unrelated pointers.
        .prop_filter("`**` stands alone", |text| !beside_stars(text))
}

/// Tells whether two stars stand in one component with something else.
fn beside_stars(text: &str) -> bool {
    text.trim_start_matches('!')
        .split('/')
        .any(|part| part.contains("**") && part != "**")
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_filter_keeps_what_git_would(
        files in prop::collection::vec(path(1..5), 1..40),
        ignores in prop::collection::vec((path(0..3), prop::collection::vec(pattern(), 1..4)), 1..4),
    ) {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        git(root, &["init", "-q"]);
        for file in &files {
            let path = root.join(file);
            // A name may already be a directory or a file: then there is one file less.
            let _ = fs::create_dir_all(path.parent().unwrap()).and_then(|()| fs::write(&path, ""));
        }
        for (dir, lines) in &ignores {
            let dir = root.join(dir);
            if dir.is_dir() {
                fs::write(dir.join(".gitignore"), lines.join("\n")).unwrap();
            }
        }

        let files = Files::new(vec![], vec![], vec![".gitignore".to_owned()]).unwrap();
        let filter = FileFilter::new(&files);
        let stack = FilterStack::new(filter.clone());
        let at_root = ignore_files(root);
        let _ = stack.enter(b"", &at_root);
        let mut kept = BTreeSet::new();
        walk(root, &filter.root(&at_root), &stack, &mut kept);
        prop_assert_eq!(&kept, &untracked(root));

        let mut all = BTreeSet::new();
        all_files(root, root, &mut all);
        for path in all {
            prop_assert_eq!(stack.verdict(&path, false).is_keep(), kept.contains(&path), "{:?}", path);
        }
    }
}
