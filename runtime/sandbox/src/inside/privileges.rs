//! Giving up rights, in the order that works: limits, bounding set, ids, capabilities, system call filter.

use super::{Outcome, Tried, seccomp};
use crate::event::Stage;
use crate::spec::{Capabilities, Command, Limits, Network};
use crate::wire::Rights;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

/// Turns this process into one with the rights given.
pub(super) fn apply(rights: Rights, command: &Command) -> Outcome<()> {
    limit(rights.limits)?;
    let kept = kept_capabilities(rights);
    drop_bounding_set(kept).tried(Stage::Privileges, "drop the capability bounding set")?;
    change_ids(command)?;
    let kept = if command.uid == 0 {
        kept
    } else {
        CapabilitySet::empty()
    };
    set_kept(kept).tried(Stage::Privileges, "drop capabilities")?;
    if rights.privileges.no_new_privs {
        rustix::thread::set_no_new_privs(true).tried(Stage::Privileges, "forbid new privileges")?;
    }
    if rights.privileges.seccomp {
        seccomp::install()
            .map_err(std::io::Error::other)
            .tried(Stage::Privileges, "filter system calls")?;
    }
    Ok(())
}

fn kept_capabilities(rights: Rights) -> CapabilitySet {
    if rights.privileges.capabilities == Capabilities::None {
        return CapabilitySet::empty();
    }
    let mut kept = CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::FOWNER
        | CapabilitySet::FSETID
        | CapabilitySet::KILL
        | CapabilitySet::SETGID
        | CapabilitySet::SETUID
        | CapabilitySet::SETPCAP
        | CapabilitySet::NET_BIND_SERVICE
        | CapabilitySet::SYS_CHROOT
        | CapabilitySet::AUDIT_WRITE
        | CapabilitySet::SETFCAP;
    if rights.network != Network::Host {
        kept |= CapabilitySet::NET_RAW;
    }
    kept
}

fn drop_bounding_set(kept: CapabilitySet) -> rustix::io::Result<()> {
    // By bit, so that capabilities younger than the library go too. The kernel refuses the first it does not know.
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if kept.contains(capability) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn set_kept(kept: CapabilitySet) -> rustix::io::Result<()> {
    clear_ambient_capability_set()?;
    // The machine may lack some; what is not there cannot be kept.
    let kept = kept & capabilities(None)?.permitted;
    set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        },
    )
}

fn change_ids(command: &Command) -> Outcome<()> {
    let groups: Vec<_> = command.groups.iter().copied().map(Gid::from_raw).collect();
    match setgroups(&groups) {
        // A user namespace with a single id denies it; its other groups mean nothing inside.
        Err(nix::errno::Errno::EPERM) if groups.is_empty() => {}
        other => other.tried(
            Stage::Privileges,
            format_args!("set the groups {:?}", command.groups),
        )?,
    }
    let gid = Gid::from_raw(command.gid);
    setresgid(gid, gid, gid).tried(Stage::Privileges, format_args!("change to group {gid}"))?;
    let uid = Uid::from_raw(command.uid);
    setresuid(uid, uid, uid).tried(Stage::Privileges, format_args!("change to user {uid}"))
}

fn limit(limits: Limits) -> Outcome<()> {
    let wanted = [
        (Resource::RLIMIT_NOFILE, limits.nofile),
        (Resource::RLIMIT_NPROC, limits.nproc),
        (Resource::RLIMIT_CORE, limits.core),
        (Resource::RLIMIT_AS, limits.address_space),
        (Resource::RLIMIT_FSIZE, limits.file_size),
    ];
    for (resource, value) in wanted {
        let Some(value) = value else { continue };
        let lowered = getrlimit(resource).and_then(|(_, hard)| {
            let value = value.min(hard);
            setrlimit(resource, value, value)
        });
        lowered.tried(
            Stage::Privileges,
            format_args!("limit {resource:?} to {value}"),
        )?;
    }
    Ok(())
}
