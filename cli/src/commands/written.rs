//! `hd diff` and `hd reset`: the write layers of services.

use hd_actors::control::protocol::{Reply, Request};
use hd_actors::mount_server::written::Written;
use serde_json::json;

use crate::args::{Place, ServicesArgs};
use crate::client::{not_running, unexpected};
use crate::error::Outcome;
use crate::leftovers;
use crate::output::Output;
use crate::output::style::Tint;
use crate::project;

/// Lists what services wrote.
pub(crate) fn diff(args: ServicesArgs, outer: Place, output: Output) -> Outcome {
    let located = project::locate(&args.place.or(outer), None)?;
    let client = leftovers::find(&located)?.ok_or_else(|| not_running(&located.title()))?;
    let names = args.services;
    let written = match client.ask(&Request::Written { names }, None)? {
        Reply::Written { written } => written,
        other => return Err(unexpected(&other)),
    };
    if output.json {
        output.value(&json!({ "schema": 1, "written": written }))?;
    } else {
        let lines: String = written.iter().map(|one| line(one, output)).collect();
        output.data(&lines)?;
    }
    Ok(0)
}

fn line(written: &Written, output: Output) -> String {
    let Written {
        service,
        mark,
        path,
    } = written;
    let tint = match mark {
        '+' => Tint::Good,
        '-' => Tint::Bad,
        _ => Tint::Warn,
    };
    let path = output.out.paint(tint, format!("{mark} {path}"));
    format!("{service} {path}\n")
}

/// Drops what services wrote.
pub(crate) fn reset(args: ServicesArgs, outer: Place, output: Output) -> Outcome {
    let located = project::locate(&args.place.or(outer), None)?;
    let client = leftovers::find(&located)?.ok_or_else(|| not_running(&located.title()))?;
    let names = args.services;
    let what = match names.as_slice() {
        [] => "all services".to_owned(),
        names => names.join(", "),
    };
    client.done(&Request::Reset { names }, false)?;
    if output.json {
        output.value(&json!({ "schema": 1, "reset": what }))?;
    } else {
        output.talk(&format!("{what}: what they wrote is gone"));
    }
    Ok(0)
}
