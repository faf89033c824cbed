//! A write layer into the store, beside `tar | zstd -1` of the same files.

use std::fs;
use std::process::Command;
use std::time::Instant;

use hd_store::Store;

use crate::environment::{self, Environment};
use crate::report::{Report, Side};
use crate::rounds::Rounds;
use crate::{Failure, Options};

pub(crate) fn measure(
    environment: &Environment,
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let side = |name| Side {
        name,
        ms: Vec::new(),
    };
    let (mut ours, mut theirs) = (side("hd capture"), side("tar | zstd -1"));
    for round in Rounds::of("capture", options.cold_rounds + 1, options.time) {
        let cas = options.scratch.join("cas-captured");
        if cas.exists() {
            fs::remove_dir_all(&cas)?;
        }
        fs::create_dir_all(&cas)?;
        let store = Store::open(&cas)?;
        rustix::fs::sync();
        let start = Instant::now();
        environment::ingest(&environment.directory, &store)?;
        let our = start.elapsed();
        rustix::fs::sync();
        let start = Instant::now();
        let status = Command::new("sh")
            .args(["-c", "tar -c . | zstd -1 -q -f -o \"$1\"", "sh"])
            .arg(options.scratch.join("captured.tar.zst"))
            .current_dir(&environment.directory)
            .status()?;
        if !status.success() {
            return Err(format!("tar: {status}").into());
        }
        let their = start.elapsed();
        if round > 0 {
            ours.ms.push(our.as_secs_f64() * 1000.0);
            theirs.ms.push(their.as_secs_f64() * 1000.0);
        }
    }
    report.compare("capture", &ours, &theirs);
    Ok(())
}
