//! Steps and the state at the end of the target as a draft of an `hd.toml`.

use std::collections::BTreeMap;

use super::Options;
use super::evaluate::Evaluated;
use super::service;
use super::sites::Sites;
use super::state::declared;
use super::steps::Made;
use crate::ingest::draft::{Draft, DraftStep, plain_name};
use crate::ingest::report::Book;
use crate::project::Provider;
use crate::secret::Secret;
use crate::step::NamedCache;

/// What the end result is made of.
pub(crate) struct Parts<'a> {
    pub(crate) evaluated: Evaluated,
    pub(crate) steps: Vec<Made>,
    pub(crate) caches: Vec<NamedCache>,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) sites: Sites,
    pub(crate) base: String,
    pub(crate) from_line: usize,
    pub(crate) exclude: Vec<String>,
    pub(crate) options: &'a Options<'a>,
}

pub(crate) fn draft(mut parts: Parts<'_>, book: &mut Book<'_>) -> Draft {
    let state = &parts.evaluated.state;
    let place = (parts.sites.project.as_str(), &parts.sites.owners);
    let mut own = service::own(state, place, book, parts.from_line);
    let image = parts.evaluated.image.clone();
    let last = declared(&state.env, &image);
    // What every step sees and what runs is the environment's; the rest goes where it is seen.
    let steps_of_own = || parts.steps.iter().filter(|step| step.stage.is_none());
    let everywhere = |name: &String, value: &String| {
        let mut seen = steps_of_own().filter_map(|step| step.env.as_ref());
        seen.all(|env| env.get(name) == Some(value))
    };
    let cares = steps_of_own().any(|step| step.env.is_some());
    let mut common = BTreeMap::new();
    for (name, value) in &last {
        let line = state.env_lines.get(name).copied();
        if !cares || everywhere(name, value) {
            common.insert(name.clone(), value.clone());
        } else if own.runs {
            own.service.env.insert(name.clone(), value.clone());
            let note = format!(
                "{name} is the service's and that of later steps, not of earlier ones; `hd run` does not see it"
            );
            line.inspect(|line| book.approximated(*line, note));
        } else {
            common.insert(name.clone(), value.clone());
            let note = format!("earlier steps see {name} too");
            line.inspect(|line| book.approximated(*line, note));
        }
    }
    let mut dependencies = Vec::new();
    let mut steps = Vec::new();
    for made in std::mem::take(&mut parts.steps) {
        // Nothing of the environment's own holds in a stage.
        let mut env = made.declared;
        env.retain(|name, value| made.stage.is_some() || common.get(name) != Some(value));
        let first_of_all = !steps.iter().any(|step: &DraftStep| step.stage.is_none());
        if let Some(install) = made.install.as_ref().filter(|_| first_of_all) {
            let first = !dependencies
                .iter()
                .any(|one: &crate::Dependency| one.provider == install.provider);
            let free =
                env.is_empty() && (made.args.is_empty() || install.provider == Provider::Apt);
            if first && free {
                book.translated(made.line, format!("[dependencies] {}", install.provider));
                dependencies.push(install.clone());
                continue;
            }
        }
        env.extend(made.args);
        book.translated(made.line, "a step");
        steps.push(DraftStep {
            comment: format!("{}:{}", file_name(parts.options.file), book.line(made.line)),
            title: made.title,
            run: made.run,
            env,
            caches: made.caches,
            secrets: made.secrets,
            ssh: made.ssh,
            offline: made.offline,
            stage: made.stage,
            from: made.from,
            user: made.user,
        });
    }
    let of_image = image.workdir.as_deref() == Some(parts.sites.project.as_str());
    Draft {
        head: vec![format!(
            "Translated from {} by `hd ingest`.",
            file_name(parts.options.file)
        )],
        name: plain_name(parts.options.name, "app"),
        base: Some(parts.base),
        workdir: (!of_image).then_some(parts.sites.project),
        user: None,
        env: common,
        env_file: Vec::new(),
        dependencies,
        steps,
        cache: Vec::new(),
        caches: parts.caches,
        secrets: parts.secrets,
        stages: parts.sites.stages,
        volumes: Default::default(),
        services: own.runs.then(|| own.service.clone()).into_iter().collect(),
        own: Some(own),
        exclude: parts.exclude,
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
