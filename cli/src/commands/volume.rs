//! `hd volume ls` and `hd volume rm`; and what `hd down -v` removes.

use hd_actors::hold::Hold;
use hd_actors::model::instance::InstancePaths;
use hd_actors::model::volumes::Volumes;
use hd_config::Project;
use serde_json::json;

use super::up::user;
use crate::args::{Place, VolumeRmArgs, VolumeVerb};
use crate::error::{CliError, Outcome, exit};
use crate::holder;
use crate::leftovers;
use crate::output::Output;
use crate::output::table::{Cell, table};
use crate::project::{self, Located, shown};
use crate::verbs::nearest;

pub(crate) fn run(verb: VolumeVerb, outer: Place, output: Output) -> Outcome {
    match verb {
        VolumeVerb::Ls(args) => list(&project::locate(&args.place.or(outer), None)?, output),
        VolumeVerb::Rm(mut args) => {
            let place = std::mem::take(&mut args.place).or(outer);
            rm(&args, &project::locate(&place, None)?, output)
        }
    }
}

fn names(paths: &InstancePaths) -> Result<Vec<String>, CliError> {
    let dir = paths.volumes();
    let listed = Volumes::new(dir.clone()).names();
    listed.map_err(|e| CliError::io("list", &dir, &e))
}

fn list(located: &Located, output: Output) -> Outcome {
    let (names, paths) = (names(&located.paths)?, &located.paths);
    let volumes = Volumes::new(paths.volumes());
    // A file that is invalid now is no reason to hide what there is.
    let project = located.load().ok().map(|loaded| loaded.project);
    let users = |name: &str| {
        project
            .as_ref()
            .map_or_else(Vec::new, |one| users(one, name))
    };
    if output.json {
        let volume = |name: &String| json!({"name": name, "path": volumes.path(name), "services": users(name)});
        let all: Vec<_> = names.iter().map(volume).collect();
        output.value(&json!({"schema": 1, "volumes": all}))?;
    } else if names.is_empty() {
        output.talk("there are no volumes: a service that names one makes it");
    } else {
        let row = |name: &String| {
            let path = volumes.path(name).display().to_string();
            vec![
                Cell::new(name),
                Cell::new(users(name).join(", ")),
                Cell::new(path),
            ]
        };
        let rows: Vec<Vec<Cell>> = names.iter().map(row).collect();
        output.data(&table(&["NAME", "SERVICES", "PATH"], &rows, output.out))?;
    }
    Ok(0)
}

fn users(project: &Project, name: &str) -> Vec<String> {
    let uses = |one: &&hd_config::Service| one.volumes.iter().any(|v| v.name() == Some(name));
    let services = project.services.iter().filter(uses);
    services.map(|one| one.name.clone()).collect()
}

fn rm(args: &VolumeRmArgs, located: &Located, output: Output) -> Outcome {
    let known = names(&located.paths)?;
    for name in &args.names {
        if !known.contains(name) {
            let near = nearest(name, known.iter().map(String::as_str));
            let message = format!("there is no volume `{name}`");
            let error = CliError::new("usage", exit::USAGE, message);
            return Err(error.hint(near.map_or_else(
                || "`hd volume ls` lists them".to_owned(),
                |near| format!("did you mean `{near}`?"),
            )));
        }
    }
    if leftovers::find(located)?.is_some() {
        return Err(running(located));
    }
    let wanted = if args.all { known } else { args.names.clone() };
    let removed = remove(located, &wanted)?;
    if output.json {
        output.value(&json!({"schema": 1, "removed": removed}))?;
    } else {
        output.talk(&told(&removed));
    }
    Ok(0)
}

/// Says what became of volumes.
pub(super) fn told(removed: &[String]) -> String {
    match removed {
        [] => "there are no volumes".to_owned(),
        [one] => format!("removed the volume {one}"),
        many => format!("removed the volumes {}", many.join(", ")),
    }
}

/// Removes all volumes of an instance that does not run; answers their names.
pub(super) fn remove_all(located: &Located) -> Result<Vec<String>, CliError> {
    remove(located, &names(&located.paths)?)
}

fn remove(located: &Located, wanted: &[String]) -> Result<Vec<String>, CliError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    // Services of an image may have left files of its other users in them.
    user::become_root_inside()?;
    let held = Hold::of(&located.paths);
    let held = held.map_err(|e| CliError::io("lock", &located.paths.lock(), &e))?;
    let _held = held.ok_or_else(|| holder::busy(located))?;
    let volumes = Volumes::new(located.paths.volumes());
    for name in wanted {
        let removed = volumes.remove(name);
        removed.map_err(|e| CliError::io("remove", &volumes.path(name), &e))?;
    }
    Ok(wanted.to_vec())
}

fn running(located: &Located) -> CliError {
    CliError::new("running", exit::USAGE, "hd runs this project")
        .at(shown(&located.directory))
        .hint("`hd down -v` ends it and removes its volumes")
}
