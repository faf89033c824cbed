//! What of the user's own the services of a copy would write to.

use std::path::{Path, PathBuf};

use hd_actors::mount_server::volumes::host_source;
use hd_config::{Project, VolumeSource};

use crate::error::{CliError, exit};

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
            let is_own =
                !path.starts_with(['/', '~']) && real.is_ok_and(|real| real.starts_with(directory));
            if !volume.read_only && !is_own {
                let key = format!("services.{}.volumes[{number}]", service.declared());
                return Some((key, path.clone()));
            }
        }
    }
    None
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
        for path in ["/srv", "~/x", "../x", "./link"] {
            assert_eq!(found(&format!("{path}:/d")).as_deref(), Some(path));
        }
    }
}
