//! Compose files translated to an `hd.toml`.
//!
//! Keys follow the Compose specification (compose-spec.io). An environment has one base, so it holds
//! the services that are built here, or those of one image; others are named and left out.

mod expansion;
mod handed;
mod health;
mod limits;
mod network;
mod plain;
mod program;
mod reach;
mod service;
mod values;
mod volumes;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use crate::dockerfile;
use crate::error::{ConfigError, Problem};
use crate::ingest::draft::{Draft, DraftService, Own, plain_name};
use crate::ingest::report::{Book, Line};
use crate::ingest::{Imported, Surroundings};
use crate::service::Command;
use crate::source::Source;

pub use reach::confined;

use yaml::{Key, Node};

/// How a Compose file is translated.
#[derive(Debug, Clone, Default)]
pub struct Options<'a> {
    /// How the file is called in errors and the report.
    pub file: &'a str,
    /// For the Dockerfile that services are built from.
    pub build: dockerfile::Options<'a>,
    /// Variables for `${NAME}` outside of `environment`, and for build arguments without a value.
    pub variables: BTreeMap<String, String>,
    /// Those of them that only `.env` beside the file sets, not the caller.
    pub of_env_file: BTreeSet<String>,
}

/// What a service is built of where it names no file.
const DOCKERFILE: &str = "Dockerfile";

/// What it is called by other builders than Docker.
const CONTAINERFILE: &str = "Containerfile";

/// How a service comes to its file system.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Build {
    context: String,
    dockerfile: String,
    target: Option<String>,
    args: BTreeMap<String, String>,
}

/// Translates a Compose file and the Dockerfile it builds.
///
/// # Errors
/// What the files say wrong, with its place.
pub fn translate(
    text: &str,
    options: &Options<'_>,
    around: &dyn Surroundings,
) -> Result<Imported, ConfigError> {
    let source = Source::new(options.file, text);
    let mut root = yaml::load(&source, text)?;
    let told = expansion::Told::expand(&source, &mut root, options)?;
    let services = root.get("services").map(Node::map).unwrap_or_default();
    if services.is_empty() {
        let message = "the file has no services".to_owned();
        let hint = "e.g. services: { web: { build: . } }".to_owned();
        return Err(source.error(0..0, Problem::Import { message, hint }));
    }
    let mut book = Book::new(&source, text);
    let chosen = choose(&source, services, &options.variables)?;
    let plan = network::Plan::of(&root, services, &chosen.names);
    top_level(&root, &plan, &told, &mut book);
    let project = services
        .iter()
        .filter(|(key, _)| chosen.names.contains(&key.name))
        .find_map(|(_, node)| project_dir(node));
    let (mut draft, lines) = base(&source, options, &chosen, project.as_deref(), around)?;
    let own = draft.own.take();
    draft.services.clear();
    draft.head = vec![format!(
        "Translated from {} by `hd ingest`.",
        options.file.rsplit('/').next().unwrap_or_default()
    )];
    let completed = awaited_to_complete(services);
    let handed = handed::Handed::read(&root);
    for (key, node) in services {
        let line = book.open(key.span.clone());
        if !chosen.names.contains(&key.name) {
            left_out(&mut book, line, node, &chosen);
            continue;
        }
        let made = service::Making {
            book: &mut book,
            name: &key.name,
            node,
            own: own.as_ref(),
            project: draft.workdir.clone().or_else(|| project.clone()),
            chosen: &chosen.names,
            completes: completed.contains(&key.name),
            around,
            handed: &handed,
            told: &told,
            is_built: chosen.build.is_some(),
            plan: &plan,
            variables: &options.variables,
            of_env_file: &options.of_env_file,
        };
        made.all(&mut draft);
    }
    service::settle(&mut draft.services);
    let toml = draft.write()?;
    let mut all = lines;
    all.extend(book.finish());
    Ok(Imported { toml, lines: all })
}

fn wrong(source: &Source, key: &Key, message: String) -> ConfigError {
    source.error(
        key.span.clone(),
        Problem::Import {
            message,
            hint: String::new(),
        },
    )
}

fn top_level(root: &Node, plan: &network::Plan, told: &expansion::Told, book: &mut Book<'_>) {
    for (key, node) in root.map() {
        let note = match key.name.as_str() {
            "services" => continue,
            "version" | "name" => "of no effect",
            "networks" => plan.note(),
            "volumes" => "directories that `hd down` keeps",
            "secrets" | "configs" => "files that services find at their places",
            "include" => "included files are not read",
            name if name.starts_with("x-") => "read where it is referred to",
            _ => "not known to hd",
        };
        let line = book.open(key.span.clone());
        if !key.name.starts_with("x-") {
            told.say(node, line, book);
        }
        if key.name == "volumes" {
            volumes::elsewhere(node, line, book);
        }
        match key.name.as_str() {
            "version" | "name" | "volumes" | "secrets" | "configs" => book.translated(line, note),
            "networks" => book.approximated(line, note),
            "include" => book.missing(line, note),
            name if name.starts_with("x-") => book.translated(line, note),
            _ => book.left_out(line, note),
        }
    }
}

/// Tells whether some service of a Compose file runs the project: it is built here, or shows its directory. True as
/// well where the file cannot be read, whose reading says why.
pub fn runs_the_project(text: &str, file: &str) -> bool {
    let Ok(root) = yaml::load(&Source::new(file, text), text) else {
        return true;
    };
    let services = root.get("services").map(Node::map).unwrap_or_default();
    let mut services = services.iter().map(|(_, node)| node);
    let runs = |node: &Node| node.get("build").is_some() || project_dir(node).is_some();
    services.len() == 0 || services.any(runs)
}

/// The services that one base can hold.
#[derive(Debug)]
struct Chosen {
    names: BTreeSet<String>,
    build: Option<Build>,
    image: Option<String>,
}

fn choose(
    source: &Source,
    services: &[(Key, Node)],
    variables: &BTreeMap<String, String>,
) -> Result<Chosen, ConfigError> {
    let build = |node: &Node| build(node, variables);
    let built = services.iter().find_map(|(_, node)| build(node));
    let image = |node: &Node| node.get("image").and_then(Node::text).map(str::to_owned);
    let first = services.iter().find_map(|(_, node)| image(node));
    if built.is_none()
        && first.is_none()
        && let Some((key, _)) = services.first()
    {
        return Err(wrong(
            source,
            key,
            format!("the service `{}` has neither `build` nor `image`", key.name),
        ));
    }
    let of_built = |node: &Node| build(node).filter(|own| Some(own) == built.as_ref());
    // What the build is called is what it makes, for services that only name it.
    let names: BTreeSet<String> = services
        .iter()
        .filter(|(_, node)| of_built(node).is_some())
        .filter_map(|(_, node)| image(node))
        .map(|name| tagged(&name))
        .collect();
    let is_named = |node: &Node| image(node).is_some_and(|name| names.contains(&tagged(&name)));
    let fits = |node: &Node| match (&built, build(node)) {
        (Some(built), Some(own)) => own == *built,
        (Some(_), None) => is_named(node),
        (None, _) => image(node) == first,
    };
    let fitting = services
        .iter()
        .filter(|(_, node)| fits(node))
        .map(|(key, _)| key.name.clone());
    Ok(Chosen {
        names: fitting.collect(),
        image: if built.is_some() { None } else { first.clone() },
        build: built,
    })
}

/// The name of an image without the tag that it has by default.
fn tagged(image: &str) -> String {
    image.strip_suffix(":latest").unwrap_or(image).to_owned()
}

fn build(node: &Node, variables: &BTreeMap<String, String>) -> Option<Build> {
    let build = node.get("build")?;
    let text = |name: &str| build.get(name).and_then(Node::text).map(str::to_owned);
    let context = build
        .text()
        .map(str::to_owned)
        .or_else(|| text("context"))
        .unwrap_or_else(|| ".".to_owned());
    let context = context
        .trim_start_matches("./")
        .trim_matches('/')
        .to_owned();
    let dockerfile = text("dockerfile").map(|path| path.trim_start_matches("./").to_owned());
    Some(Build {
        context: if context == "." {
            String::new()
        } else {
            context
        },
        dockerfile: dockerfile.unwrap_or_else(|| DOCKERFILE.to_owned()),
        target: text("target"),
        args: build
            .get("args")
            .map(|args| values::build_args(args, variables))
            .unwrap_or_default(),
    })
}

fn left_out(book: &mut Book<'_>, line: usize, node: &Node, chosen: &Chosen) {
    let what = match (node.get("image").and_then(Node::text), node.get("build")) {
        (_, Some(_)) => "it is built otherwise than the first service".to_owned(),
        (Some(image), None) => format!("it runs {image}"),
        (None, None) => "it has neither `build` nor `image`".to_owned(),
    };
    let base = chosen.image.as_deref().unwrap_or("what is built");
    book.missing(line, format!("{what}, and an environment has one base ({base}): run it beside hd, or install it in a step"));
    for (key, _) in node.map() {
        let line = book.open(key.span.clone());
        book.left_out(line, "of a service that is left out");
    }
}

/// Where a bind mount shows the project.
fn project_dir(node: &Node) -> Option<String> {
    let volumes = node.get("volumes")?.list().iter();
    let mut all = volumes.filter_map(volumes::Entry::read);
    all.find(|one| matches!(one.source.as_deref(), Some("." | "./")))
        .map(|one| one.target.trim_end_matches('/').to_owned())
        .filter(|dir| dir.len() > 1)
}

/// Services that others wait for to end.
fn awaited_to_complete(services: &[(Key, Node)]) -> BTreeSet<String> {
    let all = services
        .iter()
        .filter_map(|(_, node)| node.get("depends_on"))
        .flat_map(Node::map);
    let awaited = all.filter(|(_, node)| {
        node.get("condition").and_then(Node::text) == Some("service_completed_successfully")
    });
    awaited.map(|(key, _)| key.name.clone()).collect()
}

/// The draft that services stand on: of the Dockerfile, or of the image.
fn base(
    source: &Source,
    options: &Options<'_>,
    chosen: &Chosen,
    project: Option<&str>,
    around: &dyn Surroundings,
) -> Result<(Draft, Vec<Line>), ConfigError> {
    let Some(build) = &chosen.build else {
        let image = chosen.image.clone().unwrap_or_default();
        return Ok((of_image(image, options, project, around), Vec::new()));
    };
    let at = |file: &str| match build.context.as_str() {
        "" => file.to_owned(),
        context => format!("{context}/{file}"),
    };
    let named = at(&build.dockerfile);
    let other = (build.dockerfile == DOCKERFILE).then(|| at(CONTAINERFILE));
    let found = std::iter::once(&named).chain(&other).find_map(|path| {
        let text = around.read(path)?;
        Some((path.clone(), text))
    });
    let Some((path, text)) = found else {
        let message = format!("there is no {named} to build from");
        return Err(source.error(
            0..0,
            Problem::Import {
                message,
                hint: "`build: { context, dockerfile }` names it".to_owned(),
            },
        ));
    };
    let ignore = ignored(build, &path, around);
    let mut args = build.args.clone();
    args.extend(options.build.build_args.clone());
    let of_build = dockerfile::Options {
        file: &path,
        target: options.build.target.or(build.target.as_deref()),
        build_args: args,
        project,
        prefix: &build.context,
        ignore: ignore.as_deref(),
        ..options.build.clone()
    };
    let source = Source::new(&path, &text);
    let mut book = Book::new(&source, &text);
    let draft = dockerfile::draft(&source, &text, &of_build, around, &mut book)?;
    Ok((draft, book.finish()))
}

/// The `.dockerignore` of a build: its Dockerfile's own, else that of its context. None where no glob of the
/// project can say what lies in the context.
fn ignored(build: &Build, dockerfile: &str, around: &dyn Surroundings) -> Option<String> {
    let is_outside = build.context.split('/').any(|part| part == "..");
    if is_outside || build.context.contains(['*', '?', '[', '\\', '!']) {
        return None;
    }
    let of_context = match build.context.as_str() {
        "" => ".dockerignore".to_owned(),
        context => format!("{context}/.dockerignore"),
    };
    let own = around.read(&format!("{dockerfile}.dockerignore"));
    own.or_else(|| around.read(&of_context))
}

fn of_image(
    image: String,
    options: &Options<'_>,
    project: Option<&str>,
    around: &dyn Surroundings,
) -> Draft {
    let said = around.image(&image).unwrap_or_default();
    let words: Vec<String> = said.entrypoint.iter().chain(&said.cmd).cloned().collect();
    let own = Own {
        runs: !words.is_empty(),
        service: DraftService::new("own", Command::Exec(words)),
        entrypoint: (!said.entrypoint.is_empty()).then_some(Command::Exec(said.entrypoint)),
    };
    Draft {
        name: plain_name(options.build.name, "app"),
        base: Some(options.build.base.map_or(image, str::to_owned)),
        workdir: project.map(str::to_owned),
        own: Some(own),
        ..Draft::default()
    }
}
