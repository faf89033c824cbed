//! What an interpreter reads once and keeps: an edit of these shows only after a restart.

/// Python's modules, and templates: Flask and Django parse each once while nothing of theirs reloads.
pub(crate) const PYTHON: [&str; 2] = ["**/*.py", "**/templates/**"];

/// Node's modules; `require` keeps JSON too.
pub(crate) const NODE: [&str; 4] = ["**/*.js", "**/*.mjs", "**/*.cjs", "**/*.json"];
