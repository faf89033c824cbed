//! `${VAR:-x}` in values that say where things are: an image, a path, an address, a port, a user.
//!
//! Environments are expanded later, by who knows the ports of services and what an `env_file` says; commands
//! by the shell that runs them.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::Problem;
use crate::expand::expand_telling;
use crate::read::Result;
use crate::source::Source;

/// The values whose variables are expanded here, with all strings in them; `*` is every key of a table.
const PLACES: [&[&str]; 14] = [
    &["environment", "base"],
    &["environment", "workdir"],
    &["environment", "user"],
    &["environment", "env_file"],
    &["build", "stages", "*", "base"],
    &["services", "*", "base"],
    &["services", "*", "env_file"],
    &["services", "*", "working_dir"],
    &["services", "*", "user"],
    &["services", "*", "port"],
    &["services", "*", "ports"],
    &["services", "*", "volumes"],
    &["services", "*", "healthcheck", "http"],
    &["services", "*", "healthcheck", "tcp"],
];

/// Expands the variables of a document in place; `lookup` answers `None` for one that is unset.
///
/// # Errors
/// A malformed value, and a variable that is not set where the value says nothing for that case: what would
/// be left is another image or another path.
pub(super) fn expand_all(
    source: &Source,
    document: &mut DeTable<'_>,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<()> {
    let expansion = Expansion { source, lookup };
    PLACES
        .iter()
        .try_for_each(|place| expansion.table(document, String::new(), place))
}

struct Expansion<'a> {
    source: &'a Source,
    lookup: &'a dyn Fn(&str) -> Option<String>,
}

impl Expansion<'_> {
    fn table(&self, table: &mut DeTable<'_>, name: String, place: &[&str]) -> Result<()> {
        let Some((wanted, below)) = place.split_first() else {
            return self.all(table, &name);
        };
        for (key, value) in table.iter_mut() {
            let key = key.get_ref().as_ref();
            if *wanted == key || *wanted == "*" {
                self.value(value, named(&name, key), below)?;
            }
        }
        Ok(())
    }

    fn all(&self, table: &mut DeTable<'_>, name: &str) -> Result<()> {
        for (key, value) in table.iter_mut() {
            self.value(value, named(name, key.get_ref().as_ref()), &[])?;
        }
        Ok(())
    }

    fn value(&self, value: &mut Spanned<DeValue<'_>>, name: String, place: &[&str]) -> Result<()> {
        let span = value.span();
        match value.get_mut() {
            DeValue::Table(table) => self.table(table, name, place),
            DeValue::String(text) if place.is_empty() && text.contains('$') => {
                let invalid = |(why, hint): (String, String)| {
                    let key = name.clone();
                    self.source
                        .error(span.clone(), Problem::Invalid { key, why, hint })
                };
                *text = Cow::Owned(self.text(text).map_err(invalid)?);
                Ok(())
            }
            DeValue::Array(array) if place.is_empty() => {
                let mut elements = array.iter_mut().enumerate();
                elements.try_for_each(|(at, one)| self.value(one, format!("{name}[{at}]"), &[]))
            }
            _ => Ok(()),
        }
    }

    /// Expands one text, or says why not and what to do.
    fn text(&self, text: &str) -> std::result::Result<String, (String, String)> {
        let mut unset = Vec::new();
        let expanded = expand_telling(text, self.lookup, &mut unset).map_err(|error| {
            let hint = "`${VAR:-default}`; a plain dollar sign is `$$`";
            (error.to_string(), hint.to_owned())
        })?;
        match unset.first() {
            None => Ok(expanded),
            Some(name) => Err((
                format!("variable `{name}` is not set"),
                format!("set it, or say what it is then: `${{{name}:-default}}`"),
            )),
        }
    }
}

fn named(above: &str, key: &str) -> String {
    match above {
        "" => key.to_owned(),
        above => format!("{above}.{key}"),
    }
}
