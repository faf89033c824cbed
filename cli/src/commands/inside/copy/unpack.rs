//! What came out of a service, first into a directory of its own, then to its place.

use std::error::Error;
use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Stopped;
use crate::error::{CliError, exit};
use crate::output::Output;

/// Unpacks a stream; what it says about `to` when that fails.
///
/// Nothing in it can lead out of the place: names with `..` and ways through links are refused.
pub(super) fn unpack(
    from: impl Read,
    place: &Path,
    to: &Path,
    output: Output,
) -> Result<(), Stopped> {
    let mut from = Ending {
        from,
        has_ended: false,
    };
    let mut stream = tar::Archive::new(&mut from);
    stream.set_preserve_permissions(false);
    let error = match all(&mut stream, place, output) {
        // `tar` fills up its last record: it must not find its reader gone.
        Ok(()) => match io::copy(&mut from, &mut io::sink()) {
            Ok(_) => return Ok(()),
            Err(error) => error,
        },
        // It broke off, and who wrote it knows why.
        Err(_) if from.has_ended => io::ErrorKind::BrokenPipe.into(),
        Err(error) => io::Error::new(error.kind(), cause(&error)),
    };
    Err(Stopped {
        path: to.to_path_buf(),
        error,
    })
}

/// Makes what is in the stream; `tar` inside leaves sockets out itself.
fn all(stream: &mut tar::Archive<impl Read>, place: &Path, output: Output) -> io::Result<()> {
    // They come last, with their modes: one may be closed to who fills it.
    let mut directories = Vec::new();
    for entry in stream.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            directories.push(entry);
        } else if kind.is_fifo() || kind.is_character_special() || kind.is_block_special() {
            let what = if kind.is_fifo() { "fifo" } else { "device" };
            let path = entry.path()?;
            output.talk(&format!("hd cp: {} is a {what}: left out", path.display()));
        } else {
            entry.unpack_in(place)?;
        }
    }
    directories.sort_by(|a, b| b.path_bytes().cmp(&a.path_bytes()));
    for mut directory in directories {
        directory.unpack_in(place)?;
    }
    Ok(())
}

/// Gives what the system said: the crate puts only the name of a passing file around it.
fn cause(error: &io::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// Moves the one thing in `stage` to where it is wanted; of a directory what is in it, where `contents` are.
pub(super) fn settle(stage: &Path, to: &Path, contents: bool) -> Result<(), CliError> {
    let one = only(stage)?;
    match (to.is_dir(), contents) {
        (true, true) => merge(&one, to),
        (true, false) => {
            let name = one.file_name().unwrap_or_default();
            rename(&one, &to.join(name))
        }
        (false, _) => rename(&one, to),
    }
}

fn only(stage: &Path) -> Result<PathBuf, CliError> {
    let found = fs::read_dir(stage).and_then(|all| all.collect::<io::Result<Vec<_>>>());
    let found = found.map_err(|e| CliError::io("read", stage, &e))?;
    let wrong = match &found[..] {
        [one] => return Ok(one.path()),
        [] => "nothing came out of the service",
        _ => "more came out of the service than was asked for; nothing is written",
    };
    Err(CliError::new("copy", exit::INTERNAL, wrong))
}

/// A file takes the place of a file; a directory that is there is not written over.
fn rename(from: &Path, to: &Path) -> Result<(), CliError> {
    moved(from, to).map_err(|e| {
        CliError::io("write", to, &e).hint("take away what is there, or name another place")
    })
}

/// Moves it; a directory that is closed to its owner is open meanwhile, as its `..` changes.
fn moved(from: &Path, to: &Path) -> io::Result<()> {
    let meta = from.symlink_metadata()?;
    if !meta.is_dir() || meta.permissions().mode() & 0o200 != 0 {
        return fs::rename(from, to);
    }
    fs::set_permissions(from, Permissions::from_mode(0o700))?;
    fs::rename(from, to)?;
    fs::set_permissions(to, meta.permissions())
}

/// Moves what is in one directory into another; where both have a directory, what is in that.
fn merge(from: &Path, to: &Path) -> Result<(), CliError> {
    let failed = |e: io::Error| CliError::io("read", from, &e);
    // Nobody needs it any more, and nothing can be taken out of one that is closed.
    fs::set_permissions(from, Permissions::from_mode(0o700)).map_err(failed)?;
    for one in fs::read_dir(from).map_err(failed)? {
        let one = one.map_err(failed)?;
        let target = to.join(one.file_name());
        let is_dir = |path: &Path| path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
        if is_dir(&one.path()) && is_dir(&target) {
            merge(&one.path(), &target)?;
        } else {
            rename(&one.path(), &target)?;
        }
    }
    Ok(())
}

/// A stream that knows whether it has been read to its end.
struct Ending<R> {
    from: R,
    has_ended: bool,
}

impl<R: Read> Read for Ending<R> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(piece)?;
        self.has_ended |= length == 0 && !piece.is_empty();
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::args::{Look, Progress, When};

    fn unpack(from: impl Read, place: &Path, to: &Path) -> Result<(), Stopped> {
        let look = Look {
            json: false,
            color: When::Never,
            progress: Progress::Quiet,
        };
        super::unpack(from, place, to, Output::new(look))
    }

    fn archive(name: &[u8], content: &[u8]) -> Vec<u8> {
        let mut stream = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
        header.set_cksum();
        stream.append(&header, content).unwrap();
        stream.into_inner().unwrap()
    }

    #[test]
    fn a_stream_cannot_write_outside_of_its_place() {
        let place = tempfile::tempdir().unwrap();
        let inner = place.path().join("in");
        fs::create_dir(&inner).unwrap();
        let _ = unpack(&archive(b"../x", b"x")[..], &inner, &inner);
        assert!(!place.path().join("x").exists());
    }

    #[test]
    fn what_follows_the_end_is_read() {
        let place = tempfile::tempdir().unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        let mut bytes = archive(b"x", b"x");
        // More than a pipe holds: the writer would meet a closed one.
        bytes.resize(1 << 20, 0);
        let writing = std::thread::spawn(move || writer.write_all(&bytes));
        unpack(reader, place.path(), place.path()).unwrap();
        writing.join().unwrap().unwrap();
        assert_eq!(fs::read(place.path().join("x")).unwrap(), b"x");
    }

    #[test]
    fn a_stream_that_breaks_off_is_told_from_a_place_that_cannot_be_written() {
        let place = tempfile::tempdir().unwrap();
        let bytes = archive(b"a/x", &[b'x'; 2000]);
        let to = Path::new("to");
        let cut = unpack(&bytes[..1000], place.path(), to).unwrap_err();
        assert_eq!(cut.error.kind(), io::ErrorKind::BrokenPipe);
        let taken = tempfile::tempdir().unwrap();
        fs::write(taken.path().join("a"), "").unwrap();
        let taken = unpack(&bytes[..], taken.path(), to).unwrap_err();
        assert_eq!(taken.path, to);
        assert!(!taken.error.to_string().contains("unpack"), "{taken:?}");
    }

    #[test]
    fn all_that_came_out_is_one_thing() {
        let stage = tempfile::tempdir().unwrap();
        let to = tempfile::tempdir().unwrap();
        let settled = || settle(stage.path(), to.path(), false);
        assert!(settled().is_err(), "nothing");
        for name in ["a", "b"] {
            fs::write(stage.path().join(name), name).unwrap();
        }
        assert!(settled().is_err(), "two");
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);
    }

    #[test]
    fn contents_are_put_beside_what_is_there() {
        let place = tempfile::tempdir().unwrap();
        let at = |path: &str| place.path().join(path);
        for directory in ["stage/app/sub", "to/sub"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        for file in ["stage/app/a", "stage/app/sub/b", "to/a", "to/sub/own"] {
            fs::write(at(file), file).unwrap();
        }
        settle(&at("stage"), &at("to"), true).unwrap();
        let text = |path: &str| fs::read_to_string(at(path)).unwrap();
        assert_eq!(text("to/a"), "stage/app/a");
        assert_eq!(text("to/sub/b"), "stage/app/sub/b");
        assert_eq!(text("to/sub/own"), "to/sub/own");
    }
}
