//! What happened in the stages as build steps.

use std::collections::{BTreeMap, BTreeSet};

use super::command::{as_user, text};
use super::event::{Copy, Event, Run, What};
use super::files::Files;
use super::install::recognise;
use super::mounts::{Mounting, Mounts};
use crate::ingest::report::Book;
use crate::ingest::shell::{join, quote};
use crate::ingest::{FileKind, Surroundings};
use crate::path::is_at_or_below;
use crate::project::Dependency;
use crate::step::NamedCache;

/// One step, its environment still whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct Made {
    /// Line of the report it comes from.
    pub(crate) line: usize,
    /// A command its name is made of.
    pub(crate) title: String,
    /// The command.
    pub(crate) run: String,
    /// Environment it must see; `None` when it does not care.
    pub(crate) env: Option<BTreeMap<String, String>>,
    /// Build arguments and what mounts set.
    pub(crate) args: BTreeMap<String, String>,
    /// Names of caches.
    pub(crate) caches: Vec<String>,
    /// Whether the network is cut off.
    pub(crate) offline: bool,
    /// What it installs, when it does nothing else.
    pub(crate) install: Option<Dependency>,
}

/// Makes steps, in order.
pub(crate) struct Making<'a, 'b> {
    pub(crate) book: &'b mut Book<'a>,
    pub(crate) around: &'b dyn Surroundings,
    /// Where the project stands.
    pub(crate) project: &'b str,
    pub(crate) steps: Vec<Made>,
    pub(crate) caches: Vec<NamedCache>,
    /// Directories that WORKDIR asked for and nothing has made yet, with the line that asked.
    pub(crate) wanted: BTreeMap<String, usize>,
    pub(crate) made: BTreeSet<String>,
}

impl Making<'_, '_> {
    pub(crate) fn all(&mut self, events: &[Event]) {
        let mut ran = false;
        for event in events {
            match &event.what {
                What::Mkdir(dir) => self.want(dir, event.line),
                What::Run(run) => {
                    self.run(run, event.line);
                    ran = true;
                }
                What::Copy(copy) => {
                    let mut files = Files {
                        book: self.book,
                        around: self.around,
                        project: self.project,
                        line: event.line,
                        late: ran,
                    };
                    let commands = files.commands(copy);
                    if !commands.is_empty() {
                        self.has(&copy.dest);
                        self.push(Made {
                            line: event.line,
                            title: title(copy),
                            run: sequence(&commands),
                            ..Made::default()
                        });
                    }
                }
            }
        }
        let left = std::mem::take(&mut self.wanted);
        if let Some(line) = left.values().next().copied() {
            let run = format!("mkdir -p {}", join(left.keys().map(String::as_str)));
            self.push(Made {
                line,
                title: "mkdir".to_owned(),
                run,
                ..Made::default()
            });
        }
    }

    fn push(&mut self, step: Made) {
        self.steps.push(step);
    }

    fn want(&mut self, dir: &str, line: usize) {
        let in_project = dir
            .strip_prefix(self.project)
            .and_then(|rest| rest.strip_prefix('/'));
        let there = dir == "/"
            || dir == self.project
            || in_project.is_some_and(|path| self.around.file(path) == Some(FileKind::Dir));
        if !there && !self.made.contains(dir) {
            self.wanted.insert(dir.to_owned(), line);
        }
    }

    /// Notes that a directory is made by what follows.
    fn has(&mut self, dir: &str) -> bool {
        self.made.insert(dir.to_owned());
        let found = self.wanted.contains_key(dir);
        // Directories above it come with it.
        let below = |above: &str| is_at_or_below(dir.as_bytes(), above.as_bytes());
        self.wanted.retain(|wanted, _| !below(wanted));
        found
    }

    fn run(&mut self, run: &Run, line: usize) {
        let mut mounting = Mounting {
            book: self.book,
            around: self.around,
            project: self.project,
            line,
            caches: &mut self.caches,
        };
        let mounts = mounting.all(run);
        let script = text(run);
        let title = told(&script).to_owned();
        let at_project = run.cwd == self.project;
        let has = |file: &str| matches!(self.around.file(file), Some(FileKind::File { .. }));
        let simple = run.user.is_empty() && mounts.before.is_empty() && mounts.caches.is_empty();
        let install = if simple {
            recognise(&script, at_project, &has)
        } else {
            None
        };
        self.explain(run, line);
        let mut args = run.args.clone();
        args.retain(|name, _| !run.env.contains_key(name));
        args.extend(mounts.env.iter().cloned());
        let run_text = self.in_place(run, &script, &mounts);
        self.push(Made {
            line,
            title,
            run: run_text,
            env: Some(run.env.clone()),
            args,
            caches: mounts.caches,
            offline: run.offline,
            install,
        });
    }

    fn explain(&mut self, run: &Run, line: usize) {
        if run.user.is_empty() {
            return;
        }
        let by_number = run
            .user
            .split(':')
            .any(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
            || run.user.contains(':');
        let tool = if by_number { "setpriv" } else { "su" };
        self.book.approximated(
            line,
            format!("runs as `{}` by the `{tool}` of the base", run.user),
        );
    }

    /// The script in its directory, as its user, between what its mounts need.
    fn in_place(&mut self, run: &Run, script: &str, mounts: &Mounts) -> String {
        let mut script = script.to_owned();
        if run.cwd != self.project {
            let dir = quote(&run.cwd);
            let mkdir = if self.has(&run.cwd) {
                format!("mkdir -p {dir} && ")
            } else {
                String::new()
            };
            if run.user.is_empty() {
                script = format!("{mkdir}cd {dir} && {script}");
            } else {
                script = format!("{mkdir}cd {dir} && {}", as_user(&script, &run.user));
            }
        } else {
            script = as_user(&script, &run.user);
        }
        if mounts.before.is_empty() {
            return script;
        }
        format!(
            "{}\n(\n{script}\n) || exit\n{}",
            sequence(&mounts.before),
            mounts.after.join("\n")
        )
    }
}

/// What a COPY is called.
fn title(copy: &Copy) -> String {
    let name = copy.dest.rsplit('/').next().unwrap_or_default();
    format!("copy {}", name.replace(['.', '/'], "-"))
}

/// A script without the `set -e` it begins with.
fn told(script: &str) -> &str {
    let Some(rest) = script.strip_prefix("set -") else {
        return script;
    };
    rest.trim_start_matches(|c: char| c.is_ascii_alphabetic())
        .trim_start_matches([';', '\n', ' '])
}

/// Commands one after the other; the first that fails ends the step.
fn sequence(commands: &[String]) -> String {
    match commands {
        [only] => only.clone(),
        all if all.iter().any(|one| one.contains('\n')) => format!("set -e\n{}", all.join("\n")),
        all => all.join(" && "),
    }
}
