//! `hd doctor`: what hd needs of the machine, tried, each with the fix.

mod registry;
mod sandbox;

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use hd_store::Store;
use serde_json::json;

use crate::args::Place;
use crate::error::{Outcome, exit};
use crate::output::Output;
use crate::output::human::bytes;
use crate::output::style::Tint;
use crate::output::table::{Cell, table};
use crate::project;

/// Least free space that a base and its packages want.
const FREE_MIN: u64 = 2 << 30;
/// Watches that a project of some size wants.
const WATCHES_MIN: u64 = 65_536;
/// 2024-01-01: no certificate of today is valid before.
const CLOCK_MIN: Duration = Duration::from_secs(1_704_067_200);

/// How much a finding matters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grade {
    Good,
    /// Something works less well.
    Poor,
    /// hd cannot work.
    Bad,
}

struct Finding {
    what: &'static str,
    grade: Grade,
    found: String,
    fix: String,
}

fn finding(
    what: &'static str,
    bad: Grade,
    found: Result<String, String>,
    fix: impl Into<String>,
) -> Finding {
    let (grade, found) = match found {
        Ok(found) => (Grade::Good, found),
        Err(why) => (bad, why),
    };
    let fix = match grade {
        Grade::Good => String::new(),
        Grade::Poor | Grade::Bad => fix.into(),
    };
    Finding {
        what,
        grade,
        found,
        fix,
    }
}

/// Looks at everything and says what is missing.
pub(crate) fn run(place: &Place, output: Output) -> Outcome {
    let home = project::home()?;
    let mut all = sandbox::look(&home);
    all.extend([
        finding(
            "cgroups",
            Grade::Poor,
            cgroups(),
            "mount -t cgroup2 none /sys/fs/cgroup",
        ),
        finding(
            "inotify",
            Grade::Poor,
            inotify(),
            "sysctl fs.inotify.max_user_watches=524288",
        ),
        finding(
            "disk",
            Grade::Poor,
            disk(&home),
            "free some space (hd cas gc), or set HD_HOME to another disk",
        ),
        finding(
            "store",
            Grade::Bad,
            store(&home),
            "use the hd that made it, or set HD_HOME to another directory",
        ),
        finding(
            "clock",
            Grade::Bad,
            clock(),
            "set the clock: certificates are refused by a wrong one",
        ),
    ]);
    // Without a project, or with one that cannot be read, there is no registry to ask.
    let loaded = project::locate(place, None).and_then(|located| located.load());
    if let Some(base) = loaded.ok().and_then(|loaded| loaded.project.base) {
        all.extend(registry::look(&base, &home));
    }
    let bad = all.iter().any(|one| one.grade == Grade::Bad);
    tell(&all, output)?;
    Ok(if bad { exit::MACHINE } else { 0 })
}

fn tell(all: &[Finding], output: Output) -> Result<(), crate::error::CliError> {
    let word = |grade: Grade| match grade {
        Grade::Good => ("ok", Tint::Good),
        Grade::Poor => ("poor", Tint::Warn),
        Grade::Bad => ("bad", Tint::Bad),
    };
    if output.json {
        let object = |one: &Finding| {
            let grade = word(one.grade).0;
            json!({"check": one.what, "grade": grade, "found": one.found, "fix": one.fix})
        };
        let checks: Vec<_> = all.iter().map(object).collect();
        return output.value(&json!({"schema": 1, "checks": checks}));
    }
    let row = |one: &Finding| {
        let (word, tint) = word(one.grade);
        vec![
            Cell::new(one.what),
            Cell::tinted(word, tint),
            Cell::new(&one.found),
            Cell::new(&one.fix),
        ]
    };
    let rows: Vec<Vec<Cell>> = all.iter().map(row).collect();
    output.data(&table(&["CHECK", "", "FOUND", "FIX"], &rows, output.out))
}

/// Reads a number that the kernel tells in a file.
fn number(path: &str) -> Result<u64, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    text.trim().parse().map_err(|e| format!("{path}: {e}"))
}

fn cgroups() -> Result<String, String> {
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        return Ok("version 2".to_owned());
    }
    let first = Path::new("/sys/fs/cgroup/memory").exists();
    let missing = || "none mounted: limits are rlimits only".to_owned();
    first.then(|| "version 1".to_owned()).ok_or_else(missing)
}

fn inotify() -> Result<String, String> {
    let watches = number("/proc/sys/fs/inotify/max_user_watches")?;
    let text = format!("{watches} watches");
    if watches < WATCHES_MIN {
        Err(format!("only {text}"))
    } else {
        Ok(text)
    }
}

fn disk(home: &Path) -> Result<String, String> {
    let existing = home.ancestors().find(|path| path.exists()).unwrap_or(home);
    let stat = rustix::fs::statvfs(existing).map_err(|e| format!("{}: {e}", existing.display()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let text = format!("{} free at {}", bytes(free), home.display());
    if free < FREE_MIN {
        Err(format!("only {text}"))
    } else {
        Ok(text)
    }
}

/// Opens the store, unless there is none yet: nothing is made here.
fn store(home: &Path) -> Result<String, String> {
    let cas = home.join("cas");
    if !cas.join("FORMAT").exists() {
        return Ok(format!("none yet at {}", home.display()));
    }
    let opened = Store::open(&cas).map_err(|e| e.to_string())?;
    Ok(format!(
        "{} at {}",
        bytes(opened.file_bytes()),
        cas.display()
    ))
}

fn clock() -> Result<String, String> {
    let now = SystemTime::now();
    let text = hd_actors::model::log_line::timestamp(now);
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    if since < CLOCK_MIN {
        Err(format!("it is {text}"))
    } else {
        Ok(text)
    }
}
