//! COPY and ADD as commands of a step.

use super::event::{Copy, From, Item};
use super::place;
use super::placing::{Known, Source, attributes, parent, place_files};
use crate::ingest::report::Book;
use crate::ingest::shell::{is_glob, quote, quote_glob};
use crate::ingest::{FileKind, Surroundings};
use crate::step::STAGES;

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
        Some(place_files(
            copy,
            &Source {
                path: source,
                root: None,
                known,
            },
        ))
    }

    /// Copies what another stage or image has.
    fn of_stage(&mut self, copy: &Copy, stage: &str, path: &str) -> String {
        let root = format!("{STAGES}/{stage}");
        let shown = format!("{root}{path}");
        let known = if is_glob(path) {
            self.told_of_hidden(path);
            Known::Glob
        } else if path == "/" {
            Known::Root
        } else {
            Known::Unknown
        };
        let path = shown.trim_end_matches('/');
        place_files(
            copy,
            &Source {
                path,
                root: Some(&root),
                known,
            },
        )
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
