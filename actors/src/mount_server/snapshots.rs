//! Snapshots of what services wrote: taken from their write layers and volumes, and brought back.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use hd_config::{Project, VolumeSource};
use hd_dag::{Entry, Kind, Meta, Rooted, Target, TreePath};
use hd_projection::capture::{CaptureRules, Captured, capture, hidden};
use hd_projection::checkout::{Checkout, Layout, checkout};
use hd_projection::{Composite, ProjectionError};
use hd_sandbox::own_namespace;
use hd_store::Writer;

use super::follow::Restored;
use super::layers::Filled;
use super::view::ServiceView;
use super::views::Views;
use super::written::volume_targets;
use crate::messages::BatchError;
use crate::model::frozen::Frozen;
use crate::model::snapshot::{Layer, Snapshot, Top};
use crate::session::unix_ms;
use crate::shared::Shared;

impl Views {
    /// Keeps what these services wrote, with their volumes, under a name. Blocks.
    ///
    /// The processes of `running` services are stopped meanwhile. A service without a write layer wrote
    /// nothing.
    pub(super) fn keep_written(
        &self,
        shared: &Shared,
        name: &str,
        services: &[String],
        running: &[u32],
    ) -> Result<Snapshot, BatchError> {
        let failed = |e: hd_store::Error| BatchError::new("store", e);
        let still = Frozen::new(running);
        let work = shared.session.work()?;
        let mut writer = shared.store.writer().map_err(failed)?;
        let mut layers = BTreeMap::new();
        for service in services {
            let view = self.of(service);
            let layer = match view.upper(service) {
                Some(upper) => view.layer_kept(shared, (service, &upper), &mut writer)?,
                None => stored(shared, Vec::new())?,
            };
            layers.insert(service.clone(), layer);
        }
        let project = self.main.aimed();
        let (mut volumes, mut tops) = (BTreeMap::new(), BTreeMap::new());
        for volume in volumes_of(&shared.declared().project, services) {
            let path = shared.volumes.path(&volume);
            if let Ok(status) = path.metadata() {
                tops.insert(volume.clone(), Top::of(&status));
                volumes.insert(volume, volume_kept(shared, &path, &mut writer)?);
            }
        }
        drop(still);
        let snapshot = Snapshot {
            name: name.to_owned(),
            at_unix_ms: unix_ms(),
            project,
            services: layers,
            volumes,
            tops,
        };
        shared.commit(&mut writer)?;
        let of = shared.settings.project_dir.display().to_string();
        snapshot.save(&shared.store, &shared.settings.paths, &of)?;
        drop((writer, work));
        Ok(snapshot)
    }

    /// Puts what a snapshot has of these services in the place of what they wrote since, with their volumes,
    /// which are prepared. They must not run. Blocks.
    ///
    /// # Errors
    /// Those of the disk and of the store. All layers are made before the first is put in its place, so that one
    /// that cannot be made leaves every service what it has.
    pub(super) fn bring_back(
        &self,
        shared: &Shared,
        snapshot: &Snapshot,
        services: &[String],
    ) -> Result<(), BatchError> {
        let _work = shared.session.work()?;
        let mut filled = Vec::new();
        let mut volumes = snapshot_volumes(shared, snapshot, services).into_iter();
        let ready = self
            .fill_layers(shared, (snapshot, services), &mut filled)
            .and_then(|()| volumes.try_for_each(|(name, _)| shared.volumes.put(name)));
        for one in filled {
            match &ready {
                Ok(()) => self.of(one.service()).put_layer(shared, one),
                Err(_) => self.of(one.service()).discard_layer(shared, &one),
            }
        }
        ready
    }

    fn fill_layers(
        &self,
        shared: &Shared,
        (snapshot, services): (&Snapshot, &[String]),
        filled: &mut Vec<Filled>,
    ) -> Result<(), BatchError> {
        for service in services {
            let Some(layer) = snapshot.services.get(service) else {
                continue;
            };
            let fill = |upper: &OwnedFd| {
                let user = own_namespace::is_inside();
                written_out(shared, &layer.content, Layout::Upper { user }, upper)
            };
            let restored = snapshot.project.map(|project| Restored {
                layer: layer.content,
                project,
            });
            let view = self.of(service);
            filled.push(view.filled_layer(shared, (service, restored), fill)?);
        }
        Ok(())
    }
}

impl ServiceView {
    fn layer_kept(
        &self,
        shared: &Shared,
        (service, upper): (&str, &OwnedFd),
        writer: &mut Writer,
    ) -> Result<Layer, BatchError> {
        // Owners stay as hd itself sees them: whatever a service is shown, hd can give a file back to them.
        let lower = shared.composite(self.seen, Vec::new(), self.owners());
        let found = captured(shared, &descriptor(upper), &lower, writer)?;
        let targets = volume_targets(shared, service);
        let mut own = Vec::new();
        let hidden = hidden(&found);
        for (one, is_hidden) in found.into_iter().zip(hidden) {
            // What the host edited in a projected project was written through; that is none of the service's.
            let below = match is_hidden {
                true => Ok(None),
                false => self.below(shared, &one.path),
            };
            let below = below.map_err(|e| BatchError::new("store", e))?;
            let is_ours = below.is_none() && self.is_mount_point(&one.path, &targets);
            let below = below.map(|entry| self.shown(&one.path, entry));
            if !is_ours && !is_same(&one.entry, below.as_ref()) {
                let is_plain = is_plain_dir(&one.entry, below.as_ref());
                own.push((one, is_plain));
            }
        }
        stored(shared, without_plain(own))
    }

    /// Gives an entry of what lies below a service with the owner that hd sees of it there.
    fn shown(&self, path: &TreePath, mut entry: Entry) -> Entry {
        let owners = self.owners();
        let owner = owners.iter().find(|owner| path.starts_with(&owner.at));
        let meta = &mut entry.meta;
        if let (0, 0, Some(owner)) = (meta.uid, meta.gid, owner) {
            (meta.uid, meta.gid) = (owner.uid, owner.gid);
        }
        (meta.uid, meta.gid) = self.plan.ids.outside((meta.uid, meta.gid));
        entry
    }
}

/// Writes the volumes a snapshot has of these services out beside those in use, until hd ends. Blocks.
///
/// # Errors
/// Those of the disk and of the store, which change nothing.
pub(crate) fn prepare_volumes(
    shared: &Shared,
    snapshot: &Snapshot,
    services: &[String],
    is_over: &(dyn Fn() -> bool + Sync),
) -> Result<(), BatchError> {
    let _work = shared.session.work()?;
    for (name, layer) in snapshot_volumes(shared, snapshot, services) {
        let fill = |dir: &OwnedFd| written_out(shared, &layer.content, Layout::Plain, dir);
        let top = snapshot.tops.get(name).copied();
        shared.volumes.prepare(name, top, fill, is_over)?;
    }
    Ok(())
}

/// Has the volumes that were put in place survive a power cut. Blocks.
///
/// # Errors
/// Those of the disk.
pub(crate) fn settle_volumes(
    shared: &Shared,
    snapshot: &Snapshot,
    services: &[String],
) -> Result<(), BatchError> {
    let mut volumes = snapshot_volumes(shared, snapshot, services).into_iter();
    volumes.try_for_each(|(name, _)| shared.volumes.settle(name))
}

fn snapshot_volumes<'a>(
    shared: &Shared,
    snapshot: &'a Snapshot,
    services: &[String],
) -> Vec<(&'a String, &'a Layer)> {
    let known = volumes_of(&shared.declared().project, services);
    let all = snapshot.volumes.iter();
    all.filter(|(name, _)| known.contains(*name)).collect()
}

/// The named volumes that these services use.
pub fn volumes_of(project: &Project, services: &[String]) -> BTreeSet<String> {
    let chosen = project.services.iter();
    let chosen = chosen.filter(|one| services.contains(&one.name));
    let named = chosen.flat_map(|one| &one.volumes);
    named
        .filter_map(|volume| match &volume.source {
            VolumeSource::Named(name) => Some(name.clone()),
            _ => None,
        })
        .collect()
}

fn written_out(
    shared: &Shared,
    content: &Rooted,
    layout: Layout,
    to: &OwnedFd,
) -> Result<(), BatchError> {
    let from = Checkout {
        store: &shared.store,
        trees: &*shared.trees,
        layout,
    };
    checkout(&from, content, to.as_fd()).map_err(|e| failed(&e))
}

fn volume_kept(shared: &Shared, path: &Path, writer: &mut Writer) -> Result<Layer, BatchError> {
    let nothing = shared.composite(Rooted::empty(), Vec::new(), Vec::new());
    let found = captured(shared, path, &nothing, writer)?;
    stored(shared, found)
}

fn captured(
    shared: &Shared,
    dir: &Path,
    lower: &Composite,
    writer: &mut Writer,
) -> Result<Vec<Captured>, BatchError> {
    // Nothing is the project's own source here, so no name is dropped.
    let nowhere = TreePath::new(b"\xff").unwrap_or_default();
    let rules = CaptureRules {
        lower,
        skip: &[],
        owners: &[],
        project: &nowhere,
    };
    let layer = capture(dir, &shared.store, writer, &rules).map_err(|e| failed(&e))?;
    Ok(layer.changes)
}

fn stored(shared: &Shared, found: Vec<Captured>) -> Result<Layer, BatchError> {
    let is_dir = |one: &&Captured| one.entry.kind() == Kind::Dir;
    let entries = found.iter().filter(|one| !is_dir(one)).count() as u64;
    let size = |one: &Captured| match one.entry.target {
        Target::Regular { size, .. } => size,
        _ => 0,
    };
    let bytes = found.iter().map(size).sum();
    let all = found
        .into_iter()
        .map(|one| (one.path, one.entry, one.mtime_ns));
    let content = hd_dag::build(&*shared.trees, all).map_err(|e| BatchError::new("store", e))?;
    Ok(Layer {
        content,
        entries,
        bytes,
    })
}

/// Tells whether a service would see this anyway.
fn is_same(entry: &Entry, below: Option<&Entry>) -> bool {
    match (&entry.target, below) {
        (Target::Whiteout, None) => true,
        (Target::Regular { blob, .. }, Some(below)) => {
            let content =
                matches!(&below.target, Target::Regular { blob: other, .. } if other == blob);
            content && has_same_meta(entry, below)
        }
        (Target::Symlink { .. }, Some(below)) => below.target == entry.target,
        _ => false,
    }
}

/// Tells whether this is a directory as it is below, which says nothing but what is in it.
fn is_plain_dir(entry: &Entry, below: Option<&Entry>) -> bool {
    let is_open = matches!(entry.target, Target::Dir { opaque: false, .. });
    let below = below.filter(|below| below.kind() == Kind::Dir);
    is_open && below.is_some_and(|below| has_same_meta(entry, below))
}

/// Drops plain directories without anything in them: the host made them, or something was there for a while. The
/// paths are sorted.
fn without_plain(found: Vec<(Captured, bool)>) -> Vec<Captured> {
    let mut own: Vec<Captured> = Vec::with_capacity(found.len());
    for (one, is_plain) in found.into_iter().rev() {
        let holds = |later: &Captured| later.path.starts_with(&one.path);
        if !is_plain || own.last().is_some_and(holds) {
            own.push(one);
        }
    }
    own.reverse();
    own
}

/// Tells whether owner, mode and attributes are those of below. What has fewer attributes is as good: an edit that is
/// written through brings none.
fn has_same_meta(entry: &Entry, below: &Entry) -> bool {
    let (own, other) = (&entry.meta, &below.meta);
    let facts = |meta: &Meta| (meta.mode, meta.uid, meta.gid);
    let mut attributes = own.xattrs.iter();
    facts(own) == facts(other)
        && attributes.all(|(name, value)| other.xattrs.get(name) == Some(value))
}

fn descriptor(dir: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()))
}

fn failed(error: &ProjectionError) -> BatchError {
    BatchError::new("io", error)
}
