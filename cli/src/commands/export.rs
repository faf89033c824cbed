//! `hd export`: the environment as an image.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use hd_actors::events::Event;
use hd_actors::export::{self, Done, Interrupt, Variables, Wish};
use hd_actors::runtime::{self, Mode, Stopper};
use hd_config::expand;
use hd_dag::TreePath;
use hd_oci::{Compression, Exported, ExportedLayer, Sent, Target};
use serde_json::{Value, json};

use super::up::{Plan, foreground};
use crate::args::{ExportArgs, LayerCompression};
use crate::error::{CliError, Outcome, exit};
use crate::output::human::bytes;
use crate::output::{Output, Printer, Scope};
use crate::project::{self, Located};
use crate::signals;
use crate::turn;

/// Makes the steps true, then the image.
pub(crate) fn run(args: ExportArgs, output: Output, started: Instant) -> Outcome {
    let wish = wish(&args)?;
    let located = project::locate(&args.place, args.path.as_deref())?;
    let hold = turn::take_alone(
        &located,
        output,
        "`hd -p beside export TARGET` does it beside that one; `hd down` ends it",
    )?;
    let (own_env, env_of_files) = own_env(&located)?;
    let wish = Wish {
        own_env,
        env_of_files,
        ..wish
    };
    let plan = Plan {
        located,
        base: args.base,
        jobs: None,
        services: Vec::new(),
        started,
    };
    let mut settings = foreground::settings(&plan, output)?;
    // An image in the project would be a part of the next one.
    settings
        .own
        .extend(within(&plan.located.directory, &wish.target));
    let (stopper, interrupt) = (Arc::<OnceLock<Stopper>>::default(), Interrupt::default());
    let (stops, interrupts) = (Arc::clone(&stopper), interrupt.clone());
    let signal = signals::handle(move |count, code| {
        interrupts.stop();
        match stops.get() {
            Some(stopper) => stopper.stop(count > 1),
            None => std::process::exit(code),
        }
    })?;
    let printer = Printer::start(output, Vec::new(), Scope::Talk)
        .map_err(|e| CliError::new("io", exit::INTERNAL, format!("cannot start a thread: {e}")))?;
    let running = runtime::start(
        settings,
        Mode::Once { rerun: Vec::new() },
        printer.events(),
        hold,
    )?;
    let _ = stopper.set(running.stopper());
    let (events, name) = (printer.events(), wish.target.to_string());
    let told: hd_oci::OnExport = Arc::new(move |received, total| {
        events.tell(Event::Exporting {
            target: name.clone(),
            sent: received,
            total,
        });
    });
    let done = export::export(running, &wish, &interrupt, told);
    drop(printer);
    match (done, signal.exit()) {
        (Ok(done), _) => tell(&done, &wish, output),
        (Err(ended), code) => foreground::conclude(ended.report, ended.exit, code, output),
    }
}

fn wish(args: &ExportArgs) -> Result<Wish, CliError> {
    let usage = |e: &dyn std::fmt::Display| CliError::new("usage", exit::USAGE, e);
    let target: Target = args
        .target
        .parse()
        .map_err(|e| usage(&e).at(&args.target))?;
    let here = std::env::current_dir().map_err(|e| CliError::io("find", Path::new("."), &e))?;
    let label = |text: &String| match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(usage(&format!("--label {text}: wanted is KEY=VALUE"))),
    };
    Ok(Wish {
        target: target.below(&here),
        service: args.service.clone(),
        own_env: Variables::new(),
        env_of_files: Variables::new(),
        labels: args.label.iter().map(label).collect::<Result<_, _>>()?,
        epoch: epoch(std::env::var("SOURCE_DATE_EPOCH").ok().as_deref())?,
        compression: match args.compression {
            LayerCompression::Gzip => Compression::Gzip,
            LayerCompression::Zstd => Compression::Zstd,
            LayerCompression::None => Compression::None,
        },
    })
}

/// Reads `SOURCE_DATE_EPOCH` (reproducible-builds.org): seconds since 1970.
fn epoch(text: Option<&str>) -> Result<Option<i64>, CliError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let seconds = text.parse::<i64>().ok().filter(|seconds| *seconds >= 0);
    seconds.map(Some).ok_or_else(|| {
        let message = format!("SOURCE_DATE_EPOCH is `{text}`, wanted are seconds since 1970");
        CliError::new("usage", exit::USAGE, message)
    })
}

/// The variables that hd.toml sets itself, and those that it makes of what stands in an `env_file`: that is not for
/// an image.
fn own_env(located: &Located) -> Result<(Variables, Variables), CliError> {
    let text = std::fs::read_to_string(&located.config)
        .map_err(|e| CliError::io("read", &located.config, &e))?;
    let shown = project::shown(&located.config);
    let project = located.parse(&text, &shown, &project::environment())?;
    let from_files = located.load()?.from_files;
    let is_of_file = |(_, value): &(&String, &String)| {
        let names = expand::names(value);
        names.is_ok_and(|names| !names.is_disjoint(&from_files))
    };
    let mut all: Vec<_> = project
        .services
        .iter()
        .map(|one| (one.name.clone(), &one.env))
        .collect();
    all.push((String::new(), &project.env));
    let (mut own, mut of_files) = (Variables::new(), Variables::new());
    for (whose, env) in all {
        let (of_file, plain): (BTreeMap<_, _>, BTreeMap<_, _>) = env.iter().partition(is_of_file);
        own.insert(whose.clone(), plain.into_keys().cloned().collect());
        of_files.insert(whose, of_file.into_keys().cloned().collect());
    }
    Ok((own, of_files))
}

fn within(project: &Path, target: &Target) -> Option<TreePath> {
    let relative = target.path()?.strip_prefix(project).ok()?;
    let path = TreePath::new(relative.as_os_str().as_bytes()).ok()?;
    (!path.is_root()).then_some(path)
}

fn tell(done: &Done, wish: &Wish, output: Output) -> Outcome {
    let Done {
        exported, notes, ..
    } = done;
    if output.json {
        output.value(&object(exported, notes, wish))?;
        return Ok(0);
    }
    for layer in &exported.layers {
        output.talk(&line(layer));
    }
    if let Some(reason) = &exported.base_repacked {
        output.talk(&format!(
            "the base is one new layer, for its own cannot be had: {reason}"
        ));
    }
    for note in notes {
        output.talk(&format!("not in the image: {note}"));
    }
    output.data(&format!("{}@{}\n", wish.target, exported.digest))?;
    Ok(0)
}

fn line(layer: &ExportedLayer) -> String {
    let sent = match layer.sent {
        Sent::Kept => "there",
        Sent::Mounted => "taken over",
        Sent::New => "new",
    };
    let (digest, size) = (layer.digest.short(), bytes(layer.size));
    let first = layer.made_by.lines().next().unwrap_or_default();
    let what: String = first.chars().take(60).collect();
    format!("{digest}  {size:>9}  {sent:<10}  {what}")
}

fn object(exported: &Exported, notes: &[String], wish: &Wish) -> Value {
    let layers = exported.layers.iter().map(|layer| {
        json!({
            "digest": layer.digest.to_string(),
            "bytes": layer.size,
            "made_by": layer.made_by,
            "base": layer.is_base,
            "sent": match layer.sent {
                Sent::Kept => "kept",
                Sent::Mounted => "mounted",
                Sent::New => "new",
            },
        })
    });
    json!({
        "schema": 1,
        "target": wish.target.to_string(),
        "digest": exported.digest.to_string(),
        "id": exported.id.to_string(),
        "layers": layers.collect::<Vec<_>>(),
        "base_repacked": exported.base_repacked,
        "left_out": notes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_seconds() {
        assert_eq!(epoch(None).unwrap(), None);
        assert_eq!(epoch(Some("")).unwrap(), None);
        assert_eq!(epoch(Some("1700000000")).unwrap(), Some(1_700_000_000));
        for text in ["-1", "x", "1.5"] {
            assert_eq!(epoch(Some(text)).unwrap_err().exit(), 2, "{text}");
        }
    }

    #[test]
    fn a_target_in_the_project_is_no_part_of_it() {
        let found = |text: &str| {
            let target: Target = text.parse().unwrap();
            within(Path::new("/p"), &target).map(|path| path.to_string())
        };
        assert_eq!(found("oci:/p/out:1").as_deref(), Some("out"));
        assert_eq!(found("oci:/p"), None);
        assert_eq!(found("docker-archive:/q/x.tar"), None);
        assert_eq!(found("h:1/a"), None);
    }
}
