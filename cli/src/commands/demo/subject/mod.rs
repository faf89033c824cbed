//! What is measured: the project, the service that is asked, and copies of it to work in.

mod copy;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use hd_config::{DirFilter, Project, Service};

pub(super) use self::copy::{Copy, Reader};
use super::dependency::Dependency;
use super::edit::{VersionLine, version_line, with_comment};
use super::outside;
use crate::error::{CliError, exit};
use crate::project::Located;

/// Directories that tools make and that no copy needs: each side makes its own.
const MADE: [&str; 4] = [".venv", "venv", "node_modules", "__pycache__"];
/// Files whose version is not one of the program that runs.
const DESCRIPTIONS: [&str; 3] = ["toml", "lock", "json"];
/// Longest file that is searched for a version.
const LONGEST: u64 = 256 << 10;
/// A project to be measured.
#[derive(Debug)]
pub(super) struct Subject {
    /// Its name.
    pub(super) name: String,
    /// Its directory.
    pub(super) directory: PathBuf,
    /// Name of the service that is asked.
    pub(super) service: String,
    /// The port of that service.
    pub(super) port: u16,
    /// It has no other.
    pub(super) is_one_service: bool,
    /// The commands of its build.
    pub(super) steps: Vec<String>,
    /// `base` of its hd.toml.
    pub(super) base: Option<String>,
    /// Files with a version that may show at `/version`; those that the service watches first.
    pub(super) versions: Vec<(PathBuf, VersionLine)>,
    /// The list of what it depends on.
    pub(super) dependency: Option<Dependency>,
    /// A file whose edit restarts the service.
    pub(super) watched: Option<PathBuf>,
    /// Profiles that were asked for.
    pub(super) profiles: Vec<String>,
    config: String,
    ports: Vec<u16>,
    files: Vec<PathBuf>,
}

impl Subject {
    /// Reads a project; fails when it has no service that could be asked.
    pub(super) fn read(located: &Located) -> Result<Self, CliError> {
        let project = located.load()?.project;
        let Some((service, port)) = front(&project) else {
            let message = "no service has a `port`: there is nothing to ask over HTTP";
            return Err(CliError::new("usage", exit::USAGE, message)
                .at(crate::project::shown(&located.config))
                .hint("give the service that answers over HTTP its `port`"));
        };
        outside::refuse(&project, &located.directory)?;
        let mut files = Vec::new();
        let filter = project.file_filter();
        let root = &located.directory;
        let top = filter.root(&ignore_files(root, filter.ignore_file_names()));
        collect(
            root,
            Path::new(""),
            &top,
            filter.ignore_file_names(),
            &mut files,
        )?;
        let named = project.env_file.iter().map(PathBuf::from);
        files.extend(named.filter(|file| file.is_relative() && root.join(file).is_file()));
        let files: Vec<PathBuf> = files
            .into_iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        // What is edited in a copy is a file there: behind a link may be one of the user's own.
        let plain: Vec<PathBuf> = files
            .iter()
            .filter(|file| !root.join(file).is_symlink())
            .cloned()
            .collect();
        Ok(Self {
            name: project.name.clone(),
            directory: root.clone(),
            service: service.name.clone(),
            port,
            is_one_service: project.services.len() == 1,
            steps: project.steps.iter().map(|step| step.run.clone()).collect(),
            base: project.base.clone(),
            versions: versions(root, &plain, service),
            watched: watched(root, &plain, service),
            dependency: Dependency::find(&plain),
            profiles: located.profiles.clone(),
            config: read(&located.config)?,
            ports: project.services.iter().filter_map(|s| s.port).collect(),
            files,
        })
    }
}

/// Chooses the service that people talk to: one that no other waits for, else the first. What is edited is no part of
/// a service on a base of its own.
fn front(project: &Project) -> Option<(&Service, u16)> {
    let with_port = || {
        let services = project.services.iter().filter(|one| one.base.is_none());
        services.filter_map(|service| Some((service, service.port?)))
    };
    let is_needed = |name: &str| {
        let mut needs = project.services.iter().flat_map(|other| &other.depends_on);
        needs.any(|need| need.service == name)
    };
    with_port()
        .find(|(service, _)| !is_needed(&service.name))
        .or_else(|| with_port().next())
}

fn versions(root: &Path, files: &[PathBuf], service: &Service) -> Vec<(PathBuf, VersionLine)> {
    let searched = files.iter().filter(|file| {
        let extension = file.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| !DESCRIPTIONS.contains(&extension))
            && fs::metadata(root.join(file))
                .is_ok_and(|meta| meta.is_file() && meta.len() <= LONGEST)
    });
    let found = searched.filter_map(|file| {
        let text = fs::read_to_string(root.join(file)).ok()?;
        Some((file.clone(), version_line(&text)?))
    });
    let mut found: Vec<_> = found.collect();
    found.sort_by_key(|(file, _)| !service.watch.matches(file.as_os_str().as_bytes()));
    found
}

fn watched(root: &Path, files: &[PathBuf], service: &Service) -> Option<PathBuf> {
    let can_be_edited = |file: &&PathBuf| {
        service.watch.matches(file.as_os_str().as_bytes())
            && with_comment(&file.to_string_lossy(), "", "").is_some()
            && fs::read_to_string(root.join(file)).is_ok()
    };
    files.iter().find(can_be_edited).cloned()
}

fn ignore_files(directory: &Path, names: &[String]) -> Vec<(String, Vec<u8>)> {
    let read = |name: &String| Some((name.clone(), fs::read(directory.join(name)).ok()?));
    names.iter().filter_map(read).collect()
}

fn collect(
    root: &Path,
    below: &Path,
    filter: &DirFilter,
    names: &[String],
    files: &mut Vec<PathBuf>,
) -> Result<(), CliError> {
    let directory = root.join(below);
    let entries = fs::read_dir(&directory).map_err(|e| CliError::io("list", &directory, &e))?;
    for entry in entries {
        let entry = entry.map_err(|e| CliError::io("list", &directory, &e))?;
        let name = entry.file_name();
        let kind = entry
            .file_type()
            .map_err(|e| CliError::io("look at", &entry.path(), &e))?;
        let made = name.to_str().is_some_and(|name| MADE.contains(&name));
        if made || !filter.keep(name.as_bytes(), kind.is_dir()) {
            continue;
        }
        let path = below.join(&name);
        if kind.is_dir() {
            let ignored = ignore_files(&entry.path(), names);
            let inner = filter.enter(name.as_bytes(), &ignored);
            collect(root, &path, &inner, names, files)?;
        } else if kind.is_file() || kind.is_symlink() {
            files.push(path);
        }
    }
    Ok(())
}

/// Reads a text file.
pub(super) fn read(path: &Path) -> Result<String, CliError> {
    fs::read_to_string(path).map_err(|e| CliError::io("read", path, &e))
}

/// Writes a text file in place, as an editor does.
pub(super) fn write(path: &Path, text: &str) -> Result<(), CliError> {
    fs::write(path, text).map_err(|e| CliError::io("write", path, &e))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::process::Watch;
    use super::*;
    use crate::args::Place;
    use crate::project::FILE;

    const TOML: &str = r#"
[environment]
name = "x"

[services.worker]
command = "w"
port = 8001

[services.web]
command = "p"
watch = ["*.py"]
port = 8000
depends_on = ["worker"]
"#;

    fn subject(files: &[(&str, &str)]) -> (tempfile::TempDir, Subject) {
        let place = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = place.path().join("from").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let subject = read_subject(place.path().join("from"));
        (place, subject)
    }

    fn read_subject(directory: PathBuf) -> Subject {
        let at = Place {
            directory: Some(directory),
            file: None,
            instance: None,
            profile: Vec::new(),
        };
        let located = crate::project::locate(&at, None).unwrap();
        Subject::read(&located).unwrap()
    }

    #[test]
    fn the_front_is_asked_and_a_copy_has_ports_of_its_own() {
        let files = [
            (FILE, TOML),
            ("app.py", ""),
            (".gitignore", "*.log\n"),
            ("a.log", ""),
            ("node_modules/a/b.js", ""),
            ("sub/c.ts", "version = '3'"),
        ];
        let watch = Watch::default();
        let (place, subject) = subject(&files);
        assert_eq!((subject.service.as_str(), subject.port), ("web", 8000));
        assert!(!subject.is_one_service);
        assert_eq!(subject.watched, Some("app.py".into()));
        assert_eq!(subject.versions[0].0, Path::new("sub/c.ts"));
        let copy = subject
            .copy(&watch, &place.path().join("to"), Reader::Hd)
            .unwrap();
        let text = read(&copy.directory.join(FILE)).unwrap();
        assert!(text.contains(&format!("port = {}\n", copy.port)), "{text}");
        assert!(!text.contains("= 800"), "{text}");
        assert!(copy.directory.join("sub/c.ts").is_file());
        assert!(!copy.directory.join("a.log").exists());
        assert!(!copy.directory.join("node_modules").exists());
        let of_engine = subject.copy(&watch, &place.path().join("other"), Reader::Engine);
        let directory = of_engine.unwrap().directory;
        assert_eq!(read(&directory.join(FILE)).unwrap(), TOML);
    }

    #[test]
    fn a_watched_version_comes_first_and_descriptions_do_not_count() {
        let line = "VERSION = \"1\"\n";
        let files = [
            (FILE, TOML),
            ("a.ts", line),
            ("pyproject.toml", line),
            ("z.py", line),
        ];
        let (_place, subject) = subject(&files);
        let names: Vec<_> = subject
            .versions
            .iter()
            .map(|(file, _)| file.as_path())
            .collect();
        assert_eq!(names, [Path::new("z.py"), Path::new("a.ts")]);
    }

    #[test]
    fn a_copy_never_writes_to_what_links_of_the_project_lead_to() {
        let place = tempfile::tempdir().unwrap();
        let (from, own) = (place.path().join("from"), place.path().join("own"));
        let compose = "services: { web: { build: ., ports: ['8000:8000'] } }\n";
        let texts = [
            (FILE, TOML),
            ("compose.yaml", compose),
            ("app.py", "VERSION = '1'\n"),
            ("requirements.txt", "flask\n"),
        ];
        for directory in [&from, &own] {
            fs::create_dir(directory).unwrap();
        }
        for (name, text) in texts {
            fs::write(own.join(name), text).unwrap();
            symlink(own.join(name), from.join(name)).unwrap();
        }
        let subject = read_subject(from);
        assert_eq!((&subject.watched, &subject.dependency), (&None, &None));
        assert!(subject.versions.is_empty());
        let (watch, to) = (Watch::default(), place.path().join("to"));
        let copy = subject.copy(&watch, &to, Reader::Hd).unwrap();
        for (name, text) in texts {
            assert_eq!(read(&own.join(name)).unwrap(), text);
        }
        for name in [FILE, "compose.yaml"] {
            let text = read(&copy.directory.join(name)).unwrap();
            assert!(text.contains(&copy.port.to_string()), "{text}");
        }
    }
}
