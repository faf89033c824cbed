//! Compose files translated to an `hd.toml`.
//!
//! Keys follow the Compose specification (compose-spec.io). The environment is what is built here, or the image
//! that shows the project; services of other images have those as bases of their own. What is built otherwise is
//! named and left out.

mod base;
mod chosen;
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
use crate::ingest::draft::{Draft, DraftService, Own};
use crate::ingest::report::{Book, Line};
use crate::ingest::{Imported, Surroundings};
use crate::service::Command;
use crate::source::Source;

pub use reach::confined;

use base::base;
use chosen::{Chosen, apart, choose, project_dir};
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

/// Translates a Compose file and the Dockerfile it builds.
///
/// # Errors
/// What the files say wrong, with its place.
pub fn translate(
    text: &str,
    options: &Options<'_>,
    around: &dyn Surroundings,
) -> Result<Imported, ConfigError> {
    let file = File::read(text, options, around)?;
    let services = file.services();
    let chosen = choose(&file.source, services, &options.variables)?;
    let is_environment =
        |name: &String| chosen.names.contains(name) && !chosen.apart.contains_key(name);
    let project = services
        .iter()
        .filter(|(key, _)| is_environment(&key.name))
        .find_map(|(_, node)| project_dir(node));
    let (mut draft, lines) = base(&file.source, options, &chosen, project.as_deref(), around)?;
    let own = draft.own.take();
    draft.services.clear();
    draft.head = vec![format!("Translated from {} by `hd ingest`.", file.name())];
    let of_file = file.fill(&mut draft, &chosen, own.as_ref(), project.as_deref());
    let toml = draft.write()?;
    let lines = lines.into_iter().chain(of_file).collect();
    Ok(Imported { toml, lines })
}

/// Translates a Dockerfile, whose options are those of the build, and beside it a Compose file of services for its
/// project to use, which are on images of their own.
///
/// # Errors
/// What the files say wrong, with its place.
pub fn translate_beside(
    text: &str,
    dockerfile: &str,
    options: &Options<'_>,
    around: &dyn Surroundings,
) -> Result<Imported, ConfigError> {
    let source = Source::new(options.build.file, dockerfile);
    let mut book = Book::new(&source, dockerfile);
    let mut draft = dockerfile::draft(&source, dockerfile, &options.build, around, &mut book)?;
    let of_file = beside(&mut draft, text, options, around)?;
    let toml = draft.write()?;
    let lines = book.finish().into_iter().chain(of_file).collect();
    Ok(Imported { toml, lines })
}

/// Adds the services of a Compose file, each on an image of its own, to a draft of the project that uses them.
pub(crate) fn beside(
    draft: &mut Draft,
    text: &str,
    options: &Options<'_>,
    around: &dyn Surroundings,
) -> Result<Vec<Line>, ConfigError> {
    let file = File::read(text, options, around)?;
    let apart = apart(file.services(), |_| true);
    let chosen = Chosen {
        names: apart.keys().cloned().collect(),
        apart,
        build: None,
        image: None,
    };
    Ok(file.fill(draft, &chosen, None, None))
}

/// A Compose file that was read, with all that its services are translated by.
struct File<'a> {
    source: Source,
    text: &'a str,
    root: Node,
    told: expansion::Told,
    options: &'a Options<'a>,
    around: &'a dyn Surroundings,
}

impl<'a> File<'a> {
    fn read(
        text: &'a str,
        options: &'a Options<'a>,
        around: &'a dyn Surroundings,
    ) -> Result<Self, ConfigError> {
        let source = Source::new(options.file, text);
        let mut root = yaml::load(&source, text)?;
        let told = expansion::Told::expand(&source, &mut root, options)?;
        let file = Self {
            source,
            text,
            root,
            told,
            options,
            around,
        };
        if file.services().is_empty() {
            let message = "the file has no services".to_owned();
            let hint = "e.g. services: { web: { build: . } }".to_owned();
            let problem = Problem::Import { message, hint };
            return Err(file.source.error(0..0, problem));
        }
        Ok(file)
    }

    fn services(&self) -> &[(Key, Node)] {
        self.root.get("services").map(Node::map).unwrap_or_default()
    }

    fn name(&self) -> &str {
        let path = self.options.file;
        path.rsplit('/').next().unwrap_or_default()
    }

    /// Adds the chosen services; `own` is what the environment would run, and `project` where it is shown.
    fn fill(
        &self,
        draft: &mut Draft,
        chosen: &Chosen,
        own: Option<&Own>,
        project: Option<&str>,
    ) -> Vec<Line> {
        let services = self.services();
        let mut book = Book::new(&self.source, self.text);
        let plan = network::Plan::of(&self.root, services, &chosen.names);
        top_level(&self.root, &plan, &self.told, &mut book);
        let completed = awaited_to_complete(services);
        let handed = handed::Handed::read(&self.root);
        let taken: BTreeSet<String> = draft.services.iter().map(|one| one.name.clone()).collect();
        for (key, node) in services {
            let line = book.open(key.span.clone());
            let taken = taken.contains(&service::named(&key.name));
            if taken || !chosen.names.contains(&key.name) {
                left_out(&mut book, line, node, taken);
                continue;
            }
            let of_image = chosen.apart.get(&key.name);
            let of_image =
                of_image.map(|image| (image.as_str(), of_itself(image, node, self.around)));
            let made = service::Making {
                book: &mut book,
                name: &key.name,
                node,
                own: of_image.as_ref().map(|(_, own)| own).or(own),
                apart: of_image.as_ref().map(|(image, _)| *image),
                twin: chosen.twin(&key.name),
                project: draft.workdir.clone().or_else(|| project.map(str::to_owned)),
                chosen: &chosen.names,
                completes: completed.contains(&key.name),
                around: self.around,
                handed: &handed,
                told: &self.told,
                is_built: chosen.build.is_some() && of_image.is_none(),
                plan: &plan,
                variables: &self.options.variables,
                of_env_file: &self.options.of_env_file,
            };
            made.all(draft);
        }
        service::settle(&mut draft.services);
        book.finish()
    }
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

fn left_out(book: &mut Book<'_>, line: usize, node: &Node, is_taken: bool) {
    let built = "is built otherwise than the first service, and an environment is built once: give it a project of \
                 its own, or an image that was built before";
    let note = match (node.get("build"), node.get("image")) {
        _ if is_taken => {
            "a service of the project has that name: give one of them another".to_owned()
        }
        (Some(_), _) => format!("it {built}"),
        (None, Some(_)) => format!("what it runs {built}"),
        (None, None) => "it has neither `build` nor `image`".to_owned(),
    };
    book.missing(line, note);
    for (key, _) in node.map() {
        let line = book.open(key.span.clone());
        book.left_out(line, "of a service that is left out");
    }
}

/// What a service of an image of its own goes on with: the image itself says what it runs. It is asked only what a
/// `command` needs to know.
fn of_itself(image: &str, node: &Node, around: &dyn Surroundings) -> Own {
    let said = node.get("command").and_then(|_| around.image(image).ok());
    let entrypoint = said.map(|said| said.entrypoint).unwrap_or_default();
    Own {
        runs: true,
        service: DraftService::new("own", Command::Exec(Vec::new())),
        entrypoint: (!entrypoint.is_empty()).then_some(Command::Exec(entrypoint)),
    }
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
