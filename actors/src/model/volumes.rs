//! Named volumes: directories of an instance that outlive restarts, views and `down`.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{CWD, RenameFlags};

use super::durable::sync_tree;
use super::snapshot::Top;
use crate::messages::BatchError;

/// The volumes of an instance, each a directory with its name.
#[derive(Debug)]
pub struct Volumes {
    dir: PathBuf,
    /// Two services that start at once must not fill one volume at once.
    filling: Mutex<HashMap<String, Arc<Mutex<()>>>>,
}

impl Volumes {
    /// Names the directory of an instance's volumes.
    pub fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            filling: Mutex::default(),
        }
    }

    /// Gives the directory of a volume; one that is new or empty is filled first. Blocks.
    ///
    /// `fill` gets a directory, and whether that is the volume itself, which is new. Else each entry of it is put into
    /// the volume afterwards, where nothing is replaced: another service may be writing there.
    ///
    /// What a killed runtime had filled half is emptied and filled again where it was new. What counts as filled is on
    /// the disk.
    ///
    /// # Errors
    /// Those of the disk, and of `fill`; and [`io::ErrorKind::Interrupted`] once `is_over`.
    pub fn ready(
        &self,
        name: &str,
        fill: impl FnOnce(&Path, bool) -> Result<(), BatchError>,
        is_over: &(dyn Fn() -> bool + Sync),
    ) -> Result<PathBuf, BatchError> {
        let path = self.path(name);
        let failed = |e: io::Error| BatchError::new("io", e).at(path.display().to_string());
        let alone = self.alone(name);
        let _one = alone.lock().unwrap_or_else(PoisonError::into_inner);
        super::files::private_dir(&self.dir).map_err(failed)?;
        // No volume has a dot in its name.
        let unfinished = self.dir.join(format!(".{name}.unfinished"));
        if unfinished.exists() {
            remove(&path).map_err(failed)?;
        }
        let filled = self.filled(name);
        if !path.is_dir() {
            remove(&filled)
                .and_then(|()| fs::write(&unfinished, ""))
                .and_then(|()| fs::create_dir(&path))
                .map_err(failed)?;
            fill(&path, true)?;
            sync_tree(&path, is_over).map_err(failed)?;
            fs::remove_file(&unfinished).map_err(failed)?;
            return Ok(path);
        }
        if !filled.exists() {
            if fs::read_dir(&path).map_err(failed)?.next().is_some() {
                return Ok(path);
            }
            let filling = self.dir.join(format!(".{name}.filling"));
            remove(&filling)
                .and_then(|()| fs::create_dir(&filling))
                .map_err(failed)?;
            fill(&filling, false)?;
            sync_tree(&filling, is_over).map_err(failed)?;
            fs::rename(&filling, &filled).map_err(failed)?;
        }
        put_in(&filled, &path).map_err(failed)?;
        Ok(path)
    }

    /// Keeps others from a volume while it is filled or exchanged.
    fn alone(&self, name: &str) -> Arc<Mutex<()>> {
        let mut all = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(name.to_owned()).or_default().clone()
    }

    /// What goes into a volume that was empty, once it is whole.
    fn filled(&self, name: &str) -> PathBuf {
        self.dir.join(format!(".{name}.filled"))
    }

    /// Writes another content of a volume beside the one in use, whole and on the disk; [`Volumes::put`] puts
    /// it in its place. One at a time. Blocks.
    ///
    /// `top` says whose it is then; where that is not known it stays whose the volume is.
    ///
    /// # Errors
    /// Those of the disk, and of `fill`; and [`io::ErrorKind::Interrupted`] once `is_over`.
    pub fn prepare(
        &self,
        name: &str,
        top: Option<Top>,
        fill: impl FnOnce(&OwnedFd) -> Result<(), BatchError>,
        is_over: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), BatchError> {
        let (path, new) = (self.path(name), self.beside(name));
        let failed = |e: io::Error| BatchError::new("io", e).at(path.display().to_string());
        let make = || -> io::Result<OwnedFd> {
            super::files::private_dir(&self.dir)?;
            remove(&new)?;
            fs::create_dir(&new)?;
            Ok(fs::File::open(&new)?.into())
        };
        let dir = make().map_err(failed)?;
        let finish = || -> io::Result<()> {
            let was = || fs::metadata(&path).ok().map(|status| Top::of(&status));
            if let Some(Top { uid, gid, mode }) = top.or_else(was) {
                std::os::unix::fs::fchown(&dir, Some(uid), Some(gid))?;
                // After the owner, whose change takes bits away.
                rustix::fs::fchmod(&dir, rustix::fs::Mode::from_raw_mode(mode))?;
            }
            sync_tree(&new, is_over)
        };
        let prepared = fill(&dir).and_then(|()| finish().map_err(failed));
        if prepared.is_err() {
            // What stays is removed by the next one.
            let _ = remove(&new);
        }
        prepared
    }

    /// Puts a prepared content in the place of a volume's. Whoever has it mounted keeps the old one.
    ///
    /// A killed runtime leaves the old content or the new one, never a part. On the disk it is after
    /// [`Volumes::settle`].
    ///
    /// # Errors
    /// Those of the disk, which change nothing.
    pub fn put(&self, name: &str) -> Result<(), BatchError> {
        let (path, new) = (self.path(name), self.beside(name));
        let alone = self.alone(name);
        let _one = alone.lock().unwrap_or_else(PoisonError::into_inner);
        let change = || -> io::Result<()> {
            match rustix::fs::renameat_with(CWD, &path, CWD, &new, RenameFlags::EXCHANGE) {
                Err(rustix::io::Errno::NOENT) => fs::rename(&new, &path)?,
                exchanged => exchanged?,
            }
            // What was half filled before is whole now.
            match fs::remove_file(self.dir.join(format!(".{name}.unfinished"))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        };
        change().map_err(|e| BatchError::new("io", e).at(path.display().to_string()))
    }

    /// Has what was put in place survive a power cut, and removes what was there before. Blocks.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn settle(&self, name: &str) -> Result<(), BatchError> {
        let settle = || {
            fs::File::open(&self.dir)?.sync_all()?;
            remove(&self.beside(name))
        };
        settle().map_err(|e| BatchError::new("io", e).at(self.path(name).display().to_string()))
    }

    /// Where the next content of a volume is made. No volume has a dot in its name.
    fn beside(&self, name: &str) -> PathBuf {
        self.dir.join(format!(".{name}.new"))
    }

    /// Lists the names of the volumes there are, sorted.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let listing = match fs::read_dir(&self.dir) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in listing {
            let name = entry?.file_name();
            names.extend(
                name.into_string()
                    .ok()
                    .filter(|name| !name.starts_with('.')),
            );
        }
        names.sort();
        Ok(names)
    }

    /// Gives where a volume lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Removes a volume with all it holds. Only while nothing runs.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        remove(&self.filled(name))?;
        remove(&self.path(name))
    }
}

/// Moves each entry of a directory into another, where what is there already stays, and removes it.
fn put_in(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let (entry, flags) = (entry?, RenameFlags::NOREPLACE);
        let place = to.join(entry.file_name());
        match rustix::fs::renameat_with(CWD, entry.path(), CWD, place, flags) {
            Err(rustix::io::Errno::EXIST) => {}
            moved => moved?,
        }
    }
    remove(from)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(volumes: &Volumes, name: &str) -> Option<bool> {
        let mut asked = None;
        let fill = |path: &Path, is_new| {
            asked = Some(is_new);
            fs::write(path.join("file"), "content").map_err(|e| BatchError::new("io", e))
        };
        volumes.ready(name, fill, &|| false).unwrap();
        asked
    }

    #[test]
    fn what_others_write_into_an_empty_volume_outlives_a_fill_that_fails_and_one_that_does_not() {
        let home = tempfile::tempdir().unwrap();
        let volumes = Volumes::new(home.path().join("volumes"));
        let ready = |name: &str, fill: &dyn Fn(&Path, bool) -> Result<(), BatchError>| {
            volumes.ready(name, fill, &|| false)
        };
        ready("data", &|_: &Path, _| Ok(())).unwrap();
        let own = volumes.path("data").join("own");
        let beside = |content: &'static str, end: Result<(), BatchError>| {
            let own = own.clone();
            move |to: &Path, _: bool| {
                fs::write(to.join("filled"), "").unwrap();
                fs::write(to.join("own"), "of the image").unwrap();
                fs::write(&own, content).unwrap();
                end.clone()
            }
        };
        let failed = Err(BatchError::new("io", "no"));
        ready("data", &beside("first", failed)).unwrap_err();
        let not_again = |_: &Path, _| Err(BatchError::new("io", "it is not empty"));
        ready("data", &not_again).unwrap();
        assert_eq!(fs::read_to_string(&own).unwrap(), "first");
        assert!(!volumes.path("data").join("filled").exists());

        fs::remove_file(&own).unwrap();
        ready("data", &beside("second", Ok(()))).unwrap();
        assert_eq!(fs::read_to_string(&own).unwrap(), "second");
        assert!(volumes.path("data").join("filled").exists());
        assert_eq!(volumes.names().unwrap(), ["data"]);
    }

    #[test]
    fn only_what_is_empty_is_filled_and_what_was_filled_half_once_more() {
        let home = tempfile::tempdir().unwrap();
        let volumes = Volumes::new(home.path().join("volumes"));
        assert_eq!(volumes.names().unwrap(), [""; 0]);
        assert_eq!(filled(&volumes, "data"), Some(true));
        assert_eq!(filled(&volumes, "data"), None);
        fs::remove_file(volumes.path("data").join("file")).unwrap();
        assert_eq!(
            filled(&volumes, "data"),
            Some(false),
            "it is there, and empty"
        );

        let over = |_: &Path, _| Ok(());
        volumes.ready("over", over, &|| true).unwrap_err();
        assert_eq!(filled(&volumes, "over"), Some(true), "it counts as filled");
        volumes.remove("over").unwrap();
        let killed = |_: &Path, _| Err(BatchError::new("io", "killed"));
        volumes.ready("half", killed, &|| false).unwrap_err();
        fs::write(volumes.path("half").join("part"), "").unwrap();
        assert_eq!(filled(&volumes, "half"), Some(true));
        assert!(!volumes.path("half").join("part").exists());

        assert_eq!(volumes.names().unwrap(), ["data", "half"]);
        let failing = |_: &OwnedFd| Err(BatchError::new("io", "no"));
        let prepare =
            |name: &str, fill: &dyn Fn(&OwnedFd) -> Result<(), BatchError>, over: bool| {
                volumes.prepare(name, None, fill, &|| over)
            };
        prepare("data", &failing, false).unwrap_err();
        prepare("data", &|_| Ok(()), true).unwrap_err();
        volumes.put("data").unwrap_err();
        assert!(volumes.path("data").join("file").exists());
        for name in ["data", "more"] {
            prepare(name, &|_| Ok(()), false).unwrap();
            volumes.put(name).unwrap();
            volumes.settle(name).unwrap();
            assert!(!volumes.beside(name).exists());
            assert_eq!(fs::read_dir(volumes.path(name)).unwrap().count(), 0);
        }
        assert_eq!(volumes.names().unwrap(), ["data", "half", "more"]);
        // Brought back over what was filled half: it stays.
        volumes.remove("more").unwrap();
        volumes.ready("more", killed, &|| false).unwrap_err();
        let brought_back = |_: &OwnedFd| {
            fs::write(volumes.dir.join(".more.new").join("kept"), "")
                .map_err(|e| BatchError::new("io", e))
        };
        prepare("more", &brought_back, false).unwrap();
        volumes.put("more").unwrap();
        volumes.settle("more").unwrap();
        assert_eq!(filled(&volumes, "more"), None);
        assert!(volumes.path("more").join("kept").exists());
        volumes.remove("more").unwrap();
        volumes.remove("half").unwrap();
        assert_eq!(volumes.names().unwrap(), ["data"]);
    }
}
