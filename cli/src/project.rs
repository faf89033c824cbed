//! Which project is meant, and what its hd.toml says in this environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hd_actors::model::instance::InstancePaths;
use hd_config::expand::expand;
use hd_config::{Place as At, Project};
use miette::{LabeledSpan, MietteDiagnostic, NamedSource, Report};

use crate::args::Place;
use crate::error::{CliError, exit};

/// Name of the file that makes a directory a project.
pub(crate) const FILE: &str = "hd.toml";

/// A project directory and where its instance keeps what; its hd.toml has not been read yet.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    /// Absolute, canonical directory of the project.
    pub(crate) directory: PathBuf,
    /// Path of the hd.toml.
    pub(crate) config: PathBuf,
    /// Paths of the instance.
    pub(crate) paths: InstancePaths,
}

/// A project ready to be run.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The checked hd.toml; the environments of its services are expanded.
    pub(crate) project: Project,
    /// The caller's environment.
    pub(crate) host_env: BTreeMap<String, String>,
    /// `env_file` and `env` of the environment, expanded.
    pub(crate) declared_env: BTreeMap<String, String>,
}

/// Finds the project: `-f` names the file, else it is looked for from `path`, `-C` or the working
/// directory upward.
pub(crate) fn locate(place: &Place, path: Option<&Path>) -> Result<Located, CliError> {
    let here = std::env::current_dir().map_err(|e| CliError::io("find", Path::new("."), &e))?;
    let mut start = here;
    for step in [place.directory.as_deref(), path].into_iter().flatten() {
        start = start.join(step);
    }
    let config = match &place.file {
        Some(file) => start.join(file),
        None if path.is_some_and(|path| start.is_file() && path.extension().is_some()) => start,
        None => upward(&start)?,
    };
    let canonical = config.canonicalize().map_err(|e| {
        let error = CliError::io("read", &config, &e);
        if e.kind() == std::io::ErrorKind::NotFound {
            error.with_exit(exit::USAGE)
        } else {
            error
        }
    })?;
    let directory = canonical.parent().unwrap_or(Path::new("/")).to_path_buf();
    let paths = InstancePaths::new(&home()?, &directory);
    Ok(Located {
        directory,
        config: canonical,
        paths,
    })
}

fn upward(start: &Path) -> Result<PathBuf, CliError> {
    let from = start
        .canonicalize()
        .map_err(|e| CliError::io("enter", start, &e).with_exit(exit::USAGE))?;
    let mut candidates = from.ancestors().map(|directory| directory.join(FILE));
    candidates.find(|file| file.is_file()).ok_or_else(|| {
        let message = format!("no {FILE} in {} or a directory above", from.display());
        CliError::new("config", exit::USAGE, message)
            .at(from.display().to_string())
            .hint(format!(
                "`hd init` writes a {FILE}; `-C DIR` names another directory"
            ))
    })
}

/// Gives the directory that holds all state: `HD_HOME`, else `~/.hd`.
pub(crate) fn home() -> Result<PathBuf, CliError> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let home = set("HD_HOME").or_else(|| set("HOME").map(|home| home.join(".hd")));
    let home = home.ok_or_else(|| {
        CliError::new("usage", exit::USAGE, "neither HD_HOME nor HOME is set")
            .hint("set HD_HOME to a directory for hd's state")
    })?;
    std::path::absolute(&home).map_err(|e| CliError::io("find", &home, &e))
}

/// Shortens a path to what a person in this directory would type.
pub(crate) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    let relative = here
        .ok()
        .and_then(|here| path.strip_prefix(here).ok().map(Path::to_path_buf));
    relative
        .unwrap_or_else(|| path.to_path_buf())
        .display()
        .to_string()
}

impl Located {
    /// Reads and checks hd.toml and what it refers to.
    pub(crate) fn load(&self) -> Result<Loaded, CliError> {
        let host_env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        self.load_with(host_env)
    }

    fn load_with(&self, host_env: BTreeMap<String, String>) -> Result<Loaded, CliError> {
        let text = std::fs::read_to_string(&self.config)
            .map_err(|e| CliError::io("read", &self.config, &e))?;
        let name = shown(&self.config);
        let mut project = hd_config::parse(&text, &name)?;
        let mut declared = BTreeMap::new();
        for (index, file) in project.env_file.iter().enumerate() {
            let key = format!("environment.env_file[{index}]");
            let place = project
                .place(&key)
                .or_else(|| project.place("environment.env_file"));
            declared.extend(self.env_file(file, place, &text, &host_env)?);
        }
        let from_files = declared.clone();
        let lookup = |name: &str| host_env.get(name).or_else(|| from_files.get(name)).cloned();
        let expanded = |project: &Project, key: String, value: &str| {
            expand(value, &lookup)
                .map_err(|e| at(project.place(&key), &text, &key, e.to_string(), ""))
        };
        for (name, value) in &project.env {
            let value = expanded(&project, format!("environment.env.{name}"), value)?;
            declared.insert(name.clone(), value);
        }
        for index in 0..project.steps.len() {
            let mut env = project.steps[index].env.clone();
            for (name, value) in &mut env {
                *value = expanded(&project, format!("build.step[{index}].env.{name}"), value)?;
            }
            project.steps[index].env = env;
        }
        for index in 0..project.services.len() {
            let service = &project.services[index];
            let mut env = service.env.clone();
            for (name, value) in &mut env {
                *value = expanded(
                    &project,
                    format!("services.{}.env.{name}", service.name),
                    value,
                )?;
            }
            project.services[index].env = env;
        }
        Ok(Loaded {
            project,
            host_env,
            declared_env: declared,
        })
    }

    fn env_file(
        &self,
        file: &str,
        place: Option<&At>,
        text: &str,
        host_env: &BTreeMap<String, String>,
    ) -> Result<Vec<(String, String)>, CliError> {
        let path = self.directory.join(file);
        let content = std::fs::read_to_string(&path).map_err(|e| {
            let message = format!("cannot read the env_file {file}: {e}");
            at(
                place,
                text,
                "environment.env_file",
                message,
                "make it, or take it out of `env_file`",
            )
        })?;
        let lookup = |name: &str| host_env.get(name).cloned();
        Ok(hd_config::env_file::parse(
            &content,
            &shown(&path),
            &lookup,
        )?)
    }
}

/// Makes an error of something that shows only after the file was parsed.
fn at(place: Option<&At>, text: &str, key: &str, message: String, hint: &str) -> CliError {
    let mut diagnostic = MietteDiagnostic::new(message.clone()).with_code("config.invalid_value");
    if !hint.is_empty() {
        diagnostic = diagnostic.with_help(hint);
    }
    let error = CliError::new("config.invalid_value", exit::USAGE, message).hint(hint);
    let Some(place) = place else {
        return error.at(key);
    };
    let label = LabeledSpan::new_primary_with_span(Some("here".to_owned()), place.span.clone());
    let source = NamedSource::new(&place.file, text.to_owned());
    let report = Report::new(diagnostic.with_label(label)).with_source_code(source);
    error.at(place.to_string()).diagnostic(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &str)]) -> (tempfile::TempDir, Located) {
        let place = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(place.path().join(name), text).unwrap();
        }
        let directory = place.path().canonicalize().unwrap();
        let paths = InstancePaths::new(Path::new("/h"), &directory);
        let config = directory.join(FILE);
        (
            place,
            Located {
                directory,
                config,
                paths,
            },
        )
    }

    const TOML: &str = r#"
[environment]
name = "x"
env_file = ["a.env"]
env = { GREETING = "${WHO:-nobody} ${FROM_FILE}" }

[services.web]
command = "true"
env = { PORT = "${PORT:-8000}" }
"#;

    #[test]
    fn variables_come_from_the_caller_and_the_env_file() {
        let (_place, located) =
            project(&[(FILE, TOML), ("a.env", "FROM_FILE=file\nWHO=shadowed\n")]);
        let host = BTreeMap::from([("WHO".to_owned(), "me".to_owned())]);
        let loaded = located.load_with(host).unwrap();
        assert_eq!(loaded.declared_env["GREETING"], "me file");
        assert_eq!(loaded.declared_env["FROM_FILE"], "file");
        assert_eq!(loaded.project.services[0].env["PORT"], "8000");
    }

    #[test]
    fn a_missing_env_file_is_shown_where_it_is_named() {
        let (_place, located) = project(&[(FILE, TOML)]);
        let error = located.load_with(BTreeMap::new()).unwrap_err();
        assert_eq!(error.exit(), 2);
        assert!(
            error.report().place.ends_with("hd.toml:4:13"),
            "{:?}",
            error.report()
        );
        let text = error.text(false, 100);
        assert!(
            text.contains("env_file = [\"a.env\"]") && text.contains("a.env"),
            "{text}"
        );
    }

    #[test]
    fn a_required_variable_is_shown_where_it_is_used() {
        let toml = "[environment]\nname = \"x\"\nenv = { A = \"${NOPE:?say what}\" }\n";
        let (_place, located) = project(&[(FILE, toml)]);
        let error = located.load_with(BTreeMap::new()).unwrap_err();
        assert_eq!(
            error.report().message,
            "variable `NOPE` is required: say what"
        );
        assert!(
            error.report().place.contains("hd.toml:3:"),
            "{:?}",
            error.report()
        );
    }

    #[test]
    fn the_file_is_found_upward_or_named() {
        let (place, located) = project(&[(FILE, TOML), ("other.toml", TOML)]);
        let below = place.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        let from = |directory: &Path, file: Option<&str>| {
            let place = Place {
                directory: Some(directory.to_owned()),
                file: file.map(PathBuf::from),
            };
            locate(&place, None)
        };
        assert_eq!(from(&below, None).unwrap().config, located.config);
        let other = from(place.path(), Some("other.toml")).unwrap();
        assert_eq!(other.config, located.directory.join("other.toml"));
        assert_eq!(from(place.path(), Some("none.toml")).unwrap_err().exit(), 2);
        assert_eq!(from(Path::new("/proc/self"), None).unwrap_err().exit(), 2);
    }
}
