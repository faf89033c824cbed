//! Who stores the same files: hd, and its peers as Debian has them, with their defaults and a
//! local repository. Only borg is told a compression, since its own default is lz4.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Map, Value};

use super::place::{Place, make_dir};
use crate::bench::usage::measure;
use crate::bench::{machine, remove_dir};
use crate::shell::{Failure, find_program};

/// A program that stores a directory.
pub(super) struct Contender {
    pub(super) name: &'static str,
    /// What has to be installed, and the argument that makes it tell its version.
    programs: &'static [(&'static str, &'static str)],
    /// Makes an empty repository in a fresh directory; not measured.
    prepare: fn(&Place) -> Option<Command>,
    /// Stores the project, the first time or again.
    store: fn(&Place) -> Command,
}

pub(super) const HD: &Contender = &ALL[0];

/// All of them, hd first.
pub(super) const ALL: &[Contender] = &[
    Contender {
        name: "hd",
        programs: &[],
        prepare: |_| None,
        store: |place| place.up_once(&place.at("hd")),
    },
    Contender {
        name: "tar|zstd-1",
        programs: TAR_ZSTD,
        prepare: |_| None,
        store: |place| {
            piped(
                place,
                "tar -c . | zstd -1 -q -f -o \"$0/out\"",
                "tar|zstd-1",
            )
        },
    },
    Contender {
        name: "tar|zstd-1-T2",
        programs: TAR_ZSTD,
        prepare: |_| None,
        store: |place| {
            let line = "tar -c . | zstd -1 -T2 -q -f -o \"$0/out\"";
            piped(place, line, "tar|zstd-1-T2")
        },
    },
    Contender {
        name: "git",
        programs: &[("git", "--version")],
        prepare: |place| Some(git(place, &["init", "--quiet"])),
        store: |place| git(place, &["add", "--all"]),
    },
    Contender {
        name: "restic",
        programs: &[("restic", "version")],
        prepare: |place| Some(restic(place, &["init", "--quiet"])),
        store: |place| restic(place, &["backup", "--quiet", "."]),
    },
    Contender {
        name: "borg",
        programs: &[("borg", "--version")],
        prepare: |place| Some(borg(place, &["init", "--encryption", "none", "::"])),
        store: |place| {
            let archive = "::{now:%Y-%m-%dT%H:%M:%S.%f}";
            borg(place, &["create", "--compression", "zstd,3", archive, "."])
        },
    },
    Contender {
        name: "casync",
        programs: &[("casync", "--version")],
        prepare: |_| None,
        store: |place| {
            // An index of its own for each version, so that every one can be had again.
            let line = "casync make --store=\"$0/s.castr\" \"$0/$(date +%s%N).caidx\" .";
            piped(place, line, "casync")
        },
    },
    Contender {
        name: "cp",
        programs: &[("cp", "--version")],
        prepare: |_| None,
        store: |place| piped(place, "cp -a . \"$0\"", "cp"),
    },
    Contender {
        name: "b3sum",
        programs: &[("b3sum", "--version")],
        prepare: |_| None,
        store: |place| {
            let line = "find . -type f -print0 | xargs -0 b3sum > \"$0/out\"";
            piped(place, line, "b3sum")
        },
    },
];

const TAR_ZSTD: &[(&str, &str)] = &[("tar", "--version"), ("zstd", "--version")];

/// The contender of a name.
pub(super) fn named(name: &str) -> Result<&'static Contender, Failure> {
    let found = ALL.iter().find(|contender| contender.name == name);
    found.ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|contender| contender.name).collect();
        Failure::new(format!("no peer is called {name}: {}", names.join(", ")))
    })
}

/// What each program here says about its version.
pub(super) fn versions() -> Value {
    let programs = ALL.iter().flat_map(|contender| contender.programs);
    let versions = programs.map(|(program, argument)| {
        let version = machine::version(program, argument);
        (
            (*program).to_owned(),
            version.map_or(Value::Null, Value::String),
        )
    });
    Value::Object(versions.collect::<Map<_, _>>())
}

impl Contender {
    /// A program it needs that is not installed.
    pub(super) fn missing(&self) -> Option<&'static str> {
        let mut programs = self.programs.iter().map(|(program, _)| *program);
        programs.find(|program| find_program(program).is_none())
    }

    /// Where it keeps what it stored.
    pub(super) fn repository(&self, place: &Place) -> PathBuf {
        place.at(self.name)
    }

    /// What of it counts as stored: restic and borg keep caches elsewhere, so do not count hd's logs.
    pub(super) fn stored(&self, place: &Place) -> PathBuf {
        match self.name {
            "hd" => place.at("hd").join("cas"),
            _ => self.repository(place),
        }
    }

    /// Empties its repository.
    pub(super) fn reset(&self, place: &Place) -> Result<(), Failure> {
        remove_dir(&self.repository(place))?;
        remove_dir(&place.at(&format!("{}-cache", self.name)))?;
        make_dir(&self.repository(place))?;
        match (self.prepare)(place) {
            Some(mut prepare) => measure(&mut prepare).map(|_| ()),
            None => Ok(()),
        }
    }

    pub(super) fn command(&self, place: &Place) -> Command {
        (self.store)(place)
    }
}

/// A line of shell in the project; `$0` is the repository.
fn piped(place: &Place, line: &str, name: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]).arg(place.at(name));
    command.current_dir(&place.project.current);
    command
}

/// git with its directory outside of the project, and without its upkeep: after a commit that goes on in the background
/// for seconds, and takes a processor from what is measured next.
pub(super) fn git(place: &Place, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.args(["-c", "gc.auto=0", "-c", "maintenance.auto=false"]);
    command.args(args).current_dir(&place.project.current);
    command.env("GIT_DIR", place.at("git"));
    command.env("GIT_WORK_TREE", &place.project.current);
    command
}

fn restic(place: &Place, args: &[&str]) -> Command {
    let mut command = Command::new("restic");
    command.args(args).current_dir(&place.project.current);
    command.env("RESTIC_REPOSITORY", place.at("restic"));
    command.env("RESTIC_PASSWORD", "bench");
    command.env("RESTIC_CACHE_DIR", place.at("restic-cache"));
    command
}

fn borg(place: &Place, args: &[&str]) -> Command {
    let mut command = Command::new("borg");
    command.args(args).current_dir(&place.project.current);
    command.env("BORG_REPO", place.at("borg"));
    command.env("BORG_BASE_DIR", place.at("borg-cache"));
    command.env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes");
    command.env("BORG_RELOCATED_REPO_ACCESS_IS_OK", "yes");
    command
}
