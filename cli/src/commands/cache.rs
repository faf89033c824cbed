//! `hd cache ls` and `hd cache rm`.

use std::collections::BTreeSet;

use hd_actors::step_runner::kept::KeptStates;
use hd_actors::step_runner::kept_name::KeptName;
use serde_json::json;

use crate::args::{CacheRmArgs, CacheVerb, Place};
use crate::error::{CliError, Outcome, exit};
use crate::output::Output;
use crate::output::table::{Cell, table};
use crate::project::{self, Located};
use crate::verbs::nearest;

pub(crate) fn run(verb: CacheVerb, outer: Place, output: Output) -> Outcome {
    match verb {
        CacheVerb::Ls(args) => list(&project::locate(&args.place.or(outer), None)?, output),
        CacheVerb::Rm(mut args) => {
            let place = std::mem::take(&mut args.place).or(outer);
            wipe(&args, &project::locate(&place, None)?, output)
        }
    }
}

fn list(located: &Located, output: Output) -> Outcome {
    let kept = KeptStates::load(&located.paths);
    let names: Vec<&KeptName> = kept.names().collect();
    if output.json {
        let caches = names
            .iter()
            .map(|name| json!({ "name": name.called(), "step": name.step() }));
        output.value(&json!({ "schema": 1, "caches": caches.collect::<Vec<_>>() }))?;
    } else if names.is_empty() {
        output.talk("nothing is kept: no step with a cache has run");
    } else {
        let rows: Vec<Vec<Cell>> = names
            .iter()
            .map(|name| {
                let of = name.step().map_or("all steps that name it", |step| step);
                vec![Cell::new(name.called()), Cell::new(of)]
            })
            .collect();
        output.data(&table(&["NAME", "OF"], &rows, output.out))?;
    }
    Ok(0)
}

fn wipe(args: &CacheRmArgs, located: &Located, output: Output) -> Outcome {
    let mut kept = KeptStates::load(&located.paths);
    let all: Vec<KeptName> = kept.names().cloned().collect();
    let mut wiped = Vec::new();
    for name in &args.names {
        let named = || all.iter().filter(|kept| kept.called() == name);
        if named().next().is_none() && !is_declared(name, located)? {
            return Err(unknown(name, &all));
        }
        wiped.extend(named().cloned());
    }
    if args.all {
        wiped = all;
    }
    wiped.retain(|name| kept.forget(name));
    kept.save(&located.paths)?;
    // Several steps may have kept a directory of one name.
    let names: BTreeSet<&str> = wiped.iter().map(KeptName::called).collect();
    if output.json {
        output.value(&json!({ "schema": 1, "wiped": names }))?;
    } else if names.is_empty() {
        output.talk("nothing was kept there");
    } else {
        let names: Vec<&str> = names.into_iter().collect();
        output.talk(&format!(
            "wiped {}; `hd cas gc` gives the disk back",
            names.join(", ")
        ));
    }
    Ok(0)
}

/// Tells whether the hd.toml says so: then nothing is kept there yet. What is kept needs no hd.toml to be wiped.
fn is_declared(name: &str, located: &Located) -> Result<bool, CliError> {
    let declared = located.load()?.project;
    let is_cache = declared.caches.iter().any(|cache| cache.name == name);
    Ok(is_cache || declared.cache.iter().any(|dir| dir == name))
}

fn unknown(name: &str, all: &[KeptName]) -> CliError {
    let message = format!("there is no cache `{name}`");
    let error = CliError::new("usage", exit::USAGE, message);
    error.hint(match nearest(name, all.iter().map(KeptName::called)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`hd cache ls` lists them".to_owned(),
    })
}
