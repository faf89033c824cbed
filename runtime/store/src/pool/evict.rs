//! Keeps the pool within its bounds.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use super::named::uses;
use super::{PARTS, Pool, VIEWS};
use crate::durable::{TEMPORARY_PREFIX, names_in, remove_if_there};
use crate::segment::lock;
use crate::{Error, Id, Result, Store};

/// Most bytes of the disk that the pool takes.
const MOST: u64 = 4 << 30;
/// It takes at most such a part of what is free and what it has.
const PART: u64 = 4;
/// A blob larger than this part of the bound gets no copy.
const BLOB_PART: u64 = 4;
/// More than a collection writes down before it removes anything: a FORGET record is 8 bytes for each dead node.
const TIGHT: u64 = 8 << 20;
/// Longer than a copy takes to be made.
const SURELY_DEAD: Duration = Duration::from_secs(3600);

/// What this process knows of the bytes that the pool has. Other processes fill it too, so it is
/// looked at again now and then.
#[derive(Debug, Default)]
pub(super) struct Room {
    used: u64,
    bound: u64,
    /// Bytes that may still be added before it is looked at again.
    until_look: u64,
}

impl Room {
    pub(super) fn grow(&mut self, bytes: u64) {
        self.used = self.used.saturating_add(bytes);
        self.until_look = self.until_look.saturating_sub(bytes);
    }
}

/// A file of the pool.
pub(super) struct Kept {
    /// When it was used last: a copy is as old as it is, unless an image names it.
    pub(super) used: SystemTime,
    pub(super) bytes: u64,
    pub(super) path: PathBuf,
    pub(super) name: String,
}

impl Pool {
    /// Sees to it that a copy of this size fits in; answers whether it may be made.
    pub(super) fn make_room(&self, size: u64) -> Result<bool> {
        let mut room = lock(&self.room);
        if room.until_look < size {
            self.look(&mut room)?;
        }
        if size > room.bound / BLOB_PART {
            return Ok(false);
        }
        if room.used.saturating_add(size) > room.bound {
            self.evict(room.bound / 4 * 3)?;
            self.look(&mut room)?;
        }
        Ok(true)
    }

    fn look(&self, room: &mut Room) -> Result<()> {
        let kept = kept(&self.dir)?;
        room.used = kept.iter().map(|file| file.bytes).sum();
        let free = rustix::fs::statvfs(&self.dir)
            .map(|of| of.f_bavail.saturating_mul(of.f_frsize))
            .unwrap_or(0);
        room.bound = MOST.min(free.saturating_add(room.used) / PART);
        room.until_look = room.bound / 8;
        Ok(())
    }

    /// Removes what was used longest ago until so many bytes are left: a copy is used when it is made, and
    /// whenever an image that names it is mounted.
    pub(super) fn evict(&self, left: u64) -> Result<()> {
        let mut kept = kept(&self.dir)?;
        let views = self.dir.join(VIEWS);
        let uses = uses(kept.iter().filter(|file| file.path.starts_with(&views)))?;
        for file in &mut kept {
            let use_of = |id: Id| uses.get(&id).copied();
            let named = Id::from_str(&file.name).ok().and_then(use_of);
            file.used = named.map_or(file.used, |last| last.max(file.used));
        }
        kept.sort_by_key(|file| file.used);
        let mut used: u64 = kept.iter().map(|file| file.bytes).sum();
        for file in kept {
            if used <= left {
                break;
            }
            remove_if_there(&file.path)?;
            used -= file.bytes;
        }
        Ok(())
    }
}

impl Store {
    /// Bytes of the disk that raw copies take.
    pub(crate) fn pool_bytes(&self) -> Result<u64> {
        match self.pools_dir().is_dir() {
            true => crate::usage::disk_bytes(&self.pools_dir()),
            false => Ok(0),
        }
    }

    /// Gives all raw copies up where the disk has no room for what a collection has to write down: they can be made
    /// anew.
    pub(crate) fn spare_pool(&self) -> Result<()> {
        let of = rustix::fs::statvfs(&self.inner.cas).map_err(io::Error::from);
        let of = of.map_err(Error::io("look at", &self.inner.cas))?;
        let free = of.f_bavail.saturating_mul(of.f_frsize);
        match free < TIGHT && self.pools_dir().is_dir() {
            true => self.pool()?.evict(0),
            false => Ok(()),
        }
    }

    /// Removes copies of what is not stored any more, images of trees that are not, what dead
    /// processes left and the pools of other boots; answers the bytes that were freed.
    pub(crate) fn sweep_pool(&self) -> Result<u64> {
        if !self.pools_dir().is_dir() {
            return Ok(0);
        }
        let pool = self.pool()?;
        let mut freed = pool.forget_other_boots()?;
        // Once, not for each copy that is of nothing any more.
        self.refresh()?;
        for file in kept(&pool.dir)? {
            let is_needed = match file.name.get(..64).and_then(|hex| Id::from_str(hex).ok()) {
                Some(id) => self.is_usable(&id)?,
                None => false,
            };
            let age = SystemTime::now().duration_since(file.used);
            let is_new = age.is_ok_and(|age| age < SURELY_DEAD);
            let is_being_made = file.name.starts_with(TEMPORARY_PREFIX) && is_new;
            if !is_needed && !is_being_made && remove_if_there(&file.path)? {
                freed += file.bytes;
            }
        }
        Ok(freed)
    }
}

pub(super) fn kept(dir: &Path) -> Result<Vec<Kept>> {
    let mut kept = Vec::new();
    for part in PARTS {
        let part = dir.join(part);
        for name in names_in(&part)? {
            let path = part.join(&name);
            let meta = match fs::symlink_metadata(&path) {
                Ok(meta) => meta,
                // Others work here.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => return Err(Error::io("look at", &path)(e)),
            };
            kept.push(Kept {
                used: meta.modified().map_err(Error::io("look at", &path))?,
                bytes: meta.blocks() * 512,
                path,
                name: name.to_string_lossy().into_owned(),
            });
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_until_enough_is_free_and_nothing_is_copied_that_fills_it_all() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut writer = store.writer().unwrap();
        let ids: Vec<Id> = (0..8u8)
            .map(|number| writer.put_blob(&[number + 1; 10_000]).unwrap())
            .collect();
        writer.commit().unwrap();
        let pool = store.pool().unwrap();
        let start = SystemTime::now() - Duration::from_secs(100);
        for (number, id) in ids.iter().enumerate() {
            assert!(pool.fill(id).unwrap());
            let file = fs::File::open(pool.blob_path(id)).unwrap();
            // The last made is the oldest.
            let age = Duration::from_secs(number as u64);
            file.set_modified(start - age).unwrap();
        }
        let probed = pool.dir.join(".probe-1-0").join("out");
        fs::create_dir_all(&probed).unwrap();
        let bytes = |pool: &Pool| -> u64 { kept(&pool.dir).unwrap().iter().map(|k| k.bytes).sum() };
        assert_eq!(bytes(&pool), 8 * 12_288);
        pool.evict(3 * 12_288).unwrap();
        let is_there: Vec<bool> = ids.iter().map(|id| pool.blob_path(id).exists()).collect();
        assert_eq!(
            is_there,
            [true, true, true, false, false, false, false, false]
        );
        // A bound that another blob would pass: room is made first; one that is too large stays out.
        let mut room = lock(&pool.room);
        (room.bound, room.used, room.until_look) = (50_000, 45_000, u64::MAX);
        drop(room);
        assert!(!pool.make_room(20_000).unwrap());
        assert!(pool.make_room(10_000).unwrap());
        assert_eq!(bytes(&pool), 3 * 12_288);
        assert!(
            probed.exists(),
            "a probe of another process is not of the pool"
        );
    }

    #[test]
    fn what_an_image_in_use_names_stays_and_what_one_out_of_use_names_goes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut writer = store.writer().unwrap();
        let ids: Vec<Id> = (0..6u8)
            .map(|number| writer.put_blob(&[number + 1; 10_000]).unwrap())
            .collect();
        writer.commit().unwrap();
        let pool = store.pool().unwrap();
        let start = SystemTime::now() - Duration::from_secs(1000);
        let age = |path: &Path, seconds| {
            let file = fs::File::open(path).unwrap();
            let at = start + Duration::from_secs(seconds);
            file.set_modified(at).unwrap();
        };
        for (number, id) in (0..).zip(&ids) {
            assert!(pool.fill(id).unwrap());
            age(&pool.blob_path(id), number);
        }
        let image = |name: &str, ids: &[Id]| {
            let names: String = ids.iter().map(|id| format!("/{id}\0")).collect();
            pool.put_view(name, names.as_bytes()).unwrap()
        };
        // The copies that were made first are those that are mounted.
        image("in-use", &ids[..3]);
        age(&image("out-of-use", &ids[3..5]), 10);
        assert!(pool.view("in-use").is_some());
        pool.evict(4 * 12_288).unwrap();
        let is_there: Vec<bool> = ids.iter().map(|id| pool.blob_path(id).exists()).collect();
        assert_eq!(is_there, [true, true, true, false, false, false]);
        assert!(pool.view("in-use").is_some());
    }
}
