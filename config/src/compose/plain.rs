//! Keys whose values `hd.toml` takes as they are: variables, users, directories, profiles, times.
//!
//! What `hd.toml` would refuse is told at its line, so that one value does not lose the whole file.

use std::collections::BTreeMap;

use super::expansion;
use super::service::Making;
use super::values;
use super::yaml::Node;
use crate::duration;
use crate::env_file;
use crate::ingest::draft::{Draft, DraftService};
use crate::parse::environment::is_user;
use crate::parse::profiles;
use crate::path::inside_project;
use crate::signal::Signal;

/// The file that Compose takes variables from.
const ENV_FILE: &str = ".env";

impl Making<'_, '_> {
    /// A key with one text.
    pub(super) fn text(&mut self, line: usize, key: &str, node: &Node, service: &mut DraftService) {
        let Some(text) = node.text() else { return };
        let (key, fits) = match key {
            "working_dir" => ("working_dir", is_directory(text)),
            "user" => ("user", is_user(text)),
            "stop_signal" => ("stop_signal", Signal::parse(text).is_some()),
            _ => ("stop_grace", duration::parse(text).is_ok()),
        };
        if fits {
            service.texts.insert(key, text.to_owned());
        } else {
            let otherwise = match service.texts.get(key) {
                Some(of_image) => format!("{of_image} of its image"),
                None => "hd's default".to_owned(),
            };
            let note = format!("{text:?} is no value for `{key}`: {otherwise} holds");
            self.book.approximated(line, note);
        }
    }

    /// `profiles`: names with characters of their own are told by others.
    pub(super) fn profiles(&mut self, line: usize, node: &Node, service: &mut DraftService) {
        for theirs in node.texts() {
            let plain = |c: char| if profiles::is_of_name(c) { c } else { '-' };
            let ours: String = theirs.chars().map(plain).collect();
            if ours.is_empty() {
                self.book
                    .approximated(line, "a profile without a name is none");
                continue;
            }
            if ours != theirs {
                let note = format!("the profile {theirs} is {ours}");
                self.book.approximated(line, note);
            }
            service.lists.entry("profiles").or_default().push(ours);
        }
    }

    /// `build`: what names the Dockerfile was read with it.
    pub(super) fn build(&mut self, line: usize, node: &Node) {
        let args = node.get("args").map(values::environment);
        for (name, value) in args.unwrap_or_default() {
            if value.is_none() && self.of_env_file.contains(&name) {
                self.book.approximated(line, expansion::held(&name));
            }
        }
        for (key, _) in node.map() {
            let key = key.name.as_str();
            match key {
                "context" | "dockerfile" | "target" | "args" => {}
                "cache_from" | "cache_to" | "no_cache" | "pull" | "tags" | "labels"
                | "platforms" | "provenance" | "sbom" | "shm_size" => {
                    self.book.approximated(line, format!("without `{key}`"));
                }
                // Another image would be built: of other files, by another file.
                _ => self
                    .book
                    .missing(line, format!("`build.{key}` is not read")),
            }
        }
    }

    /// `environment`: hd reads `.env` too where a value is from there, as Compose does.
    pub(super) fn environment(
        &mut self,
        line: usize,
        node: &Node,
        service: &mut DraftService,
        draft: &mut Draft,
    ) {
        let mut env = BTreeMap::new();
        for (name, value) in values::environment(node) {
            if let Some(value) = value {
                env.insert(name, value);
            } else if self.variables.contains_key(&name) {
                env.insert(name.clone(), format!("${{{name}:-}}"));
            } else {
                let note = format!("{name} is not set now: left out");
                self.book.approximated(line, note);
            }
        }
        env.retain(|name, _| {
            let fits = !name.is_empty() && !name.contains(['=', '\0', ' ', '\t', '\n']);
            if !fits {
                let note = format!("{name:?} is no name of a variable: left out");
                self.book.approximated(line, note);
            }
            fits
        });
        let mut named = env.values().flat_map(|value| values::named(value));
        if let Some(name) = named.find(|name| self.of_env_file.contains(name)) {
            let note = format!(
                "{name} is of {ENV_FILE}, now `env_file` of the environment: every step and service sees all \
                 variables of it"
            );
            self.book.approximated(line, note);
            if !draft.env_file.iter().any(|file| file == ENV_FILE) {
                draft.env_file.push(ENV_FILE.to_owned());
            }
        }
        service.env.extend(env);
    }

    /// `env_file`: files of the project; what is elsewhere is needed all the same.
    pub(super) fn env_file(&mut self, line: usize, node: &Node, service: &mut DraftService) {
        let path = |one: &Node| {
            one.text()
                .or_else(|| one.get("path").and_then(Node::text))
                .map(str::to_owned)
        };
        let paths: Vec<String> = match node.list() {
            [] => node.texts(),
            all => all.iter().filter_map(path).collect(),
        };
        for one in node.list() {
            self.unread(line, one, &["path", "required"]);
        }
        for path in paths {
            let path = path.trim_start_matches("./").to_owned();
            let inside = inside_project(&path).is_ok_and(|path| !path.is_empty());
            if self.around.file(&path).is_none() {
                self.book
                    .approximated(line, format!("there is no {path}: left out"));
            } else if !inside {
                let note =
                    format!("{path} is not in the project: `env_file` takes a copy or link there");
                self.book.missing(line, note);
            } else {
                self.leave_to_file(line, &path, service);
                service.lists.entry("env_file").or_default().push(path);
            }
        }
    }
}

impl Making<'_, '_> {
    /// What a file of variables sets beats the ENV of the Dockerfile, as under Compose; in an hd.toml the `env` of a
    /// service beats its `env_file`.
    fn leave_to_file(&mut self, line: usize, path: &str, service: &mut DraftService) {
        let text = self.around.read(path).unwrap_or_default();
        let lookup = |name: &str| self.variables.get(name).cloned();
        let (pairs, _) = env_file::parse_leniently(&text, path, &lookup);
        let environment = self.node.get("environment").map(values::environment);
        let environment = environment.unwrap_or_default();
        let of_build = self.own.map(|own| &own.service.env);
        for (name, _) in pairs {
            let is_of_build = of_build.is_some_and(|env| env.contains_key(&name));
            if is_of_build
                && !environment.contains_key(&name)
                && service.env.remove(&name).is_some()
            {
                let note = format!("{name} is that of {path}, not that of the Dockerfile");
                self.book.approximated(line, note);
            }
        }
    }
}

fn is_directory(text: &str) -> bool {
    let inside = |path: &str| path.is_empty() || inside_project(path).is_ok();
    text.strip_prefix('/').is_some_and(inside)
}
