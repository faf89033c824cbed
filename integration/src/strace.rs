//! Which paths a command really looked at, told by strace: the yardstick for observations.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::run::Run;

/// What a command looked at, as it named it, made absolute.
#[derive(Debug, Default)]
pub struct Looked {
    /// Paths it looked up or opened, absent ones too.
    pub up: BTreeSet<PathBuf>,
    /// Directories it listed.
    pub over: BTreeSet<PathBuf>,
    /// Names of the system calls by which it did so.
    pub calls: BTreeSet<String>,
}

/// Runs `sh -c script` in a directory under strace; answers the paths it looked up or opened.
pub fn paths_of(script: &str, directory: &Path) -> BTreeSet<PathBuf> {
    looked(script, directory).up
}

/// Runs `sh -c script` in a directory under strace.
pub fn looked(script: &str, directory: &Path) -> Looked {
    let log = tempfile::NamedTempFile::new().expect("a file for strace");
    Run::new(Path::new("strace"))
        .args([
            "-f",
            "-y",
            "-qq",
            "-s",
            "4096",
            "-e",
            "trace=%file,getdents64",
            "-o",
        ])
        .args([log.path()])
        .args(["sh", "-c", script])
        .dir(directory)
        .finish()
        .ok();
    let text = std::fs::read(log.path()).expect("read what strace wrote");
    let mut looked = Looked::default();
    for line in String::from_utf8_lossy(&text).lines() {
        looked.calls.extend(call(line));
        looked.over.extend(listed(line));
        looked.up.extend(paths(line, directory));
    }
    looked
}

/// The system call of one line: `12 openat(…) = 3`.
fn call(line: &str) -> Option<String> {
    let (before, _) = line.split_once('(')?;
    before.split_whitespace().last().map(str::to_owned)
}

/// The directory of a `getdents64(3</dir>, …)`.
fn listed(line: &str) -> Option<PathBuf> {
    let (_, arguments) = line.split_once("getdents64(")?;
    let (descriptor, _) = arguments.split_once('>')?;
    descriptor
        .split_once('<')
        .map(|(_, path)| PathBuf::from(path))
}

/// The quoted paths of one line, resolved against `AT_FDCWD</dir>` or `3</dir>` before them.
fn paths(line: &str, directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('"') {
        let Some((name, next)) = after.split_once('"') else {
            break;
        };
        let base = before
            .rsplit_once('<')
            .and_then(|(_, tail)| tail.split_once('>'));
        let base = base.map_or(directory, |(base, _)| Path::new(base));
        if !name.is_empty() {
            found.push(base.join(name));
        }
        rest = next;
        // Arguments and variables, names and values of attributes are no paths.
        if line.contains("execve(") || line.contains("xattr(") {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_told_by_its_descriptor() {
        let line = "12 getdents64(3</w/a>, 0x55 /* 4 entries */, 32768) = 104";
        assert_eq!(listed(line), Some(PathBuf::from("/w/a")));
        assert_eq!(call(line).as_deref(), Some("getdents64"));
        assert_eq!(listed(r#"12 openat(AT_FDCWD</w>, "a") = 3</w/a>"#), None);
    }

    #[test]
    fn relative_paths_are_resolved_against_their_descriptor() {
        let cases = [
            (
                r#"1 openat(AT_FDCWD</w>, "a/b", O_RDONLY) = 3</w/a/b>"#,
                vec!["/w/a/b"],
            ),
            (
                r#"1 newfstatat(3</x>, "c", {}, 0) = -1 ENOENT"#,
                vec!["/x/c"],
            ),
            (r#"1 stat("/etc/hosts", {}) = 0"#, vec!["/etc/hosts"]),
            (
                r#"1 execve("/bin/sh", ["sh", "-c"], 0x7 /* 3 vars */) = 0"#,
                vec!["/bin/sh"],
            ),
            (r#"1 rename("old", "new") = 0"#, vec!["/w/old", "/w/new"]),
        ];
        for (line, expected) in cases {
            let expected: Vec<PathBuf> = expected.into_iter().map(PathBuf::from).collect();
            assert_eq!(paths(line, Path::new("/w")), expected, "{line}");
        }
    }
}
