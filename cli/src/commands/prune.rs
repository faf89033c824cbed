//! `hd prune`: gives room back, by project, age or size.

use std::collections::BTreeSet;
use std::path::Path;

use hd_actors::chunk_store::prune::{Pruned, Wish, gone, prune, unused};
use hd_actors::model::instances::Instance;
use hd_actors::model::report::Report;
use hd_config::{duration, size};
use serde_json::json;

use super::cas;
use super::up::user;
use crate::args::PruneArgs;
use crate::error::{CliError, Outcome, exit};
use crate::leftovers;
use crate::output::Output;
use crate::project;

/// Removes projects that are gone, what is asked for, and what nothing needs then.
pub(crate) fn run(args: &PruneArgs, output: Output) -> Outcome {
    let home = project::home()?;
    let listed = |e: std::io::Error| CliError::io("list", &home.join("instances"), &e);
    let mut wish = wish(args)?;
    let all = Instance::all(&home).map_err(listed)?;
    for word in &args.projects {
        wish.projects.extend(named(&all, word)?);
    }
    let mut kept = Vec::new();
    if args.projects.is_empty() {
        let (free, precious) = gone(&home).map_err(listed)?;
        wish.projects.extend(free);
        kept = precious;
    }
    // Steps of an image may have left files of its other users in their caches.
    user::become_root_inside()?;
    let store = cas::open()?;
    if let Some(unused_for) = wish.unused_for {
        wish.projects.extend(unused(&store, &home, unused_for)?);
    }
    let mut failed = None;
    if !args.dry_run {
        // What is forgotten of a killed one says what it left: mount points, control groups, processes.
        wish.projects.retain(|one| {
            let swept = leftovers::sweep(&one.paths, &one.project);
            // One that is not rid of that is kept, and no reason to keep the others.
            let error = swept.err();
            let is_swept = error.is_none();
            failed = failed.take().or(error);
            is_swept
        });
    }
    let pruned = prune(&store, &home, wish)?;
    if output.json {
        output.value(&object(&pruned, &kept, args.dry_run))?;
    } else {
        output.data(&text(&pruned, args.dry_run, output))?;
        let places: BTreeSet<String> = kept.iter().map(place).collect();
        places.iter().for_each(|place| output.talk(&spared(place)));
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(0),
    }
}

fn wish(args: &PruneArgs) -> Result<Wish, CliError> {
    let usage = |flag: &str, why: String, example: &str| {
        CliError::new("usage", exit::USAGE, format!("{flag}: {why}")).hint(example)
    };
    let unused_for = args.older_than.as_deref().map(|text| {
        let example = "--older-than 30d, --older-than 12h";
        duration::parse(text).map_err(|e| usage("--older-than", e.to_string(), example))
    });
    let max_bytes = args.max_size.as_deref().map(|text| {
        let example = "--max-size 5GiB, --max-size 500MB";
        size::parse(text).map_err(|e| usage("--max-size", e.to_string(), example))
    });
    Ok(Wish {
        unused_for: unused_for.transpose()?,
        max_bytes: max_bytes.transpose()?,
        dry_run: args.dry_run,
        wait: cas::WAIT,
        ..Wish::default()
    })
}

/// The instances meant by a directory, an id or the name of an environment.
fn named(all: &[Instance], word: &str) -> Result<Vec<Instance>, CliError> {
    let directory = std::path::absolute(word).unwrap_or_else(|_| word.into());
    let directory = directory.canonicalize().unwrap_or(directory);
    let is_meant = |one: &&Instance| {
        one.project == directory || one.paths.id() == word || name_of(one).as_deref() == Some(word)
    };
    let found: Vec<Instance> = all.iter().filter(is_meant).cloned().collect();
    match found.as_slice() {
        [] => Err(
            CliError::new("usage", exit::USAGE, format!("hd knows no project {word}"))
                .hint("`hd ls --all` lists them"),
        ),
        // Whoever names a directory means all of it, also what ran beside under another name.
        [first, rest @ ..] if rest.iter().all(|one| one.project == first.project) => Ok(found),
        many => {
            let places: Vec<String> = many.iter().map(place).collect();
            let message = format!("{word} may be {}", places.join(" or "));
            Err(CliError::new("usage", exit::USAGE, message).hint("name the directory"))
        }
    }
}

fn name_of(one: &Instance) -> Option<String> {
    let state = std::fs::read(one.paths.state()).ok()?;
    let report: Report = serde_json::from_slice(&state).ok()?;
    Some(report.name)
}

fn place(one: &Instance) -> String {
    Path::new(&one.project).display().to_string()
}

/// Says of a project that is gone why it is kept: it may only be moved, or not mounted.
fn spared(place: &str) -> String {
    format!(
        "kept {place}, which is gone: it has volumes or snapshots; `hd prune --project {place}` takes them"
    )
}

fn object(pruned: &Pruned, kept: &[Instance], dry_run: bool) -> serde_json::Value {
    let projects: Vec<String> = pruned.projects.iter().map(place).collect();
    let kept: Vec<String> = kept.iter().map(place).collect();
    let mut value = cas::gc_json(&pruned.gc, dry_run);
    value["projects"] = json!(projects);
    value["kept"] = json!(kept);
    value["refs_dropped"] = json!(pruned.gc.refs_dropped);
    value
}

fn text(pruned: &Pruned, dry_run: bool, output: Output) -> String {
    let verb = if dry_run { "would forget" } else { "forgot" };
    let projects = pruned.projects.iter();
    let mut text: String = projects
        .map(|one| format!("{verb} {}\n", place(one)))
        .collect();
    text.push_str(&cas::gc_text(&pruned.gc, dry_run, output.out));
    text
}
