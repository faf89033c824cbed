//! Sources of bind mounts that must be there.

use std::path::{Path, PathBuf};

use hd_actors::mount_server::volumes::host_source;
use hd_config::{Project, VolumeSource};

/// Finds the first source that is not there, among those of services that start with these profiles:
/// the key of the volume, and the path as written.
pub(super) fn missing(
    project: &Project,
    directory: &Path,
    home: Option<&str>,
    profiles: &[String],
) -> Option<(String, String)> {
    let home = home.map(PathBuf::from);
    let services = project.services.iter();
    for service in services.filter(|one| one.is_enabled(profiles)) {
        for (number, volume) in service.volumes.iter().enumerate() {
            if let VolumeSource::Bind(path) = &volume.source
                && !host_source(path, directory, home.as_deref()).exists()
            {
                let key = format!("services.{}.volumes[{number}]", service.declared());
                return Some((key, path.clone()));
            }
        }
    }
    None
}
