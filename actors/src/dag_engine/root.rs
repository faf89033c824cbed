//! The Env node: what is asked for, and nothing that was observed.

use std::collections::BTreeMap;

use hd_config::Project;
use hd_dag::node::{BuildStep, Package};
use hd_dag::{CanonicalError, Environment, EnvironmentNodes, environment_root};
use hd_store::Id;

use crate::base::Base;
use crate::step_runner::wanted::Wanted;

/// Describes the environment of a project tree.
pub fn environment(
    project: &Project,
    declared: &BTreeMap<String, String>,
    base: &Base,
    steps: &[Wanted],
    tree: Id,
) -> Result<EnvironmentNodes, CanonicalError> {
    environment_root(&Environment {
        name: project.name.clone(),
        base: Some(base_package(base)),
        packages: Vec::new(),
        project: Some(tree),
        steps: steps
            .iter()
            .zip(0..)
            .map(|(step, order)| build_step(project, base, step, order))
            .collect(),
        environment: declared.clone(),
    })
}

fn base_package(base: &Base) -> Package {
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

fn build_step(project: &Project, base: &Base, step: &Wanted, order: u64) -> BuildStep {
    let options = &step.options;
    let mut workdir = base.workdir(project.workdir.as_deref());
    if let Some(below) = &options.workdir {
        workdir = format!("{workdir}/{below}");
    }
    let network = options.network.as_str().to_owned();
    let mut settings = BTreeMap::from([
        ("workdir".to_owned(), workdir),
        ("network".to_owned(), network),
    ]);
    let mut set = |name: &str, value: String| settings.insert(name.to_owned(), value);
    if let Some(user) = &project.user {
        set("user", user.clone());
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
