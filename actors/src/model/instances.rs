//! The instances of an `HD_HOME`, those that run and those that once did.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rustix::fs::{FlockOperation, flock};

use super::instance::InstancePaths;
use super::snapshot::Snapshot;
use super::volumes::Volumes;
use crate::messages::BatchError;

/// An instance that left a directory behind.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Where it keeps what.
    pub paths: InstancePaths,
    /// The project directory it is for.
    pub project: PathBuf,
}

impl Instance {
    /// Lists the instances of a home, sorted by id.
    pub fn all(home: &Path) -> io::Result<Vec<Self>> {
        let listing = match fs::read_dir(home.join("instances")) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in listing {
            let Ok(id) = entry?.file_name().into_string() else {
                continue;
            };
            let paths = InstancePaths::of_id(home, &id);
            // Without this file it was forgotten, or is being made.
            if let Ok(project) = fs::read(paths.project()) {
                let project = PathBuf::from(OsString::from_vec(project));
                found.push(Self { paths, project });
            }
        }
        found.sort_by(|a, b| a.paths.id().cmp(b.paths.id()));
        Ok(found)
    }

    /// Says whether a runtime holds it; one that cannot be asked counts as running.
    pub fn is_running(&self) -> bool {
        match File::open(self.paths.lock()) {
            Ok(lock) => flock(&lock, FlockOperation::NonBlockingLockShared).is_err(),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Says whether it has named volumes; where that cannot be told, it has.
    fn has_volumes(&self) -> bool {
        let names = Volumes::new(self.paths.volumes()).names();
        names.map_or(true, |names| !names.is_empty())
    }

    /// Says whether it has snapshots; where that cannot be told, it has.
    fn has_snapshots(&self) -> bool {
        Snapshot::all(&self.paths).map_or(true, |all| !all.is_empty())
    }

    /// Says whether it holds what nothing can make again.
    pub fn is_precious(&self) -> bool {
        self.has_volumes() || self.has_snapshots()
    }

    /// When its state was written last, in milliseconds since the epoch; 0 when it never was.
    pub fn state_at_unix_ms(&self) -> u64 {
        let modified = fs::metadata(self.paths.state()).and_then(|meta| meta.modified());
        let since = modified
            .ok()
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        since.map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
    }

    /// Removes all it keeps but the lock, which the caller holds.
    ///
    /// # Errors
    /// Those of the disk, at what cannot be removed; it is listed still, so that it can be forgotten once more.
    pub fn forget(&self) -> Result<(), BatchError> {
        let dir = self.paths.dir();
        let listed = |e: io::Error| failed(&dir, e);
        let (lock, project) = (self.paths.lock(), self.paths.project());
        for entry in fs::read_dir(&dir).map_err(listed)? {
            let path = entry.map_err(listed)?.path();
            if path != lock && path != project {
                remove(&path)?;
            }
        }
        let mut note = self.paths.scan().into_os_string();
        remove(Path::new(&note))?;
        note.push(".note");
        remove(Path::new(&note))?;
        // Last what makes it an instance: without it nobody would find the rest.
        remove(&project)
    }
}

fn failed(path: &Path, error: io::Error) -> BatchError {
    BatchError::new("io", format!("cannot remove {}: {error}", path.display()))
        .at(path.display().to_string())
}

fn remove(path: &Path) -> Result<(), BatchError> {
    let removed = match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hold::Hold;

    #[test]
    fn an_instance_is_listed_until_it_is_forgotten() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(Instance::all(home.path()).unwrap().len(), 0);
        let paths = InstancePaths::new(home.path(), Path::new("/p"));
        fs::create_dir_all(paths.dir().join("logs")).unwrap();
        fs::create_dir_all(paths.scan().parent().unwrap()).unwrap();
        fs::write(paths.scan(), "").unwrap();
        assert_eq!(
            Instance::all(home.path()).unwrap().len(),
            0,
            "no project yet"
        );
        fs::write(paths.project(), "/p").unwrap();
        let one = Instance::all(home.path()).unwrap().remove(0);
        assert_eq!(
            (one.project.as_path(), one.is_running()),
            (Path::new("/p"), false)
        );
        let held = Hold::of(&one.paths).unwrap();
        assert!(held.is_some() && one.is_running());
        one.forget().unwrap();
        assert!(paths.lock().exists() && !paths.scan().exists());
        assert_eq!(fs::read_dir(paths.dir()).unwrap().count(), 1);
        assert_eq!(Instance::all(home.path()).unwrap().len(), 0);
    }
}
