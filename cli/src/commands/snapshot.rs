//! `hd snapshot` and `hd restore`: what services wrote, kept by name.

use hd_actors::control::protocol::{Reply, Request};
use hd_actors::model::snapshot::{Layer, Snapshot};
use serde_json::{Value, json};

use super::cas;
use crate::args::{Place, RestoreArgs, SnapshotArgs, SnapshotRmArgs, SnapshotVerb};
use crate::client::{not_running, unexpected};
use crate::error::{CliError, Outcome, exit};
use crate::leftovers;
use crate::output::Output;
use crate::output::human::{ago, bytes, plural};
use crate::output::table::{Cell, table};
use crate::project::{self, Located};
use crate::verbs::nearest;

pub(crate) fn run(args: SnapshotArgs, outer: Place, output: Output) -> Outcome {
    let place = args.place.or(outer);
    match args.verb {
        Some(SnapshotVerb::Ls(args)) => {
            list(&project::locate(&args.place.or(place), None)?, output)
        }
        Some(SnapshotVerb::Rm(mut args)) => {
            let place = std::mem::take(&mut args.place).or(place);
            remove(&args, &project::locate(&place, None)?, output)
        }
        None => take(
            args.name.unwrap_or_default(),
            args.services,
            &project::locate(&place, None)?,
            output,
        ),
    }
}

fn take(name: String, names: Vec<String>, located: &Located, output: Output) -> Outcome {
    let snapshot = ask(located, &Request::Snapshot { name, names })?;
    tell(&snapshot, "kept", output)
}

/// Puts a snapshot in the place of what services wrote.
pub(crate) fn restore(args: RestoreArgs, outer: Place, output: Output) -> Outcome {
    let located = project::locate(&args.place.or(outer), None)?;
    let request = Request::Restore {
        name: args.name,
        names: args.services,
    };
    let snapshot = ask(&located, &request)?;
    tell(&snapshot, "brought back", output)
}

fn ask(located: &Located, request: &Request) -> Result<Snapshot, CliError> {
    let client = leftovers::find(located)?.ok_or_else(|| not_running(&located.title()))?;
    match client.ask(request, None)? {
        Reply::Snapshot { snapshot } => Ok(*snapshot),
        other => Err(unexpected(&other)),
    }
}

fn tell(snapshot: &Snapshot, done: &str, output: Output) -> Outcome {
    if output.json {
        output.value(&json!({ "schema": 1, "snapshot": value(snapshot) }))?;
    } else {
        let volumes = snapshot.volumes.iter();
        let volumes = volumes.map(|(name, layer)| (format!("the volume {name}"), layer));
        let services = snapshot.services.iter();
        let services = services.map(|(name, layer)| (name.clone(), layer));
        for (what, layer) in services.chain(volumes) {
            output.talk(&format!("{what}: {} {done}", size(layer)));
        }
    }
    Ok(0)
}

fn size(layer: &Layer) -> String {
    let files = plural(layer.entries, "path");
    format!("{files}, {}", bytes(layer.bytes))
}

fn value(snapshot: &Snapshot) -> Value {
    let layers = |all: &std::collections::BTreeMap<String, Layer>| -> Value {
        let one = |(name, layer): (&String, &Layer)| {
            let said = json!({ "entries": layer.entries, "bytes": layer.bytes, "tree": layer.content.tree.to_string() });
            (name.clone(), said)
        };
        all.iter()
            .map(one)
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    json!({
        "name": snapshot.name,
        "at_unix_ms": snapshot.at_unix_ms,
        "services": layers(&snapshot.services),
        "volumes": layers(&snapshot.volumes),
    })
}

fn list(located: &Located, output: Output) -> Outcome {
    let all = Snapshot::all(&located.paths)?;
    if output.json {
        let all: Vec<Value> = all.iter().map(value).collect();
        output.value(&json!({ "schema": 1, "snapshots": all }))?;
    } else if all.is_empty() {
        output.talk("there are no snapshots: `hd snapshot NAME` takes one");
    } else {
        let row = |one: &Snapshot| {
            let names = |all: &std::collections::BTreeMap<String, Layer>| {
                let names: Vec<&str> = all.keys().map(String::as_str).collect();
                names.join(", ")
            };
            let layers = one.services.values().chain(one.volumes.values());
            vec![
                Cell::new(&one.name),
                Cell::new(ago(one.at_unix_ms)),
                Cell::new(bytes(layers.map(|layer| layer.bytes).sum())),
                Cell::new(names(&one.services)),
                Cell::new(names(&one.volumes)),
            ]
        };
        let rows: Vec<Vec<Cell>> = all.iter().map(row).collect();
        let titles = ["NAME", "TAKEN", "SIZE", "SERVICES", "VOLUMES"];
        output.data(&table(&titles, &rows, output.out))?;
    }
    Ok(0)
}

fn remove(args: &SnapshotRmArgs, located: &Located, output: Output) -> Outcome {
    let paths = &located.paths;
    let known: Vec<String> = match args.all {
        // One that cannot be read is removed by its name.
        false => args.names.clone(),
        true => Snapshot::all(paths)?
            .into_iter()
            .map(|one| one.name)
            .collect(),
    };
    for name in &known {
        if !Snapshot::is_name(name) || !paths.snapshot(name).exists() {
            return Err(unknown(name, located));
        }
    }
    let store = cas::open()?;
    for name in &known {
        Snapshot::remove(&store, paths, name)?;
    }
    if output.json {
        output.value(&json!({ "schema": 1, "removed": known }))?;
    } else {
        output.talk(&match known.as_slice() {
            [] => "there are no snapshots".to_owned(),
            known => format!(
                "removed {}; `hd cas gc` gives the room back",
                known.join(", ")
            ),
        });
    }
    Ok(0)
}

fn unknown(name: &str, located: &Located) -> CliError {
    let all = Snapshot::all(&located.paths).unwrap_or_default();
    let near = nearest(name, all.iter().map(|one| one.name.as_str()));
    let error = CliError::new(
        "usage",
        exit::USAGE,
        format!("there is no snapshot `{name}`"),
    );
    error.hint(near.map_or_else(
        || "`hd snapshot ls` lists them".to_owned(),
        |near| format!("did you mean `{near}`?"),
    ))
}
