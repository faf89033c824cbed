//! Steps and the state at the end of the target as a draft of an `hd.toml`.

use std::collections::BTreeMap;

use super::Options;
use super::evaluate::Evaluated;
use super::service::service;
use super::steps::Made;
use crate::ingest::draft::{Draft, DraftStep, plain_name};
use crate::ingest::report::Book;
use crate::project::Provider;
use crate::step::NamedCache;

/// What the end result is made of.
pub(crate) struct Parts<'a> {
    pub(crate) evaluated: Evaluated,
    pub(crate) steps: Vec<Made>,
    pub(crate) caches: Vec<NamedCache>,
    pub(crate) project: String,
    pub(crate) base: String,
    pub(crate) from_line: usize,
    pub(crate) exclude: Vec<String>,
    pub(crate) options: &'a Options<'a>,
}

pub(crate) fn draft(mut parts: Parts<'_>, book: &mut Book<'_>) -> Draft {
    let state = &parts.evaluated.state;
    let mut service = service(state, &parts.project, book, parts.from_line);
    let image = parts.evaluated.image.clone();
    let declared = |env: &BTreeMap<String, String>| -> BTreeMap<String, String> {
        let own = env
            .iter()
            .filter(|(name, value)| image.env.get(*name) != Some(value));
        let own = own.filter(|(name, _)| state.env_lines.contains_key(*name) || !is_default(name));
        own.map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    let last = declared(&state.env);
    // What every step sees and what runs is the environment's; the rest goes where it is seen.
    let everywhere = |name: &String, value: &String| {
        let mut seen = parts.steps.iter().filter_map(|step| step.env.as_ref());
        seen.all(|env| env.get(name) == Some(value))
    };
    let cares = parts.steps.iter().any(|step| step.env.is_some());
    let mut common = BTreeMap::new();
    for (name, value) in &last {
        let line = state.env_lines.get(name).copied();
        if !cares || everywhere(name, value) {
            common.insert(name.clone(), value.clone());
        } else if let Some(service) = &mut service {
            service.env.insert(name.clone(), value.clone());
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
        let own: BTreeMap<String, String> = made.env.as_ref().map(&declared).unwrap_or_default();
        let mut env: BTreeMap<String, String> = own
            .into_iter()
            .filter(|(name, value)| common.get(name) != Some(value))
            .collect();
        if let Some(install) = made.install.as_ref().filter(|_| steps.is_empty()) {
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
            offline: made.offline,
        });
    }
    let of_image = image.workdir.as_deref() == Some(parts.project.as_str());
    Draft {
        head: vec![format!(
            "Translated from {} by `hd ingest`.",
            file_name(parts.options.file)
        )],
        name: plain_name(parts.options.name, "app"),
        base: Some(parts.base),
        workdir: (!of_image).then_some(parts.project),
        user: None,
        env: common,
        env_file: Vec::new(),
        dependencies,
        steps,
        cache: Vec::new(),
        caches: parts.caches,
        services: service.into_iter().collect(),
        exclude: parts.exclude,
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `PATH` is taken as the default when an image does not say it.
fn is_default(name: &str) -> bool {
    name == "PATH"
}
