//! The observations of a step miss nothing that strace sees of the same program: each way to look
//! at a file, by the program itself, a thread and a child of it.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use hd_integration::strace::looked;
use hd_integration::{Env, files, needs, programs, skip_unless};

/// Each looks at a file that nothing else looks at.
const PROGRAM: &str = "stat d/stat; lstat d/lstat; statx d/statx; access d/access; read d/read; \
     read e/absent; read absent/x; nofollow d/nofollow; beneath d/beneath; inroot d/inroot; \
     nosym d/nosym; map d/map; maps d/maps; exec d/exec; target link; read link; at d at; \
     xget d/xget; xlist d/xlist; list e; t read d/thread; f read d/child; t list f; f list g; \
     cd e; read ../d/up; cd ..; app d/app more; cut d/cut; chmod d/chmod 600; xset d/xset v; \
     xdel d/xdel; mv d/mv m; ln d/ln n; mvx d/mvx d/mvy; mvn d/mvn m; excl d/excl one; \
     mkdir made; put made/own x; mkdir d/mkdir; rmdir h; rm d/rm";

fn tree(root: &Path) {
    let names = PROGRAM.split(';').filter_map(|op| {
        let mut paths = op.split_whitespace().filter(|word| word.starts_with("d/"));
        paths.next()
    });
    for name in names.chain(["d/mvy", "d/at", "d/up", "e/f", "f/x", "g/y", "pointed"]) {
        files::write(&root.join(name), "#!/bin/sh\nread x < helper; echo $x\n");
    }
    fs::create_dir(root.join("h")).expect("an empty directory");
    files::write(&root.join("helper"), "helped\n");
    symlink("pointed", root.join("link")).expect("a link");
    let executable = Permissions::from_mode(0o755);
    fs::set_permissions(root.join("d/exec"), executable).expect("chmod");
}

#[test]
fn the_observations_miss_nothing_that_strace_sees_of_each_call() {
    skip_unless!(
        needs::fuse(),
        needs::program("strace"),
        needs::program("cc")
    );
    let run = format!("./observer . '{PROGRAM}'");
    let toml = format!(
        "[environment]\nname = \"strace\"\n\n[[build.step]]\nname = \"look\"\nrun = \"{run}\"\n"
    );
    let env = Env::project(&[("hd.toml", &toml)]);
    programs::compile(&env.path("observer"));
    tree(&env.path(""));
    let copy = tempfile::tempdir().expect("a copy to trace");
    files::copy_tree(&env.path(""), copy.path(), &[".git"]);
    let root = copy.path().canonicalize().expect("the copy's path");

    env.once().ran(&["step-1"]);
    let why = env.hd(["why", "look", "--json"]).finish().ok();
    let looked = looked(&run, &root);
    for call in [
        "execve",
        "statx",
        "openat2",
        "readlink",
        "getxattr",
        "listxattr",
        "getdents64",
    ] {
        assert!(
            looked.calls.contains(call),
            "{call} is not in {:?}",
            looked.calls
        );
    }
    let why = why.json();
    let observations = why["steps"][0]["observations"]
        .as_array()
        .expect("observations");
    let with = |key: &str| -> BTreeSet<&str> {
        let all = observations.iter().filter(|seen| seen.get(key).is_some());
        all.filter_map(|seen| seen["path"].as_str()).collect()
    };
    let (found, listed) = (with("found"), with("names"));
    let names: BTreeSet<String> = beneath(&looked.up, &root)
        .filter_map(observed_name)
        .collect();
    assert!(names.len() >= 40, "strace saw only {names:?}");
    for name in names {
        assert!(found.contains(&*name), "{name} was looked up, not observed");
    }
    let over: Vec<&str> = beneath(&looked.over, &root).collect();
    assert!(over.len() >= 3, "strace saw only {over:?}");
    for name in over {
        assert!(listed.contains(name), "{name} was listed, not observed");
    }
}

fn beneath<'a>(paths: &'a BTreeSet<PathBuf>, root: &'a Path) -> impl Iterator<Item = &'a str> {
    let beneath = paths
        .iter()
        .filter_map(move |path| path.strip_prefix(root).ok());
    beneath.map(|path| path.to_str().expect("plain names"))
}

/// A path as `hd why` says it; nothing for what the program made itself, and for what is below an
/// absent name, which needs no look-up.
fn observed_name(path: &str) -> Option<String> {
    let last = path.rsplit('/').next().unwrap_or_default();
    let own = ["made/", "absent/"].iter().any(|dir| path.starts_with(dir));
    if own || ["", ".", ".."].contains(&last) {
        return None;
    }
    Some(match path.split_once("/../") {
        Some((_, up)) => up.to_owned(),
        None => path.to_owned(),
    })
}
