//! Holes of projected files: what `lseek` answers, and how many blocks `stat` shows (lseek(2), stat(2)).

use std::ops::Range;

use fuser::Errno;

/// Smallest file whose holes are looked for when its status is asked, bytes: a shorter one is hardly worth them.
const LOOKED_AT: u64 = 1 << 20;

/// Counts the bytes of a file that are data; `data_from` gives the first piece of data that ends after a place.
pub(crate) fn data_bytes(
    size: u64,
    data_from: impl Fn(u64) -> Result<Option<Range<u64>>, Errno>,
) -> u64 {
    if size < LOOKED_AT {
        return size;
    }
    let (mut at, mut data) = (0, 0);
    loop {
        match data_from(at) {
            Ok(Some(piece)) => {
                data += piece.end - piece.start;
                at = piece.end;
            }
            Ok(None) => return data,
            // The read that meets it says what is wrong.
            Err(_) => return size,
        }
    }
}

/// Answers `SEEK_DATA` and `SEEK_HOLE`; the end of a file is a hole.
pub(crate) fn seek(
    size: u64,
    offset: i64,
    whence: i32,
    data_from: impl Fn(u64) -> Result<Option<Range<u64>>, Errno>,
) -> Result<i64, Errno> {
    let from = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
    if from >= size {
        return Err(Errno::ENXIO);
    }
    let data = data_from(from)?;
    let found = match (whence, data) {
        (libc::SEEK_DATA, Some(data)) => data.start.max(from),
        (libc::SEEK_DATA, None) => return Err(Errno::ENXIO),
        (libc::SEEK_HOLE, Some(data)) if data.start <= from => data.end.min(size),
        (libc::SEEK_HOLE, _) => from,
        _ => return Err(Errno::EINVAL),
    };
    i64::try_from(found).map_err(|_| Errno::EOVERFLOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const DATA: [Range<u64>; 2] = [MIB..2 * MIB, 5 * MIB..6 * MIB];

    fn data_from(from: u64) -> Result<Option<Range<u64>>, Errno> {
        Ok(DATA.into_iter().find(|piece| piece.end > from))
    }

    #[test]
    fn seeks_find_data_and_holes_as_lseek_says() {
        let of =
            |whence, offset| seek(9 * MIB, offset, whence, data_from).map_err(|errno| errno.code());
        let mib = MIB as i64;
        let table = [
            (libc::SEEK_DATA, 0, Ok(mib)),
            (libc::SEEK_DATA, mib + 5, Ok(mib + 5)),
            (libc::SEEK_DATA, 2 * mib, Ok(5 * mib)),
            (libc::SEEK_DATA, 6 * mib, Err(libc::ENXIO)),
            (libc::SEEK_HOLE, 0, Ok(0)),
            (libc::SEEK_HOLE, mib, Ok(2 * mib)),
            (libc::SEEK_HOLE, 3 * mib, Ok(3 * mib)),
            (libc::SEEK_HOLE, 7 * mib, Ok(7 * mib)),
            (libc::SEEK_HOLE, 9 * mib, Err(libc::ENXIO)),
            (libc::SEEK_DATA, -1, Err(libc::ENXIO)),
            (libc::SEEK_SET, 0, Err(libc::EINVAL)),
        ];
        for (whence, offset, expected) in table {
            assert_eq!(of(whence, offset), expected, "{whence} {offset}");
        }
        // The end of the file is a hole behind data that reaches it.
        assert_eq!(
            seek(6 * MIB, 5 * mib, libc::SEEK_HOLE, data_from),
            Ok(6 * mib)
        );
    }

    #[test]
    fn only_data_counts_and_small_files_and_failures_are_all_data() {
        assert_eq!(data_bytes(9 * MIB, data_from), 2 * MIB);
        assert_eq!(data_bytes(9 * MIB, |_| Ok(None)), 0);
        assert_eq!(data_bytes(9 * MIB, |_| Err(Errno::EIO)), 9 * MIB);
        assert_eq!(data_bytes(MIB - 1, |_| Ok(None)), MIB - 1);
    }
}
