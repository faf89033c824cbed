//! COPY and ADD as commands of a step.

use super::event::{Copy, From, Item};
use super::place;
use crate::ingest::report::Book;
use crate::ingest::shell::{is_glob, join, quote, quote_glob};
use crate::ingest::{FileKind, Surroundings};
use crate::step::STAGES;

/// What a source is known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
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

/// Translates one COPY; its commands, none when all is in place already.
pub(crate) struct Files<'a, 'b> {
    pub(crate) book: &'b mut Book<'a>,
    pub(crate) around: &'b dyn Surroundings,
    /// Where the project stands.
    pub(crate) project: &'b str,
    /// Line of the report.
    pub(crate) line: usize,
    /// Whether a RUN came before it.
    pub(crate) late: bool,
}

impl Files<'_, '_> {
    pub(crate) fn commands(&mut self, copy: &Copy) -> Vec<String> {
        let mut commands = Vec::new();
        for item in &copy.items {
            match item {
                Item::Inline { name, content } => commands.push(inline(copy, name, content)),
                Item::Url(url) => commands.push(self.download(copy, url)),
                Item::Path(path) => match &copy.from {
                    From::Context => commands.extend(self.of_project(copy, path)),
                    From::Stage(stage) => commands.push(self.of_stage(copy, stage, path)),
                },
            }
        }
        commands
    }

    fn in_place(&self, copy: &Copy, path: &str) -> bool {
        if path.is_empty() {
            return copy.dest == self.project;
        }
        let target = place::target(copy, path, self.around);
        target.is_some_and(|target| target == format!("{}/{path}", self.project))
    }

    fn of_project(&mut self, copy: &Copy, path: &str) -> Option<String> {
        let kind = if path.is_empty() {
            Some(FileKind::Dir)
        } else {
            self.around.file(path)
        };
        if kind.is_none() && !is_glob(path) && !path.contains("/./") {
            let note = format!("there is no `{path}` in the project, or it is ignored");
            self.book.missing(self.line, note);
            return None;
        }
        if self.in_place(copy, path) {
            self.told_in_place(copy, path, kind);
            return None;
        }
        let source = if path.is_empty() { "." } else { path };
        if let Some(FileKind::Archive { option }) = kind
            && copy.unpack
        {
            self.book
                .approximated(self.line, "unpacked by the `tar` of the base");
            let dest = quote(&copy.dest);
            let owner = copy
                .owner
                .as_ref()
                .map_or_else(String::new, |_| " --no-same-owner".to_owned());
            return Some(format!(
                "mkdir -p {dest} && tar -x{option}f {} -C {dest}{owner}",
                quote(source)
            ));
        }
        if copy.parents {
            return Some(self.parents(copy, source));
        }
        let known = match kind {
            Some(FileKind::Dir) => Known::Dir,
            Some(_) => Known::File,
            None => {
                self.told_of_hidden(path);
                let at_it = format!("{}/{path}", self.project);
                match place::target_of_glob(copy, path) == at_it {
                    true => Known::GlobOfDirs,
                    false => Known::Glob,
                }
            }
        };
        Some(place_files(copy, source, known))
    }

    /// Copies what another stage or image has.
    fn of_stage(&mut self, copy: &Copy, stage: &str, path: &str) -> String {
        let shown = format!("{STAGES}/{stage}{path}");
        let known = if is_glob(path) {
            self.told_of_hidden(path);
            Known::Glob
        } else if path == "/" {
            Known::Root
        } else {
            Known::Unknown
        };
        place_files(copy, shown.trim_end_matches('/'), known)
    }

    fn told_of_hidden(&mut self, glob: &str) {
        if glob
            .split('/')
            .any(|name| name.starts_with(['*', '?', '[']))
        {
            let note = "the shell expands the wildcard: names that begin with a dot do not match";
            self.book.approximated(self.line, note);
        }
    }

    fn told_in_place(&mut self, copy: &Copy, path: &str, kind: Option<FileKind>) {
        if self.late {
            self.book.approximated(self.line, "the project is there already, for the steps above too: what they do not read does not run them again");
        } else {
            self.book
                .translated(self.line, "the project is there already");
        }
        if !copy.exclude.is_empty() {
            self.book
                .approximated(self.line, "what --exclude names is there too");
        }
        if copy.owner.is_some() {
            self.book
                .approximated(self.line, "files of the project belong to who runs it");
        }
        let executable = matches!(kind, Some(FileKind::File { executable: true }));
        let wanted = copy.mode.as_deref().is_some_and(grants_execution);
        if wanted && !executable {
            let note = format!(
                "the mode is that of the project's file: chmod {} {path}",
                copy.mode.as_deref().unwrap_or_default()
            );
            self.book.approximated(self.line, note);
        }
    }

    /// `--parents`: the path below the destination is that of the source.
    fn parents(&mut self, copy: &Copy, path: &str) -> String {
        let (pivot, rest) = path.split_once("/./").unwrap_or((".", path));
        let dest = quote(&copy.dest);
        if !copy.exclude.is_empty() || copy.owner.is_some() || copy.mode.is_some() {
            self.book
                .approximated(self.line, "--parents without the other flags");
        }
        let cd = if pivot == "." {
            String::new()
        } else {
            format!("cd {} && ", quote(pivot))
        };
        format!(
            "mkdir -p {dest} && ({cd}cp -a --parents {} {dest})",
            quote_glob(rest)
        )
    }
}

/// Tells whether a mode lets the owner execute; a symbolic one with `x` counts.
fn grants_execution(mode: &str) -> bool {
    match u32::from_str_radix(mode, 8) {
        Ok(bits) => bits & 0o100 != 0,
        Err(_) => mode.contains('x'),
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
fn attributes(copy: &Copy, word: &str) -> Vec<String> {
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
fn place_files(copy: &Copy, source: &str, known: Known) -> String {
    let dest = quote(&copy.dest);
    let flagged = copy.owner.is_some() || copy.mode.is_some() || !copy.exclude.is_empty();
    if known == Known::File && copy.exclude.is_empty() {
        return one_file(copy, source);
    }
    if !flagged {
        let source = match known {
            Known::Glob | Known::GlobOfDirs => quote_glob(source),
            _ => quote(source),
        };
        return spread(copy, &source, known);
    }
    // Flags concern what is copied and nothing that is there already, so they are applied aside.
    let mut commands: Vec<String> = owned_parents(copy).into_iter().collect();
    commands.push("t=$(mktemp -d)".to_owned());
    let (aside, shape) = match known {
        Known::Glob | Known::GlobOfDirs => {
            let each = each_match(&quote_glob(source), "\"$t/x\"", known);
            commands.push(format!("mkdir \"$t/x\" && {each}"));
            ("\"$t/x\"", Known::Dir)
        }
        _ => {
            commands.push(format!("cp -a {} \"$t/x\"", quote(source)));
            ("\"$t/x\"", known)
        }
    };
    for pattern in &copy.exclude {
        commands.push(format!("(cd {aside} && {})", remove(pattern)));
    }
    commands.extend(attributes(copy, aside));
    // A directory that is there already stays as it is; only what comes into it is as the flags say.
    commands.push(format!(
        "if [ -d {aside} ] && [ -d {dest} ]; then chown \"$(stat -c %u:%g {dest})\" {aside} && chmod \"$(stat -c %a {dest})\" {aside}; fi"
    ));
    if shape == Known::Dir {
        commands.push(format!(
            "mkdir -p {dest} && cp -a {aside}/. {}/",
            dest.trim_end_matches('/')
        ));
    } else {
        commands.push(spread(copy, aside, shape));
    }
    commands.join(" && ")
}

fn one_file(copy: &Copy, source: &str) -> String {
    let name = source.rsplit('/').next().unwrap_or(source);
    let target = if copy.into {
        format!("{}/{name}", copy.dest.trim_end_matches('/'))
    } else {
        copy.dest.clone()
    };
    let mut commands: Vec<String> = owned_parents(copy).into_iter().collect();
    commands.push(format!("mkdir -p {}", quote(parent(&target))));
    commands.push(format!("cp -a {} {}", quote(source), quote(&target)));
    commands.extend(
        attributes(copy, &quote(&target))
            .into_iter()
            .map(|one| one.replace(" -R", "")),
    );
    commands.join(" && ")
}

/// Copies what a wildcard matches, of a directory its contents. It may match nothing.
fn each_match(glob: &str, dest: &str, known: Known) -> String {
    let file = match known {
        Known::GlobOfDirs => "",
        _ => &format!("elif [ -e \"$f\" ] || [ -L \"$f\" ]; then cp -a \"$f\" {dest}/; "),
    };
    format!(
        "for f in {glob}; do if [ -d \"$f\" ]; then cp -a \"$f\"/. {dest}/; {file}fi || exit 1; done"
    )
}

/// Copies a shell word without regard to flags.
fn spread(copy: &Copy, source: &str, known: Known) -> String {
    let dest = quote(&copy.dest);
    let dest = if dest == "/" { "" } else { &dest };
    match known {
        Known::Dir => format!("mkdir -p {dest}/ && cp -a {source}/. {dest}/"),
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
            format!("mkdir -p {dest}/ && tar -C {source} {without}-c . | tar -C {dest}/ -x")
        }
        Known::Glob | Known::GlobOfDirs => {
            format!("mkdir -p {dest}/ && {}", each_match(source, dest, known))
        }
        _ if copy.into => format!(
            "mkdir -p {dest}/ && if [ -d {source} ]; then cp -a {source}/. {dest}/; else cp -a {source} {dest}/; fi"
        ),
        _ => format!(
            "mkdir -p {} && if [ -d {source} ]; then mkdir -p {dest}/ && cp -a {source}/. {dest}/; else cp -a {source} {dest}; fi",
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
        _ => format!("rm -rf -- {}", quote_glob(pattern)),
    }
}

/// A file given by heredoc.
fn inline(copy: &Copy, name: &str, content: &str) -> String {
    let target = if copy.into {
        format!("{}/{name}", copy.dest.trim_end_matches('/'))
    } else {
        copy.dest.clone()
    };
    let word = quote(&target);
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let end = if plain && !content.lines().any(|line| line == name) {
        name
    } else {
        "END_OF_FILE"
    };
    let flags = attributes(copy, &word)
        .into_iter()
        .map(|one| one.replace(" -R", ""));
    let mode = if copy.mode.is_none() {
        Some(format!("chmod 644 {word}"))
    } else {
        None
    };
    let after: Vec<String> = mode.into_iter().chain(flags).collect();
    format!(
        "mkdir -p {} && cat > {word} <<'{end}' && {}\n{content}{end}\n",
        quote(parent(&target)),
        after.join(" && ")
    )
}
