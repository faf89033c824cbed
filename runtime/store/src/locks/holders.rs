//! Who holds a lock, for the message to the one who cannot have it.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

/// The processes that hold a flock on this file, as `/proc/locks` tells (man 5 proc); none when
/// it does not.
pub(super) fn of(file: &File) -> Vec<u32> {
    let (Ok(meta), Ok(text)) = (file.metadata(), std::fs::read_to_string("/proc/locks")) else {
        return Vec::new();
    };
    let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    let mut found = holders(&text, &format!("{major:02x}:{minor:02x}:{}", meta.ino()));
    found.sort_unstable();
    found.dedup();
    found
}

/// Lines are `1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF`; one that waits has a `->`.
fn holders(text: &str, inode: &str) -> Vec<u32> {
    let holder = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [_, "FLOCK", _, _, pid, place, ..] if place == inode => pid.parse().ok(),
            _ => None,
        }
    };
    text.lines().filter_map(holder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_who_hold_it_are_named() {
        let text = "\
1: FLOCK  ADVISORY  WRITE 123 08:01:77 0 EOF
1: -> FLOCK  ADVISORY  READ 124 08:01:77 0 EOF
2: POSIX  ADVISORY  WRITE 125 08:01:77 0 EOF
3: FLOCK  ADVISORY  READ 126 08:01:78 0 EOF
4: FLOCK  ADVISORY  READ 127 08:01:77 0 EOF
";
        assert_eq!(holders(text, "08:01:77"), [123, 127]);
        assert_eq!(holders("", "08:01:77"), [0; 0]);
    }
}
