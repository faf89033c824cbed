//! The Env node: what is asked for, and nothing that was observed.

use std::collections::BTreeMap;

use hd_config::Project;
use hd_config::step::lineage;
use hd_dag::node::{BuildStep, Package};
use hd_dag::{CanonicalError, Environment, EnvironmentNodes, environment_root};
use hd_store::Id;

use crate::base::{Base, Bases};
use crate::step_runner::wanted::Wanted;

/// Describes the environment of a project tree.
pub fn environment(
    project: &Project,
    declared: &BTreeMap<String, String>,
    bases: &Bases,
    steps: &[Wanted],
    tree: Id,
) -> Result<EnvironmentNodes, CanonicalError> {
    environment_root(&Environment {
        name: project.name.clone(),
        base: Some(package(&bases.environment)),
        packages: Vec::new(),
        project: Some(tree),
        steps: steps
            .iter()
            .zip(0..)
            .map(|(step, order)| build_step(project, bases, step, order))
            .collect(),
        environment: declared.clone(),
    })
}

fn package(base: &Base) -> Package {
    match base {
        Base::Host(_) => Package {
            provider: "host".to_owned(),
            name: "host".to_owned(),
            version: std::env::consts::ARCH.to_owned(),
            artefact: None,
            tree: None,
        },
        Base::Image(image) => Package {
            provider: "oci".to_owned(),
            name: image.reference.clone(),
            version: image.digest.clone(),
            artefact: None,
            tree: Some(image.rooted.tree),
        },
    }
}

/// A stage as its own text: where it begins, and where the project stands in it.
fn stage(project: &Project, bases: &Bases, name: &str) -> String {
    let line = lineage(&project.stages, name);
    let origin = line.get(1).map(|above| above.name.as_str());
    let image = bases.stages.get(name).map(|base| package(base).version);
    let workdir = line.iter().find_map(|stage| stage.workdir.as_deref());
    let parts = [Some(name), origin, image.as_deref(), workdir];
    parts.map(Option::unwrap_or_default).join(" ")
}

fn build_step(project: &Project, bases: &Bases, step: &Wanted, order: u64) -> BuildStep {
    let options = &step.options;
    let mut workdir = bases.environment.workdir(project.workdir.as_deref());
    if let Some(below) = &options.workdir {
        workdir = format!("{workdir}/{below}");
    }
    let network = options.network.as_str().to_owned();
    let mut settings = BTreeMap::from([
        ("workdir".to_owned(), workdir),
        ("network".to_owned(), network),
    ]);
    let mut set = |name: &str, value: String| settings.insert(name.to_owned(), value);
    if let Some(user) = options.user.as_ref().or(project.user.as_ref()) {
        set("user", user.clone());
    }
    if let Some(name) = &options.stage {
        set("stage", stage(project, bases, name));
    }
    for name in &options.from {
        set(&format!("from {name}"), stage(project, bases, name));
    }
    for (at, dir) in project.cache.iter().enumerate() {
        set(&format!("cache-{at}"), dir.clone());
    }
    if let Some(needs) = &options.needs {
        set("needs", needs.join(" "));
    }
    for (at, output) in options.outputs.iter().enumerate() {
        set(&format!("output-{at}"), output.to_string());
    }
    for cache in project
        .caches
        .iter()
        .filter(|cache| options.caches.contains(&cache.name))
    {
        set(&format!("cache {}", cache.name), cache.path.clone());
    }
    if let Some(timeout) = options.timeout {
        set("timeout_ms", timeout.as_millis().to_string());
    }
    BuildStep {
        name: step.name.clone(),
        command: vec!["/bin/sh".to_owned(), "-c".to_owned(), step.command.clone()],
        environment: options.env.clone(),
        settings,
        order,
    }
}
