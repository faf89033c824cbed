//! What the services of a Compose file stand on: what is built, or an image.

use super::Options;
use super::chosen::{Build, Chosen, DOCKERFILE};
use crate::dockerfile;
use crate::error::{ConfigError, Problem};
use crate::ingest::Surroundings;
use crate::ingest::draft::{Draft, DraftService, Own, plain_name};
use crate::ingest::report::{Book, Line};
use crate::service::Command;
use crate::source::Source;

/// What it is called by other builders than Docker.
const CONTAINERFILE: &str = "Containerfile";

/// The draft that services stand on: of the Dockerfile, or of the image.
pub(super) fn base(
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
