//! The server of a view dies, stands still, or is not needed any more, while services run.

use std::fs;
use std::path::Path;

use hd_integration::{Env, LONG, Run, SHORT, leftovers, needs, samples, skip_unless};
use rustix::process::Signal;

/// The FUSE connections that a process serves, by the `fdinfo` of its descriptors (Linux 6.16).
fn connections(pid: i32) -> Vec<String> {
    let Ok(infos) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else {
        return Vec::new();
    };
    let texts = infos
        .flatten()
        .filter_map(|info| fs::read_to_string(info.path()).ok());
    let mut found: Vec<String> = texts
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|line| {
            line.strip_prefix("fuse_connection:")
                .map(|id| id.trim().to_owned())
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Aborts a connection through the control file system, mounted for this alone.
fn abort(connection: &str) {
    let script = format!(
        "mount -t fusectl fusectl /sys/fs/fuse/connections && echo 1 > /sys/fs/fuse/connections/{connection}/abort"
    );
    let unshare = Run::new(Path::new("unshare"));
    unshare.args(["--mount", "sh", "-c", &script]).finish().ok();
}

/// The overlays of hd in all mount namespaces that a process holds.
///
/// A container of any engine may be mounted on this machine: a namespace begins with what it was made in.
fn overlays(pid: i32) -> usize {
    let held = fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors");
    let is_namespace = |path: &std::path::PathBuf| {
        fs::read_link(path).is_ok_and(|to| to.to_string_lossy().starts_with("mnt:["))
    };
    let namespaces = held.flatten().map(|fd| fd.path()).filter(is_namespace);
    let in_one = |namespace: std::path::PathBuf| {
        let enter = format!("--mount={}", namespace.display());
        let seen = Run::new(Path::new("nsenter"))
            .args([&enter, "cat", "/proc/self/mountinfo"])
            .finish()
            .ok();
        let mounts = seen.stdout;
        mounts.matches(" - overlay hd ").count()
    };
    namespaces.map(in_one).sum()
}

#[test]
fn a_view_on_a_base_of_its_own_is_made_anew_too() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let registry = needs::registry().expect("checked by skip_unless");
    let toml = format!(
        "[environment]\nname = \"x\"\n[services.own]\nbase = \"{registry}/busybox:1\"\n\
         command = [\"sleep\", \"1000\"]\n[services.web]\ncommand = \"sleep 1000\"\n"
    );
    let env = Env::project(&[("hd.toml", &toml)]);
    let mut up = env.up();
    for name in ["own", "web"] {
        up.wait_line(0, &[name, "ready"]);
    }
    let pid = |name: &str| env.status().service(name)["pid"].clone();
    let before = (pid("own"), pid("web"));
    connections(up.pid()).iter().for_each(|one| abort(one));
    up.until("both run again", || {
        let status = env.status();
        let is_ready = |name: &str| status.service(name)["state"] == "ready";
        let (own, web) = (pid("own"), pid("web"));
        (own != before.0 && web != before.1 && is_ready("own") && is_ready("web")).then_some(())
    });
    let listed = env.hd(["exec", "-s", "own", "ls", "/bin/busybox"]).finish();
    listed.ok();
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

/// Each view by an image has a connection of its own.
#[test]
fn a_view_that_answers_stays_when_another_is_lost() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let registry = needs::registry().expect("checked by skip_unless");
    let toml = format!(
        "[environment]\nname = \"x\"\n[options]\nview = \"erofs\"\n[services.own]\n\
         base = \"{registry}/busybox:1\"\ncommand = [\"sh\", \"-c\", \"echo run >> /runs; exec sleep 1000\"]\n\
         [services.web]\ncommand = \"sleep 1000\"\nwatch = [\"page\"]\n"
    );
    let env = Env::project(&[("hd.toml", &toml), ("page", "one")]);
    let mut up = env.up();
    for name in ["own", "web"] {
        up.wait_line(0, &[name, "ready"]);
    }
    let pids = || {
        let status = env.status();
        ["own", "web"].map(|name| status.service(name)["pid"].clone())
    };
    let runs = || {
        env.hd(["exec", "-s", "own", "cat", "/runs"])
            .finish()
            .ok()
            .stdout
    };
    let all = connections(up.pid());
    assert_eq!(all.len(), 2, "{all:?}");
    let mut before = pids();
    let mut lost = [0, 0];
    for connection in &all {
        abort(connection);
        let now = up.until("one of them runs anew", || {
            let now = pids();
            let all_run = now.iter().all(|pid| !pid.is_null());
            (all_run && now != before).then_some(now)
        });
        for at in [0, 1] {
            lost[at] += usize::from(now[at] != before[at]);
        }
        assert_eq!(runs(), "run\n", "its layer is a new one only with its view");
        before = now;
    }
    assert_eq!(lost, [1, 1], "each with its own view alone");
    // The conductor knows of it: an edit restarts who watches it, and nobody else.
    hd_integration::files::write(&env.path("page"), "two");
    let now = up.until("the edit is followed", || {
        let now = pids();
        (!now[1].is_null() && now[1] != before[1]).then_some(now)
    });
    assert_eq!(now[0], before[0]);
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn a_view_whose_connection_ends_is_made_anew_and_its_services_with_it() {
    skip_unless!(needs::fuse(), needs::root());
    let env = samples::server_with_output();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    let before = connections(up.pid());
    assert_eq!(before.len(), 2, "that of steps, that of a view: {before:?}");
    let pid = env.status().service("web")["pid"].clone();
    before.iter().for_each(|connection| abort(connection));
    up.until("another view, and the service started in it", || {
        let status = env.status();
        (status.service("web")["pid"] != pid && status.service("web")["state"] == "ready")
            .then_some(())
    });
    up.wait_http(env.port(0), "/", "one");
    let pid = up.pid();
    let mut view = connections(pid);
    view.retain(|connection| !before.contains(connection));
    assert_eq!(view.len(), 1, "{before:?}, then {view:?}");
    let reason = env.status().service("web")["reason"].to_string();
    assert!(reason.contains("view"), "{reason}");
    // An edit after it finds a view that lives, and steps too.
    hd_integration::files::write(&env.path("source.txt"), "two\n");
    up.wait_http(env.port(0), "/", "two");
    up.until("nothing of what was lost", || {
        let now = connections(pid);
        now.iter().all(|one| !before.contains(one)).then_some(())
    });
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn a_view_that_nobody_runs_in_any_more_is_taken_down() {
    skip_unless!(needs::fuse(), needs::root());
    let env = samples::server_with_output();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    for text in ["two", "three", "four"] {
        // The step runs again, so the service sees another output: another view.
        hd_integration::files::write(&env.path("source.txt"), &format!("{text}\n"));
        up.wait_http(env.port(0), "/", text);
    }
    let pid = up.pid();
    up.until(
        "one connection, of steps and of the views after the first",
        || (connections(pid).len() == 1).then_some(()),
    );
    up.until("the overlay of one view", || {
        (overlays(pid) == 1).then_some(())
    });
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn a_step_whose_view_ends_fails_and_leaves_nothing() {
    skip_unless!(needs::fuse(), needs::root());
    let nap = format!("sleep 4.{}", std::process::id());
    let env = samples::observing(
        &format!("mkdir out && cat one && {nap} && cat late > out/late"),
        &[("one", "1\n"), ("late", "late\n")],
    );
    let mut running = env.up_with(&["--once"]);
    running.until("the step naps", || leftovers::command_is(&nap).pop());
    let mut aborted = 0;
    for connection in connections(running.pid()) {
        abort(&connection);
        aborted += 1;
    }
    assert_eq!(aborted, 1, "one step, one view");
    assert!(!running.wait_exit(LONG).success(), "{}", running.said());
    leftovers::expect_none(env.mark(), SHORT);
    env.once().ran(&["step-1"]);
}

#[test]
fn a_server_that_stands_still_is_told_by_status_and_ended_by_the_next_command() {
    skip_unless!(needs::fuse(), needs::root());
    let env = samples::server_with_output();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    leftovers::signal(up.pid(), Signal::STOP);
    let status = env.hd(["status"]).deadline(SHORT).finish();
    assert!(!status.said().is_empty());
    up.kill();
    env.hd(["status"]).finish();
    leftovers::expect_none(env.mark(), SHORT);
    let mut again = env.up();
    again.wait_http(env.port(0), "/", "one");
}

/// Says goodbye when it is asked to end.
const POLITE: &str = "[environment]\nname = \"polite\"\n[services.web]\n\
    command = [\"sh\", \"-c\", \"trap 'echo bye > bye; exit' TERM; echo up; while :; do sleep 0.05; done\"]\n\
    healthcheck = { log = \"up\" }\n";

#[test]
fn down_lets_an_hd_that_was_stopped_go_on_and_its_services_end_in_peace() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", POLITE)]);
    for (args, in_peace) in [(vec!["down"], true), (vec!["down", "--now"], false)] {
        let mut up = env.up();
        up.wait_line(0, &["web", "ready"]);
        leftovers::signal(up.pid(), Signal::STOP);
        let down = env.hd(args).deadline(SHORT).finish().ok();
        assert!(down.stderr.contains("had been stopped"), "{}", down.said());
        leftovers::expect_none(env.mark(), SHORT);
        // With `--now` nobody waits for it, which is not to say that it may not be in time.
        let said = fs::remove_file(env.path("bye")).is_ok();
        assert!(said || !in_peace, "{}", up.said());
    }
}

#[test]
fn down_says_that_hd_does_not_answer_and_with_now_ends_it_all_the_same() {
    skip_unless!(needs::fuse(), needs::faults());
    let mut env = Env::project(&[("hd.toml", POLITE)]);
    // The first request finds nobody for longer than any deadline here.
    env.set("HD_FAULT", "control:1~600000");
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    let down = env.hd(["down"]).finish().expect_code(6);
    assert!(
        down.stderr.contains("`hd down --now` ends it"),
        "{}",
        down.said()
    );
    assert_eq!(up.ended(), None, "nothing is lost by asking");
    env.hd(["down", "--now"]).finish().ok();
    leftovers::expect_none(env.mark(), SHORT);
}
