//! Another hd: a process that starts sandboxes and is then killed.
pub(crate) fn mode() -> Option<String> { None }
pub(crate) fn run(_: &str) -> ! { std::process::exit(0) }
