//! What happened in the stages as build steps.

use std::collections::BTreeMap;

use super::command::text;
use super::event::{Copy, Event, From, Run, What};
use super::files::Files;
use super::install::recognise;
use super::mounts::{Mounting, Mounts};
use super::sites::Site;
use super::state::{declared, who};
use crate::ingest::report::Book;
use crate::ingest::shell::{join, quote};
use crate::ingest::{FileKind, Surroundings};
use crate::path::is_at_or_below;
use crate::project::Dependency;
use crate::secret::{Secret, SecretSource};
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
    /// What of that its image does not say.
    pub(crate) declared: BTreeMap<String, String>,
    /// Build arguments and what mounts set.
    pub(crate) args: BTreeMap<String, String>,
    /// Names of caches.
    pub(crate) caches: Vec<String>,
    /// Names of secrets.
    pub(crate) secrets: Vec<String>,
    /// It reaches the SSH agent.
    pub(crate) ssh: bool,
    /// Whether the network is cut off.
    pub(crate) offline: bool,
    /// What it installs, when it does nothing else.
    pub(crate) install: Option<Dependency>,
    /// The stage it builds in.
    pub(crate) stage: Option<String>,
    /// Stages it takes from.
    pub(crate) from: Vec<String>,
    /// Who runs it, when it is not who runs all steps.
    pub(crate) user: Option<String>,
}

/// Makes steps, in order.
pub(crate) struct Making<'a, 'b> {
    pub(crate) book: &'b mut Book<'a>,
    pub(crate) around: &'b dyn Surroundings,
    pub(crate) steps: Vec<Made>,
    pub(crate) caches: Vec<NamedCache>,
    /// Where the values of secrets come from, by id.
    pub(crate) known: &'b BTreeMap<String, SecretSource>,
    /// Those that are used.
    pub(crate) secrets: Vec<Secret>,
    /// The file system at hand.
    pub(crate) site: Site,
}

impl Making<'_, '_> {
    /// Carries out events in a file system and gives it back; at its end, whatever WORKDIR asked
    /// for is made.
    pub(crate) fn all<'e>(
        &mut self,
        site: Site,
        events: impl Iterator<Item = &'e Event>,
        is_end: bool,
    ) -> Site {
        self.site = site;
        for event in events {
            match &event.what {
                What::Mkdir(dir) => self.want(dir, event.line),
                What::Run(run) => {
                    self.run(run, event.line);
                    self.site.ran = true;
                }
                What::Copy(copy) => self.copy(copy, event.line),
            }
        }
        if is_end {
            self.make_wanted();
        }
        std::mem::take(&mut self.site)
    }

    fn copy(&mut self, copy: &Copy, line: usize) {
        let mut files = Files {
            book: self.book,
            around: self.around,
            project: &self.site.project,
            line,
            late: self.site.ran,
        };
        let commands = files.commands(copy);
        if commands.is_empty() {
            return;
        }
        self.has(&copy.dest);
        let from = match &copy.from {
            From::Context => Vec::new(),
            From::Stage(name) => vec![name.clone()],
        };
        self.push(
            ROOT,
            Made {
                line,
                title: title(copy),
                run: sequence(&commands),
                from,
                ..Made::default()
            },
        );
    }

    fn make_wanted(&mut self) {
        let left = std::mem::take(&mut self.site.wanted);
        if let Some(line) = left.values().next().copied() {
            let run = format!("mkdir -p {}", join(left.keys().map(String::as_str)));
            let made = Made {
                line,
                title: "mkdir".to_owned(),
                run,
                ..Made::default()
            };
            self.push(ROOT, made);
        }
    }

    fn push(&mut self, user: &str, step: Made) {
        self.steps.push(Made {
            stage: self.site.stage.clone(),
            user: (who(user) != self.site.user()).then(|| who(user).to_owned()),
            ..step
        });
    }

    fn want(&mut self, dir: &str, line: usize) {
        let project = &self.site.project;
        let in_project = dir
            .strip_prefix(project.as_str())
            .and_then(|rest| rest.strip_prefix('/'));
        let there = dir == "/"
            || dir == project
            || in_project.is_some_and(|path| self.around.file(path) == Some(FileKind::Dir));
        if !there && !self.site.made.contains(dir) {
            self.site.wanted.insert(dir.to_owned(), line);
        }
    }

    /// Notes that a directory is made by what follows.
    fn has(&mut self, dir: &str) -> bool {
        self.site.made.insert(dir.to_owned());
        let found = self.site.wanted.contains_key(dir);
        // Directories above it come with it.
        let below = |above: &str| is_at_or_below(dir.as_bytes(), above.as_bytes());
        self.site.wanted.retain(|wanted, _| !below(wanted));
        found
    }

    fn run(&mut self, run: &Run, line: usize) {
        if who(&run.user) != ROOT && self.site.wanted.contains_key(&run.cwd) {
            // WORKDIR makes directories of root.
            self.make_wanted();
        }
        let mut mounting = Mounting {
            book: self.book,
            around: self.around,
            project: &self.site.project,
            line,
            caches: &mut self.caches,
            known: self.known,
            secrets: &mut self.secrets,
        };
        let mounts = mounting.all(run);
        let script = text(run);
        let title = told(&script).to_owned();
        let at_project = run.cwd == self.site.project;
        let has = |file: &str| matches!(self.around.file(file), Some(FileKind::File { .. }));
        let simple = self.site.alone
            && who(&run.user) == self.site.user()
            && mounts.before.is_empty()
            && mounts.caches.is_empty()
            && mounts.secrets.is_empty()
            && !mounts.ssh;
        let install = if simple {
            recognise(&script, at_project, &has)
        } else {
            None
        };
        let mut args = run.args.clone();
        args.retain(|name, _| !run.env.contains_key(name));
        args.extend(mounts.env.iter().cloned());
        let made = Made {
            line,
            title,
            run: self.in_place(run, &script, &mounts),
            declared: declared(&run.env, &self.site.image),
            env: Some(run.env.clone()),
            args,
            caches: mounts.caches,
            secrets: mounts.secrets,
            ssh: mounts.ssh,
            offline: run.offline,
            install,
            from: mounts.from,
            ..Made::default()
        };
        self.push(&run.user, made);
    }

    /// The script in its directory, between what its mounts need.
    fn in_place(&mut self, run: &Run, script: &str, mounts: &Mounts) -> String {
        let mut script = script.to_owned();
        if run.cwd != self.site.project {
            let dir = quote(&run.cwd);
            let mkdir = if self.has(&run.cwd) {
                format!("mkdir -p {dir} && ")
            } else {
                String::new()
            };
            // `cd DIR && a & b` would go there for `a` alone.
            let and = if goes_on_beside(&script) {
                " || exit\n"
            } else {
                " && "
            };
            script = format!("{mkdir}cd {dir}{and}{script}");
        }
        if mounts.before.is_empty() {
            return script;
        }
        // What is mounted below another goes before that one does.
        let after: Vec<&str> = mounts.after.iter().rev().map(String::as_str).collect();
        format!(
            "{{\n{}\n}} || exit\n(\n{script}\n) || exit\n{}",
            mounts.before.join(" &&\n"),
            after.join("\n")
        )
    }
}

/// Tells whether a shell may go on while a part of a script still runs; that of a word in quotes counts too.
fn goes_on_beside(script: &str) -> bool {
    let plain = ["&&", ">&", "<&", "&>"]
        .iter()
        .fold(script.to_owned(), |script, other| script.replace(other, ""));
    plain.contains('&')
}

/// Who makes what COPY and WORKDIR make.
const ROOT: &str = "root";

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
