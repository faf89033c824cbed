//! `watch` of a service: globs, `"auto"`, and rules that do something gentler than a restart.

use toml::de::DeValue;

use super::services::command;
use crate::error::{ConfigError, Problem};
use crate::keys;
use crate::read::{Item, Result};
use crate::signal::Signal;
use crate::watch::{WatchAction, WatchError, WatchRule, WatchSet};

const RULE: &str = "{ files = \"nginx.conf\", action = \"signal=HUP\" }";

pub(super) fn read(item: &Item<'_>) -> Result<WatchSet> {
    if let DeValue::String(text) = item.value()
        && text == "auto"
    {
        return Ok(WatchSet::auto());
    }
    let hint = match item.value() {
        DeValue::String(text) => format!("watch = [{text:?}]"),
        _ => "watch = [\"src/**\"]".to_owned(),
    };
    let elements = item.elements_of("a list of globs or \"auto\"", &hint)?;
    let mut rules = Vec::new();
    // Which element each glob stands in, for errors.
    let mut stands_in = Vec::new();
    for (at, element) in elements.iter().enumerate() {
        let found = match element.value() {
            DeValue::Table(_) => rule(element)?,
            DeValue::String(_) => vec![WatchRule {
                glob: element.text()?.to_owned(),
                action: WatchAction::Restart,
            }],
            _ => return Err(element.wrong_type("a glob or a rule", RULE)),
        };
        stands_in.extend(found.iter().map(|_| at));
        rules.extend(found);
    }
    WatchSet::with_actions(rules).map_err(|error| {
        let element = stands_in.get(error.index).and_then(|at| elements.get(*at));
        bad(element.unwrap_or(item), error)
    })
}

/// A list of gitignore-style globs.
pub(super) fn globs(item: &Item<'_>) -> Result<WatchSet> {
    let elements = item.elements()?;
    WatchSet::new(item.texts()?)
        .map_err(|error| bad(elements.get(error.index).unwrap_or(item), error))
}

fn bad(element: &Item<'_>, error: WatchError) -> ConfigError {
    element.error(Problem::BadGlob {
        key: element.path().to_owned(),
        glob: error.glob,
        why: error.why,
    })
}

/// A table: globs, and what is done about what they cover.
fn rule(item: &Item<'_>) -> Result<Vec<WatchRule>> {
    let section = item.section()?;
    section.check(&keys::WATCH_RULE)?;
    let files = section.require("files", RULE)?;
    let globs = match files.value() {
        DeValue::String(_) => vec![files.text()?.to_owned()],
        _ => files.texts()?,
    };
    let action = match (section.get("action"), section.get("exec")) {
        (None, Some(exec)) => WatchAction::Exec(command(&exec)?),
        (Some(_), Some(exec)) => {
            return Err(exec.invalid_key("`exec` is an action already", "leave `action` out"));
        }
        (Some(named), None) => action(&named)?,
        (None, None) => return Err(item.invalid("it lacks `action` or `exec`", RULE)),
    };
    let rule = |glob| WatchRule {
        glob,
        action: action.clone(),
    };
    Ok(globs.into_iter().map(rule).collect())
}

fn action(item: &Item<'_>) -> Result<WatchAction> {
    let text = item.text()?;
    match text.split_once('=') {
        None if text == "restart" => Ok(WatchAction::Restart),
        None if text == "none" => Ok(WatchAction::None),
        None if text == "exec" => Err(item.invalid(
            "it lacks the command",
            "exec = \"make migrate\" instead of `action`",
        )),
        Some(("signal", name)) => match Signal::parse(name) {
            Some(signal) => Ok(WatchAction::Signal(signal)),
            None => Err(item.invalid(format!("{name:?} is no signal"), Signal::names())),
        },
        _ => {
            let hint = "\"restart\", \"signal=HUP\" or \"none\"; exec = \"COMMAND\" runs one";
            Err(item.invalid(format!("{text:?} is no action"), hint))
        }
    }
}
