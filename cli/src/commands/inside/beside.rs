//! A command beside a running service: its sandbox is entered from this process.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hd_actors::control::protocol::Request;
use hd_actors::model::report::{Report, ServiceReport, ServiceState};
use hd_actors::model::surroundings::Surroundings;
use hd_sandbox::{Helper, Launcher, SandboxError};

use super::command::{Wish, broken, nowhere};
use super::conduct::Conductor;
use super::taken::Beside;
use crate::client::{Client, PROMPT, not_running, pause};
use crate::commands::up::{attach, targets};
use crate::error::{CliError, Outcome};
use crate::leftovers;
use crate::project::Located;

/// The kernel has no room for one process more.
const AGAIN: i32 = rustix::io::Errno::AGAIN.raw_os_error();
/// How long a service that is on its way may take to be there.
const THERE_WITHIN: Duration = Duration::from_secs(5);
/// Pause before it is looked for again.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Runs the command; `build` makes the steps true first.
pub(super) fn run(client: Client, located: &Located, wish: Wish, build: bool) -> Outcome {
    let mut report = client.report(&Request::Brief, Some(PROMPT))?;
    attach::same_base(wish.base.as_deref(), &report)?;
    if build {
        report = connect(located)?.report(&Request::Build { rerun: Vec::new() }, None)?;
    }
    let conductor = Conductor::new()?;
    enter(located, report, &wish, &conductor)?.conduct(located, &conductor)
}

fn connect(located: &Located) -> Result<Client, CliError> {
    leftovers::find(located)?.ok_or_else(|| not_running(&located.title()))
}

/// Enters the service that is meant, waiting for one that is just being started.
pub(super) fn enter(
    located: &Located,
    mut report: Report,
    wish: &Wish,
    conductor: &Conductor,
) -> Result<Beside, CliError> {
    let deadline = Instant::now() + THERE_WITHIN;
    loop {
        let candidates = candidates(located, &report, wish.service.as_deref())?;
        conductor.starting();
        for service in &candidates {
            if let Some(beside) = try_one(located, &service.name, wish)? {
                return Ok(beside);
            }
        }
        conductor.idle();
        if Instant::now() > deadline || !candidates.iter().any(|service| is_coming(service)) {
            return Err(none_runs(&candidates));
        }
        pause(AGAIN_AFTER);
        report = connect(located)?.report(&Request::Brief, Some(PROMPT))?;
    }
}

/// Gives the service named, else all in the order in which they are tried.
fn candidates<'a>(
    located: &Located,
    report: &'a Report,
    name: Option<&str>,
) -> Result<Vec<&'a ServiceReport>, CliError> {
    let mut services: Vec<_> = report.services.iter().collect();
    if let Some(name) = name {
        let known = report.services.iter().map(|service| service.name.as_str());
        services.retain(|service| service.is_named(name));
        if services.is_empty() {
            return Err(targets::unknown(known, name));
        }
    } else if let Ok(loaded) = located.load() {
        // A file that cannot be read now gives no order; the services run all the same.
        // Those that see the environment go before those on bases of their own.
        let order = |service: &&ServiceReport| {
            let mut all = loaded.project.services.iter().enumerate();
            let (at, one) = all.find(|(_, one)| one.name == service.name)?;
            Some((one.base.is_some(), at))
        };
        services.sort_by_key(|service| order(service).unwrap_or((true, usize::MAX)));
    }
    Ok(services)
}

fn try_one(located: &Located, service: &str, wish: &Wish) -> Result<Option<Beside>, CliError> {
    let path = located.paths.service(service);
    let surroundings = Surroundings::read(&path).map_err(|error| unread(&path, &error))?;
    let Some(surroundings) = surroundings else {
        return Ok(None);
    };
    let Surroundings {
        record,
        command,
        privileges,
        limits,
        network,
        groups,
    } = surroundings;
    let rights = (privileges, limits, network);
    let helper = Helper::prepare().map_err(broken)?;
    let entered = Launcher::new(helper, None)
        .enter_recorded(
            &record,
            rights,
            &groups,
            &wish.within(command),
            wish.stdio()?,
        )
        .map_err(|error| not_entered(error, service, &groups))?;
    Ok(entered.map(|entered| Beside {
        entered,
        service: service.to_owned(),
        sandbox: record,
    }))
}

/// The running hd wrote it whole, so what is not understood in it is of another version.
fn unread(path: &Path, error: &io::Error) -> CliError {
    match error.kind() {
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
            let place = path.display();
            nowhere(format!(
                "the running hd is of another version: {place}: {error}"
            ))
            .hint("`hd down`, then `hd up`")
        }
        _ => CliError::io("read", path, error),
    }
}

/// A service with limits may have no room for one process more.
fn not_entered(error: SandboxError, service: &str, groups: &[PathBuf]) -> CliError {
    let is_full = matches!(&error, SandboxError::Failed(failure) if failure.errno == AGAIN);
    match is_full && !groups.is_empty() {
        true => nowhere(format!("{service} is at its limit of processes"))
            .at(service)
            .hint("`resources.pids` in hd.toml sets it, `hd ps` shows it"),
        false => broken(error),
    }
}

fn is_coming(service: &ServiceReport) -> bool {
    use ServiceState::{Backoff, Ready, Starting, Stopping, Waiting};
    matches!(
        service.state,
        Backoff | Ready | Starting | Stopping | Waiting
    )
}

fn none_runs(candidates: &[&ServiceReport]) -> CliError {
    match candidates {
        [] => nowhere("no service runs that the command could run beside")
            .hint("`hd down` first, then `hd run` makes a place of its own"),
        [one] => nowhere(format!("{} does not run: {}", one.name, one.reason))
            .at(&*one.name)
            .hint("`hd status` shows it, `hd restart` starts it again"),
        _ => nowhere("none of the services runs")
            .hint("`hd status` shows them, `hd restart` starts them again"),
    }
}
