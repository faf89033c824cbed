//! Files put where COPY says, as commands of a shell.
//!
//! A source that is a link stands for what it leads to, under the name of the link (BuildKit: `FollowSymlinks`); links
//! in a directory that is copied stay links.

use super::event::Copy;
use crate::ingest::shell::{join, quote, quote_glob};

/// What a source is known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Dir,
    File,
    /// A wildcard: of a directory that it matches the contents are meant.
    Glob,
    /// The same where the files that it matches are in place already.
    GlobOfDirs,
    /// The root of a stage.
    Root,
    Unknown,
}

/// What is copied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'s> {
    /// Its path in the step.
    pub(super) path: &'s str,
    /// Where the file system that it is of has its root in the step; none for the project.
    pub(super) root: Option<&'s str>,
    /// What it is known to be.
    pub(super) known: Known,
}

impl Source<'_> {
    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }
}

pub(super) fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

/// Directories above a copy that are not there yet get the owner of --chown, as BuildKit gives it.
fn owned_parents(copy: &Copy) -> Option<String> {
    let owner = quote(copy.owner.as_ref()?);
    let dir = if copy.into {
        copy.dest.as_str()
    } else {
        parent(&copy.dest)
    };
    let ends = dir
        .char_indices()
        .filter(|(at, c)| *c == '/' && *at > 0)
        .map(|(at, _)| at);
    let dirs: Vec<&str> = ends
        .chain([dir.len()])
        .filter_map(|end| dir.get(..end))
        .collect();
    let dirs = join(dirs);
    (dir != "/").then(|| {
        format!(
            "for d in {dirs}; do [ -d \"$d\" ] || {{ mkdir \"$d\" && chown {owner} \"$d\"; }}; done"
        )
    })
}

/// `--chown` and `--chmod` as commands on a shell word.
pub(super) fn attributes(copy: &Copy, word: &str) -> Vec<String> {
    let owner = copy
        .owner
        .as_ref()
        .map(|owner| format!("chown -R {} {word}", quote(owner)));
    let mode = copy
        .mode
        .as_ref()
        .map(|mode| format!("chmod -R {} {word}", quote(mode)));
    owner.into_iter().chain(mode).collect()
}

/// Copies a source to the destination, as Docker does: a directory stands for its contents.
pub(super) fn place_files(copy: &Copy, source: &Source<'_>) -> String {
    let flagged = copy.owner.is_some() || copy.mode.is_some() || !copy.exclude.is_empty();
    match source.known {
        Known::File if copy.exclude.is_empty() => one_file(copy, source),
        _ if flagged => with_flags(copy, source),
        Known::Unknown => format!("{} && {}", found(source), spread(copy, source, "\"$f\"")),
        Known::Glob | Known::GlobOfDirs => spread(copy, source, &quote_glob(source.path)),
        _ => spread(copy, source, &quote(source.path)),
    }
}

/// Sets `f` to a source of another file system, links followed.
fn found(source: &Source<'_>) -> String {
    let follow = source.root.map(|root| format!(" && {}", follow(root)));
    format!("f={}{}", quote(source.path), follow.unwrap_or_default())
}

/// Follows `$f` where it is a link. One that is absolute leads on in its own file system, which the kernel
/// would not do; those of the directories above it are not looked at.
fn follow(root: &str) -> String {
    let root = quote(root);
    format!(
        "for i in 1 2 3 4 5 6 7 8 9; do [ -L \"$f\" ] || break; l=$(readlink \"$f\") || exit; \
         case $l in /*) f={root}$l ;; *) f=${{f%/*}}/$l ;; esac; done"
    )
}

/// Flags concern what is copied and nothing that is there already, so they are applied aside.
fn with_flags(copy: &Copy, source: &Source<'_>) -> String {
    let dest = quote(&copy.dest);
    let mut commands: Vec<String> = owned_parents(copy).into_iter().collect();
    commands.push("t=$(mktemp -d)".to_owned());
    let path = quote(source.path);
    let aside = match source.known {
        Known::Unknown | Known::File => format!("\"$t\"/{}", quote(source.name())),
        _ => "\"$t/x\"".to_owned(),
    };
    match source.known {
        Known::Glob | Known::GlobOfDirs => {
            let each = each_match(source, &quote_glob(source.path), &aside);
            commands.push(format!("mkdir {aside} && {each}"));
        }
        Known::Unknown => commands.push(format!("{} && cp -a \"$f\" {aside}", found(source))),
        Known::File => commands.push(format!("cp -aL {path} {aside}")),
        Known::Dir => commands.push(format!("mkdir {aside} && cp -a {path}/. {aside}")),
        Known::Root => commands.push(format!("cp -a {path} {aside}")),
    }
    for pattern in &copy.exclude {
        let there = format!("[ ! -d {aside} ] || (cd {aside} && {})", remove(pattern));
        commands.push(format!("{{ {there}; }}"));
    }
    commands.extend(attributes(copy, &aside));
    // A directory that is there already stays as it is; only what comes into it is as the flags say.
    commands.push(format!(
        "if [ -d {aside} ] && [ -d {dest} ]; then chown \"$(stat -c %u:%g {dest})\" {aside} && chmod \"$(stat -c %a {dest})\" {aside}; fi"
    ));
    let known = match source.known {
        Known::Glob | Known::GlobOfDirs => Known::Dir,
        known => known,
    };
    commands.push(spread(copy, &Source { known, ..*source }, &aside));
    commands.join(" && ")
}

fn one_file(copy: &Copy, source: &Source<'_>) -> String {
    let target = if copy.into {
        format!("{}/{}", copy.dest.trim_end_matches('/'), source.name())
    } else {
        copy.dest.clone()
    };
    let mut commands: Vec<String> = owned_parents(copy).into_iter().collect();
    commands.push(format!("mkdir -p {}", quote(parent(&target))));
    commands.push(format!("cp -aL {} {}", quote(source.path), quote(&target)));
    commands.extend(
        attributes(copy, &quote(&target))
            .into_iter()
            .map(|one| one.replace(" -R", "")),
    );
    commands.join(" && ")
}

/// Copies what a wildcard matches, of a directory its contents. It may match nothing.
fn each_match(source: &Source<'_>, glob: &str, dest: &str) -> String {
    let (follow, file) = match source.root {
        Some(root) => (
            format!("n=${{f##*/}}; {}; ", follow(root)),
            format!("cp -a \"$f\" {dest}/\"$n\""),
        ),
        None => (String::new(), format!("cp -aL \"$f\" {dest}/")),
    };
    let file = match source.known {
        Known::GlobOfDirs => String::new(),
        _ => format!("elif [ -e \"$f\" ] || [ -L \"$f\" ]; then {file}; "),
    };
    format!(
        "for f in {glob}; do {follow}if [ -d \"$f\" ]; then cp -a \"$f\"/. {dest}/; {file}fi || exit 1; done"
    )
}

/// Copies a shell word, which holds the source, without regard to flags.
fn spread(copy: &Copy, source: &Source<'_>, word: &str) -> String {
    let dest = quote(&copy.dest);
    let dest = if dest == "/" { "" } else { &dest };
    let name = quote(source.name());
    match source.known {
        Known::Dir => format!("mkdir -p {dest}/ && cp -a {word}/. {dest}/"),
        Known::Root => {
            // What the kernel and hd have at these places stays theirs.
            let theirs = [
                "proc",
                "sys",
                "dev",
                "run",
                "tmp",
                "etc/resolv.conf",
                "etc/hosts",
            ];
            let without = theirs.map(|path| format!("--exclude=./{path} ")).concat();
            format!("mkdir -p {dest}/ && tar -C {word} {without}-c . | tar -C {dest}/ -x")
        }
        Known::Glob | Known::GlobOfDirs => {
            format!("mkdir -p {dest}/ && {}", each_match(source, word, dest))
        }
        Known::File | Known::Unknown if copy.into => format!(
            "mkdir -p {dest}/ && if [ -d {word} ]; then cp -a {word}/. {dest}/; else cp -a {word} {dest}/{name}; fi"
        ),
        Known::File | Known::Unknown => format!(
            "mkdir -p {} && if [ -d {word} ]; then mkdir -p {dest}/ && cp -a {word}/. {dest}/; elif [ -d {dest} ]; \
             then cp -a {word} {dest}/{name}; else cp -a {word} {dest}; fi",
            quote(parent(&copy.dest))
        ),
    }
}

/// Removes what an `--exclude` pattern names, in the directory at hand.
fn remove(pattern: &str) -> String {
    let pattern = pattern.trim_start_matches('/').trim_end_matches('/');
    match pattern.strip_prefix("**/") {
        Some(name) if !name.contains('/') => {
            format!("find . -depth -name {} -exec rm -rf {{}} +", quote(name))
        }
        // A shell takes `**` for `*`; of `find`, a `*` goes on across directories.
        _ if pattern.contains("**") => {
            let path = |with: &str| quote(&format!("./{}", pattern.replace("**/", with)));
            let (deeper, here) = (path("*/"), path(""));
            format!("find . -depth '(' -path {deeper} -o -path {here} ')' -exec rm -rf {{}} +")
        }
        _ => format!("rm -rf -- {}", quote_glob(pattern)),
    }
}
