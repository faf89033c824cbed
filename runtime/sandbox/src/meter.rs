//! How much of its limits a sandbox uses, from the files of its control groups (cgroups(7)).

use crate::cgroup::counter;
use std::fs;
use std::path::{Path, PathBuf};

/// Reads what the processes in control groups use together. It may outlive the groups: then it reads nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    directories: Vec<PathBuf>,
}

impl Meter {
    pub(crate) fn new(directories: &[PathBuf]) -> Self {
        Self {
            directories: directories.to_vec(),
        }
    }

    /// Bytes of memory, page cache included.
    pub fn memory(&self) -> Option<u64> {
        self.number("memory.current")
            .or_else(|| self.number("memory.usage_in_bytes"))
    }

    /// Processor time in microseconds since the groups were made.
    pub fn cpu_time(&self) -> Option<u64> {
        let of_v2 = |place: &PathBuf| counter(&place.join("cpu.stat"), "usage_usec");
        let of_v2 = self.directories.iter().find_map(of_v2);
        of_v2.or_else(|| Some(self.number("cpuacct.usage")? / 1000))
    }

    /// Processes and threads.
    pub fn pids(&self) -> Option<u64> {
        self.number("pids.current")
    }

    fn number(&self, file: &str) -> Option<u64> {
        let read = |place: &PathBuf| number(&place.join(file));
        self.directories.iter().find_map(read)
    }
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read_and_what_is_gone_reads_nothing() {
        let place = tempfile::tempdir().unwrap();
        let meter = Meter::new(&[place.path().join("a"), place.path().join("b")]);
        let read = || (meter.memory(), meter.cpu_time(), meter.pids());
        assert_eq!(read(), (None, None, None));
        let write = |file: &str, text: &str| {
            let path = place.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("a/memory.usage_in_bytes", "4096\n");
        write("b/cpuacct.usage", "7000000\n");
        write("b/pids.current", "3\n");
        assert_eq!(read(), (Some(4096), Some(7000), Some(3)));
        write("a/cpu.stat", "usage_usec 12\nuser_usec 3\n");
        write("a/memory.current", "8192\n");
        assert_eq!(read(), (Some(8192), Some(12), Some(3)));
    }
}
