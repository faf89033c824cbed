//! `RUN --mount`: named caches, files brought along, and what cannot be had.

use std::collections::BTreeMap;

use super::event::Run;
use super::state::absolute;
use crate::ingest::draft::plain_name;
use crate::ingest::report::Book;
use crate::ingest::shell::quote;
use crate::ingest::{FileKind, Surroundings};
use crate::path::is_at_or_below;
use crate::secret::{Secret, SecretSource};
use crate::step::{NamedCache, STAGES};

/// Home of root, who carries steps out.
const HOME: &str = "/root";

/// Downloads below it that `hd` keeps without being told.
const KEPT_BY_HD: [&str; 4] = [".cache", ".npm", ".cargo/registry", ".cargo/git"];

/// What the mounts of one RUN come to.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    /// Commands before it.
    pub(crate) before: Vec<String>,
    /// Commands after it.
    pub(crate) after: Vec<String>,
    /// Names of caches.
    pub(crate) caches: Vec<String>,
    /// Variables.
    pub(crate) env: Vec<(String, String)>,
    /// Stages it takes from.
    pub(crate) from: Vec<String>,
    /// Names of secrets.
    pub(crate) secrets: Vec<String>,
    /// It reaches the SSH agent.
    pub(crate) ssh: bool,
}

/// Translates mounts; collects the caches of the whole file.
pub(crate) struct Mounting<'a, 'b> {
    pub(crate) book: &'b mut Book<'a>,
    pub(crate) around: &'b dyn Surroundings,
    pub(crate) project: &'b str,
    pub(crate) line: usize,
    pub(crate) caches: &'b mut Vec<NamedCache>,
    /// Where the values of secrets come from, by id.
    pub(crate) known: &'b BTreeMap<String, SecretSource>,
    pub(crate) secrets: &'b mut Vec<Secret>,
}

struct Mount<'m>(Vec<(&'m str, &'m str)>);

impl<'m> Mount<'m> {
    fn get(&self, names: &[&str]) -> Option<&'m str> {
        let found = self.0.iter().find(|(name, _)| names.contains(name));
        found.map(|(_, value)| *value)
    }
}

impl Mounting<'_, '_> {
    pub(crate) fn all(&mut self, run: &Run) -> Mounts {
        let mut mounts = Mounts::default();
        for text in &run.mounts {
            let parts = text.split(',').map(str::trim);
            let mount = Mount(
                parts
                    .map(|part| part.split_once('=').unwrap_or((part, "true")))
                    .collect(),
            );
            let target = mount.get(&["target", "dst", "destination"]);
            let target = target.map(|target| absolute(&run.cwd, target));
            match mount.get(&["type"]).unwrap_or("bind") {
                "cache" => self.cache(&mount, target, &mut mounts),
                "bind" => self.bind(&mount, target, run, &mut mounts),
                "tmpfs" => self.tmpfs(target, &mut mounts),
                "secret" => self.secret(&mount, target, &mut mounts),
                "ssh" => self.ssh(&mount, target.as_deref(), &mut mounts),
                other => self
                    .book
                    .missing(self.line, format!("there is no mount of type `{other}`")),
            }
        }
        mounts
    }

    fn cache(&mut self, mount: &Mount<'_>, target: Option<String>, mounts: &mut Mounts) {
        let Some(target) = target else {
            self.book
                .missing(self.line, "the cache mount lacks its target");
            return;
        };
        let below = |top: &&str| is_at_or_below(target.as_bytes(), top.as_bytes());
        let home = target
            .strip_prefix(HOME)
            .and_then(|rest| rest.strip_prefix('/'));
        let kept =
            |top: &&str| home.is_some_and(|at| is_at_or_below(at.as_bytes(), top.as_bytes()));
        if KEPT_BY_HD.iter().any(kept) {
            self.book.translated(
                self.line,
                format!("hd keeps {target} between runs by itself"),
            );
            return;
        }
        if mount.get(&["from", "source", "src"]).is_some() {
            self.book.approximated(self.line, "the cache begins empty");
        }
        let in_project = target
            .strip_prefix(self.project)
            .and_then(|rest| rest.strip_prefix('/'));
        let path = in_project.unwrap_or(&target).to_owned();
        if let Some(known) = self.caches.iter().find(|cache| cache.path == path) {
            mounts.caches.push(known.name.clone());
        } else {
            let overlaps = |cache: &&NamedCache| {
                let (a, b) = (cache.path.as_bytes(), path.as_bytes());
                is_at_or_below(a, b) || is_at_or_below(b, a)
            };
            let kernel = ["/dev", "/proc", "/sys"].iter().any(below);
            if self.caches.iter().any(|cache| overlaps(&cache))
                || path.is_empty()
                || target == "/"
                || kernel
            {
                self.book.approximated(
                    self.line,
                    format!("{target} is not kept: no cache can lie there"),
                );
                return;
            }
            let id = mount.get(&["id"]).unwrap_or(&path);
            let name = self.unused(&plain_name(id, "cache"));
            mounts.caches.push(name.clone());
            self.caches.push(NamedCache { name, path });
        }
        self.book
            .translated(self.line, format!("{target} is a named cache"));
    }

    fn unused(&self, name: &str) -> String {
        let taken = |name: &str| self.caches.iter().any(|cache| cache.name == name);
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        names.find(|name| !taken(name)).unwrap_or_default()
    }

    /// Puts aside what stands at the target of a mount, and the begin of an `if` that puts it back: the mount only
    /// hides it. The project stays where it is, and keeps what is mounted over it.
    fn aside(&self, target: &str) -> (String, String) {
        let (to, kept) = (quote(target), quote(&format!("{target}.hd-aside")));
        if is_at_or_below(self.project.as_bytes(), target.as_bytes()) {
            return ("true".to_owned(), "if true; then :;".to_owned());
        }
        let is_there = |path: &str| format!("[ -e {path} ] || [ -L {path} ]");
        (
            format!("if {}; then mv {to} {kept}; fi", is_there(&to)),
            format!("rm -rf {to}; if {}; then mv {kept} {to};", is_there(&kept)),
        )
    }

    /// What is taken from a stage is shown by a link, for it may be a whole system.
    fn linked(&mut self, source: &str, target: &str, stage: &str, mounts: &mut Mounts) {
        let origin = format!("{STAGES}/{stage}{}", absolute("/", source));
        let origin = quote(origin.trim_end_matches('/'));
        let parent = target.rsplit_once('/').map_or("/", |(parent, _)| parent);
        let (parent, to) = (
            quote(if parent.is_empty() { "/" } else { parent }),
            quote(target),
        );
        let (before, after) = self.aside(target);
        mounts.before.push(format!(
            "mkdir -p {parent} && {before} && ln -s {origin} {to}"
        ));
        mounts
            .after
            .push(format!("{after} elif [ -d {origin} ]; then mkdir {to}; fi"));
        mounts.from.push(stage.to_owned());
        self.book.approximated(
            self.line,
            format!("{target} is a link into the stage `{stage}` for the step"),
        );
    }

    fn bind(&mut self, mount: &Mount<'_>, target: Option<String>, run: &Run, mounts: &mut Mounts) {
        let source = mount.get(&["source", "src"]).unwrap_or("/");
        let target = target.unwrap_or_else(|| run.cwd.clone());
        if let Some(stage) = mount.get(&["from"]).and_then(|from| run.sources.get(from)) {
            if target != "/" {
                self.linked(source, &target, stage, mounts);
            }
            return;
        }
        let inside = absolute("/", &format!("{}{}", run.context, absolute("/", source)));
        let inside = inside.trim_matches('/');
        let origin = absolute(self.project, inside);
        if origin == target {
            self.book
                .translated(self.line, format!("{target} is there already"));
            return;
        }
        let known = self.around.file(inside);
        if known.is_none() && !inside.is_empty() {
            let note = format!("there is no {inside} in the project to be mounted");
            self.book.missing(self.line, note);
        }
        let is_dir = inside.is_empty() || known == Some(FileKind::Dir) || target.ends_with('/');
        let (from, to) = (quote(&origin), quote(&target));
        let (before, after) = self.aside(&target);
        mounts.before.push(if is_dir {
            format!("{before} && mkdir -p {to} && cp -a {from}/. {to}/")
        } else {
            let parent = target.rsplit_once('/').map_or("/", |(parent, _)| parent);
            format!(
                "{before} && mkdir -p {} && cp -aL {from} {to}",
                quote(if parent.is_empty() { "/" } else { parent })
            )
        });
        // The place where a directory was mounted stays, empty, as under Docker.
        mounts.after.push(if is_dir {
            format!("{after} else mkdir -p {to}; fi")
        } else {
            format!("{after} fi")
        });
        self.book.approximated(
            self.line,
            format!("{target} is copied for the step and removed after it"),
        );
    }

    fn tmpfs(&mut self, target: Option<String>, mounts: &mut Mounts) {
        let Some(target) = target else { return };
        let private = ["/tmp", "/var/tmp", "/run", "/dev/shm"];
        if private
            .iter()
            .any(|top| is_at_or_below(target.as_bytes(), top.as_bytes()))
        {
            self.book
                .translated(self.line, format!("{target} is no part of any result"));
            return;
        }
        let word = quote(&target);
        let (before, after) = self.aside(&target);
        mounts.before.push(format!("{before} && mkdir -p {word}"));
        mounts
            .after
            .push(format!("{after} else mkdir -p {word}; fi"));
        self.book.approximated(
            self.line,
            format!("{target} is an ordinary directory, removed after the step"),
        );
    }

    fn secret(&mut self, mount: &Mount<'_>, target: Option<String>, mounts: &mut Mounts) {
        let id = mount.get(&["id"]).unwrap_or("default");
        let Some(source) = self.known.get(id) else {
            return self.without(mount, id);
        };
        let name = self.named(id, source);
        let place = format!("/run/secrets/{name}");
        if let Some(variable) = mount.get(&["env"]) {
            let value = format!("{variable}=\"$(cat {place})\"");
            mounts.before.push(format!("{value} && export {variable}"));
        }
        let target = target.or_else(|| {
            let is_variable = mount.get(&["env"]).is_some();
            (!is_variable).then(|| format!("/run/secrets/{id}"))
        });
        if let Some(target) = target.filter(|target| *target != place) {
            let parent = target.rsplit_once('/').map_or("/", |(parent, _)| parent);
            let (parent, to) = (
                quote(if parent.is_empty() { "/" } else { parent }),
                quote(&target),
            );
            let (before, after) = self.aside(&target);
            let before = format!("mkdir -p {parent} && {before} && ln -s {place} {to}");
            mounts.before.push(before);
            mounts.after.push(format!("{after} fi"));
        }
        mounts.secrets.push(name);
        self.book.translated(
            self.line,
            format!("the secret `{id}` is read in this step only"),
        );
    }

    /// The name of a secret in `hd.toml`; declares it with its first use.
    fn named(&mut self, id: &str, source: &SecretSource) -> String {
        let name = plain_name(id, "secret");
        if !self.secrets.iter().any(|secret| secret.name == name) {
            self.secrets.push(Secret {
                name: name.clone(),
                source: source.clone(),
            });
        }
        name
    }

    /// The agent is the one of who runs hd, whatever its id; its socket has one place in all steps.
    fn ssh(&mut self, mount: &Mount<'_>, target: Option<&str>, mounts: &mut Mounts) {
        mounts.ssh = true;
        let mut note = "the step reaches the agent of SSH_AUTH_SOCK, which must run".to_owned();
        if let Some(id) = mount.get(&["id"]).filter(|id| *id != "default") {
            note.push_str(&format!(", also for the id `{id}`"));
        }
        if let Some(target) = target {
            note.push_str(&format!("; SSH_AUTH_SOCK says where, not at {target}"));
        }
        self.book.approximated(self.line, note);
    }

    fn without(&mut self, mount: &Mount<'_>, id: &str) {
        let note = format!(
            "nothing says where the secret `{id}` is: --secret id={id},env=VARIABLE or ,src=FILE"
        );
        let required = mount.get(&["required"]);
        if required.is_some_and(|value| value != "false") {
            self.book.missing(self.line, note);
        } else {
            self.book.approximated(self.line, format!("{note}; the command must do without, as it must under Docker when none is given"));
        }
    }
}
