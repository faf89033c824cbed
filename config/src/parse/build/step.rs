//! `[[build.step]]`.

use super::stages;
use crate::keys;
use crate::parse::{environment, services, watch};
use crate::path::is_at_or_below;
use crate::read::{Item, Result, Section};
use crate::secret::Secret;
use crate::step::{NamedCache, STAGES, Stage, Step, StepNetwork, lineage};

pub(super) fn read(
    item: &Item<'_>,
    (caches, secrets, stages): (&[NamedCache], &[Secret], &[Stage]),
) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    let hint = "a list of commands is written `steps = [\"…\"]`";
    for (at, element) in item
        .elements_of("[[build.step]] tables", hint)?
        .iter()
        .enumerate()
    {
        let mut step = step(element, at + 1, &steps, stages)?;
        let section = element.section()?;
        step.caches = used(&section, "caches", caches.iter().map(|cache| &*cache.name))?;
        step.secrets = used(
            &section,
            "secrets",
            secrets.iter().map(|secret| &*secret.name),
        )?;
        steps.push(step);
    }
    Ok(steps)
}

fn step(item: &Item<'_>, number: usize, above: &[Step], stages: &[Stage]) -> Result<Step> {
    let section = item.section()?;
    section.check(&keys::BUILD_STEP)?;
    let named = section.require("name", "add name = \"build\"")?;
    let run = section.require("run", "add run = \"make\"")?;
    let networks = [("host", StepNetwork::Host), ("none", StepNetwork::None)];
    let network = section.optional("network", |item| item.one_of(&networks))?;
    let stage = section.optional("stage", |item| stages::named(item, stages))?;
    let beside = Beside {
        above,
        stages,
        stage: stage.as_deref(),
    };
    Ok(Step {
        name: format!("step-{number}"),
        slug: name(&named, above)?,
        is_named: true,
        run: run.text()?.to_owned(),
        needs: section.optional("needs", |item| beside.needs(item))?,
        inputs: section.optional("inputs", watch::globs)?,
        outputs: section.optional("outputs", outputs)?.unwrap_or_default(),
        env: section
            .optional("env", environment::env)?
            .unwrap_or_default(),
        network: network.unwrap_or_default(),
        timeout: section.optional("timeout", timeout)?,
        workdir: section.optional("workdir", Item::path_inside)?,
        caches: Vec::new(),
        secrets: Vec::new(),
        ssh: section.optional("ssh", Item::boolean)?.unwrap_or_default(),
        from: section
            .optional("from", |item| beside.from(item))?
            .unwrap_or_default(),
        user: section.optional("user", environment::user)?,
        stage,
    })
}

/// What a step may refer to.
struct Beside<'a> {
    above: &'a [Step],
    stages: &'a [Stage],
    /// Where it runs.
    stage: Option<&'a str>,
}

impl Beside<'_> {
    /// Steps declared above; so there is an order, and no cycle can be written.
    fn needs(&self, item: &Item<'_>) -> Result<Vec<String>> {
        let mut needs = Vec::new();
        for element in item.elements()? {
            let name = element.text()?;
            let known = self.above.iter().map(|step| step.slug.as_str());
            let Some(needed) = self.above.iter().find(|step| step.slug == name) else {
                let why = format!("no step above is called {name:?}");
                let mut hint = keys::name_advice(name, known);
                if hint.is_empty() {
                    hint = "declare the steps it needs above it".to_owned();
                }
                return Err(element.invalid(why, hint));
            };
            if !self.stands_on(needed.stage.as_deref()) {
                return Err(apart(&element, needed));
            }
            if !needs.iter().any(|other| other == name) {
                needs.push(name.to_owned());
            }
        }
        Ok(needs)
    }

    /// Whether what is built there is in the file system of this step.
    fn stands_on(&self, other: Option<&str>) -> bool {
        match (self.stage, other) {
            (None, None) => true,
            (Some(own), Some(other)) => lineage(self.stages, own)
                .iter()
                .any(|stage| stage.name == other),
            _ => false,
        }
    }

    fn from(&self, item: &Item<'_>) -> Result<Vec<String>> {
        let mut from: Vec<String> = Vec::new();
        for element in item.elements()? {
            let name = stages::named(&element, self.stages)?;
            if self.stage == Some(name.as_str()) {
                let why = format!("the step runs in {name:?} itself");
                return Err(element.invalid(why, "leave it out: its files are all around"));
            }
            if !from.contains(&name) {
                from.push(name);
            }
        }
        Ok(from)
    }
}

fn apart(element: &Item<'_>, needed: &Step) -> crate::ConfigError {
    let (why, hint) = match &needed.stage {
        Some(stage) => (
            format!("{:?} runs in the stage {stage:?}", needed.slug),
            format!("from = [{stage:?}] shows what it leaves, at {STAGES}/{stage}"),
        ),
        None => (
            format!("{:?} runs in the environment, not in a stage", needed.slug),
            "a stage sees other stages only: give that step a stage".to_owned(),
        ),
    };
    element.invalid(why, hint)
}

fn name(item: &Item<'_>, above: &[Step]) -> Result<String> {
    let name = services::plain_name(item, item.text()?, "step")?;
    if name
        .strip_prefix("step-")
        .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
    {
        let hint = "`step-1`, `step-2`, … are the steps by number";
        return Err(item.invalid(format!("{name:?} is taken"), hint));
    }
    if above.iter().any(|other| other.slug == name) {
        let why = format!("another step is called {name:?} already");
        return Err(item.invalid(why, "each step needs a name of its own"));
    }
    Ok(name)
}

fn outputs(item: &Item<'_>) -> Result<Vec<String>> {
    let mut outputs: Vec<String> = Vec::new();
    for element in item.elements()? {
        let path = element.path_inside()?;
        let overlaps = |other: &&String| {
            let (path, other) = (path.as_bytes(), other.as_bytes());
            is_at_or_below(path, other) || is_at_or_below(other, path)
        };
        if let Some(other) = outputs.iter().find(overlaps) {
            let why = format!("`{path}` and `{other}` overlap");
            return Err(element.invalid(why, "name only the outer one"));
        }
        outputs.push(path);
    }
    Ok(outputs)
}

fn timeout(item: &Item<'_>) -> Result<std::time::Duration> {
    let timeout = item.duration()?;
    if timeout.is_zero() {
        return Err(item.invalid("no step is done in no time", "leave it out for no limit"));
    }
    Ok(timeout)
}

/// The caches or secrets a step gets, each declared.
fn used<'n>(
    section: &Section<'_>,
    key: &str,
    known: impl Iterator<Item = &'n str> + Clone,
) -> Result<Vec<String>> {
    let Some(item) = section.get(key) else {
        return Ok(Vec::new());
    };
    let mut used = Vec::new();
    for element in item.elements()? {
        let name = element.text()?;
        if !known.clone().any(|known| known == name) {
            let (kind, declaration) = match key {
                "caches" => (
                    "cache",
                    format!("[build.caches.{name}] path = \"~/.cache/{name}\""),
                ),
                _ => ("secret", format!("[secrets.{name}] env = \"TOKEN\"")),
            };
            let mut hint = keys::name_advice(name, known);
            if hint.is_empty() {
                hint = format!("declare it: {declaration}");
            }
            return Err(element.invalid(format!("no {kind} is called {name:?}"), hint));
        }
        if !used.iter().any(|other| other == name) {
            used.push(name.to_owned());
        }
    }
    Ok(used)
}
