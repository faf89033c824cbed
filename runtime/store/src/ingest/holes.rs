//! Where a file holds nothing: what reads as zeros anyway is not read.

use std::fs::File;
use std::ops::Range;

use rustix::fs::{SeekFrom, fstatfs, seek};

/// Magic number of ZFS in `f_type` (statfs(2)).
const ZFS: i64 = 0x2fc1_2fc1;

/// The holes of one file, asked for from its start to its end.
pub(super) struct Holes<'a> {
    file: &'a File,
    /// The piece with data that was found last: nothing lies between the place asked for and it.
    data: Range<u64>,
}

impl<'a> Holes<'a> {
    /// Nothing is asked before the first place is.
    pub(super) fn of(file: &'a File) -> Holes<'a> {
        // Versions of OpenZFS before 2.1.14 and 2.2.2 tell of holes where data was just written (openzfs/zfs,
        // issue 15526), so there everything is read.
        let is_told_right = fstatfs(file).is_ok_and(|fs| fs.f_type != ZFS);
        let data = if is_told_right { 0..0 } else { 0..u64::MAX };
        Holes { file, data }
    }

    /// Says whether all these bytes of the file lie in a hole. No range may begin before the last did.
    ///
    /// A range that reaches past the end of the file does not; a file system that knows no holes has none.
    pub(super) fn cover(&mut self, range: &Range<u64>) -> bool {
        if range.start >= self.data.end {
            self.data = self.data_from(range.start);
        }
        range.end <= self.data.start
    }

    fn data_from(&self, offset: u64) -> Range<u64> {
        let all = offset..u64::MAX;
        let start = match seek(self.file, SeekFrom::Data(offset)) {
            Ok(start) => start,
            // Nothing but a hole up to the end, or that is passed already.
            Err(rustix::io::Errno::NXIO) => match seek(self.file, SeekFrom::End(0)) {
                Ok(end) => return end.max(offset)..u64::MAX,
                Err(_) => return all,
            },
            Err(_) => return all,
        };
        start..seek(self.file, SeekFrom::Hole(start)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn only_what_lies_in_a_hole_is_covered() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10 * MIB).unwrap();
        file.write_all_at(b"data", 4 * MIB).unwrap();
        assert!(
            seek(&file, SeekFrom::Data(0)).unwrap() > 0,
            "the file system of the temporary directory knows no holes"
        );
        let mut holes = Holes::of(&file);
        let table = [
            (0..2, true),
            (2..4, true),
            (3..5, false),
            (4..5, false),
            (5..7, true),
            (8..10, true),
            (9..11, false),
            (10..12, false),
            (12..14, false),
        ];
        for (range, covered) in table {
            let bytes = range.start * MIB..range.end * MIB;
            assert_eq!(holes.cover(&bytes), covered, "{range:?}");
        }
    }

    #[test]
    fn a_file_without_holes_is_all_data() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[0; 3 << 20], 0).unwrap();
        let mut holes = Holes::of(&file);
        assert!(!holes.cover(&(0..2 * MIB)) && !holes.cover(&(2 * MIB..3 * MIB)));
        assert!(!Holes::of(&tempfile::tempfile().unwrap()).cover(&(0..1)));
    }
}
