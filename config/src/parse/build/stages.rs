//! `[build.stages.NAME]`.

use crate::keys;
use crate::parse::{environment, services};
use crate::read::{Item, Result};
use crate::step::{Stage, StageOrigin};

pub(super) fn read(item: &Item<'_>) -> Result<Vec<Stage>> {
    let mut stages: Vec<Stage> = Vec::new();
    for declared in item.section()?.items() {
        let name = services::name(&declared, "stage")?;
        let section = declared.section()?;
        section.check(&keys::BUILD_STAGE)?;
        let origin = match (section.get("base"), section.get("from")) {
            (Some(_), Some(from)) => {
                let why = "a stage begins with one thing";
                return Err(from.invalid_key(why, "leave out `base`, or `from`"));
            }
            (_, Some(from)) => StageOrigin::Stage(named(&from, &stages)?),
            (None, None) => {
                let hint = "add base = \"IMAGE\", or from = \"STAGE\" to go on from another";
                return section.require("base", hint).map(|_| Vec::new());
            }
            (Some(base), None) => StageOrigin::Image(environment::base(&base)?),
        };
        let workdir = section.optional("workdir", environment::workdir)?;
        stages.push(Stage {
            name,
            origin,
            workdir,
        });
    }
    Ok(stages)
}

/// The name of one of these stages.
pub(super) fn named(item: &Item<'_>, stages: &[Stage]) -> Result<String> {
    let name = item.text()?;
    let known = stages.iter().map(|stage| stage.name.as_str());
    if known.clone().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    let mut hint = keys::name_advice(name, known);
    if hint.is_empty() {
        hint = format!("declare it above: [build.stages.{name}] base = \"IMAGE\"");
    }
    Err(item.invalid(format!("no stage is called {name:?}"), hint))
}
