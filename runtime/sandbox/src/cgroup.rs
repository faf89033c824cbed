//! Control groups: limits that all processes of a sandbox share (cgroups(7)), by version 2, or by version 1 where only
//! that has the controller.

use crate::cgroup_v2::{self, Parent};
use crate::meter::Meter;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Length of a period in which processor time is counted, microseconds: the kernel's default.
const PERIOD: u64 = 100_000;
/// How often a group that is not empty yet is tried to be removed, and the pause between: its last process is on its way
/// out.
const REMOVE_TRIES: u32 = 50;
const REMOVE_PAUSE: Duration = Duration::from_millis(10);

/// What the processes of a sandbox may use together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Memory in bytes, page cache included.
    pub memory: Option<u64>,
    /// Processor time in thousandths of one processor.
    pub cpus: Option<u32>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// A limit that no control group could be made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// `memory`, `cpu` or `pids`.
    pub controller: &'static str,
    /// What is in the way.
    pub why: String,
}

/// The groups of one sandbox, one directory for each hierarchy. Dropping it removes them.
#[derive(Debug)]
pub struct Cgroup {
    directories: Vec<PathBuf>,
    memory: Option<PathBuf>,
    pids: Option<PathBuf>,
    cpu: bool,
}

/// A hierarchy that this process is in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    /// The controllers of version 1; none of version 2.
    controllers: Vec<String>,
    /// Its mount point.
    top: PathBuf,
    /// The group of this process.
    own: PathBuf,
}

impl Cgroup {
    /// Makes groups of a name below the group of this process, with these limits; and says which limits have none.
    ///
    /// `name` is a file name that nobody else uses.
    pub fn create(name: &str, wanted: &Resources) -> (Self, Vec<Missing>) {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let all = hierarchies(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
        let mut group = Self {
            directories: Vec::new(),
            memory: None,
            pids: None,
            cpu: false,
        };
        let limits = [
            ("memory", wanted.memory),
            ("cpu", wanted.cpus.map(u64::from)),
            ("pids", wanted.pids),
        ];
        let wanted = limits.iter().filter(|(_, limit)| limit.is_some());
        let of_v2 = wanted.map(|(controller, _)| *controller);
        let of_v2 = of_v2.filter(|controller| of_v1(&all, controller).is_none());
        let parent = v2_parent(&all, &of_v2.collect::<Vec<_>>());
        let mut missing = Vec::new();
        for (controller, limit) in limits {
            let Some(limit) = limit else { continue };
            let made = match of_v1(&all, controller) {
                Some(hierarchy) => group.limit_v1(hierarchy, name, controller, limit),
                None => group.limit_v2(&parent, name, controller, limit),
            };
            if let Err(why) = made {
                missing.push(Missing { controller, why });
            }
        }
        // Where processor time is limited in one hierarchy and counted in another, it is to be counted too.
        if group.cpu
            && let Some(hierarchy) = of_v1(&all, "cpuacct")
        {
            let _ = group.directory(&hierarchy.own, name);
        }
        (group, missing)
    }

    /// Gives its directories.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// Tells how many processes were killed because the memory was used up.
    pub fn memory_kills(&self) -> u64 {
        let counted = self.memory.as_ref().map(|directory| {
            // Version 2 has `memory.events`, version 1 says it in `memory.oom_control`.
            ["memory.events", "memory.oom_control"]
                .iter()
                .find_map(|file| counter(&directory.join(file), "oom_kill"))
        });
        counted.flatten().unwrap_or(0)
    }

    /// Tells how often a process or thread more was refused.
    pub fn pids_refused(&self) -> u64 {
        let counted = self.pids.as_ref();
        let counted = counted.and_then(|directory| counter(&directory.join("pids.events"), "max"));
        counted.unwrap_or(0)
    }

    /// Puts a process into the groups; its children are born in them.
    pub(crate) fn place(&self, pid: u32) -> io::Result<()> {
        place(&self.directories, pid)
    }

    /// Gives what reads how much is used.
    pub fn meter(&self) -> Meter {
        Meter::new(&self.directories)
    }

    fn limit_v1(
        &mut self,
        hierarchy: &Hierarchy,
        name: &str,
        controller: &str,
        limit: u64,
    ) -> Result<(), String> {
        let mut make = || -> io::Result<()> {
            let directory = self.directory(&hierarchy.own, name)?;
            let set = |file: &str, value: String| fs::write(directory.join(file), value);
            match controller {
                "memory" => {
                    set("memory.limit_in_bytes", limit.to_string())?;
                    // Not every kernel counts swap.
                    let _ = set("memory.memsw.limit_in_bytes", limit.to_string());
                }
                "cpu" => set("cpu.cfs_quota_us", quota(limit).to_string())?,
                _ => set("pids.max", limit.to_string())?,
            }
            self.has(controller, directory);
            Ok(())
        };
        make().map_err(|error| error.to_string())
    }

    fn limit_v2(
        &mut self,
        parent: &Result<Parent, String>,
        name: &str,
        controller: &str,
        limit: u64,
    ) -> Result<(), String> {
        let parent = parent.as_ref().map_err(Clone::clone)?;
        if !parent.controllers.contains(&controller) {
            return Err(format!("{} may not have it", parent.path.display()));
        }
        let mut make = || -> io::Result<()> {
            let directory = self.directory(&parent.path, name)?;
            let set = |file: &str, value: String| fs::write(directory.join(file), value);
            match controller {
                "memory" => {
                    set("memory.max", limit.to_string())?;
                    let _ = set("memory.swap.max", "0".to_owned());
                }
                "cpu" => set("cpu.max", format!("{} {PERIOD}", quota(limit)))?,
                _ => set("pids.max", limit.to_string())?,
            }
            self.has(controller, directory);
            Ok(())
        };
        make().map_err(|error| error.to_string())
    }

    /// Makes the group of this name below another, if it is not made yet.
    fn directory(&mut self, parent: &Path, name: &str) -> io::Result<PathBuf> {
        let directory = parent.join(name);
        match fs::create_dir(&directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if !self.directories.contains(&directory) {
            self.directories.push(directory.clone());
        }
        Ok(directory)
    }

    fn has(&mut self, controller: &str, directory: PathBuf) {
        match controller {
            "memory" => self.memory = Some(directory),
            "cpu" => self.cpu = true,
            _ => self.pids = Some(directory),
        }
    }
}

/// Microseconds of processor time in a period, of thousandths of a processor.
fn quota(limit: u64) -> u128 {
    u128::from(limit) * u128::from(PERIOD) / 1000
}

/// The hierarchy of version 1 that has a controller.
fn of_v1<'a>(all: &'a [Hierarchy], controller: &str) -> Option<&'a Hierarchy> {
    let has = |one: &&Hierarchy| one.controllers.iter().any(|known| known == controller);
    all.iter().find(has)
}

fn v2_parent(all: &[Hierarchy], controllers: &[&'static str]) -> Result<Parent, String> {
    let hierarchy = all.iter().find(|one| one.controllers.is_empty());
    let hierarchy = hierarchy.ok_or("no hierarchy has this controller")?;
    let found = cgroup_v2::parent(&hierarchy.own, &hierarchy.top, controllers);
    found.map_err(|error| error.to_string())
}

/// Puts a process into groups; its children are born in them.
pub(crate) fn place(groups: &[PathBuf], pid: u32) -> io::Result<()> {
    let mut groups = groups.iter();
    groups.try_for_each(|group| fs::write(group.join("cgroup.procs"), pid.to_string()))
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for directory in &self.directories {
            if let Err(error) = remove(directory) {
                tracing::warn!(path = %directory.display(), %error, "a control group could not be removed");
            }
        }
    }
}

/// Removes the directory of a group whose processes have ended or are about to; one that is gone is fine.
pub fn remove(directory: &Path) -> io::Result<()> {
    let mut tries = 0;
    loop {
        match fs::remove_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && tries < REMOVE_TRIES => {
                tries += 1;
                std::thread::park_timeout(REMOVE_PAUSE);
            }
            done => return done,
        }
    }
}

/// Reads which hierarchies there are (`proc_pid_mountinfo(5)`) and where in them a process is.
fn hierarchies(mounts: &str, groups: &str) -> Vec<Hierarchy> {
    let found = mounts.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let place: Vec<&str> = place.split(' ').collect();
        let kind: Vec<&str> = kind.split(' ').collect();
        let (root, top) = (*place.get(3)?, *place.get(4)?);
        let controllers: Vec<String> = match *kind.first()? {
            "cgroup2" => Vec::new(),
            "cgroup" => kind.get(2)?.split(',').map(str::to_owned).collect(),
            _ => return None,
        };
        let own = groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_, names, path) = (parts.next()?, parts.next()?, parts.next()?);
            let is_it = match controllers.is_empty() {
                true => names.is_empty(),
                false => names
                    .split(',')
                    .any(|name| controllers.iter().any(|one| one == name)),
            };
            is_it.then_some(path)
        })?;
        let below = Path::new(own).strip_prefix(root).unwrap_or(Path::new(""));
        Some(Hierarchy {
            controllers,
            top: PathBuf::from(top),
            own: Path::new(top).join(below),
        })
    });
    found.collect()
}

pub(crate) fn counter(file: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| value.trim().parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found_with_ones_own_place() {
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      32 31 0:29 /docker/1 /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let groups = "4:memory:/a/b\n1:cpu,cpuacct:/docker/1/x\n0::/user.slice\n";
        let found = hierarchies(mounts, groups);
        let own: Vec<_> = found.iter().map(|one| one.own.to_str()).collect();
        assert_eq!(
            own,
            [
                Some("/sys/fs/cgroup/memory/a/b"),
                Some("/sys/fs/cgroup/cpu/x"),
                Some("/sys/fs/cgroup/unified/user.slice")
            ]
        );
        assert!(found[2].controllers.is_empty());
        assert_eq!(hierarchies("", groups), []);
    }
}
