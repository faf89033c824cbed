//! Where it was measured.

use serde::Serialize;

/// What of a machine bears on the figures.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    /// Processors that this process may use.
    pub(super) cores: usize,
    /// System and release of the kernel.
    pub(super) kernel: String,
    /// Model of the processor, as the kernel names it.
    pub(super) processor: Option<String>,
    /// Load average of the last minute when it began: what else ran.
    pub(super) load: Option<f64>,
}

/// Looks at this machine.
pub(super) fn look() -> Machine {
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    Machine {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        kernel: format!("{} {}", text(uname.sysname()), text(uname.release())),
        processor: processor(&read("/proc/cpuinfo")),
        load: read("/proc/loadavg")
            .split(' ')
            .next()
            .and_then(|load| load.parse().ok()),
    }
}

fn processor(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))?;
    let name = line.split_once(':')?.1.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} cores", self.cores)?;
        if let Some(processor) = &self.processor {
            write!(f, " ({processor})")?;
        }
        write!(f, ", {}", self.kernel)?;
        if let Some(load) = self.load {
            write!(f, ", load {load} when it began")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_has_a_name_on_some_machines() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Fast 9000 @ 1 GHz\nflags\t: fpu\n";
        assert_eq!(processor(cpuinfo).as_deref(), Some("Fast 9000 @ 1 GHz"));
        assert_eq!(processor("processor\t: 0\nmodel name\t: \n"), None);
        assert!(look().kernel.starts_with("Linux "));
    }
}
