//! What a start costs. Printed, not judged: the machine may be busy.

use crate::runner::Test;
use crate::support::{SOON, launcher, shell, started};
use hd_sandbox::{Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = &[("start_up_cost", start_up_cost)];

fn start_up_cost() {
    let mut fixture = shell("");
    fixture.spec.command = Command::new(["/bin/true"]);
    let rounds = || -> (Vec<Duration>, Vec<Duration>) {
        let round = |_| {
            let start = Instant::now();
            let sandbox = started(
                launcher()
                    .spawn(&fixture.spec, Stdio::default(), None)
                    .unwrap(),
            )
            .unwrap();
            let executed = start.elapsed();
            assert!(sandbox.wait(Some(SOON)).unwrap().unwrap().success());
            (executed, start.elapsed())
        };
        (0..40).map(round).unzip()
    };
    let show = |mut times: Vec<Duration>| {
        times.sort();
        format!(
            "median {:.2?}, least {:.2?}, most {:.2?}",
            times[times.len() / 2],
            times[0],
            times[times.len() - 1]
        )
    };
    let (executed, ended) = rounds();
    println!("    spawn to exec: {}", show(executed));
    println!(
        "    spawn to exec to exit of /bin/true and reaped: {}",
        show(ended)
    );
    let start = Instant::now();
    std::process::Command::new("/bin/true").status().unwrap();
    println!(
        "    plain /bin/true for comparison: {:.2?}",
        start.elapsed()
    );
}
