//! The way into the helper programs.

use crate::helper::Role;
use crate::inside;

/// Becomes a helper when this process was started as one, and never returns then.
///
/// Call it first in `main`, before any thread exists: helpers fork and change namespaces, which a process with
/// several threads cannot do.
pub fn run_if_helper() {
    let name = std::env::args_os().next();
    let role = Role::ALL
        .into_iter()
        .find(|role| name.as_deref() == Some(role.name().as_ref()));
    if let Some(role) = role {
        std::process::exit(inside::run(role));
    }
}
