//! Which project is meant, and what its hd.toml says in this environment.

pub(crate) mod ports;
mod refused;
mod volumes;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use hd_actors::model::instance::InstancePaths;
use hd_config::expand::expand_telling;
use hd_config::{Place as At, Project, Replica};
use rustix::fs::OFlags;

use self::refused::{at, no_profile, no_service, no_text, nothing};
use crate::args::Place;
use crate::error::{CliError, exit};
use crate::output::Output;
use crate::output::style::Tint;

/// Name of the file that makes a directory a project.
pub(crate) const FILE: &str = "hd.toml";

/// A project directory and where its instance keeps what; its hd.toml has not been read yet.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    /// Absolute, canonical directory of the project.
    pub(crate) directory: PathBuf,
    /// Path of the hd.toml.
    pub(crate) config: PathBuf,
    /// Profiles asked for: `--profile`, else `HD_PROFILE`.
    pub(crate) profiles: Vec<String>,
    /// Replicas of services that are asked for, whatever the file says.
    pub(crate) scale: BTreeMap<String, u32>,
    /// Paths of the instance.
    pub(crate) paths: InstancePaths,
}

/// A project ready to be run.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The checked hd.toml; the environments of its services are expanded.
    pub(crate) project: Project,
    /// `env_file` and `env` of the environment, expanded.
    pub(crate) declared_env: BTreeMap<String, String>,
    /// Names of the variables that `env_file` of the environment sets.
    pub(crate) from_files: BTreeSet<String>,
    /// Of each variable that became nothing because it is not set and has no default, a line that says where.
    pub(crate) unset: Vec<String>,
}

impl Loaded {
    /// Tells what became nothing unasked.
    pub(crate) fn tell(&self, output: Output) {
        for line in &self.unset {
            output.talk(&format!("{} {line}", output.err.paint(Tint::Warn, "!")));
        }
    }
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
    let missing = |e: &std::io::Error| {
        let error = CliError::io("read", &config, e);
        if e.kind() == std::io::ErrorKind::NotFound {
            error.with_exit(exit::USAGE)
        } else {
            error
        }
    };
    let (directory, config) = placed(&config).map_err(|e| missing(&e))?;
    let mut paths = InstancePaths::new(&home()?, &directory);
    if let Some(name) = instance(place)? {
        paths = paths.named(&name);
    }
    Ok(Located {
        directory,
        config,
        profiles: profiles(place),
        scale: BTreeMap::new(),
        paths,
    })
}

/// Gives the directory of a project, canonical, and its file there.
///
/// The file may be a link: it makes a project of the directory that it stands in, not of the one that it
/// leads to, where other projects may share it.
fn placed(config: &Path) -> std::io::Result<(PathBuf, PathBuf)> {
    let whole = config.canonicalize()?;
    let (above, name) = match (config.parent(), config.file_name()) {
        (Some(above), Some(name)) => (above.canonicalize()?, name),
        _ => (
            whole.parent().unwrap_or(&whole).to_path_buf(),
            whole.as_os_str(),
        ),
    };
    let file = above.join(name);
    Ok((above, file))
}

/// The instance of the command line, else that of `HD_INSTANCE`.
fn instance(place: &Place) -> Result<Option<String>, CliError> {
    let set = std::env::var("HD_INSTANCE").ok();
    let name = place
        .instance
        .clone()
        .or(set.filter(|name| !name.is_empty()));
    let Some(name) = name else { return Ok(None) };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    if name.is_empty() || name.len() > 40 || !name.chars().all(plain) || name.starts_with('-') {
        let message = format!("{name:?} is no name of an instance");
        return Err(CliError::new("usage", exit::USAGE, message)
            .hint("a-z, 0-9, `_` and `-`, at most 40, beginning with a letter or digit"));
    }
    Ok(Some(name))
}

/// The profiles of the command line, else those of `HD_PROFILE`, separated by commas.
fn profiles(place: &Place) -> Vec<String> {
    if !place.profile.is_empty() {
        return place.profile.clone();
    }
    let set = std::env::var("HD_PROFILE").unwrap_or_default();
    let names = set.split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn upward(start: &Path) -> Result<PathBuf, CliError> {
    let from = start
        .canonicalize()
        .map_err(|e| CliError::io("enter", start, &e).with_exit(exit::USAGE))?;
    let mut candidates = from.ancestors().map(|directory| directory.join(FILE));
    // A link that leads nowhere is told, lest the project of a directory above be meant.
    let is_one = |file: &PathBuf| file.is_file() || file.is_symlink();
    candidates.find(is_one).ok_or_else(|| {
        let message = format!("no {FILE} in {} or a directory above", from.display());
        CliError::new("config", exit::USAGE, message)
            .at(from.display().to_string())
            .hint(format!(
                "`hd init` writes an {FILE}; `-C DIR` names another directory"
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

/// Gives the variables of this process that are text.
pub(crate) fn environment() -> BTreeMap<String, String> {
    let all = std::env::vars_os();
    all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
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
    /// What people call the project: its name, or the file of one whose file says none.
    pub(crate) fn title(&self) -> String {
        let name = shown(&self.config);
        let text = std::fs::read_to_string(&self.config).ok();
        let environment = environment();
        let project = text.and_then(|text| self.parse(&text, &name, &environment).ok());
        project.map_or(name, |project| project.name)
    }

    /// Parses the text of hd.toml for this caller, who has these variables.
    pub(crate) fn parse(
        &self,
        text: &str,
        name: &str,
        variables: &BTreeMap<String, String>,
    ) -> Result<Project, hd_config::ConfigError> {
        let caller = hd_config::Caller {
            profiles: &self.profiles,
            scale: &self.scale,
            variable: &|name| variables.get(name).cloned(),
        };
        hd_config::parse_for(text, name, &caller)
    }

    /// Reads and checks hd.toml and what it refers to.
    pub(crate) fn load(&self) -> Result<Loaded, CliError> {
        self.load_with(environment(), &ports::last(&self.paths))
    }

    /// The same with these variables of the caller, and these ports for services that take any.
    pub(crate) fn load_with(
        &self,
        host_env: BTreeMap<String, String>,
        ports: &BTreeMap<String, u16>,
    ) -> Result<Loaded, CliError> {
        let bytes = read_file(&self.config).map_err(|e| CliError::io("read", &self.config, &e))?;
        let name = shown(&self.config);
        let text = String::from_utf8(bytes).map_err(|e| no_text(&name, &e))?;
        let mut project = self.parse(&text, &name, &host_env)?;
        let unknown = |name: &&String| !project.services.iter().any(|one| one.declared() == *name);
        if let Some(unknown) = self.scale.keys().find(unknown) {
            return Err(no_service(unknown, &project));
        }
        if let Some(unknown) = self
            .profiles
            .iter()
            .find(|one| !project.profiles.contains(one))
        {
            return Err(no_profile(unknown, &project, &name));
        }
        let home = host_env.get("HOME").map(String::as_str);
        if let Some((key, path)) = volumes::missing(&project, &self.directory, home, &self.profiles)
        {
            let message = format!("there is no {path} to mount");
            let hint = "make it, or take the volume out";
            return Err(at(project.place(&key), &text, &key, message, hint));
        }
        ports::assign(&mut project, ports);
        let ports = ports::variables(&project);
        let mut declared = BTreeMap::new();
        for (index, file) in project.env_file.iter().enumerate() {
            let key = format!("environment.env_file[{index}]");
            let place = project
                .place(&key)
                .or_else(|| project.place("environment.env_file"));
            // hd may have been started by a service of another instance, which is told of that one's ports.
            let known = |name: &str| {
                let known = ports.get(name).or_else(|| host_env.get(name));
                known.or_else(|| declared.get(name)).cloned()
            };
            let pairs = self.env_file(file, &key, place, &text, &known)?;
            declared.extend(pairs);
        }
        let from_files = declared.clone();
        let lookup = |name: &str| {
            // hd may have been started by a service of another instance, which is told of that one's ports.
            let known = ports.get(name).or_else(|| host_env.get(name));
            known.or_else(|| from_files.get(name)).cloned()
        };
        let unset = RefCell::new(Vec::new());
        let expanded_by = |project: &Project,
                           key: String,
                           value: &str,
                           own: Option<&Replica>|
         -> Result<String, CliError> {
            let number = own.map(|replica| replica.number.to_string());
            let lookup = |name: &str| match name {
                Replica::VARIABLE if number.is_some() => number.clone(),
                name => lookup(name),
            };
            let mut names = Vec::new();
            let value = expand_telling(value, &lookup, &mut names)
                .map_err(|e| at(project.place(&key), &text, &key, e.to_string(), ""))?;
            let place = project.place(&key).map_or(key, ToString::to_string);
            let told = names.iter().map(|name| nothing(&place, name));
            unset.borrow_mut().extend(told);
            Ok(value)
        };
        let expanded =
            |project: &Project, key: String, value: &str| expanded_by(project, key, value, None);
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
            let mut env = ports::of_service(service, &ports);
            for (at, file) in service.env_file.iter().enumerate() {
                let key = format!("services.{}.env_file", service.declared());
                let one = project.place(&format!("{key}[{at}]"));
                let place = one.or_else(|| project.place(&key));
                let known = |name: &str| env.get(name).cloned().or_else(|| lookup(name));
                let pairs = self.env_file(file, &key, place, &text, &known)?;
                env.extend(pairs);
            }
            for (name, value) in &service.env {
                let key = format!("services.{}.env.{name}", service.declared());
                let replica = service.replica.as_ref();
                env.insert(name.clone(), expanded_by(&project, key, value, replica)?);
            }
            project.services[index].env = env;
        }
        let mut unset = unset.into_inner();
        // Replicas stand in one place.
        unset.dedup();
        Ok(Loaded {
            project,
            declared_env: declared,
            from_files: from_files.into_keys().collect(),
            unset,
        })
    }

    fn env_file(
        &self,
        file: &str,
        key: &str,
        place: Option<&At>,
        text: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<(String, String)>, CliError> {
        let path = self.directory.join(file);
        let content = read_file(&path).and_then(|bytes| {
            let no_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is no text in UTF-8");
            String::from_utf8(bytes).map_err(no_text)
        });
        let content = content.map_err(|e| {
            let message = format!("cannot read the env_file {file}: {e}");
            at(
                place,
                text,
                key,
                message,
                "make it, or take it out of `env_file`",
            )
        })?;
        Ok(hd_config::env_file::parse(&content, &shown(&path), lookup)?)
    }
}

/// Reads a regular file. Nothing else: a pipe that nobody writes to would be waited for without an end, and `hd up`
/// reads these again and again.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file",
        ));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
#[path = "project_tests.rs"]
mod tests;
