//! User and group ids of a user namespace.

use crate::error::{Result, SandboxError};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A run of ids: `count` ids from `inside` on are `outside…` on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// First id in the namespace.
    pub inside: u32,
    /// First id on the host.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// The ids of a user namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// User ids.
    pub users: Vec<IdRange>,
    /// Group ids.
    pub groups: Vec<IdRange>,
}

impl IdMap {
    /// Maps one user and group to root: what any user may do without help.
    pub fn single(uid: u32, gid: u32) -> Self {
        Self::one((0, 0), (uid, gid))
    }

    /// Maps one user and group, inside and outside.
    pub fn one(inside: (u32, u32), outside: (u32, u32)) -> Self {
        let range = |inside, outside| IdRange {
            inside,
            outside,
            count: 1,
        };
        Self {
            users: vec![range(inside.0, outside.0)],
            groups: vec![range(inside.1, outside.1)],
        }
    }

    /// Tells whether more than one id exists, as `apt-get` and images with several owners need.
    pub fn has_ranges(&self) -> bool {
        let total = |ranges: &[IdRange]| {
            ranges
                .iter()
                .map(|range| u64::from(range.count))
                .sum::<u64>()
        };
        total(&self.users) > 1 && total(&self.groups) > 1
    }

    /// Tells whether a user id exists inside.
    pub fn has_user(&self, id: u32) -> bool {
        holds(&self.users, id)
    }

    /// Tells whether a group id exists inside.
    pub fn has_group(&self, id: u32) -> bool {
        holds(&self.groups, id)
    }

    fn needs_helper(&self) -> bool {
        self.users.len() > 1 || self.groups.len() > 1 || self.has_ranges()
    }
}

fn holds(ranges: &[IdRange], id: u32) -> bool {
    ranges
        .iter()
        .any(|range| id >= range.inside && id - range.inside < range.count)
}

/// Answers the map a sandbox of this process needs: none for root, ranges where `/etc/subuid`, `/etc/subgid`,
/// `newuidmap` and `newgidmap` allow them, else a single id.
pub fn required() -> Option<IdMap> {
    let uid = rustix::process::geteuid();
    let gid = rustix::process::getegid().as_raw();
    if uid.is_root() && crate::probe::has_sys_admin() {
        return None;
    }
    Some(detect(
        uid.as_raw(),
        gid,
        Path::new("/etc"),
        find_program("newuidmap").is_some() && find_program("newgidmap").is_some(),
    ))
}

fn detect(uid: u32, gid: u32, etc: &Path, programs: bool) -> IdMap {
    let single = IdMap::single(uid, gid);
    if !programs {
        return single;
    }
    let name = user_name(uid, &read(&etc.join("passwd")));
    let users = sub_range(uid, name.as_deref(), &read(&etc.join("subuid")));
    let groups = sub_range(uid, name.as_deref(), &read(&etc.join("subgid")));
    match (users, groups) {
        (Some(users), Some(groups)) => IdMap {
            users: vec![single.users[0], users],
            groups: vec![single.groups[0], groups],
        },
        _ => single,
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn user_name(uid: u32, passwd: &str) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// Finds the first range of a user in a `subuid(5)` file; the entry may name the user or give the id.
fn sub_range(uid: u32, name: Option<&str>, text: &str) -> Option<IdRange> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        if Some(owner) != name && owner.parse() != Ok(uid) {
            return None;
        }
        let outside: u32 = fields.next()?.parse().ok()?;
        let count: u32 = fields.next()?.parse().ok()?;
        (count > 0 && outside.checked_add(count).is_some()).then_some(IdRange {
            inside: 1,
            outside,
            count,
        })
    })
}

fn find_program(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin"]
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.exists())
}

/// Writes the maps of a process that has just made a user namespace.
///
/// A single id is written directly (`user_namespaces(7)`: the writer's own id, `setgroups` denied first), ranges by
/// the set-uid programs `newuidmap` and `newgidmap`.
pub(crate) fn write(pid: u32, map: &IdMap) -> Result<()> {
    let privileged = crate::probe::has_sys_admin();
    if map.needs_helper() && !privileged {
        run_map_program("newuidmap", pid, &map.users)?;
        return run_map_program("newgidmap", pid, &map.groups);
    }
    if !privileged {
        put(pid, "setgroups", "deny")?;
    }
    put(pid, "uid_map", &lines(&map.users))?;
    put(pid, "gid_map", &lines(&map.groups))
}

fn put(pid: u32, file: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::write(&path, text).map_err(|source| SandboxError::Io {
        what: format!("write {path}"),
        source,
    })
}

fn lines(ranges: &[IdRange]) -> String {
    ranges
        .iter()
        .map(|range| format!("{} {} {}\n", range.inside, range.outside, range.count))
        .collect()
}

fn run_map_program(name: &str, pid: u32, ranges: &[IdRange]) -> Result<()> {
    let program = find_program(name).ok_or_else(|| SandboxError::IdMap {
        message: format!("{name} is not installed"),
    })?;
    let mut command = std::process::Command::new(program);
    command.arg(pid.to_string());
    for range in ranges {
        command.args([
            range.inside.to_string(),
            range.outside.to_string(),
            range.count.to_string(),
        ]);
    }
    let output = command.output().map_err(|source| SandboxError::Io {
        what: format!("run {name}"),
        source,
    })?;
    if output.status.success() {
        return Ok(());
    }
    let message = format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Err(SandboxError::IdMap { message })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUB: &str = "other:1:2\nann:100000:65536\n1001:200000:1000\nbad:x:1\nzero:5:0\n";

    #[test]
    fn sub_range_by_name_id_and_garbage() {
        let range = |outside, count| {
            Some(IdRange {
                inside: 1,
                outside,
                count,
            })
        };
        assert_eq!(sub_range(1000, Some("ann"), SUB), range(100_000, 65_536));
        assert_eq!(sub_range(1001, Some("bob"), SUB), range(200_000, 1000));
        assert_eq!(sub_range(7, Some("bad"), SUB), None);
        assert_eq!(sub_range(8, Some("zero"), SUB), None);
        assert_eq!(sub_range(9, None, ""), None);
    }

    #[test]
    fn without_programs_or_entries_one_id_remains() {
        let etc = tempfile::tempdir().unwrap();
        std::fs::write(etc.path().join("passwd"), "ann:x:1000:1000::/:/bin/sh\n").unwrap();
        assert_eq!(
            detect(1000, 1000, etc.path(), true),
            IdMap::single(1000, 1000)
        );
        for file in ["subuid", "subgid"] {
            std::fs::write(etc.path().join(file), SUB).unwrap();
        }
        assert!(!detect(1000, 1000, etc.path(), false).has_ranges());
        let map = detect(1000, 1000, etc.path(), true);
        assert!(map.has_ranges());
        assert_eq!(lines(&map.users), "0 1000 1\n1 100000 65536\n");
    }
}
