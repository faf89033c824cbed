//! `[profiles.NAME]`: tables laid over the rest of the file; and `profiles` of a service.

use std::collections::BTreeSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::keys;
use crate::read::{Item, Result, Section};
use crate::service::Service;

/// Reads the names of `[profiles]` and checks their tables' keys.
pub(super) fn read(root: &Section<'_>) -> Result<Vec<String>> {
    let Some(profiles) = root.get("profiles") else {
        return Ok(Vec::new());
    };
    let one = |profile: &Item<'_>| {
        is_name(profile.key()).map_err(|why| profile.invalid_key(why, HINT))?;
        profile.section()?.check(&keys::PROFILE)?;
        Ok(profile.key().to_owned())
    };
    profiles.section()?.items().iter().map(one).collect()
}

/// Lays the tables of active profiles over a document: tables are merged, all else is replaced.
///
/// Values keep the place they were written at, so that errors point there.
pub(super) fn lay_over(document: &mut DeTable<'_>, active: &[String]) {
    for name in active {
        let profiles = document.get("profiles").map(Spanned::get_ref);
        let Some(DeValue::Table(profiles)) = profiles else {
            return;
        };
        if let Some(DeValue::Table(profile)) = profiles.get(name.as_str()).map(Spanned::get_ref) {
            let profile = profile.clone();
            merge(document, profile);
        }
    }
}

fn merge<'a>(into: &mut DeTable<'a>, over: DeTable<'a>) {
    for (key, value) in over {
        let below = into.get_mut(&key).map(Spanned::get_mut);
        match (below, value) {
            (Some(DeValue::Table(below)), value)
                if matches!(value.get_ref(), DeValue::Table(_)) =>
            {
                if let DeValue::Table(over) = value.into_inner() {
                    merge(below, over);
                }
            }
            (_, value) => {
                // Removed first, so that the key too is where it was written.
                into.remove(&key);
                into.insert(key, value);
            }
        }
    }
}

/// All names there are: those that have a table, and those of services.
pub(super) fn all(named: Vec<String>, services: &[Service]) -> Vec<String> {
    let of_services = services.iter().flat_map(|service| service.profiles.clone());
    let all: BTreeSet<String> = named.into_iter().chain(of_services).collect();
    all.into_iter().collect()
}

/// Reads `profiles` of a service.
pub(super) fn names(item: &Item<'_>) -> Result<Vec<String>> {
    let name = |one: &Item<'_>| {
        let text = one.text()?;
        is_name(text).map_err(|why| one.invalid(why, HINT))?;
        Ok(text.to_owned())
    };
    item.elements()?.iter().map(name).collect()
}

const HINT: &str = "letters, digits, `_` and `-`";

/// Tells a character that names of profiles are made of.
pub(crate) fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

fn is_name(text: &str) -> std::result::Result<(), String> {
    if text.is_empty() || !text.chars().all(is_of_name) {
        return Err(format!("{text:?} is no profile name"));
    }
    Ok(())
}
