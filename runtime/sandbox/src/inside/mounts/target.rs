//! Finding and making the target of a mount without leaving the root it belongs to.

use super::Stage;
use crate::event::{Failure, Stage as Phase};
use crate::inside::{Outcome, Tried};
use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2, readlinkat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// How many dangling links may lie behind each other.
const MAX_LINKS: usize = 8;

/// A directory and a path below it that does not leave it.
#[derive(Debug)]
pub(super) struct Target {
    base: OwnedFd,
    relative: PathBuf,
    resolve: ResolveFlags,
}

impl Stage {
    /// Finds out where a staged path begins and how it may be resolved. `strict` allows no symlink at all.
    pub(super) fn locate(&self, at: &Path, strict: bool) -> Outcome<Target> {
        let refused = |error: Errno| {
            Failure::new(
                Phase::Mount,
                format_args!("use the staged path {}", at.display()),
                error,
            )
        };
        if at
            .components()
            .any(|part| !matches!(part, Component::Normal(_)))
        {
            return Err(refused(Errno::INVAL));
        }
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let plain = inside | ResolveFlags::NO_SYMLINKS;
        match at.strip_prefix(&self.root) {
            Ok(relative) => {
                let base =
                    open_directory(self.directory.as_fd(), &self.root, plain).map_err(refused)?;
                Ok(Target {
                    base,
                    relative: relative.to_owned(),
                    resolve: if strict { plain } else { inside },
                })
            }
            Err(_) => {
                let base = open_directory(self.directory.as_fd(), Path::new("."), plain)
                    .map_err(refused)?;
                Ok(Target {
                    base,
                    relative: at.to_owned(),
                    resolve: plain,
                })
            }
        }
    }

    /// Opens a staged directory, making it with its parents when it is missing.
    pub(super) fn directory(&self, at: &Path, strict: bool) -> Outcome<OwnedFd> {
        let target = self.locate(at, strict)?;
        target.ensure_directory().tried(
            Phase::Mount,
            format_args!("make the directory {}", at.display()),
        )
    }

    /// Opens what is at a staged path.
    pub(super) fn existing(&self, at: &Path) -> Outcome<OwnedFd> {
        let target = self.locate(at, false)?;
        target
            .open(OFlags::PATH)
            .tried(Phase::Mount, format_args!("open {}", at.display()))
    }
}

impl Target {
    /// Opens what is there.
    pub(super) fn open(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        self.open_relative(&self.relative, flags, Mode::empty())
    }

    fn open_relative(&self, relative: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        retry(|| {
            openat2(
                &self.base,
                named(relative),
                flags | OFlags::CLOEXEC,
                mode,
                self.resolve,
            )
        })
    }

    /// Opens the directory, making it and its parents when missing.
    pub(super) fn ensure_directory(&self) -> Result<OwnedFd, Errno> {
        self.ensure_relative_directory(&self.relative)
    }

    fn ensure_relative_directory(&self, relative: &Path) -> Result<OwnedFd, Errno> {
        match open_directory(self.base.as_fd(), relative, self.resolve) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
        let mut walked = PathBuf::new();
        let mut parent = open_directory(self.base.as_fd(), &walked, self.resolve)?;
        for part in relative.components() {
            walked.push(part);
            let next = match open_directory(self.base.as_fd(), &walked, self.resolve) {
                Err(Errno::NOENT) => {
                    match mkdirat(&parent, part.as_os_str(), Mode::from_bits_truncate(0o755)) {
                        // Another sandbox that shares the volume was quicker; what it made is looked at below.
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(error),
                    }
                    open_directory(self.base.as_fd(), &walked, self.resolve)
                }
                other => other,
            };
            parent = next?;
        }
        Ok(parent)
    }

    /// Opens the directory a name lies in, making it when missing, and gives the name.
    pub(super) fn ensure_parent(&self) -> Result<(OwnedFd, &OsStr), Errno> {
        let name = self.relative.file_name().ok_or(Errno::INVAL)?;
        let parent = self.relative.parent().unwrap_or(Path::new(""));
        Ok((self.ensure_relative_directory(parent)?, name))
    }

    /// Opens what is there; a missing file is made, at the end of dangling links too.
    pub(super) fn ensure_file(&self, mode: Mode) -> Result<OwnedFd, Errno> {
        match self.open(OFlags::PATH) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
        let mut relative = self.relative.clone();
        for _ in 0..MAX_LINKS {
            let name = relative.file_name().ok_or(Errno::INVAL)?.to_owned();
            let directory = relative.parent().unwrap_or(Path::new("")).to_owned();
            let parent = self.ensure_relative_directory(&directory)?;
            let Ok(link) = readlinkat(&parent, &name, Vec::new()) else {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOCTTY;
                self.open_relative(&relative, flags, mode)?;
                return self.open_relative(&relative, OFlags::PATH, Mode::empty());
            };
            let link = Path::new(OsStr::from_bytes(link.as_bytes()));
            relative = match link.strip_prefix("/") {
                Ok(absolute) => absolute.to_owned(),
                Err(_) => directory.join(link),
            };
        }
        Err(Errno::LOOP)
    }
}

pub(super) fn open_directory(
    base: BorrowedFd<'_>,
    relative: &Path,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    retry(|| openat2(base, named(relative), flags, Mode::empty(), resolve))
}

/// The empty path names the directory itself.
fn named(relative: &Path) -> &Path {
    if relative.as_os_str().is_empty() {
        Path::new(".")
    } else {
        relative
    }
}

/// openat2 gives EAGAIN when a rename somewhere made a check of `..` unsure: it has to be asked again.
fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 0..128 {
        match call() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn stage(directory: &Path) -> Stage {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(directory, flags, Mode::empty()).unwrap();
        Stage {
            directory,
            root: "root".into(),
            user: false,
        }
    }

    #[test]
    fn links_are_followed_inside_the_root_only() {
        let outside = tempfile::tempdir().unwrap();
        let top = tempfile::tempdir().unwrap();
        let root = top.path().join("root");
        std::fs::create_dir(&root).unwrap();
        symlink(outside.path(), root.join("absolute")).unwrap();
        symlink("../../../../etc", root.join("relative")).unwrap();
        let stage = stage(top.path());
        for name in ["absolute/new", "relative/new"] {
            // The link dangles inside the root, so a directory cannot be made through it; a file's parents can.
            assert!(
                stage
                    .directory(&Path::new("root").join(name), false)
                    .is_err(),
                "{name}"
            );
            let target = stage.locate(&Path::new("root").join(name), true).unwrap();
            assert_eq!(
                target.ensure_directory().unwrap_err(),
                Errno::LOOP,
                "{name}"
            );
        }
        symlink(outside.path().join("file"), root.join("link")).unwrap();
        stage
            .locate(Path::new("root/link"), false)
            .unwrap()
            .ensure_file(Mode::RUSR)
            .unwrap();
        assert!(
            root.join(outside.path().strip_prefix("/").unwrap())
                .join("file")
                .is_file()
        );
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn sandboxes_that_share_a_volume_make_its_directories_at_once() {
        let top = tempfile::tempdir().unwrap();
        let meeting = std::sync::Barrier::new(4);
        for round in 0..200 {
            let at = PathBuf::from(format!("{round}/a/b/c/d"));
            std::thread::scope(|scope| {
                let make = || {
                    let stage = stage(top.path());
                    meeting.wait();
                    stage.directory(&at, false).unwrap();
                };
                for _ in 0..4 {
                    scope.spawn(make);
                }
            });
        }
    }

    #[test]
    fn staged_paths_are_relative_and_have_no_links() {
        let top = tempfile::tempdir().unwrap();
        symlink("/etc", top.path().join("lower")).unwrap();
        let stage = stage(top.path());
        for bad in ["/etc", "../etc", "a/../b", "lower/x"] {
            assert!(stage.directory(Path::new(bad), false).is_err(), "{bad}");
        }
        stage.directory(Path::new("a/b/c"), false).unwrap();
        assert!(top.path().join("a/b/c").is_dir());
    }
}
