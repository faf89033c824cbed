//! `hd cp`: files between this machine and what a service sees, as a stream of tar.
//!
//! The paths inside are resolved by a process inside, never by this one.

use std::ffi::OsString;
use std::io::{PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;

use hd_actors::control::protocol::Request;
use serde_json::json;

use super::beside::enter;
use super::command::Wish;
use super::conduct::{Conductor, Inside};
use crate::args::{CopyArgs, HowArgs, Place};
use crate::client::{PROMPT, not_running};
use crate::error::{CliError, Outcome, exit};
use crate::leftovers;
use crate::output::Output;
use crate::project::{self, Located};

/// Unpacks into a directory, or under another name beside it. Arguments: path, name in the stream.
const UNPACK: &str = r#"
if [ -d "$1" ]; then exec tar -xf - -C "$1"; fi
above=$(dirname "$1")
[ -d "$above" ] || { echo "hd cp: there is no directory $above" >&2; exit 1; }
stage="$above/.hd-cp-$$"
mkdir "$stage" || exit 1
tar -xf - -C "$stage" && mv "$stage/$2" "$1"
code=$?
rm -rf "$stage"
exit $code
"#;

/// Packs one thing under its own name. Argument: path.
const PACK: &str = r#"
[ -e "$1" ] || [ -L "$1" ] || { echo "hd cp: there is no $1" >&2; exit 1; }
cd "$(dirname "$1")" && exec tar -cf - "$(basename "$1")"
"#;

/// One side of a copy.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Host(PathBuf),
    /// A service, the first when none is named, and a path in it.
    Inside(Option<String>, String),
}

impl End {
    /// `SERVICE:PATH` or `:PATH`; what has a slash before its colon is a path of this machine.
    fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some((service, path)) if !service.contains(['/', '.']) && !path.is_empty() => {
                let service = (!service.is_empty()).then(|| service.to_owned());
                Self::Inside(service, path.to_owned())
            }
            _ => Self::Host(PathBuf::from(text)),
        }
    }
}

/// Copies in one direction or the other.
pub(super) fn run(args: CopyArgs, outer: Place, output: Output) -> Outcome {
    let located = project::locate(&args.place.or(outer), None)?;
    match (End::parse(&args.from), End::parse(&args.to)) {
        (End::Host(from), End::Inside(service, path)) => put(&located, &from, service, path)?,
        (End::Inside(service, path), End::Host(to)) => get(&located, service, path, &to)?,
        (End::Host(_), End::Host(_)) => {
            let message = "neither side is in a service";
            return Err(CliError::new("usage", exit::USAGE, message)
                .hint("one of them is SERVICE:PATH, such as web:/tmp/x"));
        }
        (End::Inside(..), End::Inside(..)) => {
            let message = "both sides are in services";
            return Err(CliError::new("usage", exit::USAGE, message)
                .hint("copy to this machine first, then from it"));
        }
    }
    if output.json {
        output.value(&json!({"schema": 1, "from": args.from, "to": args.to}))?;
    }
    Ok(0)
}

fn put(
    located: &Located,
    from: &Path,
    service: Option<String>,
    to: String,
) -> Result<(), CliError> {
    let failed = |e: std::io::Error| CliError::io("read", from, &e);
    let meta = std::fs::symlink_metadata(from).map_err(|e| failed(e).with_exit(exit::USAGE))?;
    // `.` and `..` have a name of their own.
    let named = from.canonicalize().unwrap_or_else(|_| from.to_path_buf());
    let name = match from.file_name().or(named.file_name()) {
        Some(name) => name.to_os_string(),
        None => {
            return Err(CliError::new(
                "usage",
                exit::USAGE,
                "the root cannot be copied",
            ));
        }
    };
    let (reader, writer) = pipe()?;
    let script = [UNPACK.into(), "hd-cp".into(), to.into(), name.clone()];
    let (source, is_dir) = (from.to_path_buf(), meta.is_dir());
    let pack = move || pack(writer, &source, Path::new(&name), is_dir);
    let packed = carry(
        located,
        service,
        script.into(),
        Some(reader.into()),
        None,
        pack,
    )?;
    packed.map_err(failed)
}

fn pack(to: PipeWriter, source: &Path, name: &Path, is_dir: bool) -> std::io::Result<()> {
    let mut stream = tar::Builder::new(to);
    stream.follow_symlinks(false);
    if is_dir {
        stream.append_dir_all(name, source)?;
    } else {
        stream.append_path_with_name(source, name)?;
    }
    stream.into_inner().map(drop)
}

fn get(
    located: &Located,
    service: Option<String>,
    from: String,
    to: &Path,
) -> Result<(), CliError> {
    let failed = |e: std::io::Error| CliError::io("write", to, &e);
    let absolute = std::path::absolute(to).map_err(failed)?;
    let into = if absolute.is_dir() {
        absolute.clone()
    } else {
        absolute.parent().unwrap_or(Path::new("/")).to_path_buf()
    };
    let stage = tempfile::Builder::new().prefix(".hd-cp-").tempdir_in(&into);
    let stage = stage.map_err(|e| failed(e).with_exit(exit::USAGE))?;
    let (reader, writer) = pipe()?;
    let script = [PACK.into(), "hd-cp".into(), from.into()];
    let place = stage.path().to_path_buf();
    let unpack = move || unpack(reader, &place);
    let unpacked = carry(
        located,
        service,
        script.into(),
        None,
        Some(writer.into()),
        unpack,
    )?;
    unpacked.map_err(failed)?;
    let mut found = std::fs::read_dir(stage.path()).map_err(failed)?.flatten();
    let Some(found) = found.next() else {
        return Err(CliError::new(
            "copy",
            exit::INTERNAL,
            "nothing came out of the service",
        ));
    };
    let target = if absolute.is_dir() {
        absolute.join(found.file_name())
    } else {
        absolute
    };
    // A file takes the place of a file; a directory that is there is not written over.
    std::fs::rename(found.path(), &target).map_err(|e| {
        CliError::io("write", &target, &e).hint("take away what is there, or name another place")
    })
}

/// Nothing in the stream can lead out of the place: names with `..` and ways through links are refused.
fn unpack(from: PipeReader, place: &Path) -> std::io::Result<()> {
    let mut stream = tar::Archive::new(from);
    stream.set_preserve_permissions(false);
    stream.unpack(place)
}

fn pipe() -> Result<(PipeReader, PipeWriter), CliError> {
    std::io::pipe()
        .map_err(|e| CliError::new("io", exit::INTERNAL, format!("cannot make a pipe: {e}")))
}

/// Runs a script beside a service while `meanwhile` handles the other end of its pipe.
fn carry<T: Send + 'static>(
    located: &Located,
    service: Option<String>,
    script: Vec<OsString>,
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    meanwhile: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CliError> {
    let client = leftovers::find(located)?.ok_or_else(|| not_running(&located.title()))?;
    let report = client.report(&Request::Brief, Some(PROMPT))?;
    let how = HowArgs {
        env: Vec::new(),
        no_tty: true,
    };
    let shell = ["/bin/sh", "-c"].map(OsString::from);
    let argv = shell.into_iter().chain(script).collect();
    let mut wish = Wish::new(argv, &how, service, None)?;
    wish.pipes = Some((stdin, stdout));
    let conductor = Conductor::new()?;
    let entered = enter(located, report, &wish, &conductor)?;
    // Its ends are its own now: a stream ends when the last copy of them is closed.
    drop(wish);
    let beside = thread::spawn(meanwhile);
    let code = conductor.conduct(Inside::Entered(entered), None)?;
    let done = beside.join();
    // 128 and the number of the signal.
    if code > 128 {
        return Err(CliError::new("copy", code, "the copy was interrupted")
            .hint("what was copied so far may be left beside its target, as .hd-cp-…"));
    }
    if code != 0 {
        let message = format!("the copy failed inside, with exit code {code}");
        return Err(CliError::new("copy", exit::INTERNAL, message)
            .hint("the lines above say why; it takes `tar` inside"));
    }
    done.map_err(|_| CliError::new("internal", exit::INTERNAL, "the copy broke off"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_stands_before_the_first_colon() {
        let inside = |service: Option<&str>, path: &str| {
            End::Inside(service.map(str::to_owned), path.to_owned())
        };
        for (text, expected) in [
            ("web:/tmp/x", inside(Some("web"), "/tmp/x")),
            (":x", inside(None, "x")),
            ("web:a:b", inside(Some("web"), "a:b")),
            ("./a:b", End::Host("./a:b".into())),
            ("/a:b", End::Host("/a:b".into())),
            ("a", End::Host("a".into())),
            ("web:", End::Host("web:".into())),
        ] {
            assert_eq!(End::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_stream_cannot_write_outside_of_its_place() {
        let (reader, writer) = pipe().unwrap();
        let mut stream = tar::Builder::new(writer);
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.as_gnu_mut().unwrap().name[..4].copy_from_slice(b"../x");
        header.set_cksum();
        stream.append(&header, &b"x"[..]).unwrap();
        drop(stream.into_inner().unwrap());
        let place = tempfile::tempdir().unwrap();
        let inner = place.path().join("in");
        std::fs::create_dir(&inner).unwrap();
        let _ = unpack(reader, &inner);
        assert!(!place.path().join("x").exists());
    }
}
