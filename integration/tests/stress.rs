//! Services that behave badly: only they suffer, `status` names why, `down` ends them in time.

use std::time::Duration;

use hd_integration::leftovers::{self, signal};
use hd_integration::poll::{SHORT, until};
use hd_integration::{Env, Up, needs, skip_unless};
use rustix::process::Signal;

/// Beside each bad service one that must not notice.
const GOOD: &str = "\n[services.good]\ncommand = \"sleep 1000\"\n";

fn start(services: &str, ready: &str) -> (Env, Up) {
    let toml = format!("[environment]\nname = \"stress\"\n{services}{GOOD}");
    let env = Env::project(&[("hd.toml", &toml), ("a.txt", "")]);
    let mut up = env.up();
    up.wait_line(0, &["good", "ready"]);
    up.wait_line(0, &[ready, "ready"]);
    (env, up)
}

fn pid(env: &Env, service: &str) -> i64 {
    env.status().service(service)["pid"]
        .as_i64()
        .expect("it runs")
}

/// Ends the instance within a deadline, and leaves nothing.
fn down(env: &Env, up: &mut Up) {
    env.hd(["down"]).deadline(SHORT).finish().ok();
    up.wait_exit(SHORT);
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn one_that_is_deaf_to_its_stop_signal_is_killed_after_its_grace() {
    skip_unless!(needs::fuse());
    let deaf = "[services.deaf]\ncommand = [\"sh\", \"-c\", \"trap '' TERM HUP INT; while :; do sleep 0.05; done\"]\nstop_grace = \"300ms\"\n";
    let (env, mut up) = start(deaf, "deaf");
    let (good, before) = (pid(&env, "good"), pid(&env, "deaf"));
    env.hd(["restart", "deaf"]).finish().ok();
    until("it was started anew", SHORT, || {
        let now = env.status().service("deaf")["pid"].as_i64();
        now.is_some_and(|now| now != before).then_some(())
    });
    assert_eq!(pid(&env, "good"), good);
    down(&env, &mut up);
}

#[test]
fn one_that_forks_away_takes_its_children_along() {
    skip_unless!(needs::fuse());
    // A session of its own, an orphan of an orphan, and one that ignores what may end it.
    let away = r#"[services.away]
command = ["sh", "-c", "setsid sleep 4711 & (sh -c 'sleep 4712 & sleep 0.1' &); setsid sh -c \"trap '' TERM HUP; while :; do sleep 0.05; done # 4714\" & sleep 0.5; echo forked; exec sleep 4713"]
healthcheck = { log = "forked" }
stop_grace = "500ms"
"#;
    let (env, mut up) = start(away, "away");
    let good = pid(&env, "good");
    env.hd(["stop", "away"]).finish().ok();
    until("none of its children is left", SHORT, || {
        let left = leftovers::processes(env.mark());
        let any = left.iter().any(|one| one.command.contains("471"));
        (!any).then_some(())
    });
    assert_eq!(pid(&env, "good"), good);
    down(&env, &mut up);
}

#[test]
fn one_that_floods_its_log_is_bounded_on_disk_and_slows_nobody() {
    skip_unless!(needs::fuse());
    let flood = "[services.flood]\ncommand = [\"sh\", \"-c\", \"while :; do yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx | head -n 20000; done\"]\nstop_grace = \"500ms\"\n";
    let toml = format!("[environment]\nname = \"stress\"\n{flood}{GOOD}");
    let env = Env::project(&[("hd.toml", &toml)]);
    // In the background: nobody reads what it prints.
    env.hd(["up", "--wait"]).finish().ok();
    let logs = || -> u64 {
        let mut found = 0;
        let mut rest = vec![env.home().join("instances")];
        while let Some(place) = rest.pop() {
            for entry in std::fs::read_dir(&place).into_iter().flatten().flatten() {
                let (path, name) = (entry.path(), entry.file_name());
                if path.is_dir() {
                    rest.push(path);
                } else if name.to_string_lossy().starts_with("flood.log") {
                    found += entry.metadata().map_or(0, |meta| meta.len());
                }
            }
        }
        found
    };
    until(
        "the log was set aside more than once",
        Duration::from_secs(60),
        || (logs() > 9 << 20).then_some(()),
    );
    assert!(logs() < 20 << 20, "{}", logs());
    assert_eq!(env.status().service("good")["state"], "ready");
    let tail = env
        .hd(["logs", "-n", "3", "--no-prefix", "flood"])
        .finish()
        .ok()
        .stdout;
    assert_eq!(tail.lines().count(), 3, "{tail}");
    env.hd(["down"]).finish().ok();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn one_that_crashes_in_a_loop_waits_longer_each_time_and_is_given_up() {
    skip_unless!(needs::fuse());
    let crash = "[services.crash]\ncommand = [\"sh\", \"-c\", \"exit 7\"]\nrestart = { max = 3, min_delay = \"20ms\", max_delay = \"80ms\" }\nhealthcheck = \"false\"\n";
    let toml = format!("[environment]\nname = \"stress\"\n{crash}{GOOD}");
    let env = Env::project(&[("hd.toml", &toml)]);
    let mut up = env.up();
    up.wait_line(0, &["good", "ready"]);
    up.wait_line(0, &["crash", "failed"]);
    let report = env.status();
    let crash = report.service("crash");
    assert_eq!(
        crash["reason"], "exited with code 7; given up after 4 tries",
        "{crash:#}"
    );
    assert_eq!(crash["restarts"]["crash"], 3, "{crash:#}");
    assert_eq!(report.service("good")["state"], "ready");
    let waited = env.hd(["wait", "crash"]).finish().expect_code(5);
    assert!(waited.stderr.contains("given up"), "{}", waited.said());
    down(&env, &mut up);
}

#[test]
fn hd_that_was_halted_goes_on_without_a_storm_and_without_a_loss() {
    skip_unless!(needs::fuse());
    let web = "[services.web]\ncommand = [\"sh\", \"-c\", \"echo started >> ../starts; exec sleep 1000\"]\nwatch = [\"*.txt\"]\nworking_dir = \"sub\"\n";
    let toml = format!("[environment]\nname = \"stress\"\n{web}{GOOD}");
    let env = Env::project(&[("hd.toml", &toml), ("a.txt", ""), ("sub/x", "")]);
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    up.wait_line(0, &["good", "ready"]);
    let (web, good) = (pid(&env, "web"), pid(&env, "good"));
    let starts = || {
        let text = std::fs::read_to_string(env.path("starts")).unwrap_or_default();
        text.lines().count()
    };
    up.until("it has started", || (starts() == 1).then_some(()));
    signal(up.pid(), Signal::STOP);
    for number in 0..200 {
        std::fs::write(env.path(&format!("{}.txt", number % 7)), number.to_string()).unwrap();
    }
    // Services do not need hd to live.
    assert!(std::path::Path::new(&format!("/proc/{web}")).exists());
    signal(up.pid(), Signal::CONT);
    until("web was restarted", SHORT, || {
        let now = env.status().service("web")["pid"].as_i64();
        now.is_some_and(|now| now != web).then_some(())
    });
    until("it is ready", SHORT, || {
        let is_ready = env.status().service("web")["state"] == "ready";
        (is_ready && starts() > 1).then_some(())
    });
    // The two hundred saves are one batch, or a few where they were read in parts.
    assert!((2..=4).contains(&starts()), "{} starts", starts());
    assert_eq!(pid(&env, "good"), good);
    let actors = env.status().value()["actors"].clone();
    let dead = |one: &&serde_json::Value| one["state"] == "dead" || one["restarts"] != 0;
    let all = actors.as_array().cloned().unwrap_or_default();
    assert!(!all.iter().any(|one| dead(&one)), "{actors:#}");
    down(&env, &mut up);
}

#[test]
fn a_hundred_restarts_while_following_lose_and_double_no_line() {
    skip_unless!(needs::fuse());
    let web = "[services.web]\ncommand = [\"sh\", \"-c\", \"n=$(cat count 2>/dev/null || echo 0); n=$((n+1)); echo $n > count; echo line-$n-b >&2; echo line-$n-a; exec sleep 1000\"]\nhealthcheck = { log = \"line-.*-a\" }\n";
    let (env, mut up) = start(web, "web");
    let mut command = env.hd(["logs", "-f", "--no-prefix", "web"]).into_command();
    let out = env.mark().join("followed");
    command.stdin(std::process::Stdio::null());
    command.stdout(std::fs::File::create(&out).unwrap());
    let mut follower = command.spawn().unwrap();
    for _ in 0..100 {
        env.hd(["restart", "web"]).finish().ok();
        env.hd(["wait", "web"]).finish().ok();
    }
    let last = "line-101-a".to_owned();
    let followed = || std::fs::read_to_string(&out).unwrap_or_default();
    up.until("the last line was followed", || {
        followed().contains(&last).then_some(())
    });
    assert_eq!(up.interrupt().code(), Some(130));
    until("the follower ends with hd", SHORT, || {
        follower.try_wait().ok().flatten()
    });
    let lines: Vec<String> = followed()
        .lines()
        .filter(|line| line.starts_with("line-"))
        .map(str::to_owned)
        .collect();
    for stream in ["a", "b"] {
        let of = |line: &&String| line.ends_with(stream);
        let found: Vec<&String> = lines.iter().filter(of).collect();
        let expected: Vec<String> = (1..=101).map(|n| format!("line-{n}-{stream}")).collect();
        assert_eq!(found, expected.iter().collect::<Vec<_>>());
    }
}

#[test]
fn commands_meet_a_service_that_is_restarted_again_and_again() {
    skip_unless!(needs::fuse());
    let web = "[services.web]\ncommand = \"sleep 1001\"\n";
    let (env, mut up) = start(web, "web");
    std::thread::scope(|scope| {
        let restarts = scope.spawn(|| {
            for _ in 0..60 {
                env.hd(["restart", "web"]).finish().ok();
            }
        });
        while !restarts.is_finished() {
            let done = env.hd(["exec", "-s", "web", "true"]).finish();
            // Done, or killed with the run it was beside; never a sandbox that cannot be entered.
            assert!([0, 137].contains(&done.code()), "{}", done.said());
        }
    });
    down(&env, &mut up);
}

#[test]
fn children_that_die_as_orphans_are_reaped() {
    skip_unless!(needs::fuse());
    // Each is the child of a child that is gone: pid 1 of its namespace inherits it.
    let leaves = "[services.leaves]\ncommand = [\"sh\", \"-c\", \"for n in 1 2 3 4 5 6 7 8 9; do (sh -c 'exit 3' & sh -c 'kill -9 $$' &) ; done; \
                  echo all-born; exec sleep 1000\"]\nhealthcheck = { log = \"all-born\" }\n";
    let (env, mut up) = start(leaves, "leaves");
    let main = pid(&env, "leaves");
    let space = |pid: i64| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own = space(main).expect("its namespace");
    let beside = || {
        let all = std::fs::read_dir("/proc").expect("list /proc").flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i64>().ok());
        let of = pids.filter(|pid| space(*pid).as_ref() == Some(&own));
        of.collect::<Vec<_>>()
    };
    // A zombie is still in the namespace: only its init and the one that goes on remain.
    until("none of them stays", SHORT, || {
        (beside().len() == 2).then_some(())
    });
    assert!(beside().contains(&main));
    down(&env, &mut up);
}
