//! `hd watch --explain`: what an edit of a path would lead to, and which rule says so; `hd watch pause` and
//! `resume`.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use hd_actors::control::protocol::Request;
use hd_actors::step_runner::hidden::hidden_by;
use hd_config::{Service, WatchAction};
use hd_dag::TreePath;
use serde_json::{Value, json};

use super::state;
use super::why::observations::observers;
use crate::args::{Place, WatchAction as Hold, WatchArgs};
use crate::client::{PROMPT, not_running};
use crate::error::{CliError, Outcome, exit};
use crate::leftovers;
use crate::output::Output;
use crate::output::style::Tint;
use crate::output::table::{Cell, table};
use crate::project::{self, Located};

/// What a service does about a path.
struct Effect {
    service: String,
    does: String,
    /// The glob that decides; none when none covers the path.
    by: Option<String>,
}

/// Carries the verb out.
pub(crate) fn run(args: &WatchArgs, outer: Place, output: Output) -> Outcome {
    let place = args.place.clone().or(outer);
    let located = project::locate(&place, None)?;
    match (args.action, &args.explain) {
        (Some(action), _) => hold(&located, action == Hold::Pause, output),
        (None, Some(path)) => {
            let from = place.directory.unwrap_or_default();
            explain(&located, &from.join(path), output)
        }
        (None, None) => Err(CliError::new("usage", exit::USAGE, "nothing to do")),
    }
}

/// Has the running instance hold edits back, or let them go.
fn hold(located: &Located, paused: bool, output: Output) -> Outcome {
    let client = leftovers::find(located)?.ok_or_else(|| not_running(&located.title()))?;
    let report = client.report(&Request::Watching { paused }, Some(PROMPT))?;
    if output.json {
        let waiting = report.watching.and_then(|watching| watching.waiting);
        output.value(&json!({"schema": 1, "paused": paused, "waiting": waiting}))?;
    } else if paused {
        output.talk("edits are held back; `hd watch resume` lets them go");
    } else {
        output.talk("edits go through");
    }
    Ok(0)
}

/// Explains a path. It need not exist.
fn explain(located: &Located, path: &Path, output: Output) -> Outcome {
    let path = inside(located, path)?;
    let project = located.load()?.project;
    let why_hidden = |filter| hidden_by(&located.directory, &filter, &path);
    let hides = why_hidden(project.file_filter());
    let counts = hides.is_none();
    // What is watched counts though something hides it.
    let hidden = hides.or_else(|| why_hidden(project.file_filter().unwatched()));
    let services = project.services.iter();
    let mut effects: Vec<Effect> = services.map(|one| effect(one, &path, counts)).collect();
    // Replicas do the same.
    effects.dedup_by(|a, b| a.service == b.service);
    // In stages the project may lie elsewhere.
    let observers = match project.stages.is_empty() {
        true => observers(&located.paths, &path)?,
        false => None,
    };
    if output.json {
        let (by, show) = hidden.clone().unzip();
        output.value(&json!({
            "schema": 1, "path": path.to_string(), "counts": counts,
            "hidden_by": by, "shown_by": show, "steps": observers,
            "services": effects.iter().map(object).collect::<Vec<_>>(),
        }))?;
        return Ok(0);
    }
    let verdict = match &hidden {
        None => {
            let readers = readers(located, observers)?;
            format!("counts as part of the project: {readers}")
        }
        Some((by, _)) if counts => {
            format!("hidden by {by}, and counts because of what a service watches")
        }
        Some((by, show)) => format!("does not count: hidden by {by} ({show})"),
    };
    let mut text = format!("{path}  {verdict}\n");
    if !effects.is_empty() {
        let rows: Vec<Vec<Cell>> = effects.iter().map(row).collect();
        text.push_str(&table(&["SERVICE", "DOES", "BY"], &rows, output.out));
    }
    output.data(&text)?;
    Ok(0)
}

/// Says which steps an edit lets run again: those that looked at the path when they ran last.
fn readers(located: &Located, observers: Option<Vec<String>>) -> Result<String, CliError> {
    let Some(observers) = observers else {
        return Ok("steps that read it run again".to_owned());
    };
    let steps = state::known(located)?.map(|known| known.report.steps);
    let steps = steps.unwrap_or_default();
    let named = |name: &String| match steps.iter().find(|step| step.name == *name) {
        Some(step) => format!("{name} ({})", step.slug),
        None => name.clone(),
    };
    let names: Vec<String> = observers.iter().map(named).collect();
    Ok(match names.as_slice() {
        [] => "no step has looked at it".to_owned(),
        [one] => format!("{one} has looked at it and runs again"),
        several => format!("{} have looked at it and run again", several.join(", ")),
    })
}

/// A path of the project, however it is written.
fn inside(located: &Located, path: &Path) -> Result<TreePath, CliError> {
    let absolute = std::path::absolute(path).map_err(|e| CliError::io("find", path, &e))?;
    let outside = || {
        let (path, project) = (absolute.display(), located.directory.display());
        let message = format!("{path} is no file or directory below the project {project}");
        CliError::new("usage", exit::USAGE, message)
            .hint("a relative path counts from the working directory, or from that of `-C`")
    };
    // The directory may be reached by another way, and the file may not be there.
    let above = absolute
        .parent()
        .and_then(|above| above.canonicalize().ok());
    let real = match (above, absolute.file_name()) {
        (Some(above), Some(name)) => above.join(name),
        _ => absolute.clone(),
    };
    let relative = real
        .strip_prefix(&located.directory)
        .map_err(|_| outside())?;
    let path = TreePath::new(relative.as_os_str().as_bytes()).map_err(|_| outside())?;
    if path.is_root() {
        Err(outside())
    } else {
        Ok(path)
    }
}

fn effect(service: &Service, path: &TreePath, counts: bool) -> Effect {
    let says = |does: String, by: Option<&str>| Effect {
        service: service.declared().to_owned(),
        does,
        by: by.map(str::to_owned),
    };
    if !counts {
        return says("nothing".to_owned(), None);
    }
    if service.watch.is_auto() {
        let does = format!("restart, if {} has read it", service.declared());
        return says(does, Some("auto"));
    }
    let does = match service.watch.action(path.as_bytes()) {
        None => "nothing".to_owned(),
        Some(WatchAction::Restart) => "restart".to_owned(),
        Some(WatchAction::Signal(signal)) => format!("signal {signal}"),
        Some(WatchAction::Exec(command)) => format!("exec {command}"),
        Some(WatchAction::None) => "nothing".to_owned(),
    };
    says(does, service.watch.matched_by(path.as_bytes()))
}

fn object(effect: &Effect) -> Value {
    json!({"name": effect.service, "does": effect.does, "by": effect.by})
}

fn row(effect: &Effect) -> Vec<Cell> {
    let does = if effect.does == "nothing" {
        Cell::tinted("nothing", Tint::Dim)
    } else {
        Cell::new(&effect.does)
    };
    vec![
        Cell::new(&effect.service),
        does,
        Cell::maybe(effect.by.as_ref()),
    ]
}
