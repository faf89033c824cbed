//! SIGKILL at the worst moments: nothing is left behind, nothing is damaged.

use std::time::Duration;

use hd_integration::leftovers::{self, Process};
use hd_integration::{Env, SHORT, Up, needs, poll, samples, skip_unless, until};

/// "Within a second", with as much again for a busy machine.
const PROMPTLY: Duration = Duration::from_secs(2);

/// The guardian: the child of hd that says so in its command line. It names no path of the
/// instance, so what is left behind of it is looked for by its id.
fn guardian(hd: i32) -> Option<Process> {
    leftovers::children(hd, "hd-guardian").pop()
}

/// Kills hd; nothing of the instance may live on, its guardian included.
fn kill_and_expect_none(env: &Env, up: &mut Up) {
    let guardian = guardian(up.pid());
    up.kill();
    leftovers::expect_none(env.mark(), PROMPTLY);
    if let Some(guardian) = guardian {
        until("the guardian is gone", PROMPTLY, || {
            (!leftovers::alive(guardian.pid)).then_some(())
        });
    }
}

#[test]
fn kill_of_hd_leaves_nothing() {
    skip_unless!(needs::fuse());
    let env = samples::server_with_output();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    kill_and_expect_none(&env, &mut up);
    let mut again = env.up();
    again.wait_http(env.port(0), "/", "one");
    assert_eq!(env.status().steps("ran"), [""; 0]);
}

#[test]
fn kill_of_the_guardian_is_made_good_at_once() {
    skip_unless!(needs::fuse());
    let env = samples::server();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    let first = guardian(up.pid()).expect("each instance has a guardian");
    leftovers::kill(first.pid);
    let hd = up.pid();
    up.until("a new guardian", || {
        guardian(hd).filter(|now| now.pid != first.pid)
    });
    up.wait_http(env.port(0), "/", "one");
    assert_eq!(
        env.status().service("web")["restarts"]["crash"],
        0,
        "the service noticed nothing"
    );
    // The new one knows what the old one knew.
    kill_and_expect_none(&env, &mut up);
}

/// A project that runs, with hd and its guardian killed.
fn both_killed() -> Env {
    let env = samples::server_with_output();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    let guardian = guardian(up.pid()).expect("each instance has a guardian");
    // Stopped, it cannot start another one.
    leftovers::signal(up.pid(), rustix::process::Signal::STOP);
    leftovers::kill(guardian.pid);
    up.kill();
    env
}

#[test]
fn what_both_killed_left_goes_with_what_prune_takes() {
    skip_unless!(needs::fuse());
    let env = both_killed();
    let dry = ["prune", "--project", ".", "--dry-run"];
    env.hd(dry).finish().ok();
    assert!(env.path("out").exists(), "its mount point is left");
    env.hd(["prune", "--project", "."]).finish().ok();
    leftovers::expect_none(env.mark(), PROMPTLY);
    assert!(!env.path("out").exists());
}

#[test]
fn kill_of_both_is_cleaned_by_the_next_command() {
    skip_unless!(needs::fuse());
    let env = both_killed();
    env.hd(["status"]).finish();
    leftovers::expect_none(env.mark(), PROMPTLY);
    assert_eq!(env.git(&["status", "--porcelain", "--ignored"]), "");
    let mut again = env.up();
    again.wait_http(env.port(0), "/", "one");
}

#[test]
fn kill_during_a_step_leaves_nothing_and_the_step_runs_again() {
    skip_unless!(needs::fuse());
    // The number names this run's process among all others of the machine.
    let nap = format!("sleep 300.{}", std::process::id());
    let step = format!("mkdir out; test -e slow && {nap}; cp slow out || true");
    let env = samples::observing(&step, &[("slow", "yes\n")]);
    let mut up = env.up();
    up.until("the step sleeps", || leftovers::command_is(&nap).pop());
    kill_and_expect_none(&env, &mut up);
    assert_eq!(leftovers::command_is(&nap), []);
    std::fs::remove_file(env.path("slow")).expect("remove");
    env.once().ran(&["step-1"]);
}

#[test]
fn kill_at_random_moments_of_a_cold_up_costs_nothing() {
    skip_unless!(needs::fuse());
    let count = std::env::var("HD_TEST_KILLS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(5);
    let mut env = samples::many_files(1500);
    let clean = env.once();
    let clean_ms = clean.value()["ms"].as_f64().expect("a time");
    env.second_home();
    for round in 0..count {
        // A new home each time; moments spread over the time that a clean cold start takes.
        let _ = std::fs::remove_dir_all(env.home());
        let share = f64::from(round) / f64::from(count) + 0.01;
        let mut up = env.up_with(&["--once"]);
        poll::let_pass(Duration::from_secs_f64(clean_ms / 1000.0 * share));
        up.kill();
        leftovers::expect_none(env.mark(), SHORT);
        let next = env.once();
        assert_eq!(
            (next.root(), next.view()),
            (clean.root(), clean.view()),
            "killed at {share:.2} of {clean_ms} ms"
        );
        env.hd(["cas", "verify", "--read-data"]).finish().ok();
    }
}
