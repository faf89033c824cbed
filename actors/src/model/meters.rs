//! What services with `resources` use of them: read when somebody asks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hd_config::Resources;
use hd_sandbox::Meter;

use super::report::{ResourcesReport, Used};

/// The meters of running services by name.
#[derive(Debug, Default)]
pub struct Meters(Mutex<BTreeMap<String, (Meter, Resources)>>);

impl Meters {
    /// Notes how the run of a service that has just begun is metered; one without limits is not.
    pub fn set(&self, service: &str, meter: Option<(Meter, Resources)>) {
        let mut all = self.lock();
        match meter {
            Some(meter) => drop(all.insert(service.to_owned(), meter)),
            None => drop(all.remove(service)),
        }
    }

    /// Reads what a service uses of what it is limited to; nothing where no limit is set.
    pub fn read(&self, service: &str) -> Option<ResourcesReport> {
        // Files of the kernel, but read without the lock all the same.
        let (meter, limits) = self.lock().get(service).cloned()?;
        Some(ResourcesReport {
            memory: limits.memory.map(|limit| Used {
                used: meter.memory(),
                limit,
            }),
            cpus: limits.cpus.map(|limit| Used {
                used: meter.cpu_time().map(|time| time / 1000),
                limit: u64::from(limit),
            }),
            pids: limits.pids.map(|limit| Used {
                used: meter.pids(),
                limit,
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (Meter, Resources)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
