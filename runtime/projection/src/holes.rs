//! Holes of projected files: what `lseek` answers, and how many bytes `stat` counts (lseek(2), stat(2)).

use fuser::Errno;
use hd_store::{Id, Store};

/// Smallest file whose holes are looked for when its status is asked, bytes: a shorter one is hardly worth them.
const LOOKED_AT: u64 = 1 << 20;

/// The content of a file where it is a blob of a store; anything else is all data.
pub(crate) type Stored<'a> = Option<(&'a Store, &'a Id)>;

/// Counts the bytes of a file that are data.
pub(crate) fn data_bytes(stored: Stored<'_>, size: u64) -> u64 {
    match stored {
        // The read that meets a damage says what is wrong.
        Some((store, blob)) if size >= LOOKED_AT => store.data_bytes(blob).unwrap_or(size),
        _ => size,
    }
}

/// Answers `SEEK_DATA` and `SEEK_HOLE`; the end of a file is a hole.
pub(crate) fn seek(stored: Stored<'_>, size: u64, offset: i64, whence: i32) -> Result<i64, Errno> {
    let from = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
    if from >= size {
        return Err(Errno::ENXIO);
    }
    let failed = |error: hd_store::Error| {
        tracing::warn!(%error, "looking for the holes of a file failed");
        Errno::EIO
    };
    let found = match (whence, stored) {
        (libc::SEEK_DATA, None) => Some(from),
        (libc::SEEK_DATA, Some((store, blob))) => store.data_from(blob, from).map_err(failed)?,
        (libc::SEEK_HOLE, None) => Some(size),
        (libc::SEEK_HOLE, Some((store, blob))) => {
            Some(store.hole_from(blob, from).map_err(failed)?)
        }
        _ => return Err(Errno::EINVAL),
    };
    let found = found.ok_or(Errno::ENXIO)?;
    i64::try_from(found).map_err(|_| Errno::EOVERFLOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn seeks_find_data_and_holes_as_lseek_says() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(place.path()).unwrap();
        let mut bytes = vec![0; 9 * MIB];
        bytes[2 * MIB..3 * MIB].fill(b'x');
        bytes[5 * MIB] = b'y';
        let mut writer = store.writer().unwrap();
        let blob = writer.put_blob(&bytes).unwrap();
        writer.commit().unwrap();
        let size = bytes.len() as u64;
        let of = |stored, whence, mib: usize| {
            let found = seek(stored, size, (mib * MIB) as i64, whence);
            found.map(|at| at as usize).map_err(|errno| errno.code())
        };
        // As far as a chunk of zeros is long, a hole begins later than its zeros, and ends sooner.
        let chunk = 128 << 10;
        let near = |found: Result<usize, i32>, mib: usize| {
            found.is_ok_and(|at| at.abs_diff(mib * MIB) <= 2 * chunk)
        };
        let stored = Some((&store, &blob));
        assert!(near(of(stored, libc::SEEK_DATA, 0), 2));
        assert_eq!(of(stored, libc::SEEK_HOLE, 0), Ok(0));
        assert!(near(of(stored, libc::SEEK_HOLE, 2), 3));
        assert!(near(of(stored, libc::SEEK_DATA, 4), 5));
        assert_eq!(of(stored, libc::SEEK_DATA, 6), Err(libc::ENXIO));
        assert_eq!(of(stored, libc::SEEK_HOLE, 6), Ok(6 * MIB));
        assert_eq!(of(stored, libc::SEEK_DATA, 9), Err(libc::ENXIO));
        assert_eq!(of(stored, libc::SEEK_SET, 0), Err(libc::EINVAL));
        assert_eq!(seek(stored, size, -1, libc::SEEK_DATA), Err(Errno::ENXIO));
        let data = data_bytes(stored, size) as usize;
        assert!((MIB..2 * MIB).contains(&data), "{data}");
        // What is in no store, or small, is all data.
        assert_eq!(of(None, libc::SEEK_DATA, 4), Ok(4 * MIB));
        assert_eq!(of(None, libc::SEEK_HOLE, 4), Ok(9 * MIB));
        assert_eq!(data_bytes(None, size), size);
        assert_eq!(data_bytes(stored, LOOKED_AT - 1), LOOKED_AT - 1);
    }
}
