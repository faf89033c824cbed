//! `hd cp`: files between this machine and what a service sees, as a stream of tar.
//!
//! The paths inside are resolved by a process inside, never by this one.

mod pack;
mod unpack;

use std::ffi::{OsStr, OsString};
use std::io::{PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;

use hd_actors::control::protocol::Request;
use serde_json::json;

use super::beside::enter;
use super::command::Wish;
use super::conduct::Conductor;
use crate::args::{CopyArgs, HowArgs, Place};
use crate::client::{PROMPT, not_running};
use crate::error::{CliError, Outcome, exit};
use crate::leftovers;
use crate::output::Output;
use crate::project::{self, Located};

/// Unpacks into a directory, or under another name beside it. Arguments: path, a word of its own for the stage, name
/// in the stream; no name where what is in the stream is the contents of a directory.
///
/// A signal goes to the whole group: what is unpacked into the stage is gone with `tar`.
const UNPACK: &str = r#"
case $1 in /*) to=$1 ;; *) to=./$1 ;; esac
if [ -d "$to" ]; then exec tar -xf - -C "$to"; fi
above=$to
while [ "$above" != "${above%/}" ]; do above=${above%/}; done
above=${above%/*}/
[ -d "$above" ] || { echo "hd cp: there is no directory $above" >&2; exit 1; }
stage=$above.hd-cp-$2
trap 'trap "" HUP INT QUIT TERM; rm -rf "$stage"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 131' QUIT
trap 'exit 143' TERM
mkdir "$stage" || { trap - EXIT; exit 1; }
tar -xf - -C "$stage" && mv "$stage${3:+/$3}" "$to"
"#;

/// Packs one thing under its own name. Argument: path.
///
/// GNU tar ends with 1 where a file changed while it was read, which it says; others do where they failed.
const PACK: &str = r#"
case $1 in /*) path=$1 ;; *) path=./$1 ;; esac
[ -e "$path" ] || [ -L "$path" ] || { echo "hd cp: there is no $1" >&2; exit 1; }
while [ "$path" != "${path%/}" ]; do path=${path%/}; done
case $path in */. | */..)
    path=$(cd "$path" && pwd -P) || exit 1
    path=${path%/}
esac
[ -n "$path" ] || { echo "hd cp: all of / cannot be copied, name what is in it" >&2; exit 1; }
cd "${path%/*}/" || exit 1
tar -cf - "./${path##*/}"
code=$?
if [ $code = 1 ]; then
    case $(tar --version 2>/dev/null) in *GNU*) exit 0 ;; esac
fi
exit $code
"#;

/// One side of a copy.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Host(PathBuf),
    /// A service, the first when none is named, and a path in it.
    Inside(Option<String>, OsString),
}

impl End {
    /// `SERVICE:PATH` or `:PATH`; what has a slash before its colon is a path of this machine.
    fn parse(text: &OsStr) -> Self {
        Self::inside(text).unwrap_or_else(|| Self::Host(PathBuf::from(text)))
    }

    fn inside(text: &OsStr) -> Option<Self> {
        let bytes = text.as_bytes();
        let at = bytes.iter().position(|byte| *byte == b':')?;
        let service = std::str::from_utf8(&bytes[..at]).ok()?;
        let path = OsStr::from_bytes(&bytes[at + 1..]);
        if service.contains(['/', '.']) || path.is_empty() {
            return None;
        }
        let service = (!service.is_empty()).then(|| service.to_owned());
        Some(Self::Inside(service, path.to_owned()))
    }
}

/// Tells whether a path means what is in a directory: it is `.`, or ends in `/.`.
fn means_contents(path: &OsStr) -> bool {
    let mut path = path.as_bytes();
    while let Some(shorter) = path.strip_suffix(b"/") {
        path = shorter;
    }
    path == b"." || path.ends_with(b"/.")
}

/// What stopped the side of this machine.
#[derive(Debug)]
struct Stopped {
    path: PathBuf,
    /// A broken pipe is the end of the other side.
    error: std::io::Error,
}

/// Copies in one direction or the other.
pub(super) fn run(args: CopyArgs, outer: Place, output: Output) -> Outcome {
    let located = project::locate(&args.place.or(outer), None)?;
    match (End::parse(&args.from), End::parse(&args.to)) {
        (End::Host(from), End::Inside(service, path)) => {
            put(&located, &from, service, path, output)?;
        }
        (End::Inside(service, path), End::Host(to)) => get(&located, service, path, &to, output)?,
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
        let [from, to] = [&args.from, &args.to].map(|side| side.to_string_lossy());
        output.value(&json!({"schema": 1, "from": from, "to": to}))?;
    }
    Ok(0)
}

fn put(
    located: &Located,
    from: &Path,
    service: Option<String>,
    to: OsString,
    output: Output,
) -> Result<(), CliError> {
    std::fs::symlink_metadata(from)
        .map_err(|e| CliError::io("read", from, &e).with_exit(exit::USAGE))?;
    // `..` has a name of its own.
    let named = from.canonicalize().unwrap_or_else(|_| from.to_path_buf());
    let name = match from.file_name().or(named.file_name()) {
        Some(_) if means_contents(from.as_os_str()) => OsString::new(),
        Some(name) => name.to_os_string(),
        None => {
            let message = "the root cannot be copied";
            return Err(CliError::new("usage", exit::USAGE, message));
        }
    };
    let (reader, writer) = pipe()?;
    let own = std::process::id().to_string().into();
    let script = [UNPACK.into(), "hd-cp".into(), to, own, name.clone()];
    let source = from.to_path_buf();
    let ended = carry(
        located,
        service,
        script.into(),
        (Some(reader.into()), None),
        move || pack::pack(writer, &source, Path::new(&name), output),
    );
    // Whatever killed it, a restart of the service too, left it no time to tidy.
    let killed = 128 + rustix::process::Signal::KILL.as_raw();
    let done = ended.and_then(|ended| ended.judge("read"));
    done.map_err(|error| match error.exit() == killed {
        true => error.hint("what was copied so far may be left beside its target, as .hd-cp-…"),
        false => error,
    })
}

fn get(
    located: &Located,
    service: Option<String>,
    from: OsString,
    to: &Path,
    output: Output,
) -> Result<(), CliError> {
    let failed = |e: std::io::Error| CliError::io("write", to, &e);
    let target = std::path::absolute(to).map_err(failed)?;
    let into = match target.parent() {
        Some(above) if !target.is_dir() => above,
        _ => &target,
    };
    let stage = tempfile::Builder::new().prefix(".hd-cp-").tempdir_in(into);
    let stage = stage.map_err(|e| failed(e).with_exit(exit::USAGE))?;
    let contents = means_contents(&from);
    let (reader, writer) = pipe()?;
    let script = [PACK.into(), "hd-cp".into(), from];
    let (place, told) = (stage.path().to_path_buf(), to.to_path_buf());
    let ended = carry(
        located,
        service,
        script.into(),
        (None, Some(writer.into())),
        move || unpack::unpack(reader, &place, &told, output),
    )?;
    ended.judge("write")?;
    unpack::settle(stage.path(), &target, contents)
}

fn pipe() -> Result<(PipeReader, PipeWriter), CliError> {
    std::io::pipe()
        .map_err(|e| CliError::new("io", exit::INTERNAL, format!("cannot make a pipe: {e}")))
}

/// How both sides of a copy ended.
struct Ended {
    /// On this machine.
    here: Result<(), Stopped>,
    /// Exit code of the script inside.
    code: i32,
}

impl Ended {
    /// Gives what went wrong: first what did on this machine, as the other side only saw its pipe closed.
    fn judge(self, what: &str) -> Result<(), CliError> {
        let broken = std::io::ErrorKind::BrokenPipe;
        match self.here {
            Err(stopped) if stopped.error.kind() != broken => {
                Err(CliError::io(what, &stopped.path, &stopped.error))
            }
            // 128 and the number of the signal.
            _ if self.code > 128 => {
                Err(CliError::new("copy", self.code, "the copy was interrupted"))
            }
            _ if self.code != 0 => {
                let message = format!("the copy failed inside, with exit code {}", self.code);
                Err(CliError::new("copy", exit::INTERNAL, message)
                    .hint("the lines above say why; it takes `tar` inside"))
            }
            Err(_) => Err(broke_off()),
            Ok(()) => Ok(()),
        }
    }
}

fn broke_off() -> CliError {
    CliError::new("copy", exit::INTERNAL, "the copy broke off")
}

/// Runs a script beside a service while `meanwhile` handles the other end of its stdin or stdout.
fn carry(
    located: &Located,
    service: Option<String>,
    script: Vec<OsString>,
    pipes: (Option<OwnedFd>, Option<OwnedFd>),
    meanwhile: impl FnOnce() -> Result<(), Stopped> + Send + 'static,
) -> Result<Ended, CliError> {
    let client = leftovers::find(located)?.ok_or_else(|| not_running(&located.title()))?;
    let report = client.report(&Request::Brief, Some(PROMPT))?;
    let how = HowArgs {
        env: Vec::new(),
        no_tty: true,
    };
    let shell = ["/bin/sh", "-c"].map(OsString::from);
    let argv = shell.into_iter().chain(script).collect();
    let mut wish = Wish::new(argv, &how, service, None)?;
    wish.pipes = Some(pipes);
    let conductor = Conductor::new()?;
    let entered = enter(located, report, &wish, &conductor)?;
    // Its ends are its own now: a stream ends when the last copy of them is closed.
    drop(wish);
    let beside = thread::spawn(meanwhile);
    let ended = entered.conduct(located, &conductor);
    let here = beside.join().map_err(|_| broke_off())?;
    Ok(Ended { here, code: ended? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_stands_before_the_first_colon() {
        let inside = |service: Option<&str>, path: &str| {
            End::Inside(service.map(str::to_owned), path.into())
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
            assert_eq!(End::parse(OsStr::new(text)), expected, "{text}");
        }
        let bytes = OsStr::from_bytes(b"\xe9:x");
        assert_eq!(End::parse(bytes), End::Host(bytes.into()), "no service");
        let bytes = OsStr::from_bytes(b":\xe9");
        let expected = End::Inside(None, OsStr::from_bytes(b"\xe9").into());
        assert_eq!(End::parse(bytes), expected);
    }

    #[test]
    fn a_dot_at_the_end_means_what_is_in_a_directory() {
        for path in [".", "./", "a/.", "/a/./", "/."] {
            assert!(means_contents(OsStr::new(path)), "{path}");
        }
        for path in ["..", "a/..", "a", "a.", "/", ""] {
            assert!(!means_contents(OsStr::new(path)), "{path}");
        }
    }

    #[test]
    fn what_went_wrong_here_is_told_before_what_it_did_inside() {
        let told = |kind: Option<std::io::ErrorKind>, code| {
            let here = kind.map_or(Ok(()), |kind| {
                Err(Stopped {
                    path: "to".into(),
                    error: kind.into(),
                })
            });
            let judged = Ended { here, code }.judge("write");
            judged.map_err(|error| error.report().message.clone())
        };
        use std::io::ErrorKind::{BrokenPipe, StorageFull};
        assert_eq!(told(None, 0), Ok(()));
        for (kind, code, expected) in [
            (Some(StorageFull), 141, "cannot write to"),
            (Some(StorageFull), 0, "cannot write to"),
            (Some(BrokenPipe), 2, "inside, with exit code 2"),
            (Some(BrokenPipe), 137, "interrupted"),
            (Some(BrokenPipe), 0, "broke off"),
            (None, 130, "interrupted"),
        ] {
            let message = told(kind, code).unwrap_err();
            assert!(message.contains(expected), "{code}: {message}");
        }
    }
}
