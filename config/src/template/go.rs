//! Go: what `go build` makes runs.

use super::source::port;
use super::{Facts, Parts};
use crate::step::NamedCache;

/// Where the program is put: a directory of its own, for services see what steps make over the project's.
const OUTPUT: &str = ".bin";

/// Kept between runs (name, path): what was compiled and what was downloaded.
const CACHES: [(&str, &str); 2] = [
    ("go-build", "~/.cache/go-build"),
    ("go-mod", "~/go/pkg/mod"),
];

pub(super) fn look(facts: &Facts<'_>, parts: &mut Parts) {
    if !facts.has("go.mod") {
        return;
    }
    parts.found("Go", "go.mod");
    let name = name(&facts.text("go.mod"));
    let Some((package, source)) = program(facts, &name) else {
        parts.steps.push("go build ./...".to_owned());
        return;
    };
    parts
        .steps
        .push(format!("go build -o {OUTPUT}/{name} {package}"));
    let cache = |(name, path): (&str, &str)| NamedCache {
        name: name.to_owned(),
        path: path.to_owned(),
    };
    parts.caches.extend(CACHES.map(cache));
    let serving = [
        "ListenAndServe(",
        "ListenAndServeTLS(",
        "Listen(",
        ".Run(",
        ".Start(",
    ];
    let port = port(&source, &serving, &[&serving[..], &["PORT"]].concat());
    // A new build is an output that the service sees: it is restarted without a watch.
    parts.serve(format!("{OUTPUT}/{name}"), port, &[]);
}

/// The last part of the module's path that is no major version.
fn name(manifest: &str) -> String {
    let path = manifest
        .lines()
        .find_map(|line| line.trim().strip_prefix("module "))
        .unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let is_version = |part: &str| {
        part.strip_prefix('v')
            .is_some_and(|rest| rest.parse::<u32>().is_ok())
    };
    let parts = path.trim().trim_matches('"').rsplit('/');
    let name = parts
        .into_iter()
        .find(|part| !part.is_empty() && !is_version(part) && part.chars().all(plain));
    name.unwrap_or("app").to_owned()
}

/// The package that is a program, and its source: of the root, else of `cmd`.
fn program(facts: &Facts<'_>, name: &str) -> Option<(String, String)> {
    let is_program = |text: &String| text.contains("package main") && text.contains("func main(");
    let here = facts
        .files
        .iter()
        .filter(|file| file.ends_with(".go"))
        .map(|file| facts.text(file));
    if let Some(text) = here.into_iter().find(is_program) {
        return Some((".".to_owned(), text));
    }
    [name, "server", "web", "api", "app"]
        .iter()
        .find_map(|dir| {
            let text = facts.text(&format!("cmd/{dir}/main.go"));
            is_program(&text).then(|| (format!("./cmd/{dir}"), text))
        })
}
