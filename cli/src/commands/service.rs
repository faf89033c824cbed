//! `hd start`, `hd stop`, `hd restart`, `hd scale`.

use std::collections::BTreeMap;

use hd_actors::control::protocol::{Request, ServiceAction};
use serde_json::json;

use crate::args::{Place, ScaleArgs, ServicesArgs};
use crate::client::not_running;
use crate::error::Outcome;
use crate::leftovers;
use crate::output::Output;
use crate::project;

/// Starts services that do not run.
pub(crate) fn start(args: ServicesArgs, outer: Place, output: Output) -> Outcome {
    act(args, outer, output, ServiceAction::Start, "started")
}

/// Stops services.
pub(crate) fn stop(args: ServicesArgs, outer: Place, output: Output) -> Outcome {
    act(args, outer, output, ServiceAction::Stop, "stopped")
}

/// Stops services and starts them again.
pub(crate) fn restart(args: ServicesArgs, outer: Place, output: Output) -> Outcome {
    act(args, outer, output, ServiceAction::Restart, "restarted")
}

/// Runs so many replicas.
pub(crate) fn scale(args: ScaleArgs, outer: Place, output: Output) -> Outcome {
    let located = project::locate(&args.place.or(outer), None)?;
    let client = leftovers::find(&located)?.ok_or_else(|| not_running(&located.title()))?;
    let services: BTreeMap<String, u32> = args.counts.into_iter().collect();
    let told = services
        .iter()
        .map(|(name, count)| format!("{name}: {count}"));
    let told = told.collect::<Vec<_>>().join(", ");
    let request = Request::Scale {
        services: services.clone(),
    };
    client.done(&request, false)?;
    if output.json {
        output.value(&json!({"schema": 1, "replicas": services}))?;
    } else {
        output.talk(&told);
    }
    Ok(0)
}

fn act(
    args: ServicesArgs,
    outer: Place,
    output: Output,
    action: ServiceAction,
    done: &str,
) -> Outcome {
    let located = project::locate(&args.place.or(outer), None)?;
    let client = leftovers::find(&located)?.ok_or_else(|| not_running(&located.title()))?;
    let names = args.services;
    client.done(
        &Request::Service {
            action,
            names: names.clone(),
        },
        false,
    )?;
    if output.json {
        output.value(&json!({"schema": 1, "services": names}))?;
    } else {
        let what = if names.is_empty() {
            "all services".to_owned()
        } else {
            names.join(", ")
        };
        output.talk(&format!("{what}: {done}"));
    }
    Ok(0)
}
