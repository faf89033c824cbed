//! `hd status` and `hd ps`.

use hd_actors::model::report::{
    ActorState, PublishedPort, Report, SCHEMA, ServiceReport, ServiceState, StepOutcome, Used,
};
use serde_json::{Value, json};

use super::state::{self, Known};
use crate::args::Place;
use crate::error::{CliError, Outcome};
use crate::output::Output;
use crate::output::human::{bytes, ms, plural};
use crate::output::lines::{mark, word};
use crate::output::style::{Style, Tint};
use crate::output::table::{Cell, table};
use crate::project;

/// Shows everything.
pub(crate) fn status(place: &Place, output: Output) -> Outcome {
    let known = known_or_empty(place)?;
    if output.json {
        output.value(&json(&known)?)?;
    } else {
        output.data(&text(&known, output.out))?;
    }
    Ok(0)
}

/// Shows the services.
pub(crate) fn ps(place: &Place, output: Output) -> Outcome {
    let known = known_or_empty(place)?;
    if output.json {
        let services = &known.report.services;
        output.value(&json!({"schema": SCHEMA, "running": known.running, "services": services}))?;
    } else {
        let shown = if known.running {
            known.report.services.as_slice()
        } else {
            &[]
        };
        output.data(&services(shown, output.out))?;
        if !known.running {
            output.talk(&format!(
                "{} is not running; `hd up` starts it",
                known.report.name
            ));
        }
    }
    Ok(0)
}

/// A project that never ran is one with nothing to show.
fn known_or_empty(place: &Place) -> Result<Known, CliError> {
    let located = project::locate(place, None)?;
    if let Some(known) = state::known(&located)? {
        return Ok(known);
    }
    let project = located.load()?.project;
    let report = Report {
        schema: SCHEMA,
        name: project.name,
        base: project.base,
        ..Report::default()
    };
    Ok(Known {
        report,
        running: false,
    })
}

fn json(known: &Known) -> Result<Value, CliError> {
    let mut value = serde_json::to_value(&known.report)
        .map_err(|e| CliError::new("internal", crate::error::exit::INTERNAL, e))?;
    value["running"] = json!(known.running);
    Ok(value)
}

fn text(known: &Known, style: Style) -> String {
    let report = &known.report;
    let label = match (known.running, report.ending) {
        (true, false) => style.paint(Tint::Good, "running"),
        (true, true) => style.paint(Tint::Warn, "ending"),
        (false, _) => style.paint(Tint::Warn, "not running (as it was last)"),
    };
    let or_none = |id: &Option<String>| id.clone().unwrap_or_else(|| "none yet".to_owned());
    let mut out = format!("{}  {label}\n", style.paint(Tint::Bold, &report.name));
    out.push_str(&format!(
        "base   {}\n",
        report
            .base
            .as_deref()
            .unwrap_or("this machine's own system")
    ));
    out.push_str(&format!(
        "root   {}\nview   {}\n",
        or_none(&report.root),
        or_none(&report.view)
    ));
    out.push_str(&format!(
        "files  {}, {}\n",
        plural(report.files, "file"),
        bytes(report.bytes)
    ));
    if let Some(watching) = &report.watching {
        let waiting = match watching.waiting {
            Some(count) => format!("{} held back", plural(count, "path")),
            None => "everything will be looked at".to_owned(),
        };
        let paused = style.paint(Tint::Warn, "paused");
        out.push_str(&format!(
            "watch  {paused}, {waiting}; `hd watch resume` goes on\n"
        ));
    }
    if let Some(error) = &report.error {
        let place = if error.place.is_empty() {
            String::new()
        } else {
            format!("{}: ", error.place)
        };
        out.push_str(&format!(
            "{}  {place}{}\n",
            style.paint(Tint::Bad, "error"),
            error.message
        ));
    }
    if !report.steps.is_empty() {
        out.push('\n');
        out.push_str(&steps(report, style));
    }
    // What only built has started none: "waiting" would be for nothing.
    let has_run = |one: &ServiceReport| known.running || one.state != ServiceState::Waiting;
    let listed: Vec<ServiceReport> = report
        .services
        .iter()
        .filter(|one| has_run(one))
        .cloned()
        .collect();
    if !listed.is_empty() {
        out.push('\n');
        out.push_str(&services(&listed, style));
        for words in report
            .services
            .iter()
            .filter_map(|one| one.suspended.as_ref())
        {
            let mark = style.paint(Tint::Warn, "suspended");
            out.push_str(&format!("{mark}  {words}\n"));
        }
    }
    if let Some(line) = actors(report, style) {
        out.push('\n');
        out.push_str(&line);
    }
    out
}

fn steps(report: &Report, style: Style) -> String {
    let row = |step: &hd_actors::model::report::StepReport| {
        let (word, tint) = match step.result {
            StepOutcome::Ran => ("ran", Tint::Good),
            StepOutcome::Kept => ("kept", Tint::Dim),
            StepOutcome::Failed => ("failed", Tint::Bad),
        };
        let cells = [
            Cell::new(&step.name),
            Cell::new(&step.slug),
            Cell::tinted(word, tint),
        ];
        cells
            .into_iter()
            .chain([Cell::new(ms(step.ms)), Cell::new(&step.reason)])
            .collect()
    };
    let rows: Vec<Vec<Cell>> = report.steps.iter().map(row).collect();
    table(&["STEP", "NAME", "RESULT", "TIME", "WHY"], &rows, style)
}

fn services(services: &[ServiceReport], style: Style) -> String {
    let row = |service: &ServiceReport| {
        let tint = match service.state {
            ServiceState::Ready => Tint::Good,
            ServiceState::Failed => Tint::Bad,
            ServiceState::Backoff => Tint::Warn,
            ServiceState::Starting => Tint::Name,
            ServiceState::Waiting | ServiceState::Stopping | ServiceState::Exited => Tint::Dim,
        };
        let state = format!(
            "{} {}",
            mark(service.state, Style::new(false)),
            word(service.state)
        );
        let restarts = service.restarts;
        vec![
            Cell::new(&service.name),
            Cell::tinted(state, tint),
            Cell::maybe(service.pid),
            ports(service),
            Cell::new(format!(
                "{} crash, {} watch",
                restarts.crash, restarts.watch
            )),
            used(service),
            Cell::new(&service.reason),
        ]
    };
    let mut rows: Vec<Vec<Cell>> = services.iter().map(row).collect();
    let mut heads = vec!["SERVICE", "STATE", "PID", "PORT", "RESTARTS", "USES", "WHY"];
    if services.iter().all(|one| one.resources.is_none()) {
        heads.remove(5);
        for row in &mut rows {
            row.remove(5);
        }
    }
    table(&heads, &rows, style)
}

/// What it uses of what it is limited to.
fn used(service: &ServiceReport) -> Cell {
    let of = service.resources.unwrap_or_default();
    let text = |used: Used, text: &dyn Fn(u64) -> String| {
        let now = used.used.map_or("?".to_owned(), text);
        format!("{now}/{}", text(used.limit))
    };
    let memory = of.memory.map(|used| text(used, &bytes));
    let pids = of
        .pids
        .map(|used| text(used, &|count| count.to_string()) + " pids");
    let all: Vec<String> = memory.into_iter().chain(pids).collect();
    Cell::maybe((!all.is_empty()).then(|| all.join(", ")))
}

/// Where it listens; of an isolated service, where it is reached too.
fn ports(service: &ServiceReport) -> Cell {
    if service.published.is_empty() {
        return Cell::maybe(service.port);
    }
    let one = |one: &PublishedPort| format!("{}→{}", one.port, one.target);
    let all: Vec<String> = service.published.iter().map(one).collect();
    Cell::new(all.join(" "))
}

/// All actors in one line, those in trouble by name.
fn actors(report: &Report, style: Style) -> Option<String> {
    // While it ends, one after the other is gone as it should be.
    let actors = report.actors.as_ref().filter(|_| !report.ending)?;
    let of = |state| actors.iter().filter(move |actor| actor.state == state);
    let mut line = format!("actors  {} alive", of(ActorState::Alive).count());
    for (state, word, tint) in [
        (ActorState::Busy, "busy", Tint::Warn),
        (ActorState::Dead, "dead", Tint::Bad),
    ] {
        for actor in of(state) {
            line.push_str(&format!(", {} {}", actor.name, style.paint(tint, word)));
        }
    }
    let restarts: u64 = actors.iter().map(|actor| actor.restarts).sum();
    if restarts > 0 {
        line.push_str(&format!(", {}", plural(restarts, "restart")));
    }
    line.push('\n');
    Some(line)
}

#[cfg(test)]
mod tests {
    use hd_actors::model::report::{ActorReport, Restarts, StepReport};

    use super::*;

    fn report() -> Report {
        Report {
            schema: SCHEMA,
            name: "demo".to_owned(),
            root: Some("3f".repeat(32)),
            files: 4,
            bytes: 34_100,
            steps: vec![StepReport {
                name: "step-1".to_owned(),
                result: StepOutcome::Kept,
                ms: 0.1,
                reason: "nothing it read changed".to_owned(),
                slug: "npm-ci".to_owned(),
                command: "npm ci".to_owned(),
            }],
            services: vec![ServiceReport {
                name: "web".to_owned(),
                state: ServiceState::Ready,
                pid: Some(42),
                restarts: Restarts { crash: 1, watch: 2 },
                ..ServiceReport::default()
            }],
            actors: Some(vec![ActorReport {
                name: "watcher".to_owned(),
                state: ActorState::Busy,
                restarts: 1,
                queued: 0,
            }]),
            ..Report::default()
        }
    }

    #[test]
    fn a_status_reads_like_this() {
        let shown = text(
            &Known {
                report: report(),
                running: true,
            },
            Style::new(false),
        );
        let expected = format!(
            "demo  running\n\
             base   this machine's own system\n\
             root   {}\n\
             view   none yet\n\
             files  4 files, 34.1 kB\n\
             \n\
             STEP    NAME    RESULT  TIME    WHY\n\
             step-1  npm-ci  kept    0.1 ms  nothing it read changed\n\
             \n\
             SERVICE  STATE    PID  PORT  RESTARTS          WHY\n\
             web      ● ready  42   -     1 crash, 2 watch\n\
             \n\
             actors  0 alive, watcher busy, 1 restart\n",
            "3f".repeat(32)
        );
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_json_says_whether_it_runs() {
        let value = json(&Known {
            report: report(),
            running: false,
        })
        .unwrap();
        assert_eq!(
            (value["running"].as_bool(), value["schema"].as_u64()),
            (Some(false), Some(1))
        );
        assert_eq!(value["services"][0]["state"], "ready");
    }
}
