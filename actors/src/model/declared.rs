//! What the `hd.toml` declares: one value, exchanged whole when the file changes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hd_config::image_defaults::{Ground, complete};
use hd_config::step::stage_image;
use hd_config::{ImageDefaults, Project, SecretSource, Service, Stage};
use hd_dag::TreePath;

use super::asked::{Asked, Change};
use super::report::ErrorReport;
use super::settings::Settings;
use crate::base::{Base, Bases, Images};
use crate::messages::BatchError;
use crate::step_runner::prepare;
use crate::step_runner::wanted::Wanted;

/// A reading of the `hd.toml` and of the files it names.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// The checked `hd.toml`; the environments of its services are expanded.
    pub project: Project,
    /// Declared environment with `env_file` read and `${VAR}` expanded.
    pub env: BTreeMap<String, String>,
}

/// Why a reading is of no use.
#[derive(Clone, Debug)]
pub struct Invalid {
    /// What is wrong, for `status`.
    pub error: ErrorReport,
    /// The same with the line of the file, for a person.
    pub text: String,
}

impl From<&BatchError> for Invalid {
    fn from(error: &BatchError) -> Self {
        let error = ErrorReport {
            code: error.code.to_owned(),
            message: error.message.clone(),
            place: error.place.clone(),
            hint: error.hint.clone(),
        };
        let mut text = match error.place.as_str() {
            "" => error.message.clone(),
            place => format!("{place}: {}", error.message),
        };
        if !error.hint.is_empty() {
            text.push_str(&format!("\nhint: {}", error.hint));
        }
        Self { error, text }
    }
}

/// Reads the `hd.toml` once more, as the command that started the runtime read it.
pub trait Reader: fmt::Debug + Send + Sync {
    /// Reads it. Blocks.
    fn read(&self) -> Result<Declaration, Invalid>;

    /// Has it read with a wish too from now on, and gives what that changes, if anything; a reading that
    /// this makes invalid is the error, and nothing changes. Blocks.
    fn want(&self, wish: Asked) -> Result<Option<Change>, Invalid>;

    /// Takes a change back, if nothing was asked for since.
    fn back(&self, change: Change);
}

/// A declaration with what follows from it.
#[derive(Clone, Debug)]
pub struct Declared {
    /// The checked `hd.toml`.
    pub project: Project,
    /// Declared environment, expanded.
    pub env: BTreeMap<String, String>,
    /// The base image, if one is asked for.
    pub base: Option<String>,
    /// The steps: dependencies first, numbered in order.
    pub steps: Arc<Vec<Wanted>>,
    /// The files it was read from, relative to the project; where one is a link, also what it leads to.
    pub files: BTreeSet<TreePath>,
    /// What links among those lead to outside the project, each with the link.
    pub led_to: BTreeMap<PathBuf, TreePath>,
}

impl Declared {
    /// Works out what follows from a reading. May ask the host about packages. Blocks.
    pub fn new(settings: &Settings, read: Declaration) -> Result<Self, BatchError> {
        let Declaration { project, env } = read;
        let base = settings
            .base_override
            .clone()
            .or_else(|| project.base.clone());
        let steps = prepare::wanted(settings, &project, base.is_some())?;
        let (files, led_to) = followed(files(settings, &project), &settings.project_dir);
        Ok(Self {
            steps: Arc::new(steps),
            files,
            led_to,
            project,
            env,
            base,
        })
    }

    /// Fills in what services leave to their images; doing it again changes nothing.
    pub fn completed(mut self, bases: &Bases) -> Result<Self, BatchError> {
        let workdir = bases.environment.workdir(self.project.workdir.as_deref());
        let none = ImageDefaults::default();
        let ground = |service: &Service| {
            let image = match bases.of(service) {
                Base::Image(image) => &image.defaults,
                Base::Host(_) => &none,
            };
            let project = service.base.is_none().then_some(workdir.as_str());
            Some(Ground { image, project })
        };
        if let Err(name) = complete(&mut self.project, ground) {
            let of = self.project.service(&name);
            let base = of.map_or(&bases.environment, |service| bases.of(service));
            let key = format!("services.{}", of.map_or(name.as_str(), Service::declared));
            let place = self.project.place(&key).map_or(key, ToString::to_string);
            let message = format!(
                "the service `{name}` has no command, and neither has {}",
                base.reference().unwrap_or("the host")
            );
            return Err(BatchError::new("config", message)
                .at(place)
                .hint("add command = \"…\""));
        }
        Ok(self)
    }

    /// Gives the images that are asked for.
    pub fn images(&self) -> Images {
        let stages = &self.project.stages;
        let image = |stage: &Stage| {
            let image = stage_image(stages, &stage.name)?;
            Some((stage.name.clone(), image.to_owned()))
        };
        let services = self.project.services.iter();
        let own = |service: &Service| Some((service.declared().to_owned(), service.base.clone()?));
        Images {
            environment: self.base.clone(),
            stages: stages.iter().filter_map(image).collect(),
            services: services.filter_map(own).collect(),
        }
    }

    /// Tells whether steps and services find the same around them: bases, user, directory, variables.
    pub fn same_surroundings(&self, other: &Self) -> bool {
        let of = |one: &Project| {
            let place = (one.name.clone(), one.workdir.clone(), one.user.clone());
            (
                place,
                one.stages.clone(),
                one.options.project,
                one.options.view,
            )
        };
        of(&self.project) == of(&other.project)
            && (&self.base, &self.env) == (&other.base, &other.env)
    }

    /// Tells whether the same files hold secrets. Which ones is fixed from the start: they are left out
    /// of the project from its first scan on.
    pub fn same_secret_files(&self, other: &Self) -> bool {
        let files = |one: &Self| {
            let sources = one.project.secrets.iter().map(|secret| &secret.source);
            let file = |source: &SecretSource| match source {
                SecretSource::File(file) => Some(file.clone()),
                SecretSource::Env(_) => None,
            };
            sources.filter_map(file).collect::<BTreeSet<_>>()
        };
        files(self) == files(other)
    }

    /// Tells whether the same files of the project count.
    pub fn same_files(&self, other: &Self) -> bool {
        let watches = |one: &Self| {
            let services = one.project.services.iter();
            services
                .map(|service| service.watch.clone())
                .collect::<Vec<_>>()
        };
        self.project.files == other.project.files
            && watches(self) == watches(other)
            && (&self.files, &self.led_to) == (&other.files, &other.led_to)
    }

    /// Tells whether everything is the same, but for where in the file it stands.
    pub fn same(&self, other: &Self) -> bool {
        let of = |one: &Self| {
            let project = &one.project;
            (
                project.cache.clone(),
                project.caches.clone(),
                project.secrets.clone(),
                project.services.clone(),
                project.options.clone(),
            )
        };
        self.same_surroundings(other)
            && self.same_files(other)
            && self.steps.len() == other.steps.len()
            && self.steps.iter().zip(&*other.steps).all(|(a, b)| a == b)
            && of(self) == of(other)
    }
}

fn files(settings: &Settings, project: &Project) -> BTreeSet<TreePath> {
    let of_services = project.services.iter().flat_map(|one| &one.env_file);
    let env_files = project.env_file.iter().chain(of_services);
    let mut files: BTreeSet<TreePath> = env_files
        .filter_map(|file| TreePath::new(file.as_bytes()).ok())
        .collect();
    // A configuration outside the project has no path in it.
    files.extend(below(&settings.config_path, &settings.project_dir));
    files
}

/// Adds what links lead to: an edit of it is an edit of the file.
fn followed(
    mut files: BTreeSet<TreePath>,
    directory: &Path,
) -> (BTreeSet<TreePath>, BTreeMap<PathBuf, TreePath>) {
    let mut led_to = BTreeMap::new();
    for file in files.clone() {
        let place = directory.join(OsStr::from_bytes(file.as_bytes()));
        match place.canonicalize() {
            Ok(end) if end != place => match below(&end, directory) {
                Some(end) => drop(files.insert(end)),
                None => drop(led_to.insert(end, file)),
            },
            // What is not there is said by whoever reads it.
            _ => {}
        }
    }
    (files, led_to)
}

fn below(path: &Path, directory: &Path) -> Option<TreePath> {
    let path = path.strip_prefix(directory).ok()?;
    TreePath::new(path.as_os_str().as_encoded_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_in_the_project_and_out_of_it() {
        let place = tempfile::tempdir().unwrap();
        let outside = place.path().canonicalize().unwrap();
        let project = outside.join("project");
        std::fs::create_dir(&project).unwrap();
        std::fs::write(outside.join("shared.env"), "A=1\n").unwrap();
        std::fs::write(project.join("own.env"), "A=1\n").unwrap();
        symlink("../shared.env", project.join("out")).unwrap();
        symlink("own.env", project.join("in")).unwrap();
        symlink("nowhere", project.join("dangling")).unwrap();
        let path = |name: &str| TreePath::new(name.as_bytes()).unwrap();
        let named = ["dangling", "hd.toml", "in", "out"].map(path);
        let (files, led_to) = followed(named.into(), &project);
        let all = ["dangling", "hd.toml", "in", "out", "own.env"].map(path);
        assert_eq!(files, all.into());
        let expected = [(outside.join("shared.env"), path("out"))];
        assert_eq!(led_to, expected.into());
    }
}
