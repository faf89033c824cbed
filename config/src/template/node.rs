//! Node: the package manager of the lock file, and the script that develops or starts.

use serde_json::Value;

use super::source::port;
use super::{Facts, Parts};
use crate::ingest::sources;

/// What a browser fetches is read anew each time.
const PUBLIC: &str = "!public/**";

/// A development server that reloads by itself: package, port, arguments that make it listen where it
/// is waited for.
const RELOADING: [(&str, u16, &str); 4] = [
    ("next", 3000, " -H 127.0.0.1 -p 3000"),
    ("vite", 5173, " --host 127.0.0.1 --port 5173 --strictPort"),
    ("astro", 4321, " --host 127.0.0.1 --port 4321"),
    ("nuxt", 3000, " --host 127.0.0.1 --port 3000"),
];

pub(super) fn look(facts: &Facts<'_>, parts: &mut Parts) {
    if !facts.has("package.json") {
        return;
    }
    let package: Value = serde_json::from_str(&facts.text("package.json")).unwrap_or_default();
    let (manager, install) = manager(facts, &package);
    if has_dependencies(&package) || has_workspaces(facts, &package) {
        parts.steps.push(install.to_owned());
    }
    let script = |name: &str| package["scripts"][name].as_str();
    let kind = RELOADING.iter().find(|(name, ..)| {
        depends_on(&package, name) && script("dev").is_some_and(|dev| ends_with(dev, name))
    });
    if let Some((name, port, arguments)) = kind {
        parts.found(title(name), "package.json");
        // Only npm needs to be told where its own arguments end.
        let dashes = if manager == "npm" { " --" } else { "" };
        let command = format!("{manager} run dev{dashes}{arguments}");
        parts.serve(command, Some(*port), &[]);
        return;
    }
    let kind = if depends_on(&package, "express") {
        "Express"
    } else {
        "Node"
    };
    parts.found(kind, "package.json");
    let entry = entry(facts, &package, script("start"));
    let source = entry
        .as_deref()
        .map(|file| facts.text(file))
        .unwrap_or_default();
    let port = port(&source, &["listen("], &["listen(", "PORT"]);
    let command = match (script("dev"), script("start"), entry) {
        (Some(_), ..) => Some(format!("{manager} run dev")),
        (None, Some(start), _) => Some(direct(start).unwrap_or(format!("{manager} run start"))),
        (None, None, Some(file)) => Some(format!("node {file}")),
        (None, None, None) => None,
    };
    // `dev` scripts watch by themselves.
    let watch: Vec<&str> = if script("dev").is_some() {
        Vec::new()
    } else {
        sources::NODE.into_iter().chain([PUBLIC]).collect()
    };
    if let Some(command) = command {
        parts.serve(command, port, &watch);
    }
}

/// Tells whether the last command of a script, which gets the arguments, is a tool's.
fn ends_with(script: &str, tool: &str) -> bool {
    let last = script.rsplit("&&").next().unwrap_or(script);
    let mut words = last.split_whitespace();
    let program = words.find(|word| !word.contains('=') && *word != "cross-env");
    program == Some(tool) || tool == "nuxt" && program == Some("nuxi")
}

fn title(package: &str) -> &'static str {
    match package {
        "next" => "Next.js",
        "vite" => "Vite",
        "astro" => "Astro",
        _ => "Nuxt",
    }
}

/// The package manager and how it installs: by the lock file, else npm.
fn manager(facts: &Facts<'_>, package: &Value) -> (&'static str, &'static str) {
    let said = package["packageManager"].as_str().unwrap_or_default();
    if facts.has("pnpm-lock.yaml") || said.starts_with("pnpm") {
        ("pnpm", "pnpm install --frozen-lockfile")
    } else if facts.has("yarn.lock") || said.starts_with("yarn") {
        ("yarn", "yarn install --frozen-lockfile")
    } else if facts.has("package-lock.json") || facts.has("npm-shrinkwrap.json") {
        ("npm", "npm ci")
    } else {
        // A lock file that a step makes would not reach the project.
        ("npm", "npm install --no-package-lock")
    }
}

fn has_dependencies(package: &Value) -> bool {
    ["dependencies", "devDependencies"].iter().any(|kind| {
        package[*kind]
            .as_object()
            .is_some_and(|all| !all.is_empty())
    })
}

/// Packages of a workspace are linked by the install at its root, which may need nothing itself.
fn has_workspaces(facts: &Facts<'_>, package: &Value) -> bool {
    !package["workspaces"].is_null() || facts.has("pnpm-workspace.yaml")
}

fn depends_on(package: &Value, name: &str) -> bool {
    ["dependencies", "devDependencies"]
        .iter()
        .any(|kind| !package[*kind][name].is_null())
}

/// A start script that is only `node FILE` is run without npm, which would stand between.
fn direct(script: &str) -> Option<String> {
    let words: Vec<&str> = script.split_whitespace().collect();
    let plain = |word: &&str| {
        word.chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./=".contains(c))
    };
    (words.first() == Some(&"node") && words.len() > 1 && words.iter().all(plain))
        .then(|| words.join(" "))
}

/// The file that runs: of the start script, of `main`, or by its usual names.
fn entry(facts: &Facts<'_>, package: &Value, start: Option<&str>) -> Option<String> {
    let exists = |file: &str| (facts.read)(file).is_some();
    let of_script = start.and_then(direct);
    let of_script = of_script
        .as_deref()
        .and_then(|line| line.split(' ').next_back());
    let main = package["main"].as_str();
    let usual = [
        "server.js",
        "index.js",
        "app.js",
        "main.js",
        "src/index.js",
        "src/server.js",
    ];
    let all = of_script.into_iter().chain(main).chain(usual);
    all.map(|file| file.trim_start_matches("./"))
        .find(|file| exists(file))
        .map(str::to_owned)
}
