//! Who runs an instance: one process at a time, by a lock on a file.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::messages::BatchError;
use crate::model::files;
use crate::model::instance::InstancePaths;

/// The right to run an instance; it ends when this is dropped, or with the process.
#[derive(Debug)]
pub struct Hold {
    _lock: File,
}

impl Hold {
    /// Takes an instance that exists, or gives `None` while another process has it.
    pub fn of(paths: &InstancePaths) -> io::Result<Option<Self>> {
        let lock = File::create(paths.lock())?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _lock: lock })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the instance of a project, new or not; `None` as before.
    ///
    /// Errors: `io` when the directory of the instance or the lock in it cannot be made.
    pub fn take(paths: &InstancePaths, project: &Path) -> Result<Option<Self>, BatchError> {
        let place = paths.lock();
        let failed = |e: io::Error| {
            BatchError::new("io", e)
                .at(place.display().to_string())
                .hint("HD_HOME names another place for all state")
        };
        files::private_dir(&paths.dir()).map_err(failed)?;
        let Some(hold) = Self::of(paths).map_err(failed)? else {
            return Ok(None);
        };
        let project = project.as_os_str().as_encoded_bytes();
        if fs::read(paths.project()).ok().as_deref() != Some(project) {
            files::replace(&paths.project(), project).map_err(failed)?;
        }
        Ok(Some(hold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_has_it_until_it_is_dropped() {
        let place = tempfile::tempdir().unwrap();
        let project = place.path().join("project");
        let paths = InstancePaths::new(&place.path().join("home"), &project);
        let first = Hold::take(&paths, &project).unwrap();
        assert!(first.is_some());
        assert!(Hold::take(&paths, &project).unwrap().is_none());
        drop(first);
        assert!(Hold::take(&paths, &project).unwrap().is_some());
        let written = fs::read(paths.project()).unwrap();
        assert_eq!(written, project.as_os_str().as_encoded_bytes());
    }

    #[test]
    fn a_place_that_cannot_be_made_is_named() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("home"), "a file").unwrap();
        let paths = InstancePaths::new(&place.path().join("home"), place.path());
        let error = Hold::take(&paths, place.path()).unwrap_err();
        assert!(error.place.contains("home"), "{error:?}");
    }
}
