//! What a killed run left mounted: engines mount file systems below the place of a bench.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{Doing, Failure, run};

/// Detaches every mount at or below a directory, those on top first.
pub(super) fn detach_below(dir: &Path) -> Result<(), Failure> {
    let table = "/proc/self/mountinfo";
    let text = std::fs::read(table).doing(|| format!("reading {table}"))?;
    for place in mounts_below(&text, dir) {
        run(Command::new("umount").arg("-l").arg(place))?;
    }
    Ok(())
}

/// Gives the mounts at or below a directory, the last one first: field 5 of each line of proc(5)'s
/// `mountinfo`, in which blanks and backslashes are octal.
fn mounts_below(table: &[u8], dir: &Path) -> Vec<PathBuf> {
    let lines = table.split(|byte| *byte == b'\n').rev();
    let places = lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    let places = places.map(|field| PathBuf::from(OsString::from_vec(unescaped(field))));
    places.filter(|place| place.starts_with(dir)).collect()
}

fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\');
        let octal = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mounts_below_a_directory_are_given_the_last_first() {
        let table = b"\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
40 22 0:35 / /b/oci-bench/podman/overlay rw - ext4 /dev/sda1 rw
41 22 0:36 / /b/oci-bench2 rw - tmpfs tmpfs rw
42 40 0:37 / /b/oci-bench/podman/overlay/a\\040b\\134c/merged rw - overlay overlay rw
";
        let found = mounts_below(table, Path::new("/b/oci-bench"));
        let expected = [
            "/b/oci-bench/podman/overlay/a b\\c/merged",
            "/b/oci-bench/podman/overlay",
        ];
        assert_eq!(found, expected.map(PathBuf::from));
        assert!(mounts_below(table, Path::new("/elsewhere")).is_empty());
    }
}
