//! What `[files]` and ignore files together keep and hide, and what they name as the reason.

#![expect(clippy::unwrap_used, reason = "a test stops on what it did not expect")]

use hd_config::{FileFilter, Files, FilterStack, WatchSet};

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn filter(include: &[&str], exclude: &[&str]) -> FileFilter {
    let names = strings(&[".gitignore", ".hdignore"]);
    FileFilter::new(&Files::new(strings(include), strings(exclude), names).unwrap())
}

/// A stack that has seen these ignore files, parents first.
fn stack(filter: FileFilter, ignores: &[(&str, &str, &str)]) -> FilterStack {
    let stack = FilterStack::new(filter);
    for (dir, ..) in ignores {
        let own = ignores.iter().filter(|(other, ..)| other == dir);
        let own: Vec<(String, Vec<u8>)> = own
            .map(|(_, name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
            .collect();
        let _ = stack.enter(dir.as_bytes(), &own);
    }
    stack
}

/// The reason a file is hidden, or `keep`. A path that ends with `/` is a directory.
fn why(stack: &FilterStack, path: &str) -> String {
    let bare = path.trim_end_matches('/');
    match stack.verdict(bare.as_bytes(), bare != path) {
        hd_config::Verdict::Keep => "keep".to_owned(),
        hd_config::Verdict::Hidden { by } => by.to_string(),
    }
}

fn check(stack: &FilterStack, cases: &[(&str, &str)]) {
    for (path, expected) in cases {
        assert_eq!(why(stack, path), *expected, "{path}");
    }
}

#[test]
fn some_paths_are_always_left_out_and_exclude_adds_to_them() {
    let stack = stack(filter(&[], &["*.log", "/tmp", "!keep.log"]), &[]);
    let cases = [
        (".git/HEAD", "default"),
        ("sub/.git", "default"),
        (".gitignore", "keep"),
        ("target/debug/x", "default"),
        ("crates/a/target/", "default"),
        ("src/target", "keep"), // a file of that name
        ("src/target.rs", "keep"),
        ("node_modules/.cache/x", "default"),
        ("web/node_modules/.cache/", "default"),
        ("node_modules/a/index.js", "keep"),
        ("a/.DS_Store", "default"),
        ("a/b.log", "exclude[0]"),
        ("keep.log", "keep"),
        ("tmp/x", "exclude[1]"),
        ("a/tmp/x", "keep"),
        ("", "keep"),
    ];
    check(&stack, &cases);
}

#[test]
fn a_default_can_be_taken_back() {
    let stack = stack(filter(&[], &["!/src/target"]), &[]);
    check(&stack, &[("src/target/x", "keep"), ("target/x", "default")]);
}

#[test]
fn ignore_files_nest_and_the_deepest_decides() {
    let ignores = [
        ("", ".gitignore", "# comment\n\n*.tmp\n/dist/\nsecret\n"),
        ("", ".hdignore", "!x.tmp\nbig.bin\n"),
        ("src", ".gitignore", "!*.tmp\nlocal\n"),
        ("src/deep", ".hdignore", "*.tmp\r\n"),
    ];
    let cases = [
        ("a.tmp", ".gitignore:3"),
        ("x.tmp", "keep"), // a later ignore file beats an earlier one
        ("dist/a", ".gitignore:4"),
        ("src/dist/a", "keep"),
        ("dist", "keep"), // a file, the line asks for a directory
        ("src/a.tmp", "keep"),
        ("src/deep/a.tmp", "src/deep/.hdignore:1"),
        ("src/local", "src/.gitignore:2"),
        ("local", "keep"),
        ("src/secret/x", ".gitignore:5"),
        ("src/big.bin", ".hdignore:2"),
    ];
    check(&stack(filter(&[], &[]), &ignores), &cases);
}

#[test]
fn include_restricts_to_prefixes_by_whole_components() {
    let stack = stack(
        filter(&["src", "public/img", "package.json"], &["*.log"]),
        &[],
    );
    let cases = [
        ("src/a.ts", "keep"),
        ("src2/a.ts", "include"),
        ("public/", "keep"), // leads to public/img
        ("public", "include"),
        ("public/index.html", "include"),
        ("public/img/a.png", "keep"),
        ("package.json", "keep"),
        ("package.json5", "include"),
        ("src/a.log", "exclude[0]"),
        ("README.md", "include"),
    ];
    check(&stack, &cases);
}

#[test]
fn include_beats_ignore_files_for_what_it_names() {
    let ignores = [
        ("", ".gitignore", ".env\nbuild/\ndist/*\n*.pyc\n"),
        ("gen", ".gitignore", "*\n"),
    ];
    let include = [".", ".env", "build/out", "dist", "gen"];
    let cases = [
        (".env", "keep"),
        ("sub/.env", ".gitignore:1"),
        ("build/", "keep"), // leads to build/out
        ("build/out/a/b", "keep"),
        ("build/other", ".gitignore:2"),
        ("build/other/x", ".gitignore:2"),
        ("dist/a/b.js", "keep"),
        ("gen/a", "keep"),
        ("dist/a.pyc", ".gitignore:4"), // not about dist as such
        ("app.py", "keep"),
    ];
    check(&stack(filter(&include, &[]), &ignores), &cases);
    let without = stack(filter(&[], &[]), &ignores);
    check(
        &without,
        &[
            (".env", ".gitignore:1"),
            ("dist/a", ".gitignore:3"),
            ("gen/a", "gen/.gitignore:1"),
        ],
    );
}

#[test]
fn names_that_are_not_utf8_are_judged_too() {
    let stack = stack(filter(&[], &["*.log"]), &[("", ".gitignore", "?.tmp\n")]);
    assert!(!stack.verdict(b"a/\xff\xfe.log", false).is_keep());
    assert!(!stack.verdict(b"\xff.tmp", false).is_keep());
    assert!(stack.verdict(b"\xff\xfe", false).is_keep());
    assert!(!stack.verdict(b"\xff/.git/x", false).is_keep());
    // A line that is not UTF-8 matches nothing, and the others still count.
    let lines = b"\xff\n*.tmp\n".to_vec();
    let dir = stack.enter(b"sub", &[(".gitignore".to_owned(), lines)]);
    assert!(dir.keep(b"\xff", false));
    assert!(!dir.keep(b"\xff.tmp", false));
}

#[test]
fn changed_ignore_files_count_at_once() {
    let stack = stack(
        filter(&[], &[]),
        &[("", ".gitignore", "a\n"), ("sub", ".gitignore", "b\n")],
    );
    check(
        &stack,
        &[("a", ".gitignore:1"), ("sub/b", "sub/.gitignore:1")],
    );
    let _ = stack.enter(b"", &[]);
    check(&stack, &[("a", "keep"), ("sub/b", "sub/.gitignore:1")]);
    stack.forget(b"sub");
    check(&stack, &[("sub/b", "keep")]);
}

#[test]
fn what_would_show_a_path_is_said_and_true() {
    let ignores = [("", ".gitignore", ".env\nout/\n")];
    let cases: &[(&[&str], &str, &str)] = &[
        (&[], ".env", "include = [\".\", \".env\"] shows it"),
        (&["src"], ".env", "include = [\"src\", \".env\"] shows it"),
        (
            &["src"],
            "README",
            "include = [\"src\", \"README\"] shows it",
        ),
        (&[], "out/a", "include = [\".\", \"out/a\"] shows it"),
        (
            &[],
            "sub/target/a/b",
            "exclude = [\"!/sub/target\"] shows it",
        ),
    ];
    for (include, path, expected) in cases {
        let filter = filter(include, &[]);
        let stack = stack(filter.clone(), &ignores);
        let hd_config::Verdict::Hidden { by } = stack.verdict(path.as_bytes(), false) else {
            panic!("{path} is not hidden");
        };
        let advice = filter.how_to_show(path.as_bytes(), &by);
        assert_eq!(advice, *expected);

        let line = advice.trim_end_matches(" shows it");
        let toml = format!("[environment]\nname = \"x\"\n[files]\n{line}\n");
        let followed = hd_config::parse(&toml, "hd.toml").unwrap().file_filter();
        assert_eq!(why(&self::stack(followed, &ignores), path), "keep");
    }
}

fn watching(include: &[&str], exclude: &[&str], globs: &[&str]) -> FileFilter {
    filter(include, exclude).watching([WatchSet::new(strings(globs)).unwrap()])
}

#[test]
fn what_is_watched_is_reached_below_directories_that_ignore_files_hide() {
    let rules = [
        (
            "",
            ".gitignore",
            "public/build/*\n/dist\nnode_modules\n*.map\n",
        ),
        ("storage", ".gitignore", "*\n!.gitignore\n"),
    ];
    let globs = ["public/build/**", "dist/", "storage/**/*.log", "!*.tmp"];
    let stack = stack(watching(&[], &[], &globs), &rules);
    let cases = [
        ("public/build/app.js", "keep"),
        ("public/build/assets/deep/app.js", "keep"),
        ("public/build/assets/app.js.map", "keep"), // the glob covers it
        ("public/build/assets/x.tmp", ".gitignore:1"),
        ("public/build/node_modules/x/a.js", ".gitignore:3"),
        ("dist/x.js", "keep"),
        ("dist/deep/x.js", "keep"),
        ("lib/dist/x.js", "keep"),
        ("storage/a.log", "keep"),
        ("storage/logs/deep/a.log", "keep"),
        ("storage/logs/deep/a.txt", "storage/.gitignore:1"),
        ("storage/a.txt", "storage/.gitignore:1"),
    ];
    check(&stack, &cases);
}

#[test]
fn what_only_leads_to_watched_files_shows_nothing_else() {
    let rules = [("", ".gitignore", "out\n")];
    let globs = ["out/web/**/*.js", "target/debug/web", "docs"];
    let stack = stack(watching(&["src", "hd.toml"], &["docs/api"], &globs), &rules);
    let cases = [
        ("out/web/deep/a.js", "keep"),
        ("out/web/deep/a.css", "include"),
        ("out/a.js", "include"),
        ("out/api/", "include"),
        ("target/debug/web", "keep"),
        ("target/debug/api", "include"),
        ("target/debug/deps/", "include"),
        ("docs/a.md", "keep"),
        ("docs/api/", "exclude[0]"),
        ("src/a.rs", "keep"),
        ("other/", "include"),
    ];
    check(&stack, &cases);
}

#[test]
fn where_a_glob_begins_only_what_it_covers_counts() {
    let rules = [("", ".gitignore", "/storage\n/dist\n")];
    let globs = ["storage/**/*.log", "target/debug/*.so", "dist"];
    let stack = stack(watching(&[], &["secret"], &globs), &rules);
    let cases = [
        ("storage/logs/a.log", "keep"),
        ("storage/db.sqlite", ".gitignore:1"),
        ("target/debug/a.so", "keep"),
        ("target/debug/a.d", "default"),
        ("target/debug/deps/a.o", "default"),
        ("target/release/", "default"),
        ("dist/deep/a.js", "keep"),
    ];
    check(&stack, &cases);
}

#[test]
fn directories_can_be_judged_by_many_threads() {
    fn shared<T: Send + Sync + Clone>(_: &T) {}
    let filter = filter(&[], &[]);
    shared(&filter);
    shared(&filter.root(&[]));
    fn shared_only<T: Send + Sync>(_: &T) {}
    shared_only(&FilterStack::new(filter));
}
