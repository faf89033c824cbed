//! `[files]`.

use crate::error::Problem;
use crate::files::{Files, FilesError, IGNORE_FILES};
use crate::keys;
use crate::read::{Item, Result};

pub(super) fn read(item: &Item<'_>) -> Result<Files> {
    let section = item.section()?;
    section.check(&keys::FILES)?;
    let list = |key: &str| section.optional(key, Item::texts);
    let include = list("include")?.unwrap_or_default();
    let exclude = list("exclude")?.unwrap_or_default();
    let default = || IGNORE_FILES.map(str::to_owned).to_vec();
    let ignore_files = list("ignore_files")?.unwrap_or_else(default);
    Files::new(include, exclude, ignore_files).map_err(|error| {
        let list = section.get(error.list);
        let elements = list.as_ref().and_then(|list| list.elements().ok());
        let element = elements.as_ref().and_then(|all| all.get(error.index));
        refuse(element.unwrap_or(item), error)
    })
}

fn refuse(element: &Item<'_>, error: FilesError) -> crate::ConfigError {
    if error.list == "exclude" {
        return element.error(Problem::BadGlob {
            key: element.path().to_owned(),
            glob: error.text,
            why: error.why,
        });
    }
    element.invalid(format!("{:?}: {}", error.text, error.why), error.hint)
}
