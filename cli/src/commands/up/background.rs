//! `hd up -d`: this program once more, in a session of its own.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hd_actors::control::protocol::Request;
use hd_actors::hold::Hold;

use super::{Plan, attach, targets};
use crate::client::{self, Client, PROMPT, pause};
use crate::error::{CliError, Outcome, exit};
use crate::output::{Output, say};
use crate::project::{self, shown};

/// How long the runtime may take until it can be asked.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// Time between two tries to reach it.
const TRY_EVERY: Duration = Duration::from_millis(10);
/// Bytes of its log that are shown when it does not start.
const TAIL: u64 = 4096;

/// Starts the runtime, waits until it answers (or is ready), and leaves it running. It takes the instance over
/// from `hold`.
pub(super) fn start(plan: &Plan, hold: Hold, wait: bool, output: Output) -> Outcome {
    // What is wrong with the file is said here, not in a log.
    let mut loaded = plan.located.load()?;
    loaded.tell(output);
    targets::keep(&mut loaded.project, &plan.services, &plan.located.profiles)?;
    let (mut child, log) = spawn(plan, hold)?;
    let client = answering(plan, &mut child, &log, output)?;
    let is_child = client.process().is_some_and(|peer| peer.is(child.id()));
    if !is_child {
        // Another `hd up` was faster: its runtime knows nothing yet of what this one asks for.
        drop(client);
        return attach::start(plan, wait, output);
    }
    if wait {
        // What else runs, and how that fares, is the business of who asked for it.
        let names = plan.services.clone();
        client.done(&Request::WaitReady { names }, false)?;
        let client = client::open(&plan.located.paths.socket())?;
        let client = client.ok_or_else(|| client::not_running(&loaded.project.name))?;
        return tell_up(&loaded.project.name, "is ready", client, output);
    }
    tell_up(&loaded.project.name, "is up", client, output)
}

/// Says in one line that it runs; with `--json` prints the state.
pub(super) fn tell_up(name: &str, how: &str, client: Client, output: Output) -> Outcome {
    if output.json {
        output.value(&client.report(&Request::Status, Some(PROMPT))?)?;
    } else {
        output.talk(&format!(
            "{name} {how}; `hd logs -f` follows it, `hd down` ends it"
        ));
    }
    Ok(0)
}

fn spawn(plan: &Plan, hold: Hold) -> Result<(Child, PathBuf), CliError> {
    let log = plan.located.paths.dir().join("logs").join("runtime.log");
    let directory = log.parent().unwrap_or(Path::new("/"));
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.map_err(|e| CliError::io("make", directory, &e))?;
    let unwritten = |e: std::io::Error| CliError::io("write", &log, &e);
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).open(&log);
    let file = file.map_err(unwritten)?;
    // While the instance is held nobody else writes to it.
    file.set_len(0).map_err(unwritten)?;
    let second = file.try_clone().map_err(unwritten)?;
    let program = std::env::current_exe()
        .map_err(|e| CliError::io("find", Path::new("/proc/self/exe"), &e))?;
    let mut command = Command::new(&program);
    command.args([
        "--color",
        "never",
        "--progress",
        "plain",
        "up",
        "--background",
        "--file",
    ]);
    command.arg(&plan.located.config);
    if let Some(base) = &plan.base {
        command.args(["--base", base]);
    }
    if let Some(jobs) = plan.jobs {
        command.args(["--jobs", &jobs.to_string()]);
    }
    if let Some(name) = plan.located.paths.name() {
        command.args(["--instance", name]);
    }
    for profile in &plan.located.profiles {
        command.args(["--profile", profile]);
    }
    for (service, count) in &plan.located.scale {
        command.args(["--scale", &format!("{service}={count}")]);
    }
    command.arg("--").args(&plan.services);
    command
        .current_dir(&plan.located.directory)
        // A relative one begins here, not there.
        .env("HD_HOME", project::home()?)
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(second);
    drop(hold);
    let child = command
        .spawn()
        .map_err(|e| CliError::io("start", &program, &e))?;
    Ok((child, log))
}

fn answering(
    plan: &Plan,
    child: &mut Child,
    log: &Path,
    output: Output,
) -> Result<Client, CliError> {
    let deadline = Instant::now() + ANSWERS_WITHIN;
    loop {
        if let Some(client) = client::open(&plan.located.paths.socket())? {
            return Ok(client);
        }
        let ended = child
            .try_wait()
            .map_err(|e| CliError::io("wait for", log, &e))?;
        if let Some(status) = ended {
            return Err(not_started(status, log, output));
        }
        if Instant::now() > deadline {
            let message = format!("hd does not answer after {} s", ANSWERS_WITHIN.as_secs());
            let error = CliError::new("timeout", exit::TIMEOUT, message);
            return Err(error
                .at(log.display().to_string())
                .hint("the file named says how far it is"));
        }
        pause(TRY_EVERY);
    }
}

/// Tells why it ended, in its own words.
fn not_started(status: ExitStatus, log: &Path, output: Output) -> CliError {
    use std::os::unix::process::ExitStatusExt;
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    let tail = tail(log).unwrap_or_default();
    if !output.json {
        say(&tail);
    }
    let words = tail
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("hd: "));
    let message = words
        .unwrap_or("hd ended before it could be asked")
        .to_owned();
    let hint = format!("the whole story is in {}", shown(log));
    CliError::new(
        "gone",
        if code == 0 { exit::INTERNAL } else { code },
        message,
    )
    .hint(hint)
}

fn tail(log: &Path) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use crate::args::Progress;
    use crate::output::style::Style;

    use super::*;

    #[test]
    fn a_runtime_that_does_not_start_is_quoted() {
        let place = tempfile::tempdir().unwrap();
        let log = place.path().join("runtime.log");
        std::fs::write(
            &log,
            "x".repeat(10_000) + "\nhd: no /dev/fuse\nhint: load it\n",
        )
        .unwrap();
        let style = Style::new(false);
        let output = Output {
            json: true,
            out: style,
            err: style,
            progress: Progress::Plain,
        };
        let error = not_started(ExitStatus::from_raw(7 << 8), &log, output);
        assert_eq!(
            (error.exit(), error.report().message.as_str()),
            (7, "no /dev/fuse")
        );
        assert_eq!(
            not_started(ExitStatus::from_raw(9), &log, output).exit(),
            137
        );
    }
}
