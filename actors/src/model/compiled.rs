//! Compiled Python beside the sources of a live project: what an edit has made stale is taken away.
//!
//! Python takes a compiled module for that of a source whose size and *second* of change it notes (PEP 552, "the
//! timestamp-based format"), so of two quick saves the first one would show. Who compiled the first may do so after the
//! second was saved; so once the process before is gone, and before the next begins, it is taken away once more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hd_dag::TreePath;
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, ResolveFlags, openat, openat2, unlinkat};

/// Name of a directory of compiled modules (PEP 3147). Beside sources it is junk that would couple steps: never part of
/// a project.
pub const DIRECTORY: &str = "__pycache__";
/// How a source ends.
const SOURCE: &[u8] = b".py";
/// How a compiled module ends.
const COMPILED: &[u8] = b".pyc";
/// How long after an edit a process that read what was there before may still compile it.
const WITHIN: Duration = Duration::from_secs(60);
/// Most edits that are kept in mind.
const RECENT_MAX: usize = 4096;

/// What services of a live project have compiled.
#[derive(Debug)]
pub struct Compiled {
    project: PathBuf,
    /// Sources that were edited lately, the last one at the end; nothing before the first start.
    recent: Mutex<Option<VecDeque<(Instant, TreePath)>>>,
}

impl Compiled {
    /// What is compiled in this directory.
    pub fn new(project: PathBuf) -> Self {
        Self {
            project,
            recent: Mutex::default(),
        }
    }

    /// Readies a start in the live project: what may have been compiled of sources as they were before an edit is taken
    /// away. Blocks.
    pub fn before_start(&self) {
        let mut recent = self.recent();
        let recent = recent.get_or_insert_default();
        while recent.front().is_some_and(|(at, _)| at.elapsed() > WITHIN) {
            recent.pop_front();
        }
        self.take_away(recent.iter().map(|(_, path)| path));
    }

    /// Takes away what is compiled of those of these paths that are sources, if anybody compiles them. Blocks.
    pub fn edited<'p>(&self, paths: impl Iterator<Item = &'p [u8]>) {
        let mut recent = self.recent();
        let Some(recent) = recent.as_mut() else {
            return;
        };
        let sources = paths.filter(|path| path.ends_with(SOURCE));
        let sources: Vec<TreePath> = sources
            .filter_map(|path| TreePath::new(path).ok())
            .collect();
        self.take_away(sources.iter());
        let now = Instant::now();
        recent.extend(sources.into_iter().map(|path| (now, path)));
        let surplus = recent.len().saturating_sub(RECENT_MAX);
        recent.drain(..surplus);
    }

    fn recent(&self) -> MutexGuard<'_, Option<VecDeque<(Instant, TreePath)>>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_away<'p>(&self, sources: impl Iterator<Item = &'p TreePath>) {
        let mut stems: BTreeMap<TreePath, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for source in sources {
            let (Some(dir), Some(name)) = (source.parent(), source.file_name()) else {
                continue;
            };
            let stem = name.strip_suffix(SOURCE).unwrap_or_default();
            stems.entry(dir).or_default().insert(stem.to_vec());
        }
        for (dir, stems) in stems {
            // Nothing compiled is there, or somebody else's.
            if let Err(error) = self.empty(&dir, &stems) {
                tracing::trace!(%dir, %error, "nothing compiled is taken away");
            }
        }
    }

    fn empty(&self, dir: &TreePath, stems: &BTreeSet<Vec<u8>>) -> rustix::io::Result<()> {
        let compiled = self.compiled(dir)?;
        for entry in Dir::read_from(&compiled)? {
            let entry = entry?;
            let name = entry.file_name();
            if is_of(name.to_bytes(), stems) {
                unlinkat(&compiled, name, AtFlags::empty())?;
            }
        }
        Ok(())
    }

    /// Opens the compiled modules of a directory. A service may have put links in its way.
    fn compiled(&self, dir: &TreePath) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = openat(CWD, &self.project, flags, Mode::empty())?;
        let path = PathBuf::from(OsStr::from_bytes(dir.as_bytes())).join(DIRECTORY);
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        openat2(&top, path, flags, Mode::empty(), inside)
    }
}

/// Tells whether a file is the compiled form of one of these modules: `MODULE.TAG.pyc` (PEP 3147).
fn is_of(name: &[u8], stems: &BTreeSet<Vec<u8>>) -> bool {
    let mut dots = name.iter().enumerate().filter(|(_, byte)| **byte == b'.');
    name.ends_with(COMPILED) && dots.any(|(at, _)| stems.contains(&name[..at]))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn compiled_modules_are_known_by_their_source() {
        let stems = BTreeSet::from([b"app".to_vec(), b"a.b".to_vec()]);
        let cases = [
            ("app.cpython-311.pyc", true),
            ("app.cpython-311.opt-1.pyc", true),
            ("app.cpython-311-pytest-8.3.pyc", true),
            ("a.b.cpython-311.pyc", true),
            ("apple.cpython-311.pyc", false),
            ("a.cpython-311.pyc", false),
            ("app.cpython-311.pyc.1234", false),
            ("app.txt", false),
        ];
        for (name, expected) in cases {
            assert_eq!(is_of(name.as_bytes(), &stems), expected, "{name}");
        }
    }

    #[test]
    fn edits_take_away_what_was_compiled_and_what_is_compiled_too_late() {
        let place = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let at = |path: &str| place.path().join(path);
        let compile = |path: &str| {
            std::fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            std::fs::write(at(path), "").unwrap();
        };
        let (one, other) = (
            "pkg/__pycache__/m.cpython-311.pyc",
            "pkg/__pycache__/n.cpython-311.pyc",
        );
        let (top, far) = (
            "__pycache__/m.cpython-311.pyc",
            outside.path().join("m.cpython-311.pyc"),
        );
        std::fs::write(&far, "").unwrap();
        std::fs::create_dir(at("linked")).unwrap();
        symlink(outside.path(), at("linked/__pycache__")).unwrap();
        let compiled = Compiled::new(place.path().to_owned());
        let edits = [&b"pkg/m.py"[..], b"linked/m.py", b"pkg/n.txt", b"gone/x.py"];
        [one, other, top].into_iter().for_each(compile);
        compiled.edited(edits.into_iter());
        assert!(at(one).exists(), "nobody was started");
        compiled.before_start();
        compiled.edited(edits.into_iter());
        assert!(!at(one).exists() && at(other).exists() && at(top).exists() && far.exists());
        compile(one);
        compiled.before_start();
        assert!(!at(one).exists() && at(other).exists());
        compiled.edited([&b"m.py"[..]].into_iter());
        assert!(!at(top).exists());
    }
}
