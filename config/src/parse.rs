//! From text to [`Project`].

mod build;
mod dependencies;
mod depends_on;
pub(crate) mod environment;
mod files;
mod healthcheck;
mod life;
mod network;
mod options;
pub(crate) mod profiles;
pub(crate) mod replicas;
mod resources;
mod secrets;
mod services;
mod variables;
mod volumes;
mod watch;

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{ConfigError, Place, Problem};
use crate::keys;
use crate::project::Project;
use crate::read::{Result, Section};
use crate::source::Source;

/// Parses and checks the text of an `hd.toml`; `file_name` is how errors call it.
///
/// # Errors
/// The first problem found, with its place. Keys are checked table by table in the order of the
/// reference, values after keys, what concerns several services last.
pub fn parse(text: &str, file_name: &str) -> Result<Project, ConfigError> {
    parse_with(text, file_name, &[])
}

/// Does the same with these profiles laid over the file, later ones over earlier ones.
///
/// A name that is no profile changes nothing: [`Project::profiles`] lists those there are.
///
/// # Errors
/// As [`parse`]; what a profile says is checked when it is laid over.
pub fn parse_with(text: &str, file_name: &str, active: &[String]) -> Result<Project, ConfigError> {
    let caller = Caller {
        profiles: active,
        scale: &BTreeMap::new(),
        variable: &|_| None,
    };
    parse_for(text, file_name, &caller)
}

/// What whoever reads an `hd.toml` says besides the file.
pub struct Caller<'a> {
    /// Profiles that are laid over it, as for [`parse_with`].
    pub profiles: &'a [String],
    /// So many replicas of services, by name, whatever the file says of that; a name that is no service
    /// changes nothing.
    pub scale: &'a BTreeMap<String, u32>,
    /// Variables for `${VAR}` in values outside of environments; `None` for one that is unset.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

impl std::fmt::Debug for Caller<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller")
            .field("profiles", &self.profiles)
            .field("scale", &self.scale)
            .finish_non_exhaustive()
    }
}

/// Does the same for a caller who says more.
///
/// # Errors
/// As [`parse_with`], and a variable that is not set where the file says nothing for that case.
pub fn parse_for(text: &str, file_name: &str, caller: &Caller<'_>) -> Result<Project, ConfigError> {
    let source = Source::new(file_name, text);
    let mut document = DeTable::parse(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        let mut message = error.message().replace('\n', ", ");
        if message == "duplicate key" {
            let key = text.get(span.clone()).unwrap_or_default();
            message = format!("duplicate key `{key}`");
        }
        source.error(span, Problem::Syntax { message })
    })?;
    let named = profiles::read(&Section::root(&source, &document))?;
    profiles::lay_over(document.get_mut(), caller.profiles);
    variables::expand_all(&source, document.get_mut(), caller.variable)?;
    let root = Section::root(&source, &document);
    root.check(&keys::ROOT)?;
    let hint = "begin with a table [environment] that has a `name`";
    let environment = environment::read(&root.require("environment", hint)?)?;
    let dependencies = root.optional("dependencies", dependencies::read)?;
    let secrets = root.optional("secrets", secrets::read)?.unwrap_or_default();
    let build = root.optional("build", |item| build::read(item, &secrets))?;
    let build = build.unwrap_or_default();
    let volumes = root.optional("volumes", volumes::declared)?;
    let volumes = volumes.unwrap_or_default();
    let services = root.optional("services", |item| {
        services::read(item, &volumes, environment.base.is_some(), caller.scale)
    })?;
    let files = root.optional("files", files::read)?;
    let options = root.optional("options", options::read)?;
    let services = services.unwrap_or_default();
    Ok(Project {
        name: environment.name,
        base: environment.base,
        workdir: environment.workdir,
        env: environment.env,
        env_file: environment.env_file,
        user: environment.user,
        dependencies: dependencies.unwrap_or_default(),
        steps: build.steps,
        cache: build.cache,
        caches: build.caches,
        secrets,
        stages: build.stages,
        profiles: profiles::all(named, &services),
        volumes,
        services,
        files: files.unwrap_or_default(),
        options: options.unwrap_or_default(),
        places: places(&source, document.get_ref()),
    })
}

/// Where every key and list element stands.
fn places(source: &Source, root: &DeTable<'_>) -> BTreeMap<String, Place> {
    let mut places = BTreeMap::new();
    // The parser bounds how deep values nest, so walking them needs no bound of its own.
    walk(source, String::new(), root, &mut places);
    places
}

fn walk(source: &Source, path: String, table: &DeTable<'_>, places: &mut BTreeMap<String, Place>) {
    for (key, value) in table {
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{}", key.get_ref());
        places.insert(path.clone(), source.place(key.span()));
        match value.get_ref() {
            DeValue::Table(table) => walk(source, path, table, places),
            DeValue::Array(array) => {
                for (at, element) in array.iter().enumerate() {
                    let place = source.place(Spanned::span(element));
                    let path = format!("{path}[{at}]");
                    places.insert(path.clone(), place);
                    if let DeValue::Table(table) = element.get_ref() {
                        walk(source, path, table, places);
                    }
                }
            }
            _ => {}
        }
    }
}
