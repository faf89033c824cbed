//! The SSH agent of who runs hd, for the steps that ask for it (`ssh = true`).
//!
//! It is in no key and no observation: what it lets a step fetch is an answer of the network.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use hd_sandbox::{Create, MountOp, Place};

use super::wanted::Wanted;
use crate::base::mounts::{bind, inside};
use crate::messages::BatchError;
use crate::model::settings::Settings;

/// Variable that names the socket of an agent (ssh-agent(1)).
pub(super) const VARIABLE: &str = "SSH_AUTH_SOCK";
/// Where a step finds it, as with BuildKit.
pub(super) const PLACE: &str = "/run/buildkit/ssh_agent.0";

/// Gives the socket of the agent, when the step asks for one.
pub(super) fn socket(settings: &Settings, step: &Wanted) -> Result<Option<PathBuf>, BatchError> {
    if !step.options.ssh {
        return Ok(None);
    }
    let refused = |why: String| {
        BatchError::new("config", format!("the step wants an SSH agent: {why}"))
            .at(step.slug.clone())
            .hint("start one (`eval $(ssh-agent)`, `ssh-add`), then hd again")
    };
    let named = settings
        .host_env
        .get(VARIABLE)
        .filter(|path| !path.is_empty());
    let named = named.ok_or_else(|| refused(format!("{VARIABLE} is not set")))?;
    let path = Path::new(named);
    let found = std::fs::metadata(path).map_err(|e| refused(format!("{named}: {e}")))?;
    if !found.file_type().is_socket() {
        return Err(refused(format!("{named} is no socket")));
    }
    std::path::absolute(path)
        .map(Some)
        .map_err(|e| refused(format!("{named}: {e}")))
}

/// Shows a socket at its place.
pub(super) fn mount(socket: &Path) -> MountOp {
    bind(
        Place::Host(socket.to_path_buf()),
        inside(PLACE),
        false,
        Create::File,
    )
}
