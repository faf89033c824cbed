//! What the words after `hd up` mean: a project or services.

use std::path::{Path, PathBuf};

use hd_config::Project;

use crate::error::{CliError, exit};
use crate::output::human::there_are;
use crate::project::FILE;
use crate::verbs::nearest;

/// The words, told apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Targets {
    /// The project, if one was named.
    pub(super) path: Option<PathBuf>,
    /// Services.
    pub(super) services: Vec<String>,
}

/// Tells a path (it has a `/`, or is a directory with an hd.toml) from services.
pub(super) fn split(words: &[String]) -> Result<Targets, CliError> {
    let mut targets = Targets::default();
    for word in words {
        let path = word.contains('/')
            || word == "."
            || word == ".."
            || Path::new(word).join(FILE).is_file();
        if !path {
            targets.services.push(word.clone());
        } else if let Some(first) = targets.path.replace(PathBuf::from(word)) {
            let message = format!("two projects are named: {} and {word}", first.display());
            return Err(CliError::new("usage", exit::USAGE, message)
                .hint("bring up one after the other, with -d"));
        }
    }
    Ok(targets)
}

/// Keeps the services named and what they depend on; when none is named, those that the profiles
/// leave in. A service that is needed starts whatever its profiles are.
pub(super) fn keep(
    project: &mut Project,
    names: &[String],
    profiles: &[String],
) -> Result<(), CliError> {
    match names.is_empty() {
        true => keep_these(project, enabled(project, profiles)),
        false => keep_these(project, names.to_vec()),
    }
}

/// Gives the services that start by themselves with these profiles.
pub(super) fn enabled(project: &Project, profiles: &[String]) -> Vec<String> {
    let all = project.services.iter();
    let enabled = all.filter(|one| one.is_enabled(profiles));
    enabled.map(|service| service.name.clone()).collect()
}

/// Keeps the services named and what they depend on.
pub(super) fn keep_these(project: &mut Project, mut rest: Vec<String>) -> Result<(), CliError> {
    let mut kept: Vec<String> = Vec::new();
    while let Some(name) = rest.pop() {
        if project.named(&name).next().is_none() {
            let known = project.services.iter().map(|service| service.name.as_str());
            return Err(unknown(known, &name));
        }
        for service in project.named(&name) {
            if !kept.contains(&service.name) {
                let needs = service.depends_on.iter();
                rest.extend(needs.map(|needed| needed.service.clone()));
                kept.push(service.name.clone());
            }
        }
    }
    project
        .services
        .retain(|service| kept.contains(&service.name));
    Ok(())
}

/// Makes the error of a service that the file does not have.
pub(in crate::commands) fn unknown<'a>(
    known: impl Iterator<Item = &'a str> + Clone,
    name: &str,
) -> CliError {
    let names = || known.clone();
    let hint = match nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names().next().is_none() => "the file has no services; a path has a `/`".to_owned(),
        None => there_are(&names().collect::<Vec<_>>()),
    };
    CliError::new(
        "usage",
        exit::USAGE,
        format!("there is no service `{name}`"),
    )
    .hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Result<Targets, CliError> {
        split(
            &words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn a_slash_or_an_hd_toml_makes_a_path() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join(FILE), "").unwrap();
        let targets = words(&["examples/flask-demo", "web"]).unwrap();
        assert_eq!(targets.path, Some("examples/flask-demo".into()));
        assert_eq!(targets.services, ["web"]);
        assert_eq!(words(&["."]).unwrap().path, Some(".".into()));
        assert_eq!(
            words(&[place.path().to_str().unwrap()]).unwrap().services,
            [""; 0]
        );
        assert_eq!(words(&["./a", "./b"]).unwrap_err().exit(), 2);
    }

    #[test]
    fn services_bring_what_they_depend_on() {
        let toml = "[environment]\nname = \"x\"\n[services.a]\ncommand = \"a\"\ndepends_on = [\"b\"]\n\
                    [services.b]\ncommand = \"b\"\n[services.c]\ncommand = \"c\"\n";
        let mut project = hd_config::parse(toml, FILE).unwrap();
        keep(&mut project, &[], &[]).unwrap();
        assert_eq!(project.services.len(), 3);
        let error = keep(&mut project, &["aa".to_owned()], &[]).unwrap_err();
        assert_eq!(
            (error.exit(), error.report().hint.as_str()),
            (2, "did you mean `a`?")
        );
        keep(&mut project, &["a".to_owned()], &[]).unwrap();
        let names: Vec<&str> = project
            .services
            .iter()
            .map(|service| service.name.as_str())
            .collect();
        assert_eq!(names, ["a", "b"]);
    }
}
