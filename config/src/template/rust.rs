//! Rust: what cargo builds runs.

use toml::Table;

use super::source::port;
use super::{Facts, Parts};

pub(super) fn look(facts: &Facts<'_>, parts: &mut Parts) {
    if !facts.has("Cargo.toml") {
        return;
    }
    let manifest: Table = facts.text("Cargo.toml").parse().unwrap_or_default();
    parts.found("Rust", "Cargo.toml");
    let locked = if facts.has("Cargo.lock") {
        " --locked"
    } else {
        ""
    };
    parts.steps.push(format!("cargo build{locked}"));
    parts.cache.push("target".to_owned());
    let Some(binary) = binary(&manifest, (facts.read)("src/main.rs").is_some()) else {
        return;
    };
    let source = facts.text("src/main.rs");
    let port = port(
        &source,
        &["bind("],
        &["bind(", "0.0.0.0", "127.0.0.1", "localhost", "PORT"],
    );
    // A new build is an output that the service sees: it is restarted without a watch.
    parts.serve(format!("target/debug/{binary}"), port, &[]);
}

/// The program to run: `default-run`, the first of `[[bin]]`, or the package itself.
fn binary(manifest: &Table, has_main: bool) -> Option<String> {
    let package = manifest.get("package")?;
    let text =
        |value: Option<&toml::Value>| value.and_then(|value| value.as_str()).map(str::to_owned);
    let first = manifest.get("bin").and_then(|bins| bins.get(0));
    text(package.get("default-run"))
        .or_else(|| text(first.and_then(|bin| bin.get("name"))))
        .or_else(|| text(package.get("name")).filter(|_| has_main))
}
