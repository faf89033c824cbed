//! Raw copies of blobs, whole files that the kernel reads by itself; and the images that name them.
//!
//! ```text
//! cas/blobs/<boot>-<mount>.2/copies/<id>    the bytes of a blob (mode 0444)
//! cas/blobs/<boot>-<mount>.2/making/        copies that are not whole yet
//! cas/blobs/<boot>-<mount>.2/views/<name>   an image of a tree
//! ```
//! The copies lie in one directory, because ext4 puts the files of a directory beside each other on the disk
//! in the order in which they are made, which is that in which a tree was read: a cold read of a whole tree takes
//! 0.86 of what it took with 256 directories. They are made in another directory, because who creates a file holds up
//! all who look names up beside it.
//!
//! All of it is a cache: whoever finds no copy reads from the segments. A copy gets its name once all
//! its bytes were hashed, and nothing is ever synced: a power cut or a disk that was pulled out may
//! leave short or zeroed files, so the pool of another boot, of another mount of the file system,
//! or of another layout is not looked at any more but removed. Removing a copy is safe at any
//! time: who has it open reads on, and who opens it next does without.

mod check;
mod evict;
mod fill;
mod named;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::durable::{Durability, make_private_dir, names_in, replace};
use crate::segment::lock;
use crate::{Error, Id, Result, Store};
pub use check::BadCopy;
use evict::Room;

/// What the kernel calls the time since it was started.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// `STATX_MNT_ID_UNIQUE`.
const MOUNT_UNIQUE: u32 = 0x4000;
const VIEWS: &str = "views";
const COPIES: &str = "copies";
const MAKING: &str = "making";
const PARTS: [&str; 3] = [VIEWS, COPIES, MAKING];
/// Changes with the places of copies and images.
const LAYOUT: u32 = 2;

/// The raw copies of this boot and mount; shared by all processes that use the store.
#[derive(Debug)]
pub struct Pool {
    store: Store,
    dir: PathBuf,
    room: Mutex<Room>,
}

impl Store {
    /// Opens the pool of this boot, creating it when missing.
    ///
    /// # Errors
    /// I/O errors.
    pub fn pool(&self) -> Result<Pool> {
        let boot = fs::read_to_string(BOOT_ID).map_err(Error::io("read", Path::new(BOOT_ID)))?;
        let mount = mount_of(&self.inner.cas)?;
        let name = format!("{}-{mount:x}.{LAYOUT}", boot.trim());
        let dir = self.pools_dir().join(name);
        for part in PARTS {
            make_private_dir(&dir.join(part))?;
        }
        Ok(Pool {
            store: self.clone(),
            dir,
            room: Mutex::default(),
        })
    }

    pub(crate) fn pools_dir(&self) -> PathBuf {
        self.inner.cas.join("blobs")
    }
}

/// Gives the number of the mount that a directory is on, which no later one has; 0 where the kernel does
/// not tell (before Linux 6.8).
fn mount_of(dir: &Path) -> Result<u64> {
    let flags = rustix::fs::AtFlags::empty();
    let wanted = rustix::fs::StatxFlags::from_bits_retain(MOUNT_UNIQUE);
    let status = rustix::fs::statx(rustix::fs::CWD, dir, flags, wanted)
        .map_err(Error::io("look at", dir))?;
    let is_told = status.stx_mask & MOUNT_UNIQUE != 0;
    Ok(if is_told { status.stx_mnt_id } else { 0 })
}

impl Pool {
    /// The directory of the pool. Beside copies and images, others may work in it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Gives the directory in which the raw copy of a blob has its id as name.
    pub fn copies(&self) -> PathBuf {
        self.dir.join(COPIES)
    }

    /// Finds an image by its name, and notes that it is of use.
    pub fn view(&self, name: &str) -> Option<PathBuf> {
        let path = self.view_path(name);
        let file = fs::File::open(&path).ok()?;
        // Only the order in which images go depends on it.
        file.set_modified(std::time::SystemTime::now()).ok();
        Some(path)
    }

    /// Keeps an image; its name begins with the id of the tree that it shows.
    ///
    /// # Errors
    /// I/O errors.
    pub fn put_view(&self, name: &str, image: &[u8]) -> Result<PathBuf> {
        let path = self.view_path(name);
        replace(&path, image, Durability::Derived)?;
        lock(&self.room).grow(image.len() as u64);
        Ok(path)
    }

    /// Removes the pools of other boots; answers the bytes of the disk that were freed.
    ///
    /// # Errors
    /// I/O errors.
    pub fn forget_other_boots(&self) -> Result<u64> {
        let (pools, own) = (self.store.pools_dir(), self.dir.file_name());
        let mut freed = 0;
        for name in names_in(&pools)? {
            if Some(name.as_os_str()) != own {
                let other = pools.join(name);
                freed += crate::usage::disk_bytes(&other)?;
                match fs::remove_dir_all(&other) {
                    // Another process may be at it too.
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                    removed => removed.map_err(Error::io("remove", &other))?,
                }
            }
        }
        Ok(freed)
    }

    fn view_path(&self, name: &str) -> PathBuf {
        self.dir.join(VIEWS).join(name)
    }

    fn blob_path(&self, id: &Id) -> PathBuf {
        self.copies().join(id.to_string())
    }
}
