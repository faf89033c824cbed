//! Dockerfiles read, evaluated and translated to an `hd.toml`.
//!
//! The way of a file: `lex` joins lines and takes heredocs out, `parse` takes each
//! instruction apart, `stages` and `grounds` find what the target needs, `evaluate` walks that with all
//! variables expanded and gives what happens in order (`event`), `place` chooses where the project
//! stands, `sites`, `steps` and `service` make build steps and a service of it, `finish` the draft.
//!
//! Semantics follow the Dockerfile reference (docs.docker.com/reference/dockerfile) and, where it is
//! silent, BuildKit's front end. What an `hd` environment does otherwise: steps see the whole project from
//! the start.

mod collect;
mod command;
mod evaluate;
mod event;
mod fetch;
mod files;
mod finish;
mod grammar;
mod grounds;
mod heredoc;
mod ignore;
mod install;
mod instruction;
mod lex;
mod mounts;
mod parse;
mod pattern;
mod place;
mod placing;
mod platform;
mod run;
mod service;
mod sites;
mod stages;
mod state;
mod steps;
mod variables;

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{ConfigError, Problem};
use crate::ingest::report::Book;
use crate::ingest::{Imported, Surroundings, draft::Draft};
use crate::secret::SecretSource;
use crate::source::Source;

use evaluate::Walk;
use finish::Parts;
use instruction::{Instruction, Kind};
use sites::Site;
use steps::Making;

/// How a Dockerfile is translated.
#[derive(Debug, Clone, Default)]
pub struct Options<'a> {
    /// How the file is called in errors, comments and the report.
    pub file: &'a str,
    /// Name for the environment: that of the project's directory.
    pub name: &'a str,
    /// `--target`; the last stage when left out.
    pub target: Option<&'a str>,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// An image that takes the place of all bases.
    pub base: Option<&'a str>,
    /// Where the project stands inside, when something else than COPY says it.
    pub project: Option<&'a str>,
    /// Directory of the build context in the project; empty when it is the project.
    pub prefix: &'a str,
    /// `--secret`: where the value of an id comes from.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Text of the `.dockerignore` that holds, if there is one.
    pub ignore: Option<&'a str>,
}

/// Translates a Dockerfile.
///
/// # Errors
/// What the file says wrong, with its place.
pub fn translate(
    text: &str,
    options: &Options<'_>,
    around: &dyn Surroundings,
) -> Result<Imported, ConfigError> {
    let source = Source::new(options.file, text);
    let mut book = Book::new(&source, text);
    let draft = draft(&source, text, options, around, &mut book)?;
    let toml = draft.write()?;
    Ok(Imported {
        toml,
        lines: book.finish(),
    })
}

/// Translates as far as a draft, for Compose to go on with.
pub(crate) fn draft<'a>(
    source: &'a Source,
    text: &str,
    options: &Options<'_>,
    around: &dyn Surroundings,
    book: &mut Book<'a>,
) -> Result<Draft, ConfigError> {
    let lexed = lex::lex(source, text)?;
    let mut instructions = Vec::with_capacity(lexed.instructions.len());
    for logical in &lexed.instructions {
        instructions.push(parse::parse(source, logical, lexed.escape)?);
    }
    for (name, value, span) in &lexed.directives {
        let line = book.open(span.clone());
        match name.as_str() {
            "escape" => {}
            "syntax" => book.approximated(line, format!("read by hd itself, not by {value}")),
            _ => book.left_out(line, "build checks are Docker's"),
        }
    }
    let mut globals: BTreeMap<String, String> = BTreeMap::new();
    let mut known = 0;
    let escape = lexed.escape;
    let mut image = |from: &Instruction, before: &[Instruction]| {
        // ARGs before the first FROM are evaluated once they are all known.
        for one in before.iter().skip(known) {
            global_args(source, one, options, escape, &mut globals)?;
        }
        known = before.len();
        image_of(source, from, escape, &globals)
    };
    let (declared, stages) = stages::split(source, instructions, &mut image)?;
    for one in &declared {
        let line = book.open(one.span.clone());
        book.translated(line, "evaluated");
    }
    let target = stages::target(source, &stages, options.target)?;
    let grounds = grounds::lay(source, &stages, target, options)?;
    let from_line = book.next();
    let walk = Walk {
        source,
        book,
        stages: &stages,
        grounds: &grounds,
        options,
        around,
        globals,
        escape,
        events: Vec::new(),
        workdirs: BTreeSet::new(),
        others: Vec::new(),
        stage: 0,
    };
    let evaluated = walk.run(target)?;
    let mut making = Making {
        book,
        around,
        steps: Vec::new(),
        caches: Vec::new(),
        known: &options.secrets,
        secrets: Vec::new(),
        site: Site::default(),
    };
    let sites = sites::make(&mut making, &stages, &grounds, &evaluated, options);
    let (steps, caches, secrets) = (making.steps, making.caches, making.secrets);
    let exclude = exclude(options, book, from_line);
    let parts = Parts {
        evaluated,
        steps,
        caches,
        secrets,
        sites,
        base: grounds.base,
        from_line,
        exclude,
        options,
    };
    Ok(finish::draft(parts, book))
}

fn exclude(options: &Options<'_>, book: &mut Book<'_>, line: usize) -> Vec<String> {
    let Some(text) = options.ignore else {
        return Vec::new();
    };
    let (globs, weaker) = ignore::globs(text, options.prefix);
    for one in weaker {
        book.approximated(
            line,
            format!(".dockerignore: `{one}` shows nothing below a hidden directory"),
        );
    }
    globs
}

fn global_args(
    source: &Source,
    one: &Instruction,
    options: &Options<'_>,
    escape: char,
    globals: &mut BTreeMap<String, String>,
) -> Result<(), ConfigError> {
    let Kind::Arg(args) = &one.kind else {
        return Ok(());
    };
    for (name, default) in args {
        let given = options.build_args.get(name).cloned();
        let value = match (given, default) {
            (Some(value), _) => Some(value),
            (None, Some(default)) => Some(expand(source, one, default, escape, globals)?),
            (None, None) => platform::argument(name),
        };
        globals.extend(value.map(|value| (name.clone(), value)));
    }
    Ok(())
}

fn expand(
    source: &Source,
    one: &Instruction,
    text: &str,
    escape: char,
    globals: &BTreeMap<String, String>,
) -> Result<String, ConfigError> {
    let lookup = |name: &str| {
        globals
            .get(name)
            .cloned()
            .or_else(|| platform::argument(name))
    };
    variables::word(text, escape, &lookup).map_err(|message| {
        let hint = "here only ARGs before the first FROM are known".to_owned();
        source.error(one.span.clone(), Problem::Import { message, hint })
    })
}

fn image_of(
    source: &Source,
    from: &Instruction,
    escape: char,
    globals: &BTreeMap<String, String>,
) -> Result<String, ConfigError> {
    let Kind::From { image, .. } = &from.kind else {
        return Ok(String::new());
    };
    let expanded = expand(source, from, image, escape, globals)?;
    if expanded.is_empty() || expanded.contains(char::is_whitespace) {
        let message = format!("`{image}` gives no image: {expanded:?}");
        let hint = "set its variable with --build-arg NAME=VALUE".to_owned();
        return Err(source.error(from.span.clone(), Problem::Import { message, hint }));
    }
    Ok(expanded)
}

/// Splits a line into words as a shell does, quotes removed, nothing expanded.
pub(crate) fn words(line: &str) -> Vec<String> {
    let ranges = heredoc::raw_words(line).into_iter();
    ranges
        .filter_map(|range| line.get(range))
        .map(|text| variables::unquoted(text).unwrap_or_else(|_| text.to_owned()))
        .collect()
}
