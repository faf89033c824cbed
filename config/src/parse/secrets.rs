//! `[secrets.NAME]`.

use crate::keys;
use crate::read::{Item, Result};
use crate::secret::{Secret, SecretSource};

const HINT: &str = "env = \"TOKEN\" takes a variable, file = \"~/.npmrc\" a file";

pub(super) fn read(item: &Item<'_>) -> Result<Vec<Secret>> {
    let declared = item.section()?.items();
    declared.iter().map(secret).collect()
}

fn secret(item: &Item<'_>) -> Result<Secret> {
    let name = super::services::name(item, "secret")?;
    let section = item.section()?;
    section.check(&keys::SECRET)?;
    let source = match (section.get("env"), section.get("file")) {
        (Some(variable), None) => SecretSource::Env(filled(&variable)?),
        (None, Some(file)) => SecretSource::File(filled(&file)?),
        (Some(_), Some(file)) => return Err(file.invalid_key("it has an `env` too", HINT)),
        (None, None) => return Err(item.invalid_key("it says not where its value is", HINT)),
    };
    Ok(Secret { name, source })
}

fn filled(item: &Item<'_>) -> Result<String> {
    let text = item.text()?;
    if text.is_empty() {
        return Err(item.invalid("it is empty", HINT));
    }
    Ok(text.to_owned())
}
