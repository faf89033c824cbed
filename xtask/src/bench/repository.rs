//! A made project as a git repository, so that `git status` has an index to compare with.

use std::ffi::OsStr;
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::shell::{Doing, Failure, output, shown};

/// Commits all files of a directory. As one pack: `git add` would write a file for every object.
pub(super) fn commit_all(project: &Path) -> Result<(), Failure> {
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(project).args(args);
        git
    };
    output(&mut git(&["init", "--quiet", "--initial-branch=main"]))?;
    // Nobody reads the pack: what takes time in making it small is left out.
    let words = [
        "-c",
        "core.compression=0",
        "fast-import",
        "--quiet",
        "--depth=0",
    ];
    let mut import = git(&words);
    let doing = || shown(&git(&words));
    let mut child = import.stdin(Stdio::piped()).spawn().doing(doing)?;
    let written = match child.stdin.take() {
        Some(stdin) => stream(project, &mut BufWriter::new(stdin)),
        None => Err(Failure::new("git fast-import has no input")),
    };
    let status = child.wait().doing(doing)?;
    written?;
    if !status.success() {
        return Err(Failure::new(format!("{}: {status}", doing())));
    }
    // Fills the index with what the files are now.
    output(&mut git(&["reset", "--quiet"])).map(|_| ())
}

/// One commit, in the format of git-fast-import(1).
fn stream(project: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let doing = || "writing to git fast-import".to_owned();
    let head = "commit refs/heads/main\ncommitter bench <bench@localhost> 0 +0000\ndata 3\nall\n";
    out.write_all(head.as_bytes()).doing(doing)?;
    let mut waiting = vec![project.to_owned()];
    while let Some(directory) = waiting.pop() {
        let listing = std::fs::read_dir(&directory);
        for entry in listing.doing(|| format!("listing {}", directory.display()))? {
            let path = entry
                .doing(|| format!("listing {}", directory.display()))?
                .path();
            if path.file_name() == Some(OsStr::new(".git")) {
                continue;
            }
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let text = std::fs::read(&path).doing(|| format!("reading {}", path.display()))?;
            let name = path.strip_prefix(project).unwrap_or(&path);
            let name = name.as_os_str().as_bytes();
            let parts = [
                b"M 100644 inline ",
                name,
                b"\ndata ",
                text.len().to_string().as_bytes(),
                b"\n",
                &text,
                b"\n",
            ]
            .concat();
            out.write_all(&parts).doing(doing)?;
        }
    }
    out.flush().doing(doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_changed_right_after_a_commit_of_all() {
        let place = std::env::temp_dir().join(format!("hd-repository-{}", std::process::id()));
        std::fs::create_dir_all(place.join("a/b")).expect("made");
        std::fs::write(place.join("a/b/one"), "one\n").expect("written");
        std::fs::write(place.join("a/empty"), "").expect("written");
        commit_all(&place).expect("committed");
        let git = |args: &[&str]| {
            output(Command::new("git").arg("-C").arg(&place).args(args)).expect("git")
        };
        assert_eq!(git(&["status", "--porcelain"]), "");
        assert_eq!(git(&["ls-files"]), "a/b/one\na/empty\n");
        std::fs::write(place.join("a/empty"), "x").expect("written");
        assert_eq!(git(&["status", "--porcelain"]), " M a/empty\n");
        std::fs::remove_dir_all(&place).expect("removed");
    }
}
