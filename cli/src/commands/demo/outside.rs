//! What of the user's own the services of a copy would write to.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use hd_actors::mount_server::volumes::host_source;
use hd_config::{Project, VolumeSource};

use crate::error::{CliError, exit};

/// Links on the way to one path, as many as the kernel follows.
const LINKS_MAX: u32 = 40;

/// Refuses a project whose services write to a directory of this machine that is not the project's:
/// every copy of it would write there too.
pub(super) fn refuse(project: &Project, directory: &Path) -> Result<(), CliError> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let Some((key, path)) = written(project, directory, home.as_deref()) else {
        return Ok(());
    };
    let place = project.place(&key).map_or(key, ToString::to_string);
    let message = format!("a service writes to {path}, and each copy that is measured would too");
    let hint = "measure with a named volume there, or with `:ro`";
    Err(CliError::new("usage", exit::USAGE, message)
        .at(place)
        .hint(hint))
}

/// Gives the key and the path of the first such volume.
fn written(project: &Project, directory: &Path, home: Option<&Path>) -> Option<(String, String)> {
    for service in &project.services {
        for (number, volume) in service.volumes.iter().enumerate() {
            let VolumeSource::Bind(path) = &volume.source else {
                continue;
            };
            let real = host_source(path, directory, home).canonicalize();
            // An absolute path is that of the project itself, not of a copy.
            let is_own = !path.starts_with(['/', '~'])
                && real.is_ok_and(|real| real.starts_with(directory))
                && !leads_out(directory, path);
            if !volume.read_only && !is_own {
                let key = format!("services.{}.volumes[{number}]", service.declared());
                return Some((key, path.clone()));
            }
        }
    }
    None
}

/// Tells whether a relative path of a project leads out of a copy of it: over `..`, or over a link, for
/// links are copied as they are. What is not there leads nowhere.
pub(super) fn leads_out(project: &Path, path: &str) -> bool {
    let mut ahead = parts(Path::new(path));
    let (mut inside, mut links) = (PathBuf::new(), 0);
    while let Some(part) = ahead.pop() {
        if part == ".." {
            if !inside.pop() {
                return true;
            }
            continue;
        }
        inside.push(&part);
        let Ok(target) = std::fs::read_link(project.join(&inside)) else {
            continue;
        };
        links += 1;
        // An absolute one leads to the project itself at best.
        if target.is_absolute() || links > LINKS_MAX {
            return true;
        }
        inside.pop();
        ahead.extend(parts(&target));
    }
    false
}

/// The parts of a path, the first one last.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev();
    let real = parts.filter(|part| !matches!(part, Component::CurDir));
    real.map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_of_the_project_are_written_to() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        let directory = place.join("project");
        std::fs::create_dir_all(directory.join("own")).unwrap();
        std::os::unix::fs::symlink(&place, directory.join("link")).unwrap();
        let found = |volume: &str| {
            let text = format!(
                "[environment]\nname = \"x\"\n[volumes]\ndata = {{}}\n\
                 [services.web]\ncommand = \"a\"\nvolumes = [\"{volume}\"]\n"
            );
            let project = hd_config::parse(&text, "hd.toml").unwrap();
            written(&project, &directory, Some(&place)).map(|(_, path)| path)
        };
        for volume in ["data:/d", "tmpfs:/d", "./own:/d", "/etc:/d:ro", "~/x:/d:ro"] {
            assert_eq!(found(volume), None, "{volume}");
        }
        // The copy of an absolute link leads to the project that was copied.
        std::os::unix::fs::symlink(directory.join("own"), directory.join("absolute")).unwrap();
        for path in ["/srv", "~/x", "../x", "./link", "./absolute"] {
            assert_eq!(found(&format!("{path}:/d")).as_deref(), Some(path));
        }
    }

    #[test]
    fn links_are_followed_as_they_are_in_a_copy() {
        let place = tempfile::tempdir().unwrap();
        let project = place.path().join("project");
        std::fs::create_dir_all(project.join("own/inner")).unwrap();
        let up = "../".repeat(project.components().count());
        let above = format!("{up}{}/own", project.display());
        let links = [
            ("near", "own"),
            ("own/up", "../own/inner"),
            ("twice", "near/up"),
            ("back", "../project/own"),
            ("above", &above),
            ("gone", "/nonexistent"),
            ("round", "round"),
        ];
        for (link, target) in links {
            std::os::unix::fs::symlink(target, project.join(link)).unwrap();
        }
        for path in [".", "./own", "near", "./twice/x", "own/./up", "new/one"] {
            assert!(!leads_out(&project, path), "{path}");
        }
        for path in [
            "back",
            "above",
            "above/new",
            "gone",
            "gone/x",
            "round",
            "own/../..",
        ] {
            assert!(leads_out(&project, path), "{path}");
        }
    }
}
