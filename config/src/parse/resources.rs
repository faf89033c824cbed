//! `resources` of a service.

use toml::de::DeValue;

use crate::keys;
use crate::read::{Item, Result};
use crate::service::Resources;

/// Most processors that make sense: more is a typing error.
const CPUS_MAX: f64 = 4096.0;

pub(super) fn read(item: &Item<'_>) -> Result<Resources> {
    let section = item.section()?;
    section.check(&keys::RESOURCES)?;
    Ok(Resources {
        memory: section.optional("memory", memory)?,
        cpus: section.optional("cpus", cpus)?,
        pids: section.optional("pids", pids)?,
    })
}

fn memory(item: &Item<'_>) -> Result<u64> {
    match item.size()? {
        // Below this not even a shell begins.
        bytes if bytes < 1 << 20 => Err(item.invalid("nothing runs in so little", "\"64MiB\"")),
        bytes => Ok(bytes),
    }
}

/// Thousandths of a processor.
fn cpus(item: &Item<'_>) -> Result<u32> {
    let text = match item.value() {
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Integer(_) => item.integer()?.to_string(),
        _ => return Err(item.wrong_type("a number", "cpus = 1.5")),
    };
    match text.replace('_', "").parse::<f64>() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range was checked"
        )]
        Ok(cpus) if (0.01..=CPUS_MAX).contains(&cpus) => Ok((cpus * 1000.0).round() as u32),
        _ => Err(item.invalid(
            format!("{text} is no number of processors"),
            "0.01 or more; 1.5 is one and a half",
        )),
    }
}

fn pids(item: &Item<'_>) -> Result<u64> {
    let number = item.integer()?;
    match u64::try_from(number) {
        Ok(pids) if pids > 0 => Ok(pids),
        _ => Err(item.invalid(format!("{number} is no number of processes"), "pids = 200")),
    }
}
