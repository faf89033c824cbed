//! What the sandbox of one run is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use hd_config::StepNetwork;
use hd_dag::TreePath;
use hd_sandbox::{Capabilities, Command, Limits, Network, Privileges, Spec};

use super::agent;
use super::lowers::ShownLowers;
use super::plan::Plan;
use super::run::StepRun;
use super::secrets::Secrets;
use super::view::{KeptMount, mounts};
use crate::base::ROOT_STAGED;
use crate::shared::Shared;

/// Describes the sandbox of a run.
pub(super) fn spec(
    shared: &Shared,
    step: &StepRun<'_>,
    work: &Path,
    kept: &[KeptMount],
    secrets: &Secrets,
    agent: Option<&Path>,
    shown: &ShownLowers,
) -> Spec {
    let plan = step.plan;
    let mut command = Command::new(["/bin/sh", "-c", &step.wanted.command]);
    command.env = plan
        .full_environment(step.wanted)
        .into_iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)))
        .collect();
    command.cwd = PathBuf::from(plan.workdir_of(step.wanted));
    (command.uid, command.gid) = (plan.account.uid, plan.account.gid);
    command.groups.clone_from(&plan.account.groups);
    let mut mounts = mounts(step.base, plan, &shared.settings.paths, work, kept, shown);
    mounts.extend(secrets.mounts(&plan.account));
    if let Some(socket) = agent {
        mounts.push(agent::mount(socket));
        command.set_env([(agent::VARIABLE.into(), agent::PLACE.into())]);
    }
    Spec {
        name: step.wanted.name.clone(),
        // One for all: the name of the environment is in no key, and steps may write it down.
        hostname: "hd".to_owned(),
        stage: shared.settings.paths.stage(),
        root: PathBuf::from(ROOT_STAGED),
        mounts,
        command,
        privileges: Privileges {
            capabilities: Capabilities::DockerDefault,
            ..Privileges::default()
        },
        limits: Limits::default(),
        network: match step.wanted.options.network {
            StepNetwork::Host => Network::Host,
            StepNetwork::None => Network::None,
        },
        user_namespace: plan.ids.user_namespace(),
    }
}

/// Gives the mounts of the kept directories, in their order.
pub(super) fn kept_mounts(step: &StepRun<'_>) -> Vec<KeptMount> {
    let kept = step.kept.iter().enumerate();
    kept.map(|(number, kept)| KeptMount {
        name: format!("kept-{number}"),
        at: kept.at.clone(),
    })
    .collect()
}

/// Says that all unowned files are of who runs the step.
pub(super) fn whole_owner(plan: &Plan) -> Vec<hd_projection::Owner> {
    let (uid, gid) = (plan.account.uid, plan.account.gid);
    vec![hd_projection::Owner {
        at: TreePath::root(),
        uid,
        gid,
    }]
}
