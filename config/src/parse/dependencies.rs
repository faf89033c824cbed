//! `[dependencies]`.

use toml::de::DeValue;

use crate::error::Problem;
use crate::keys;
use crate::project::{Dependency, DependencyKind, Provider};
use crate::read::{Item, Result};
use crate::version;

pub(super) fn read(item: &Item<'_>) -> Result<Vec<Dependency>> {
    item.section()?.items().iter().map(dependency).collect()
}

fn dependency(item: &Item<'_>) -> Result<Dependency> {
    let provider = provider(item)?;
    let kind = match item.value() {
        DeValue::Array(_) => DependencyKind::List(packages(item, provider)?),
        DeValue::String(_) => DependencyKind::Version(range(item, provider)?),
        DeValue::Table(_) => DependencyKind::File(manifest(item, provider)?),
        _ => {
            let expected = "a list of packages, a version, or a table with `file`";
            return Err(item.wrong_type(expected, example(provider)));
        }
    };
    Ok(Dependency { provider, kind })
}

fn provider(item: &Item<'_>) -> Result<Provider> {
    let name = item.key();
    let found = Provider::ALL.into_iter().find(|one| one.as_str() == name);
    found.ok_or_else(|| {
        if name == "brew" {
            return item.key_error(Problem::NotYet {
                what: "dependencies.brew".to_owned(),
                hint: "use `apt` for now".to_owned(),
            });
        }
        let known = Provider::ALL.map(Provider::as_str);
        item.key_error(Problem::UnknownProvider {
            name: name.to_owned(),
            hint: keys::name_advice(name, known.into_iter()),
        })
    })
}

fn is_runtime(provider: Provider) -> bool {
    matches!(provider, Provider::Node | Provider::Python)
}

fn example(provider: Provider) -> &'static str {
    match provider {
        Provider::Apt => "apt = [\"curl\", \"git\"]",
        Provider::Pip => "pip = [\"flask\"], or file = \"requirements.txt\" in [dependencies.pip]",
        Provider::Npm => "npm = [\"typescript\"], or file = \"package.json\" in [dependencies.npm]",
        Provider::Cargo => "cargo = [\"just\"], or file = \"Cargo.toml\" in [dependencies.cargo]",
        Provider::Node => "node = \"20.x\"",
        Provider::Python => "python = \"3.11\"",
    }
}

fn packages(item: &Item<'_>, provider: Provider) -> Result<Vec<String>> {
    if is_runtime(provider) {
        return Err(item.wrong_type("a version", example(provider)));
    }
    let packages = item.elements()?;
    let package = |one: &Item<'_>| {
        let text = one.text()?.trim();
        // It becomes an argument of the provider's own tool.
        if text.starts_with('-') || text.contains(char::is_control) {
            return Err(one.invalid(format!("{text:?} is no package"), example(provider)));
        }
        Ok(text.to_owned())
    };
    packages.iter().map(package).collect()
}

fn range(item: &Item<'_>, provider: Provider) -> Result<String> {
    if provider == Provider::Apt {
        return Err(item.wrong_type("a list of packages", example(provider)));
    }
    let text = item.text()?.trim();
    let hint = match provider {
        Provider::Node | Provider::Python => example(provider).to_owned(),
        _ => format!("packages stand in a list: {}", example(provider)),
    };
    version::Range::parse(text).map_err(|error| item.invalid(error.to_string(), hint))?;
    Ok(text.to_owned())
}

fn manifest(item: &Item<'_>, provider: Provider) -> Result<String> {
    let section = item.section()?;
    section.check(&keys::DEPENDENCY)?;
    if is_runtime(provider) || provider == Provider::Apt {
        return Err(item.wrong_type(
            if is_runtime(provider) {
                "a version"
            } else {
                "a list of packages"
            },
            example(provider),
        ));
    }
    section.require("file", example(provider))?.path_inside()
}
