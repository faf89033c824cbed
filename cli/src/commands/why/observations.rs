//! What a step observed, out of the stored trace that its last result stands on.

use hd_actors::model::instance::InstancePaths;
use hd_actors::model::report::StepReport;
use hd_actors::step_runner::reason::shown;
use hd_actors::step_runner::traces::StepTraces;
use hd_dag::TreePath;
use hd_dag::trace::{Observed, Seen, Trace};
use hd_store::{Id, NodeKind, Store};
use serde_json::{Map, Value, json};

use crate::error::{CliError, exit};

/// Gives the steps with an array `observations` each; null where the trace is gone.
pub(super) fn of_steps(paths: &InstancePaths, steps: &[&StepReport]) -> Result<Value, CliError> {
    let failed = |e: &dyn std::fmt::Display| {
        CliError::new("store", exit::INTERNAL, e).at(paths.cas().display().to_string())
    };
    let traces = StepTraces::load(paths);
    let workdir: TreePath = traces.workdir.parse().unwrap_or_default();
    let store = Store::open(&paths.cas()).map_err(|e| failed(&e))?;
    let mut all = Vec::new();
    for step in steps {
        let trace = traces.traces.get(&step.name);
        let observations = trace.and_then(|id| read(&store, id));
        let mut step = serde_json::to_value(step).map_err(|e| failed(&e))?;
        step["observations"] = observations.map_or(Value::Null, |trace| list(&trace, &workdir));
        all.push(step);
    }
    Ok(Value::Array(all))
}

/// Names the steps whose last result observed a path of the project, in order; `None` when nothing is known
/// of any step.
pub(in crate::commands) fn observers(
    paths: &InstancePaths,
    path: &TreePath,
) -> Result<Option<Vec<String>>, CliError> {
    let traces = StepTraces::load(paths);
    if traces.traces.is_empty() {
        return Ok(None);
    }
    let store = Store::open(&paths.cas()).map_err(|e| {
        CliError::new("store", exit::INTERNAL, e).at(paths.cas().display().to_string())
    })?;
    let workdir: TreePath = traces.workdir.parse().unwrap_or_default();
    let inside = workdir.join_path(path);
    let known = traces
        .traces
        .iter()
        .filter_map(|(name, id)| Some((name, read(&store, id)?)));
    let mut names: Vec<String> = known
        .filter(|(_, trace)| trace.iter().any(|(observed, _)| *observed == inside))
        .map(|(name, _)| name.clone())
        .collect();
    names.sort_by_key(|name| (name.len(), name.clone()));
    Ok(Some(names))
}

/// A trace may have been collected, or the step failed: then nothing is known of it.
fn read(store: &Store, id: &Id) -> Option<Trace> {
    let bytes = store.read_node(NodeKind::Trace, id).ok()?;
    Trace::decode(&bytes).ok()
}

fn list(trace: &Trace, workdir: &TreePath) -> Value {
    let of_path = |(path, observed): (&TreePath, &Observed)| {
        let mut object = Map::new();
        object.insert("path".to_owned(), shown(path, workdir).into());
        if let Some(seen) = observed.lookup.as_ref() {
            let (found, id) = found(seen);
            object.insert("found".to_owned(), found.into());
            object.extend(id.map(|id| ("id".to_owned(), json!(id.to_string()))));
        }
        let names = observed.list.map(|id| id.to_string());
        object.extend(names.map(|id| ("names".to_owned(), json!(id))));
        Value::Object(object)
    };
    trace.iter().map(of_path).collect()
}

/// The kind of what a lookup found, and its id where it has one.
fn found(seen: &Seen) -> (&'static str, Option<Id>) {
    match seen {
        Seen::Absent => ("absent", None),
        Seen::Dir { .. } => ("dir", None),
        Seen::Entry { id } => ("entry", Some(*id)),
        Seen::HostAbsent => ("host_absent", None),
        Seen::HostDir { .. } => ("host_dir", None),
        Seen::HostFile { .. } => ("host_file", None),
    }
}

#[cfg(test)]
mod tests {
    use hd_dag::trace::Observation;

    use super::*;

    #[test]
    fn an_observation_names_its_path_and_what_was_there() {
        let path = |text: &str| TreePath::new(text.as_bytes()).unwrap();
        let id = Id::of(b"x");
        let mut trace = Trace::new();
        trace.record(path("workspace/a"), Observation::Lookup(Seen::Entry { id }));
        trace.record(path("workspace"), Observation::List(id));
        trace.record(path("etc/pip.conf"), Observation::Lookup(Seen::HostAbsent));
        let expected = json!([
            {"path": "/etc/pip.conf", "found": "host_absent"},
            {"path": ".", "names": id.to_string()},
            {"path": "a", "found": "entry", "id": id.to_string()},
        ]);
        assert_eq!(list(&trace, &path("workspace")), expected);
    }
}
