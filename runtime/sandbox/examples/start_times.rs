//! Times of a sandbox that runs `true` on this machine's own programs: `start_times ROUNDS`, one JSON
//! object on stdout. From the call until the child's exec, and until it has ended and is reaped.
#![expect(clippy::print_stdout, reason = "a command line program")]

use std::path::Path;
use std::time::{Duration, Instant};

use hd_sandbox::{
    Command, Create, Event, Guardian, Helper, Launcher, Limits, MountOp, Network, Place,
    Privileges, Spec, Stdio,
};

/// How long one start may take.
const SOON: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // This program is its own helper.
    hd_sandbox::entry::run_if_helper();
    let usage = "usage: start_times ROUNDS";
    let rounds: usize = std::env::args().nth(1).ok_or(usage)?.parse()?;
    let helper = Helper::prepare()?;
    let launcher = Launcher::new(helper.clone(), Some(Guardian::start(&helper)?));
    let directory = tempfile::TempDir::new()?;
    let stage = directory.path().join("stage");
    std::fs::create_dir(&stage)?;
    let spec = spec(&stage);
    // The first one fills caches.
    once(&launcher, &spec)?;
    let (mut exec_us, mut ended_us) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (executed, ended) = once(&launcher, &spec)?;
        exec_us.push(executed);
        ended_us.push(ended);
    }
    println!(
        "{}",
        serde_json::json!({ "exec_us": exec_us, "ended_us": ended_us })
    );
    Ok(())
}

/// Microseconds until the exec, and until the end.
fn once(launcher: &Launcher, spec: &Spec) -> Result<(f64, f64), Box<dyn std::error::Error>> {
    let started = Instant::now();
    let micros = || started.elapsed().as_secs_f64() * 1e6;
    let mut pending = launcher.spawn(spec, Stdio::default(), None)?;
    let sandbox = loop {
        match pending.next_event(SOON)? {
            Event::Started(sandbox) => break sandbox,
            Event::Failed(failure) => return Err(format!("the sandbox failed: {failure:?}").into()),
            _ => {}
        }
    };
    let executed = micros();
    match sandbox.wait(Some(SOON))? {
        Some(end) if end.success() => Ok((executed, micros())),
        other => Err(format!("true ended otherwise: {other:?}").into()),
    }
}

/// All that a step's sandbox has, but of bind mounts instead of views.
fn spec(stage: &Path) -> Spec {
    let tmpfs = |at: &str, mode| MountOp::Tmpfs {
        at: at.into(),
        size: Some(1 << 20),
        mode,
    };
    let mut mounts = vec![tmpfs("root", 0o755)];
    for name in ["usr", "bin", "sbin", "lib", "lib64", "etc"] {
        let path = format!("/{name}");
        if Path::new(&path).exists() {
            mounts.push(MountOp::Bind {
                source: Place::Host(path.into()),
                at: format!("root/{name}").into(),
                recursive: true,
                read_only: true,
                create: Create::Dir,
            });
        }
    }
    mounts.extend([
        MountOp::Proc {
            at: "root/proc".into(),
        },
        MountOp::Dev {
            at: "root/dev".into(),
        },
        MountOp::Sys {
            at: "root/sys".into(),
        },
        tmpfs("root/tmp", 0o1777),
    ]);
    Spec {
        name: "start-times".into(),
        hostname: "start-times".into(),
        stage: stage.to_owned(),
        root: "root".into(),
        mounts,
        command: Command::new(["/bin/true"]),
        privileges: Privileges::default(),
        limits: Limits::default(),
        network: Network::Host,
        user_namespace: None,
    }
}
