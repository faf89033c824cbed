//! `hd build`: `hd up --once`, with steps that are to run in any case, and their outputs as files.

use std::path::Path;
use std::time::Instant;

use hd_actors::export::outputs::{Written, write_out};
use hd_actors::runtime::Mode;
use hd_dag::TreePath;
use serde_json::json;

use super::up::{self, Plan, foreground};
use crate::args::BuildArgs;
use crate::error::{CliError, Outcome, exit};
use crate::output::human::{bytes, plural};
use crate::output::{Output, Scope};
use crate::project;
use crate::turn;

/// Kept paths that are named; of more only the number is told.
const NAMED: usize = 10;

/// Builds and exits.
pub(crate) fn run(args: BuildArgs, output: Output, started: Instant) -> Outcome {
    let located = project::locate(&args.place, args.path.as_deref())?;
    let plan = Plan {
        located,
        base: args.base,
        jobs: args.jobs,
        services: Vec::new(),
        started,
    };
    match args.export {
        Some(paths) => export(&plan, args.rerun, &paths, output),
        None => up::once(&plan, args.rerun, output),
    }
}

fn export(plan: &Plan, rerun: Vec<String>, paths: &[String], output: Output) -> Outcome {
    let wanted = paths.iter().map(|path| relative(path));
    let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
    let hold = turn::take_alone(&plan.located, output, "`hd down` ends it; then export")?;
    let mode = Mode::Once { rerun };
    let work = |running| write_out(running, &wanted);
    let (done, signal) = foreground::run_with(plan, hold, mode, output, Scope::All, work)?;
    match done {
        Ok((written, _)) => tell(&written, output),
        Err(ended) => foreground::conclude(ended.report, ended.exit, signal.exit(), output),
    }
}

/// A path of the project as a person writes it, `./dist/` too.
fn relative(path: &str) -> Result<TreePath, CliError> {
    let parts = Path::new(path).components();
    let parts = parts.filter(|part| !matches!(part, std::path::Component::CurDir));
    let clean: std::path::PathBuf = parts.collect();
    let found = TreePath::new(clean.as_os_str().as_encoded_bytes()).ok();
    found.filter(|path| !path.is_root()).ok_or_else(|| {
        let message = format!("--export={path}: wanted is a path below the project");
        CliError::new("usage", exit::USAGE, message)
    })
}

fn tell(written: &Written, output: Output) -> Outcome {
    let Written {
        written: count,
        bytes: size,
        same,
        removed,
        kept,
        left_out,
    } = written;
    if output.json {
        output.value(
            &json!({ "schema": 1, "written": count, "bytes": size, "same": same, "removed": removed, "kept": kept, "left_out": left_out }),
        )?;
        return Ok(0);
    }
    let files = plural(*count, "file");
    output.talk(&format!(
        "{files} written, {}; {same} were the same",
        bytes(*size)
    ));
    if *removed > 0 {
        let files = plural(*removed, "file");
        output.talk(&format!("{files} removed that no step makes any more"));
    }
    if !kept.is_empty() {
        output.talk(&format!(
            "left as they are, because they are your own: {}",
            named(kept)
        ));
    }
    if !left_out.is_empty() {
        output.talk(&format!(
            "never written, because git and hd do what it says: {}",
            named(left_out)
        ));
    }
    Ok(0)
}

fn named(paths: &[String]) -> String {
    let more = paths.len().saturating_sub(NAMED);
    let mut text = paths[..paths.len() - more].join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
