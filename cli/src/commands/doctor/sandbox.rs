//! What sandboxes and views need, tried as `up` does it: by making them.

use std::path::Path;

use hd_actors::mount_server::images::probe_alone;
use hd_sandbox::own_namespace::{self, Caller};
use hd_sandbox::{Helper, Probe, Problem, SandboxError, probe};

use super::{Finding, Grade, finding, number};

/// How an ordinary user gets more ids than his own.
const MORE_IDS: &str = "install newuidmap (package uidmap), then, as root: \
    usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER";

/// Looks at who runs hd and at all that is mounted for a step. `home` is `HD_HOME`.
///
/// An ordinary user goes into his user namespace here: nothing after it looks from outside.
pub(super) fn look(home: &Path) -> Vec<Finding> {
    let entered = own_namespace::enter();
    let mut all = vec![user(entered.as_ref().map(|()| own_namespace::entered()))];
    let tried = entered.and_then(|()| tried(home));
    let images = tried.as_ref().ok().map(|(_, images)| views(images));
    all.extend(mounts(tried.map(|(probe, _)| probe)));
    all.extend(images);
    if let Some(lost) = own_namespace::entered().map(lost) {
        all.push(lost);
    }
    all
}

fn tried(home: &Path) -> Result<(Probe, Result<(), Problem>), SandboxError> {
    // What is not there yet will be made where its parent is.
    let existing = home.ancestors().find(|path| path.is_dir()).unwrap_or(home);
    let helper = Helper::prepare()?;
    Ok((probe(&helper, existing)?, probe_alone(&helper, existing)))
}

/// Either is good; which one it is, and why, is what a person wants to know.
fn views(images: &Result<(), Problem>) -> Finding {
    let found = match images {
        Ok(()) => {
            "FUSE, or for services EROFS images ([options] view = \"auto\", \"erofs\")".to_owned()
        }
        Err(problem) => format!("FUSE ({})", problem.message),
    };
    finding("views", Grade::Good, Ok(found), "")
}

fn user(entered: Result<Option<&Caller>, &SandboxError>) -> Finding {
    let found = match entered {
        Ok(None) => Ok("hd runs as root".to_owned()),
        Ok(Some(caller)) if caller.map.has_ranges() => Ok(format!(
            "hd runs as user {}, as root of a user namespace, with more ids of /etc/subuid",
            caller.uid
        )),
        Ok(Some(caller)) => Err(format!(
            "hd runs as user {} with one id: an image has one owner, and apt-get in it cannot work",
            caller.uid
        )),
        Err(error) => {
            let fix = "run hd as root, or allow user namespaces: sysctl user.max_user_namespaces=15000 \
                       kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0";
            return finding("user", Grade::Bad, Err(error.to_string()), fix);
        }
    };
    finding("user", Grade::Poor, found, MORE_IDS)
}

fn mounts(tried: Result<Probe, SandboxError>) -> Vec<Finding> {
    let probe = match tried {
        Ok(probe) => probe,
        Err(error) => {
            let next = "mend what is above; HD_HOME names another place for all state";
            return vec![finding("sandbox", Grade::Bad, Err(error.to_string()), next)];
        }
    };
    let one = |what, bad, found: Result<(), Problem>, good: &str| {
        let fix = found
            .as_ref()
            .err()
            .map(|problem| problem.next_step.clone());
        let found = found.map(|()| good.to_owned());
        finding(
            what,
            bad,
            found.map_err(|p| p.message),
            fix.unwrap_or_default(),
        )
    };
    let spaces = number("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    vec![
        one("fuse", Grade::Bad, probe.fuse, "/dev/fuse opens and mounts"),
        one(
            "overlay",
            Grade::Bad,
            probe.overlay,
            "mounts, with its writes in HD_HOME",
        ),
        one(
            "user namespaces",
            Grade::Poor,
            probe.user_namespaces,
            &format!("up to {spaces}"),
        ),
    ]
}

/// What no user namespace gives back.
fn lost(caller: &Caller) -> Finding {
    let first = number("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or(1024);
    let image = if caller.map.has_ranges() {
        ""
    } else {
        "; users of an image are all one"
    };
    let found = format!(
        "ports from {first} on; no device files; services run as you{image}; limits only where cgroups are delegated"
    );
    finding("rights", Grade::Good, Ok(found), "")
}
