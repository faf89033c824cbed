//! A step runs again exactly when something it observed changed: each kind of observation alone,
//! on the real mount, without a base and with one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use hd_integration::{Env, LONG, files, leftovers, needs, samples, skip_unless};

/// One kind of observation: a step that makes it, and a change that it must notice.
struct Case {
    what: &'static str,
    step: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// A symlink of the project: name and target.
    link: Option<(&'static str, &'static str)>,
    change: fn(&Env),
}

const NEW_FILE_IN_A_LISTED_DIRECTORY: Case = Case {
    what: "a new file in a listed directory",
    step: "mkdir out && cat conf.d/* > out/all",
    files: &[("conf.d/one", "1\n")],
    link: None,
    change: |env| files::write(&env.path("conf.d/two"), "2\n"),
};

const NAME_LOOKED_UP_IN_VAIN: Case = Case {
    what: "the name came to be",
    step: "mkdir out; test -e pip.conf && cp pip.conf out || true",
    files: &[],
    link: None,
    change: |env| files::write(&env.path("pip.conf"), "[global]\n"),
};

const NAME_BELOW_AN_ABSENT_PARENT: Case = Case {
    what: "its parent came to be",
    step: "mkdir out; test -e vendor/lib/index.js && echo found > out/found; true",
    files: &[],
    link: None,
    change: |env| files::write(&env.path("vendor/lib/index.js"), "x\n"),
};

/// As Node looks for a module: beside the file, then in each directory above.
const NEARER_NODE_MODULES: Case = Case {
    what: "a nearer node_modules came to be",
    step: "mkdir out; for at in app/src app .; do test -e $at/node_modules/x/index.js && cat $at/node_modules/x/index.js > out/x && break; done",
    files: &[
        ("app/src/main.js", "0\n"),
        ("node_modules/x/index.js", "far\n"),
    ],
    link: None,
    change: |env| files::write(&env.path("app/node_modules/x/index.js"), "near\n"),
};

const TARGET_OF_A_SYMLINK: Case = Case {
    what: "the link points elsewhere",
    step: "mkdir out && cat current > out/now",
    files: &[("v1", "1\n"), ("v2", "2\n")],
    link: Some(("current", "v1")),
    change: |env| {
        fs::remove_file(env.path("current")).expect("remove the link");
        symlink("v2", env.path("current")).expect("a symlink");
    },
};

const CONTENT_BEHIND_A_SYMLINK: Case = Case {
    what: "what the link points to changed",
    step: "mkdir out && cat current > out/now",
    files: &[("v1", "1\n")],
    link: Some(("current", "v1")),
    change: |env| files::write(&env.path("v1"), "one\n"),
};

const RENAMED_PARENT: Case = Case {
    what: "its parent is called otherwise",
    step: "mkdir out; cat deep/er/file > out/got 2>/dev/null || true",
    files: &[("deep/er/file", "x\n")],
    link: None,
    change: |env| fs::rename(env.path("deep"), env.path("shallow")).expect("rename"),
};

const MODE_OF_A_FILE: Case = Case {
    what: "it became executable",
    step: "mkdir out; test -x tool && echo yes > out/x; true",
    files: &[("tool", "#!/bin/sh\n")],
    link: None,
    change: |env| {
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(env.path("tool"), executable).expect("chmod");
    },
};

/// After the change the step must run; after a change beside it must not.
fn runs_after_the_change(case: &Case, base: &[&str]) {
    let env = samples::observing(case.step, case.files);
    if let Some((name, target)) = case.link {
        symlink(target, env.path(name)).expect("a symlink");
    }
    env.once_with(base).ran(&["step-1"]);
    env.once_with(base).ran(&[]);
    files::write(&env.path("aside.txt"), "a sibling changed\n");
    env.once_with(base).ran(&[]);
    (case.change)(&env);
    let after = env.once_with(base);
    assert_eq!(after.steps("ran"), ["step-1"], "after {}", case.what);
    env.once_with(base).ran(&[]);
}

macro_rules! observations {
    ($($name:ident: $case:expr;)*) => {
        mod without_a_base {
            use super::*;
            $(#[test] fn $name() {
                skip_unless!(needs::fuse());
                runs_after_the_change(&$case, &[]);
            })*
        }
        mod on_an_image {
            use super::*;
            $(#[test] fn $name() {
                skip_unless!(needs::fuse(), needs::registry());
                let registry = needs::registry().expect("checked");
                runs_after_the_change(&$case, &["--base", &format!("{registry}/busybox:1")]);
            })*
        }
    };
}

observations! {
    a_file_found_by_listing: NEW_FILE_IN_A_LISTED_DIRECTORY;
    a_name_looked_up_in_vain: NAME_LOOKED_UP_IN_VAIN;
    a_name_looked_up_in_vain_below_an_absent_parent: NAME_BELOW_AN_ABSENT_PARENT;
    a_nearer_node_modules: NEARER_NODE_MODULES;
    the_target_of_a_symlink: TARGET_OF_A_SYMLINK;
    the_content_behind_a_symlink: CONTENT_BEHIND_A_SYMLINK;
    a_renamed_parent: RENAMED_PARENT;
    the_mode_of_a_file: MODE_OF_A_FILE;
}

/// The host is looked at while an edit comes to rest, and only then: what changed there before is seen.
#[test]
fn a_file_of_the_host_at_the_next_edit() {
    skip_unless!(needs::fuse(), needs::root());
    let host = HostFile::absent("/usr/local/share/hd-test-observed-live.conf");
    let toml = format!(
        "[environment]\nname = \"host\"\n[build]\nsteps = [\"mkdir -p out; cat {} > out/conf 2>/dev/null || true\"]\n\
         [services.web]\ncommand = \"sleep 1000\"\n",
        host.0
    );
    let env = Env::project(&[("hd.toml", &toml), ("aside.txt", "as it was\n")]);
    let mut up = env.up();
    up.wait_line(0, &["● web"]);
    let edits = [
        None,
        Some("it came to be\n"),
        None,
        None,
        Some("it changed\n"),
    ];
    for (edit, of_the_host) in edits.into_iter().enumerate() {
        if let Some(text) = of_the_host {
            files::write(host.0.as_ref(), text);
        }
        let from = up.so_far();
        files::write(&env.path("aside.txt"), &format!("edit {edit}\n"));
        let (ran, kept) = match of_the_host {
            Some(_) => ("1 ran", "0 kept"),
            None => ("0 ran", "1 kept"),
        };
        up.wait_line(from, &["~ aside.txt", ran, kept]);
    }
}

#[test]
fn a_file_of_the_host_when_base_is_left_out() {
    skip_unless!(needs::fuse(), needs::root());
    let host = HostFile::absent("/usr/local/share/hd-test-observed.conf");
    let env = samples::observing(
        &format!("mkdir out; cat {} > out/conf 2>/dev/null || true", host.0),
        &[],
    );
    env.once().ran(&["step-1"]);
    env.once().ran(&[]);
    for text in ["it came to be\n", "it changed\n"] {
        files::write(host.0.as_ref(), text);
        env.once().ran(&["step-1"]);
        env.once().ran(&[]);
    }
}

/// Not what differs from the newest result: that one is of an edit that was undone.
#[test]
fn the_reason_is_what_changed_since_the_last_outcome() {
    skip_unless!(needs::fuse());
    let files = [("a.txt", "a\n"), ("b.txt", "b\n")];
    let step = "mkdir out && cat a.txt b.txt > out/all";
    let env = samples::observing(step, &files);
    let reason = |report: &hd_integration::Report| report.value()["steps"][0]["reason"].to_string();
    env.once().ran(&["step-1"]);
    files::write(&env.path("a.txt"), "other\n");
    let edited = env.once();
    edited.ran(&["step-1"]);
    assert!(reason(&edited).contains("a.txt changed"), "{edited:?}");
    files::write(&env.path("a.txt"), "a\n");
    env.once().ran(&[]);
    files::write(&env.path("b.txt"), "other\n");
    let edited = env.once();
    edited.ran(&["step-1"]);
    assert!(reason(&edited).contains("b.txt changed"), "{edited:?}");

    // Another project with that command: nothing of the first one's changed there.
    let mut second = samples::observing(step, &[("a.txt", "x\n"), ("b.txt", "y\n")]);
    second.set("HD_HOME", &env.home().display().to_string());
    let first_time = second.once();
    first_time.ran(&["step-1"]);
    assert!(!reason(&first_time).contains("changed"), "{first_time:?}");
}

/// A file outside of the test's directory, removed in any case.
struct HostFile(&'static str);

impl HostFile {
    fn absent(path: &'static str) -> Self {
        let file = Self(path);
        file.remove();
        file
    }

    fn remove(&self) {
        match fs::remove_file(self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                panic!("{}: {error}", self.0)
            }
            _ => {}
        }
    }
}

impl Drop for HostFile {
    fn drop(&mut self) {
        self.remove();
    }
}

#[test]
fn an_edit_during_a_make_with_a_kept_cache_is_not_lost() {
    skip_unless!(needs::fuse(), needs::program("make"));
    // The number names this run's process among all others of the machine.
    let nap = format!("sleep 1.{}", std::process::id());
    let makefile = format!("obj/a: a.txt\n\tcp a.txt obj/a && {nap}\n");
    let env = Env::project(&[
        ("hd.toml", MAKE_TOML),
        ("Makefile", &makefile),
        ("a.txt", "one\n"),
    ]);
    let first = env.once();

    // A run that began with "two", while "three" is saved: the next run must build "three".
    files::write(&env.path("a.txt"), "two\n");
    let mut running = env.up_with(&["--once"]);
    running.until("make has copied and naps", || {
        leftovers::command_is(&nap).pop()
    });
    files::write(&env.path("a.txt"), "three\n");
    assert!(running.wait_exit(LONG).success(), "{}", running.said());
    env.once();
    assert_eq!(built(&env), "three\n");

    files::write(&env.path("a.txt"), "one\n");
    assert_eq!(env.once().root(), first.root());
    assert_eq!(built(&env), "one\n");
}

const MAKE_TOML: &str = r#"
[environment]
name = "make"

[build]
steps = ["mkdir -p obj out && make && cp obj/a out/a"]
cache = ["obj"]
"#;

fn built(env: &Env) -> String {
    env.hd(["run", "cat", "out/a"]).finish().ok().stdout
}

#[test]
fn the_observations_miss_nothing_that_strace_sees() {
    skip_unless!(needs::fuse(), needs::program("strace"));
    let script = "mkdir -p out; cat one conf.d/* link absent 2>/dev/null > out/all; ls -a deep > out/names; test -d deep/er; true";
    let env = samples::observing(
        script,
        &[
            ("one", "1\n"),
            ("conf.d/two", "2\n"),
            ("deep/er/file", "x\n"),
            ("deep/other", "y\n"),
        ],
    );
    symlink("one", env.path("link")).expect("a symlink");
    env.once();
    let why = env.hd(["why", "step-1", "--json"]).finish().ok();
    let copy = tempfile::tempdir().expect("a copy to trace");
    files::copy_tree(&env.path(""), copy.path(), &[".git"]);
    let root = copy.path().canonicalize().expect("the copy's path");
    let seen = hd_integration::strace::paths_of(script, &root);
    let mut compared = 0;
    for path in seen.iter().filter_map(|path| path.strip_prefix(&root).ok()) {
        // What the step itself made is its own; the lower was asked for nothing there.
        let name = path.to_str().expect("plain names");
        if name.is_empty() || name.starts_with("out") {
            continue;
        }
        compared += 1;
        assert!(
            why.stdout.contains(&format!("\"path\":\"{name}\"")),
            "{name} was looked up, not observed: {}",
            why.said()
        );
    }
    assert!(compared >= 6, "strace saw only {seen:?}");
}

/// Enough directories for names to be given away ahead of their look-up.
fn wide(step: &str) -> Env {
    let files: Vec<(String, String)> = (0..300)
        .map(|n| (format!("tree/d{}/f{n}.txt", n / 10), format!("{n}\n")))
        .collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    samples::observing(step, &files)
}

#[test]
fn a_walk_over_many_directories_observes_all_it_looked_up() {
    skip_unless!(needs::fuse(), needs::program("strace"));
    let script = "mkdir -p out; find tree -type f -ls > out/list; find tree -type f -exec cat {} + > out/all";
    let env = wide(script);
    env.once();
    let why = env.hd(["why", "step-1", "--json"]).finish().ok();
    let copy = tempfile::tempdir().expect("a copy to trace");
    files::copy_tree(&env.path(""), copy.path(), &[".git"]);
    let root = copy.path().canonicalize().expect("the copy's path");
    let seen = hd_integration::strace::paths_of(script, &root);
    let looked_up = seen.iter().filter_map(|path| path.strip_prefix(&root).ok());
    let names: Vec<_> = looked_up.filter_map(|path| path.to_str()).collect();
    let names: Vec<_> = names
        .iter()
        .filter(|name| name.starts_with("tree/"))
        .collect();
    assert!(names.len() >= 330, "strace saw only {}", names.len());
    for name in names {
        let observed = why.stdout.contains(&format!("\"path\":\"{name}\""));
        assert!(observed, "{name} was looked up, not observed");
    }
    for file in ["tree/d0/f0.txt", "tree/d17/f175.txt", "tree/d29/f299.txt"] {
        files::write(&env.path(file), "changed\n");
        env.once().ran(&["step-1"]);
    }
}

#[test]
fn each_name_of_a_hard_link_is_observed() {
    skip_unless!(needs::fuse());
    let env = samples::observing("true", &[]);
    // The files of a project are no links of each other; those of a step's output are.
    let toml = "[environment]\nname = \"links\"\n\n[build]\nsteps = [\"mkdir made && cp aside.txt made/one && ln made/one made/two\", \"ls made && cat made/one made/two\"]\n";
    files::write(&env.path("hd.toml"), toml);
    env.once().ran(&["step-1", "step-2"]);
    let why = env.hd(["why", "step-2", "--json"]).finish().ok();
    for name in ["made/one", "made/two"] {
        let observed = why.stdout.contains(&format!("\"path\":\"{name}\""));
        assert!(observed, "{name}: {}", why.said());
    }
}

#[test]
fn names_that_were_listed_but_not_looked_up_are_no_observation_of_their_content() {
    skip_unless!(needs::fuse());
    let env = wide("mkdir -p out; find tree -type f > out/list; cat tree/d3/*.txt > out/all");
    env.once().ran(&["step-1"]);
    for file in ["tree/d0/f0.txt", "tree/d29/f299.txt"] {
        files::write(&env.path(file), "changed\n");
        env.once().ran(&[]);
    }
    files::write(&env.path("tree/d3/f33.txt"), "changed\n");
    env.once().ran(&["step-1"]);
    files::write(&env.path("tree/d29/f300.txt"), "a new name\n");
    env.once().ran(&["step-1"]);
}
