//! The files that are stored. Made once, cached below the target directory, never committed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::place::{make_dir, rename, shell, write};
use super::tiny;
use crate::bench::remove_dir;
use crate::shell::{Doing, Failure, find_program, is_root, output};

/// No step and no service: what is left is reading and storing the project.
const HD_TOML: &str = "[environment]\nname = \"bench\"\n";
/// The packages of set a: about 75,000 files.
const PACKAGE_JSON: &str = include_str!("modules.json");
/// The length of the large file, and what its second version has in its middle besides.
const BINARY_LEN: u64 = 1 << 30;
const INSERTED: usize = 1000;

/// A set of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    Modules,
    Root,
    Tiny,
    Binary,
    Versions,
    Million,
}

/// A made set.
#[derive(Debug)]
pub(super) struct Project {
    /// The directory that is stored.
    pub(super) current: PathBuf,
    /// What is to take the place of `current/payload` as its next version.
    pub(super) next: PathBuf,
}

impl Set {
    /// What is measured unless somebody says otherwise.
    pub(super) const USUAL: [Set; 5] = [
        Set::Modules,
        Set::Root,
        Set::Tiny,
        Set::Binary,
        Set::Versions,
    ];

    pub(super) fn named(letter: &str) -> Result<Set, Failure> {
        let mut all = Set::USUAL.into_iter().chain([Set::Million]);
        all.find(|set| set.letter() == letter)
            .ok_or_else(|| Failure::new(format!("no set is called {letter}: a, b, c, d, e, m")))
    }

    pub(super) fn letter(self) -> &'static str {
        match self {
            Set::Modules => "a",
            Set::Root => "b",
            Set::Tiny => "c",
            Set::Binary => "d",
            Set::Versions => "e",
            Set::Million => "m",
        }
    }

    /// Makes the set unless it is there.
    pub(super) fn make(self, sets: &Path) -> Result<Project, Failure> {
        let place = sets.join(self.letter());
        let project = Project {
            current: place.join("project"),
            next: place.join("next"),
        };
        if !place.exists() {
            eprintln!("xtask: making set {}", self.letter());
            let unfinished = sets.join(format!("{}.part", self.letter()));
            remove_dir(&unfinished)?;
            let current = unfinished.join("project");
            make_dir(&current)?;
            self.fill(&current, &unfinished)?;
            write(&current.join("hd.toml"), HD_TOML.as_bytes())?;
            rename(&unfinished, &place)?;
        }
        Ok(project)
    }

    fn fill(self, current: &Path, place: &Path) -> Result<(), Failure> {
        match self {
            Set::Modules => modules(current),
            Set::Root => debian_root(current),
            Set::Tiny => tiny::make(current, 100_000),
            Set::Million => tiny::make(current, 1_000_000),
            Set::Binary => binary(&current.join("payload"), &place.join("next")),
            Set::Versions => {
                package("typescript@5.8.2", &current.join("payload"))?;
                package("typescript@5.8.3", &place.join("next"))
            }
        }
    }
}

fn modules(dir: &Path) -> Result<(), Failure> {
    write(&dir.join("package.json"), PACKAGE_JSON.as_bytes())?;
    let install = "npm install --ignore-scripts --no-audit --no-fund --legacy-peer-deps \
                   --loglevel=error";
    shell(install, dir)?;
    without_what_hd_leaves_out(dir)
}

/// Files hd never takes into a project would make its work smaller than its peers'.
fn without_what_hd_leaves_out(dir: &Path) -> Result<(), Failure> {
    let names = [
        ".git",
        ".gitignore",
        ".hdignore",
        ".DS_Store",
        "target",
        "__pycache__",
        ".cache",
    ];
    let names: Vec<String> = names.iter().map(|name| format!("-name {name}")).collect();
    let line = format!(
        "find . \\( {} \\) -prune -exec rm -rf {{}} +",
        names.join(" -o ")
    );
    shell(&line, dir)
}

fn debian_root(dir: &Path) -> Result<(), Failure> {
    if !is_root() || find_program("mmdebstrap").is_none() {
        return Err(Failure::new("set b needs root and mmdebstrap"));
    }
    let release =
        std::fs::read_to_string("/etc/os-release").doing(|| "reading /etc/os-release".into())?;
    let suite = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .ok_or_else(|| Failure::new("set b is made on Debian only"))?;
    let sources = [
        "/etc/apt/sources.list.d/debian.sources",
        "/etc/apt/sources.list",
    ];
    let sources = sources
        .into_iter()
        .find(|file| Path::new(file).exists())
        .ok_or_else(|| Failure::new("no apt sources of Debian found"))?;
    let mut options = String::new();
    for key in ["Acquire::Check-Valid-Until", "Acquire::Check-Date"] {
        // A mirror that is frozen in time needs the machine's own settings.
        let said = output(Command::new("apt-config").args(["dump", key]))?;
        if let Some(setting) = said.lines().next() {
            options.push_str(&format!(" --aptopt='{}'", setting.trim_end_matches(';')));
        }
    }
    let line = format!(
        "mmdebstrap --mode=root --variant=minbase --format=tar --include=python3,git,perl,gcc \
         --aptopt='Acquire::Languages \"none\"' --aptopt='APT::Install-Recommends \"false\"' \
         {options} {suite} - - < {sources} | tar -x"
    );
    shell(&line, dir)?;
    without_what_hd_leaves_out(dir)
}

/// Programs and libraries of this machine one after the other, and the same with an insertion.
fn binary(first: &Path, second: &Path) -> Result<(), Failure> {
    let mut files = Vec::new();
    for dir in ["/usr/bin", "/usr/lib", "/usr/libexec", "/opt", "/usr/local"] {
        large_files(Path::new(dir), &mut files)?;
    }
    files.sort();
    let mut out = File::create(first).doing(|| format!("creating {}", first.display()))?;
    let mut missing = BINARY_LEN;
    for file in files {
        let opened = File::open(&file).doing(|| format!("opening {}", file.display()))?;
        missing -= io::copy(&mut opened.take(missing), &mut out)
            .doing(|| format!("copying {}", file.display()))?;
        if missing == 0 {
            break;
        }
    }
    if missing > 0 {
        return Err(Failure::new(
            "this machine has less than 1 GiB of programs for set d",
        ));
    }
    let inserted: Vec<u8> = (0..INSERTED)
        .map(|number| (number * 131 % 251) as u8)
        .collect();
    let doing = || format!("writing {}", second.display());
    let mut whole = File::open(first).doing(doing)?;
    let mut out = File::create(second).doing(doing)?;
    io::copy(&mut (&mut whole).take(BINARY_LEN / 2), &mut out).doing(doing)?;
    out.write_all(&inserted).doing(doing)?;
    io::copy(&mut whole, &mut out).doing(doing)?;
    Ok(())
}

fn large_files(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let Ok(listing) = std::fs::read_dir(dir) else {
        return Ok(());
    };
    for entry in listing {
        let entry = entry.doing(|| format!("listing {}", dir.display()))?;
        let meta = entry
            .metadata()
            .doing(|| format!("looking at {}", entry.path().display()))?;
        if meta.is_dir() {
            large_files(&entry.path(), files)?;
        } else if meta.is_file() && !meta.file_type().is_fifo() && meta.len() > 64 << 10 {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn package(spec: &str, to: &Path) -> Result<(), Failure> {
    make_dir(to)?;
    shell(
        &format!("npm pack --silent {spec} && tar -xzf *.tgz && rm *.tgz"),
        to,
    )
}
