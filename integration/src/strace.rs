//! Which paths a command really looked at, told by strace: the yardstick for observations.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::run::Run;

/// Runs `sh -c script` in a directory under strace; answers the paths it looked up or opened,
/// absent ones too, as the script named them made absolute.
pub fn paths_of(script: &str, directory: &Path) -> BTreeSet<PathBuf> {
    let log = tempfile::NamedTempFile::new().expect("a file for strace");
    Run::new(Path::new("strace"))
        .args(["-f", "-y", "-qq", "-s", "4096", "-e", "trace=%file", "-o"])
        .args([log.path()])
        .args(["sh", "-c", script])
        .dir(directory)
        .finish()
        .ok();
    let text = std::fs::read(log.path()).expect("read what strace wrote");
    String::from_utf8_lossy(&text)
        .lines()
        .flat_map(|line| paths(line, directory))
        .collect()
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
        // execve lists its arguments and variables after the path: they are no paths.
        if line.contains("execve(") {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

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
