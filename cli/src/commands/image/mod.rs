//! `hd image`: the base images of this `HD_HOME`.

mod describe;

use std::path::Path;
use std::sync::Arc;

use hd_actors::events::Event;
use hd_actors::messages::BatchError;
use hd_oci::{Client, ClientOptions, Image, Listed, Platform, Source};
use serde_json::{Value, json};

use super::cas;
use crate::args::{ImageNames, ImageVerb};
use crate::error::{CliError, Outcome, exit};
use crate::output::human::{self, bytes, plural};
use crate::output::table::{Cell, table};
use crate::output::{Output, Printer, Scope};

/// Looks after base images.
pub(crate) fn run(verb: ImageVerb, output: Output) -> Outcome {
    match verb {
        ImageVerb::Ls => ls(output),
        ImageVerb::Pull(names) => pull(&names, output),
        ImageVerb::Rm(names) => rm(&names, output),
        ImageVerb::Inspect(names) => inspect(&names, output),
    }
}

fn ls(output: Output) -> Outcome {
    let store = cas::open()?;
    let all = hd_oci::images(&store).map_err(|e| cas::failed(&e))?;
    let sizes = all.iter().map(|one| describe::size(&store, &one.image));
    let sizes = sizes.collect::<Result<Vec<u64>, _>>()?;
    if output.json {
        let object = |(one, size): (&Listed, &u64)| describe::listed(one, *size);
        let images: Vec<Value> = all.iter().zip(&sizes).map(object).collect();
        output.value(&json!({ "schema": 1, "images": images }))?;
        return Ok(0);
    }
    let row = |(one, size): (&Listed, &u64)| {
        vec![
            Cell::new(&one.name),
            Cell::new(one.image.digest.short()),
            Cell::new(&one.platform),
            Cell::new(one.image.config.diff_ids.len()),
            Cell::new(bytes(*size)),
            Cell::new(human::ago(one.at_unix_ms)),
        ]
    };
    let rows: Vec<Vec<Cell>> = all.iter().zip(&sizes).map(row).collect();
    let header = ["NAME", "DIGEST", "PLATFORM", "LAYERS", "SIZE", "PULLED"];
    output.data(&table(&header, &rows, output.out))?;
    Ok(0)
}

fn pull(names: &ImageNames, output: Output) -> Outcome {
    let (store, work) = (cas::open()?, Work::new(names)?);
    let printer = Printer::start(output, Vec::new(), Scope::Talk)
        .map_err(|e| CliError::new("io", exit::INTERNAL, format!("cannot start a thread: {e}")))?;
    let mut pulled = Vec::new();
    for source in &work.sources {
        let (events, name) = (printer.events(), source.to_string());
        let image = name.clone();
        let report: hd_oci::OnProgress = Arc::new(move |progress| {
            events.tell(Event::Pulling {
                image: image.clone(),
                received: progress.bytes,
                total: progress.total_bytes,
            });
        });
        let image = work
            .runtime
            .block_on(work.client.pull(source, &store, report));
        let image = image.map_err(|e| failed(source, e))?;
        printer.events().tell(Event::Pulled {
            image: name.clone(),
            digest: image.digest.to_string(),
        });
        pulled.push((name, image));
    }
    drop(printer);
    if output.json {
        let platform = work.client.platform().to_string();
        let object = |(name, image): &(String, Image)| {
            json!({
                "name": name,
                "digest": image.digest.to_string(),
                "manifest": image.manifest.to_string(),
                "platform": platform,
            })
        };
        let images: Vec<Value> = pulled.iter().map(object).collect();
        output.value(&json!({ "schema": 1, "images": images }))?;
    } else {
        for (name, image) in &pulled {
            output.data(&format!("{name}@{}\n", image.digest))?;
        }
    }
    Ok(0)
}

fn rm(names: &ImageNames, output: Output) -> Outcome {
    let (store, work) = (cas::open()?, Work::new(names)?);
    let all = hd_oci::images(&store).map_err(|e| cas::failed(&e))?;
    let mut gone: Vec<Listed> = Vec::new();
    for (name, source) in names.names.iter().zip(&work.sources) {
        let text = source.to_string();
        let named = |one: &&Listed| {
            let digest = one.image.digest.to_string();
            let short = name.len() >= 12 && one.image.digest.hex().starts_with(name.as_str());
            (one.name == text || digest == *name || short)
                && (names.platform.is_none() || one.platform == *work.client.platform())
        };
        let found: Vec<&Listed> = all.iter().filter(named).collect();
        if found.is_empty() {
            return Err(
                CliError::new("image", exit::USAGE, format!("there is no image {text}"))
                    .at(text)
                    .hint("`hd image ls` lists what there is"),
            );
        }
        gone.extend(found.into_iter().cloned());
    }
    let removed = hd_oci::remove(&store, &gone).map_err(|e| cas::failed(&e))?;
    if output.json {
        let names: Vec<&String> = gone.iter().map(|one| &one.name).collect();
        let digests: Vec<String> = removed.iter().map(ToString::to_string).collect();
        output.value(&json!({ "schema": 1, "forgotten": names, "images": digests }))?;
    } else {
        gone.iter()
            .try_for_each(|one| output.data(&format!("{}\n", one.name)))?;
        let what = plural(removed.len() as u64, "image");
        output.talk(&format!(
            "{what} forgotten; `hd cas gc` gives back what nothing uses"
        ));
    }
    Ok(0)
}

/// What was pulled, else what the registry says.
fn inspect(names: &ImageNames, output: Output) -> Outcome {
    let (store, work) = (cas::open()?, Work::new(names)?);
    let mut found = Vec::new();
    for source in &work.sources {
        let remark = |note: String| output.talk(&note);
        let known = work
            .runtime
            .block_on(work.client.last_pulled(source, &store, remark));
        found.push(match known.map_err(|e| failed(source, e))? {
            Some(image) => describe::pulled(source, &image, describe::size(&store, &image)?),
            None => {
                let asked = work
                    .runtime
                    .block_on(work.client.inspect(source, store.path()));
                describe::asked(source, &asked.map_err(|e| failed(source, e))?)
            }
        });
    }
    if output.json {
        output.value(&json!({ "schema": 1, "images": found }))?;
    } else {
        let text = serde_json::to_string_pretty(&found);
        let text = text.map_err(|e| CliError::new("internal", exit::INTERNAL, e))?;
        output.data(&format!("{text}\n"))?;
    }
    Ok(0)
}

/// What images are asked for, and the way to them.
struct Work {
    client: Client,
    sources: Vec<Source>,
    runtime: tokio::runtime::Runtime,
}

impl Work {
    fn new(names: &ImageNames) -> Result<Self, CliError> {
        let here = std::env::current_dir().map_err(|e| CliError::io("find", Path::new("."), &e))?;
        let parse = |name: &String| {
            let source: Result<Source, _> = name.parse();
            let source = source.map_err(|e| CliError::new("usage", exit::USAGE, e).at(name))?;
            Ok::<_, CliError>(source.below(&here))
        };
        let sources = names.names.iter().map(parse).collect::<Result<_, _>>()?;
        let platform = match &names.platform {
            Some(text) => text
                .parse()
                .map_err(|e| CliError::new("usage", exit::USAGE, e))?,
            None => Platform::host(),
        };
        let unset = |e| CliError::from(BatchError::new("image", e));
        let options = ClientOptions {
            platform,
            ..ClientOptions::discover().map_err(unset)?
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Ok(Self {
            client: Client::new(options).map_err(unset)?,
            sources,
            runtime: runtime.map_err(|e| CliError::new("internal", exit::INTERNAL, e))?,
        })
    }
}

/// As `up` says it, with the same exit code.
fn failed(source: &Source, error: hd_oci::PullError) -> CliError {
    BatchError::new("image", error)
        .at(source.to_string())
        .hint("check the name, that the registry runs, and `docker login` if it asks")
        .into()
}
