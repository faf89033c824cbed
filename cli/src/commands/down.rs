//! `hd down`.

use std::time::{Duration, Instant};

use hd_actors::control::protocol::Request;
use serde_json::json;

use super::volume;
use crate::args::{DownArgs, Place};
use crate::client::{self, Client, PROMPT, pause};
use crate::error::{CliError, Outcome, exit};
use crate::holder;
use crate::leftovers::{self, wait_gone};
use crate::output::Output;
use crate::peer::Peer;
use crate::project::{self, Located, shown};

/// Time between two words about what is still stopping: services take as long as their grace allows.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How long hd may take when nobody is given any grace.
const AT_ONCE: Duration = Duration::from_secs(15);

/// How long a runtime that has just taken its instance may take to answer.
const BEGINS_WITHIN: Duration = Duration::from_secs(2);
/// Time between two looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a process may take to exit once it holds nothing.
const LINGERS: Duration = Duration::from_secs(5);

/// Ends the runtime and waits until nothing of it is left.
pub(crate) fn run(args: DownArgs, outer: Place, output: Output) -> Outcome {
    let located = project::locate(&args.place.or(outer), None)?;
    let ran = end(&located, args.now, output)?;
    let removed = args.volumes.then(|| volume::remove_all(&located));
    told(&located, ran, removed.transpose()?, output)
}

/// Ends the runtime, if there is one, and answers whether there was.
fn end(located: &Located, now: bool, output: Output) -> Result<bool, CliError> {
    let process = match found(located)? {
        Found::Nobody => return Ok(false),
        Found::Ending => None,
        Found::Answers(client) => ask(client, now, output)?,
    };
    let gone = match now {
        true => wait_gone(&located.paths, AT_ONCE, || false)?,
        false => wait_gone(&located.paths, TELL_EVERY, || {
            output.talk(&stopping(located));
            true
        })?,
    };
    if !gone {
        return Err(stuck(located));
    }
    if let Some(process) = process {
        // One that lingers holds nothing, so this wait is a courtesy and has an end.
        process.wait(LINGERS);
    }
    // Nothing is left by one that ended in peace; one that died on the way is cleaned up after.
    leftovers::sweep(&located.paths, &located.directory)?;
    Ok(true)
}

/// Says what is waited for.
fn stopping(located: &Located) -> String {
    let client = client::open(&located.paths.socket()).ok().flatten();
    let report = client.and_then(|client| client.report(&Request::Brief, Some(PROMPT)).ok());
    let services = report.map_or_else(Vec::new, |report| report.services);
    let running = services.iter().filter(|one| one.pid.is_some());
    let names: Vec<&str> = running.map(|one| one.name.as_str()).collect();
    match names.as_slice() {
        [] => "hd is still ending".to_owned(),
        names => {
            let names = names.join(", ");
            format!("still stopping: {names}; `hd down --now` kills what is left")
        }
    }
}

fn stuck(located: &Located) -> CliError {
    let message = format!("hd is still ending after {} s", AT_ONCE.as_secs());
    let error = CliError::new("timeout", exit::TIMEOUT, message).at(shown(&located.config));
    match holder::pid(located) {
        Some(pid) => error.hint(format!(
            "`kill -9 {pid}` ends it, and its guardian what it started"
        )),
        None => error,
    }
}

/// Who has the instance.
enum Found {
    Nobody,
    /// A runtime that listens no more.
    Ending,
    Answers(Client),
}

/// Finds the runtime. Who holds the instance and has no socket after a while is none, and nothing can be asked of it.
fn found(located: &Located) -> Result<Found, CliError> {
    let until = Instant::now() + BEGINS_WITHIN;
    loop {
        if let Some(client) = leftovers::find(located)? {
            return Ok(Found::Answers(client));
        }
        if !leftovers::is_held(&located.paths)? {
            return Ok(Found::Nobody);
        }
        if located.paths.socket().exists() {
            return Ok(Found::Ending);
        }
        if Instant::now() >= until {
            return Err(holder::busy(located));
        }
        pause(LOOK_EVERY);
    }
}

/// Asks the runtime to end; gives its process.
fn ask(client: Client, now: bool, output: Output) -> Result<Option<Peer>, CliError> {
    let process = client.process();
    if process.as_ref().is_some_and(Peer::wake) {
        output.talk("hd had been stopped (SIGSTOP or Ctrl-Z): it goes on, to end its services");
    }
    match (
        client.done_within(&Request::Down { now }, true, Some(PROMPT)),
        &process,
    ) {
        (Err(error), Some(process)) if now && error.report().code == "timeout" => {
            output.talk("hd does not answer: killed");
            // Its guardian ends the services then.
            process.kill();
        }
        (asked, _) => asked?,
    }
    Ok(process)
}

fn told(located: &Located, ran: bool, removed: Option<Vec<String>>, output: Output) -> Outcome {
    let name = shown(&located.directory);
    let name = if name.is_empty() {
        "this project"
    } else {
        &name
    };
    if output.json {
        let mut value = json!({"schema": 1, "was_running": ran});
        if let Some(removed) = removed {
            value["removed_volumes"] = json!(removed);
        }
        return output.value(&value).map(|()| 0);
    }
    if ran {
        output.talk(&format!("{name} is down"));
    } else {
        output.talk(&format!("{name} is not running"));
    }
    if let Some(removed) = removed {
        output.talk(&volume::told(&removed));
    }
    Ok(0)
}
