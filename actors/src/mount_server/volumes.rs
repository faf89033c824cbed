//! Volumes of a service as mounts of its sandbox: made, filled, and put over its view.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use hd_config::{Project, Service, Volume, VolumeSource};
use hd_dag::TreePath;
use hd_sandbox::{Create, MountOp, Place};

use super::mount_points::MountPoints;
use super::prepare::make_points;
use super::view::{ServiceView, host_path, run_long};
use crate::base::mounts::inside;
use crate::messages::BatchError;
use crate::shared::Shared;

/// Mode of the top of a volume in memory, as everywhere for a place that anybody may write to.
const MEMORY_MODE: u32 = 0o1777;

/// Who volumes are made ready for.
pub(super) struct ForWhom<'a> {
    /// The service's user and group: new volumes, and what of the image is root's in them, are theirs.
    pub(super) owner: (u32, u32),
    /// Whether it is not to start any more.
    pub(super) is_over: &'a (dyn Fn() -> bool + Sync),
}

impl ServiceView {
    /// Fills the named volumes of a service that are new or empty, before anything of it is started: that takes as
    /// long as it takes. Blocks.
    ///
    /// # Errors
    /// Those of the disk and of the sandbox, and once `is_over`.
    pub(crate) fn fill_volumes(
        &self,
        shared: &Shared,
        service: &Service,
        is_over: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), BatchError> {
        let is_named = |volume: &Volume| matches!(volume.source, VolumeSource::Named(_));
        if !service.volumes.iter().any(is_named) {
            return Ok(());
        }
        self.overlay(shared, &service.name)?;
        let command = self.command(shared, Some(service), [""])?;
        let who = ForWhom {
            owner: (command.uid, command.gid),
            is_over,
        };
        self.volumes(shared, &service.name, service, &who).map(drop)
    }

    /// Makes what the volumes of a service need, and gives their mounts, outer ones first. Blocks.
    pub(super) fn volumes(
        &self,
        shared: &Shared,
        layer: &str,
        service: &Service,
        who: &ForWhom<'_>,
    ) -> Result<Vec<MountOp>, BatchError> {
        if service.volumes.is_empty() {
            return Ok(Vec::new());
        }
        self.points(shared)?;
        let mut volumes: Vec<(usize, &Volume)> = service.volumes.iter().enumerate().collect();
        volumes.sort_by(|(_, a), (_, b)| a.target.cmp(&b.target));
        let mounts = volumes.into_iter().map(|(number, volume)| {
            self.volume(shared, layer, volume, who).map_err(|error| {
                let key = format!("services.{}.volumes[{number}]", service.name);
                let declared = shared.declared();
                let place = declared.project.place(&key);
                error.at(place.map_or(key, ToString::to_string))
            })
        });
        mounts.collect()
    }

    fn volume(
        &self,
        shared: &Shared,
        service: &str,
        volume: &Volume,
        who: &ForWhom<'_>,
    ) -> Result<MountOp, BatchError> {
        let at = inside(&volume.target);
        let (source, create) = match &volume.source {
            VolumeSource::Tmpfs { size } => {
                return Ok(MountOp::Tmpfs {
                    at,
                    size: *size,
                    mode: MEMORY_MODE,
                });
            }
            VolumeSource::Named(name) => {
                let fill =
                    |to: &Path, is_new| self.fill(shared, service, volume, (to, is_new), who);
                let ready = shared.volumes.ready(name, fill, who.is_over)?;
                (Place::Host(ready), Create::Dir)
            }
            VolumeSource::Bind(path) => self.bound(shared, path, volume)?,
        };
        Ok(MountOp::Bind {
            source,
            at,
            recursive: true,
            read_only: volume.read_only,
            create,
        })
    }

    /// Copies what the view has at the target into an empty volume.
    fn fill(
        &self,
        shared: &Shared,
        service: &str,
        volume: &Volume,
        (to, is_new): (&Path, bool),
        who: &ForWhom<'_>,
    ) -> Result<(), BatchError> {
        let root = self.layer(service).join("merged");
        let op = MountOp::Fill {
            from: root.join(volume.target.trim_start_matches('/')),
            to: Place::Host(to.to_path_buf()),
            owner: who.owner,
            is_new,
        };
        run_long(shared, (&self.namespace, &root), &[op], who.is_over)
    }

    fn bound(
        &self,
        shared: &Shared,
        path: &str,
        volume: &Volume,
    ) -> Result<(Place, Create), BatchError> {
        let settings = &shared.settings;
        let home = settings.host_env.get("HOME").map(PathBuf::from);
        let source = host_source(path, &settings.project_dir, home.as_deref());
        let is_dir = std::fs::metadata(&source)
            .map_err(|e| {
                BatchError::new("service", format!("the source {path} of a volume: {e}"))
                    .hint("make it, or take the volume out")
            })?
            .is_dir();
        let below = below(&source, &settings.project_dir);
        if !is_dir
            && let Some(target) = self.in_project(&volume.target)
            && !settings.project_dir.join(host_path(&target)).exists()
        {
            let message = format!("there is no file {target} in the project to mount {path} on");
            return Err(BatchError::new("service", message).hint("make an empty one"));
        }
        let place = match below {
            // No link that a service makes in the project leads out of it.
            Some(path) => Place::Beneath {
                directory: settings.project_dir.clone(),
                path,
            },
            None => Place::Host(source),
        };
        Ok((place, if is_dir { Create::Dir } else { Create::File }))
    }

    /// The path in the project of a target, where services see the project itself there.
    fn in_project(&self, target: &str) -> Option<TreePath> {
        if !self.is_live() {
            return None;
        }
        let path = project_path(target, &self.plan.workdir)?;
        let outputs = &self.outputs.shown;
        (!outputs.iter().any(|output| path.starts_with(output))).then_some(path)
    }

    /// Makes the mount points of all outputs and volumes in the live project.
    pub(super) fn points(&self, shared: &Shared) -> Result<(), BatchError> {
        if self.is_apart {
            return Ok(());
        }
        if self.is_projected() {
            return make_points(shared, &self.mount_points, &[]);
        }
        let mut wanted: BTreeSet<TreePath> = self.outputs.shown.iter().cloned().collect();
        let project = &shared.declared().project;
        let found = volume_points(shared, project, &self.plan.workdir, &self.mount_points);
        let is_shown = |path: &TreePath| self.outputs.shown.iter().any(|one| path.starts_with(one));
        wanted.extend(found.into_iter().filter(|path| !is_shown(path)));
        let wanted: Vec<TreePath> = wanted.into_iter().collect();
        make_points(shared, &self.mount_points, &wanted)
    }
}

/// The directories of the live project that targets of volumes need and the project has not, outer
/// ones first.
fn volume_points(
    shared: &Shared,
    project: &Project,
    workdir: &str,
    made: &MountPoints,
) -> BTreeSet<TreePath> {
    let root = &shared.settings.project_dir;
    let services = project.services.iter();
    let see_it = services.filter(|one| one.base.is_none());
    let volumes = see_it.flat_map(|one| &one.volumes);
    let targets = volumes.filter_map(|volume| project_path(&volume.target, workdir));
    let mut points = BTreeSet::new();
    for target in targets {
        let host = host_path(&target);
        for above in host.ancestors().filter(|path| !path.as_os_str().is_empty()) {
            let path = TreePath::new(above.as_os_str().as_encoded_bytes());
            let path = path
                .ok()
                .filter(|path| made.contains(path) || !root.join(above).exists());
            points.extend(path);
        }
    }
    points
}

fn project_path(target: &str, workdir: &str) -> Option<TreePath> {
    let relative = Path::new(target).strip_prefix(workdir).ok()?;
    let bytes = relative.as_os_str().as_encoded_bytes();
    TreePath::new(bytes).ok().filter(|_| !bytes.is_empty())
}

/// Gives the path on the host of the source of a bind.
pub fn host_source(path: &str, project: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            home.join(rest.trim_start_matches('/'))
        }
        _ => project.join(path),
    }
}

/// The normal path below the project of a source that lies in it.
fn below(source: &Path, project: &Path) -> Option<PathBuf> {
    let relative = source.strip_prefix(project).ok()?;
    let parts = relative
        .components()
        .filter(|part| *part != Component::CurDir);
    let parts: PathBuf = parts.collect();
    let stays = parts
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    match stays {
        true if parts.as_os_str().is_empty() => Some(PathBuf::from(".")),
        true => Some(parts),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_found_on_the_host() {
        let (project, home) = (Path::new("/p"), Some(Path::new("/home/u")));
        let cases = [
            ("./a/b", "/p/./a/b", Some("a/b")),
            (".", "/p/.", Some(".")),
            ("../x", "/p/../x", None),
            ("/etc", "/etc", None),
            ("~/x", "/home/u/x", None),
            ("~", "/home/u", None),
            ("~u/x", "/p/~u/x", Some("~u/x")),
        ];
        for (path, source, inside) in cases {
            let found = host_source(path, project, home);
            assert_eq!(found, Path::new(source), "{path}");
            assert_eq!(below(&found, project), inside.map(PathBuf::from), "{path}");
        }
    }

    #[test]
    fn targets_in_the_project_are_told() {
        let found = |target| project_path(target, "/w").map(|path| path.to_string());
        assert_eq!(found("/w/a/b"), Some("a/b".to_owned()));
        assert_eq!(
            (found("/w"), found("/web"), found("/x")),
            (None, None, None)
        );
    }
}
