//! `hd ls`: the instances of this `HD_HOME`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use hd_actors::control::protocol::Request;
use hd_actors::model::instance::InstancePaths;
use hd_actors::model::report::{Report, ServiceState};
use serde_json::json;

use crate::args::LsArgs;
use crate::client::{self, PROMPT};
use crate::error::{CliError, Outcome};
use crate::output::Output;
use crate::output::style::Tint;
use crate::output::table::{Cell, table};
use crate::project;

struct Instance {
    id: String,
    name: String,
    directory: Option<PathBuf>,
    /// Its name among those of the directory, if it has one.
    instance: Option<String>,
    running: bool,
    report: Report,
}

/// Lists those that run, with `--all` all there were.
pub(crate) fn run(args: &LsArgs, output: Output) -> Outcome {
    let mut found = instances(&project::home()?)?;
    found.retain(|one| args.all || one.running);
    if output.json {
        let all: Vec<_> = found.iter().map(object).collect();
        output.value(&json!({"schema": 1, "instances": all}))?;
        return Ok(0);
    }
    let rows: Vec<Vec<Cell>> = found.iter().map(row).collect();
    output.data(&table(
        &["NAME", "STATE", "SERVICES", "DIRECTORY"],
        &rows,
        output.out,
    ))?;
    Ok(0)
}

fn instances(home: &Path) -> Result<Vec<Instance>, CliError> {
    let all = home.join("instances");
    let entries = match std::fs::read_dir(&all) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(CliError::io("list", &all, &e)),
    };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    // One without a project was forgotten, or is just being made.
    let known = ids.filter(|id| InstancePaths::of_id(home, id).project().exists());
    let mut found: Vec<Instance> = known.map(|id| instance(home, id)).collect();
    found.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Ok(found)
}

/// Asks an instance; one that does not answer in time is shown as it was last.
fn instance(home: &Path, id: String) -> Instance {
    let paths = InstancePaths::of_id(home, &id);
    let client = client::open(&paths.socket()).ok().flatten();
    let running = client.is_some();
    let told = client.and_then(|client| client.report(&Request::Status, Some(PROMPT)).ok());
    let written = || {
        let bytes = std::fs::read(paths.state()).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    let report: Report = told.or_else(written).unwrap_or_default();
    let mut name = if report.name.is_empty() {
        id.clone()
    } else {
        report.name.clone()
    };
    let instance = paths.name().map(str::to_owned);
    if let Some(instance) = &instance {
        name.push_str(&format!(" ({instance})"));
    }
    let directory = std::fs::read(paths.project()).ok();
    Instance {
        id,
        name,
        directory: directory.map(|bytes| PathBuf::from(OsString::from_vec(bytes))),
        instance,
        running,
        report,
    }
}

fn ready(report: &Report) -> usize {
    let all = report.services.iter();
    all.filter(|service| service.state == ServiceState::Ready)
        .count()
}

fn object(one: &Instance) -> serde_json::Value {
    json!({
        "id": one.id,
        "name": one.report.name,
        "instance": one.instance,
        "directory": one.directory.as_ref().map(|path| path.display().to_string()),
        "running": one.running,
        "services": one.report.services.len(),
        "ready": if one.running { ready(&one.report) } else { 0 },
    })
}

fn row(one: &Instance) -> Vec<Cell> {
    let directory = one
        .directory
        .as_ref()
        .map(|path| path.display().to_string());
    let (state, services) = if one.running {
        let ready = format!(
            "{} of {} ready",
            ready(&one.report),
            one.report.services.len()
        );
        (Cell::tinted("running", Tint::Good), ready)
    } else {
        (Cell::tinted("stopped", Tint::Dim), "-".to_owned())
    };
    vec![
        Cell::new(&one.name),
        state,
        Cell::new(services),
        Cell::maybe(directory),
    ]
}
