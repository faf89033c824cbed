//! What one step leaves, the next one finds unchanged: captured, stored, composed, projected and
//! read back through the mount; and programs may do with it what they do on a disk.

use hd_integration::{Env, needs, skip_unless};

const TOML: &str = r#"
[environment]
name = "fidelity"

[build]
steps = [
    "python3 -I tree.py make tree",
    "python3 -I tree.py check tree",
]
"#;

const USE_TOML: &str = r#"
[environment]
name = "fidelity"

[build]
steps = [
    "python3 -I tree.py make tree && echo 'echo from the lower' > tree/script.sh",
    "python3 -I use.py tree && cp tree/large copy",
    "test $(head -c 1004 copy | tail -c 4) = ours && test -d 'tree/hard link' && ! test -e tree/new",
]
"#;

#[test]
fn every_kind_of_entry_comes_back_as_it_was_left() {
    skip_unless!(needs::fuse(), needs::root(), needs::program("python3"));
    let tree = include_str!("fidelity/tree.py");
    let env = Env::project(&[("hd.toml", TOML), ("tree.py", tree)]);
    env.once().ran(&["step-1", "step-2"]);
}

#[test]
fn programs_use_and_change_a_lower_as_they_do_a_disk() {
    skip_unless!(needs::fuse(), needs::root(), needs::program("python3"));
    let (tree, usage) = (
        include_str!("fidelity/tree.py"),
        include_str!("fidelity/use.py"),
    );
    let env = Env::project(&[("hd.toml", USE_TOML), ("tree.py", tree), ("use.py", usage)]);
    env.once().ran(&["step-1", "step-2", "step-3"]);
}

const MORE_TOML: &str = r#"
[environment]
name = "fidelity"

[build]
steps = ["python3 -I more.py make more", "python3 -I more.py use more"]
"#;

#[test]
fn locks_direct_reads_lists_of_access_and_a_hundred_thousand_names() {
    skip_unless!(needs::fuse(), needs::root(), needs::program("python3"));
    let more = include_str!("fidelity/more.py");
    let env = Env::project(&[("hd.toml", MORE_TOML), ("more.py", more)]);
    env.once().ran(&["step-1", "step-2"]);
    env.once().ran(&[]);
}

const REMADE_TOML: &str = r#"
[environment]
name = "remade"

[build]
steps = [
    "mkdir -p out/same out/other && echo 1 > out/a && echo 2 > out/b && echo 3 > out/same/c && echo 4 > out/other/d",
    "rm -r out && mkdir -p out/same && echo 1 > out/a && echo 3 > out/same/c && echo 5 > out/new",
    "test -f out/a && test -f out/same/c && test -f out/new && ! test -e out/b && ! test -e out/other",
]
"#;

/// As `npm ci` after another, or a tool that cleans its output first.
#[test]
fn a_directory_that_is_removed_and_made_anew_keeps_what_is_as_before() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", REMADE_TOML)]);
    env.once().ran(&["step-1", "step-2", "step-3"]);
    let look = ["run", "sh", "-c", "find out -type f | sort; cat out/*"];
    let found = env.hd(look).finish();
    assert!(
        found
            .stdout
            .starts_with("out/a\nout/new\nout/same/c\n1\n5\n"),
        "{}",
        found.said()
    );
}

const LINKS_TOML: &str = r#"
[environment]
name = "links"

[build]
steps = [
    "mkdir d && echo old > d/a && ln d/a d/b",
    "rm d/a && echo new > d/a && ln d/a d/c",
    "test $(cat d/b) = old && test $(cat d/a) = new && test $(cat d/c) = new && test d/a -ef d/c && ! test d/a -ef d/b",
    "test $(cat d/c) = new && test $(cat d/b) = old",
]
"#;

/// As cargo links a program anew, the old one still at hand under another name.
#[test]
fn hard_links_of_two_runs_with_one_name_in_common_are_two_files() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", LINKS_TOML)]);
    env.once().ran(&["step-1", "step-2", "step-3", "step-4"]);
}
