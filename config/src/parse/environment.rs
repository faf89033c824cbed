//! `[environment]`, and the environment tables of services.

use std::collections::BTreeMap;

use toml::de::DeValue;

use crate::expand;
use crate::keys;
use crate::path::inside_project;
use crate::read::{Item, Result};

pub(super) struct Environment {
    pub(super) name: String,
    pub(super) base: Option<String>,
    pub(super) workdir: Option<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) env_file: Vec<String>,
    pub(super) user: Option<String>,
}

pub(super) fn read(item: &Item<'_>) -> Result<Environment> {
    let section = item.section()?;
    section.check(&keys::ENVIRONMENT)?;
    let required = section.require("name", "add name = \"myapp\"")?;
    Ok(Environment {
        name: name(&required)?,
        base: section.optional("base", base)?,
        workdir: section.optional("workdir", workdir)?,
        env: section.optional("env", env)?.unwrap_or_default(),
        env_file: section.optional("env_file", env_file)?.unwrap_or_default(),
        user: section.optional("user", user)?,
    })
}

fn name(item: &Item<'_>) -> Result<String> {
    let text = item.text()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !text.chars().all(plain) || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        let hint = "letters, digits, `.`, `_` and `-`, beginning with a letter or digit";
        return Err(item.invalid(format!("{text:?} is no name"), hint));
    }
    if text.len() > 128 {
        return Err(item.invalid("the name is longer than 128 characters", ""));
    }
    Ok(text.to_owned())
}

pub(super) fn base(item: &Item<'_>) -> Result<String> {
    let text = item.text()?;
    if text.contains(char::is_whitespace) {
        let hint = "e.g. \"python:3.11-slim\"; leave `base` out to use the host itself";
        return Err(item.invalid(format!("{text:?} is no image reference"), hint));
    }
    Ok(text.to_owned())
}

pub(super) fn workdir(item: &Item<'_>) -> Result<String> {
    let text = item.text()?;
    let Some(relative) = text.strip_prefix('/') else {
        return Err(item.invalid(
            format!("{text:?} is not absolute"),
            format!("e.g. \"/{text}\""),
        ));
    };
    match inside_project(relative) {
        Ok(path) if !path.is_empty() => Ok(format!("/{path}")),
        _ => Err(item.invalid(
            format!("{text:?} cannot hold the project"),
            "e.g. \"/workspace\"",
        )),
    }
}

pub(super) fn env_file(item: &Item<'_>) -> Result<Vec<String>> {
    if let DeValue::String(_) = item.value() {
        return Ok(vec![item.path_inside()?]);
    }
    item.elements()?.iter().map(Item::path_inside).collect()
}

pub(super) fn user(item: &Item<'_>) -> Result<String> {
    if let DeValue::Integer(_) = item.value() {
        let number = item.integer()?;
        let fits = u32::try_from(number);
        return match fits {
            Ok(number) => Ok(number.to_string()),
            Err(_) => Err(item.invalid(format!("{number} is no user id"), "")),
        };
    }
    let text = item.text()?;
    if !is_user(text) {
        let hint = "a name or number, a group may follow: \"app\", \"1000:1000\"";
        return Err(item.invalid(format!("{text:?} is no user"), hint));
    }
    Ok(text.to_owned())
}

/// Tells a user, by name or number, whose group may follow.
pub(crate) fn is_user(text: &str) -> bool {
    let (user, group) = text.split_once(':').unwrap_or((text, "0"));
    let plain = |part: &str| !part.is_empty() && !part.contains([':', '/', ' ', '\t', '\n']);
    plain(user) && plain(group)
}

/// Reads a table of variables; numbers and booleans count as their text, as in Compose.
pub(super) fn env(item: &Item<'_>) -> Result<BTreeMap<String, String>> {
    let mut env = BTreeMap::new();
    for variable in item.section()?.items() {
        let name = variable.key();
        if name.is_empty() || name.contains(['=', '\0']) || name.contains(char::is_whitespace) {
            return Err(variable.invalid_key(format!("{name:?} is no variable name"), ""));
        }
        let value = match variable.value() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(_) => variable.integer()?.to_string(),
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Boolean(value) => value.to_string(),
            _ => return Err(variable.wrong_type("a string", "")),
        };
        if value.contains('\0') {
            return Err(variable.invalid("it holds a NUL byte", ""));
        }
        let hint = "`${VAR:-default}`; a plain dollar sign is `$$`";
        expand::check(&value).map_err(|error| variable.invalid(error.to_string(), hint))?;
        env.insert(name.to_owned(), value);
    }
    Ok(env)
}
