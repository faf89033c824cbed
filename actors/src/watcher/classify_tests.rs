//! Event kind × path.

use std::collections::BTreeSet;

use hd_config::{FileFilter, Files, WatchSet};
use notify::event::DataChange;

use super::Verdict::{MountPointLost, Refilter, Renew, Rescan, RootReplaced, Touched};
use super::*;
use crate::mount_server::mount_points::MountPoints;

fn path(text: &str) -> TreePath {
    TreePath::new(text.as_bytes()).unwrap()
}

fn rules() -> Rules {
    let points = MountPoints::default();
    points.set([path(".venv"), path("web/node_modules")]);
    let watched = WatchSet::new(vec!["*.cfg".to_owned()]).unwrap();
    let named = BTreeSet::from([path("hd.toml")]);
    let files = FileFilter::new(&Files::default()).watching([watched]);
    let rules = Rules::new(files, named, points);
    let ignore = b"*.log\nbuild/\n*.cfg\nhd.toml\n".to_vec();
    let _ = rules.enter(&TreePath::root(), &[(".gitignore".to_owned(), ignore)]);
    let all = b"*\n".to_vec();
    let _ = rules.enter(&path("private"), &[(".gitignore".to_owned(), all)]);
    rules
}

const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
const FROM: EventKind = EventKind::Modify(ModifyKind::Name(RenameMode::From));
const TO: EventKind = EventKind::Modify(ModifyKind::Name(RenameMode::To));
const ATTRIB: EventKind = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));
const MKDIR: EventKind = EventKind::Create(CreateKind::Folder);
const CREATE: EventKind = EventKind::Create(CreateKind::File);
const RMDIR: EventKind = EventKind::Remove(RemoveKind::Folder);
const UNLINK: EventKind = EventKind::Remove(RemoveKind::File);
const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));
const OPENED: EventKind = EventKind::Access(AccessKind::Open(AccessMode::Any));

const FILE: Known = Known {
    is_dir: false,
    is_watched: false,
};
const DIR: Known = Known {
    is_dir: true,
    is_watched: false,
};
const WATCHED: Known = Known {
    is_dir: true,
    is_watched: true,
};
const WAS_WATCHED: Known = Known {
    is_dir: false,
    is_watched: true,
};

fn check(cases: Vec<(EventKind, &str, Known, Vec<Verdict>)>) {
    let rules = rules();
    for (kind, at, known, expected) in cases {
        let found = classify(Change::of(&kind), &path(at), known, &rules);
        assert_eq!(found, expected, "{kind:?} of {at:?}, {known:?}");
    }
}

#[test]
fn files() {
    let touched = |at: &str| vec![Touched(path(at))];
    check(vec![
        (OPENED, "app.py", FILE, vec![]),
        (
            EventKind::Access(AccessKind::Close(AccessMode::Read)),
            "app.py",
            FILE,
            vec![],
        ),
        (
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)),
            "app.py",
            FILE,
            vec![],
        ),
        (WRITTEN, "app.py", FILE, touched("app.py")),
        (CLOSED, "app.py", FILE, touched("app.py")),
        (CREATE, "app.py", FILE, touched("app.py")),
        (TO, "app.py", FILE, touched("app.py")),
        (FROM, "app.py", FILE, touched("app.py")),
        (UNLINK, "app.py", FILE, touched("app.py")),
        (ATTRIB, "run.sh", FILE, touched("run.sh")),
        (WRITTEN, ".app.py.swp", FILE, touched(".app.py.swp")),
        (WRITTEN, "4913", FILE, touched("4913")),
        (EventKind::Any, "app.py", FILE, touched("app.py")),
        // Hidden by an ignore file, unless a service watches it or hd reads it.
        (WRITTEN, "x.log", FILE, vec![]),
        (UNLINK, "src/x.log", FILE, vec![]),
        (WRITTEN, "site.cfg", FILE, touched("site.cfg")),
        (WRITTEN, "hd.toml", FILE, touched("hd.toml")),
    ]);
}

#[test]
fn directories() {
    check(vec![
        (MKDIR, "src/new", FILE, vec![Renew(path("src/new"))]),
        (TO, "src/new", DIR, vec![Renew(path("src/new"))]),
        (MKDIR, "build", FILE, vec![]),
        (TO, "build", DIR, vec![]),
        (MKDIR, ".git", FILE, vec![]),
        (MKDIR, "src/__pycache__", FILE, vec![]),
        (
            FROM,
            "src",
            WAS_WATCHED,
            vec![Touched(path("src")), Renew(path("src"))],
        ),
        (
            RMDIR,
            "src",
            WAS_WATCHED,
            vec![Touched(path("src")), Renew(path("src"))],
        ),
        // A name that is a file now though a directory was watched there.
        (
            CREATE,
            "src",
            WAS_WATCHED,
            vec![Touched(path("src")), Renew(path("src"))],
        ),
        (RMDIR, "build", FILE, vec![]),
        (ATTRIB, "src", WATCHED, vec![Touched(path("src"))]),
        // It may have become readable.
        (ATTRIB, "src", DIR, vec![Renew(path("src"))]),
    ]);
}

#[test]
fn ignore_files_change_what_counts() {
    let both = |file: &str, dir: &str| vec![Touched(path(file)), Refilter(path(dir))];
    check(vec![
        (WRITTEN, ".gitignore", FILE, both(".gitignore", "")),
        (TO, "src/.hdignore", FILE, both("src/.hdignore", "src")),
        (
            UNLINK,
            "src/.gitignore",
            FILE,
            both("src/.gitignore", "src"),
        ),
        // One that hides all beside it hides itself.
        (
            WRITTEN,
            "private/.gitignore",
            FILE,
            both("private/.gitignore", "private"),
        ),
        (
            UNLINK,
            "private/.gitignore",
            FILE,
            both("private/.gitignore", "private"),
        ),
        (WRITTEN, "private/x", FILE, vec![]),
        (
            WRITTEN,
            "src/.dockerignore",
            FILE,
            vec![Touched(path("src/.dockerignore"))],
        ),
    ]);
}

#[test]
fn what_hd_made_is_no_change_but_its_loss_is_told() {
    check(vec![
        (MKDIR, ".venv", FILE, vec![]),
        (ATTRIB, ".venv", DIR, vec![]),
        (WRITTEN, ".venv/lib/x.py", FILE, vec![]),
        (UNLINK, ".venv/lib/x.py", FILE, vec![]),
        (RMDIR, ".venv", FILE, vec![MountPointLost(path(".venv"))]),
        (FROM, ".venv", FILE, vec![MountPointLost(path(".venv"))]),
        (RMDIR, ".venvs", FILE, vec![Touched(path(".venvs"))]),
        (
            FROM,
            "web",
            WAS_WATCHED,
            vec![
                MountPointLost(path("web/node_modules")),
                Touched(path("web")),
                Renew(path("web")),
            ],
        ),
    ]);
}

#[test]
fn the_project_directory_itself() {
    check(vec![
        (RMDIR, "", WAS_WATCHED, vec![RootReplaced]),
        (FROM, "", WAS_WATCHED, vec![RootReplaced]),
        (MKDIR, "", FILE, vec![RootReplaced]),
        (TO, "", DIR, vec![RootReplaced]),
        (ATTRIB, "", WATCHED, vec![Rescan]),
        (OPENED, "", WATCHED, vec![]),
    ]);
}
