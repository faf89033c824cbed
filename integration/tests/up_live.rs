//! `hd up` as a person uses it: serve, edit, look, kill something, stop.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::time::Duration;

use hd_integration::{
    Env, SHORT, files, http, leftovers, needs, poll, samples, skip_unless, until,
};

fn restarts(env: &Env, kind: &str) -> u64 {
    env.status().service("web")["restarts"][kind]
        .as_u64()
        .expect("a count")
}

fn pid(env: &Env) -> i32 {
    let pid = env.status().service("web")["pid"]
        .as_i64()
        .expect("web runs");
    i32::try_from(pid).expect("a process id")
}

#[test]
fn flask_demo_answers_with_the_edit() {
    skip_unless!(needs::fuse(), needs::package_index());
    let env = Env::example("flask-demo");
    let mut up = env.up();
    up.wait_http(env.port(0), "/version", "1.0.0");
    up.wait_http(env.port(0), "/", "<h1>flask-demo");
    // The probe comes by a moment after the first answer.
    until("web is ready", SHORT, || {
        (env.status().service("web")["state"] == "ready").then_some(())
    });

    let from = up.so_far();
    files::replace(&env.path("config.py"), "1.0.0", "2.0.0");
    up.wait_http(env.port(0), "/version", "2.0.0");
    up.wait_line(from, &["config.py", "0 ran", "web"]);

    let from = up.so_far();
    files::replace(
        &env.path("templates/index.html"),
        "<main>",
        "<main id=\"edited\">",
    );
    up.wait_http(env.port(0), "/", "<main id=\"edited\">");
    up.wait_line(from, &["index.html", "0 ran"]);

    let from = up.so_far();
    files::replace(
        &env.path("requirements.txt"),
        "click==8.3.0",
        "click==8.2.1",
    );
    up.wait_line(from, &["requirements.txt", "1 ran"]);
    assert_eq!(env.status().steps("ran"), ["step-2"]);
    up.wait_http(env.port(0), "/version", "2.0.0");

    assert!(up.interrupt().code().is_some(), "{}", up.said());
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn an_edit_restarts_and_a_touch_does_not() {
    skip_unless!(needs::fuse());
    let env = samples::server();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    files::write(&env.path("answer.txt"), "two\n");
    up.wait_http(env.port(0), "/", "two");
    until("the restart is counted", SHORT, || {
        (restarts(&env, "watch") == 1).then_some(())
    });

    let before = pid(&env);
    files::touch(&env.path("answer.txt"));
    files::save_by_rename(&env.path("answer.txt"), "two\n");
    files::write(&env.path("unwatched.md"), "nobody watches this\n");
    poll::never("restarted for nothing", Duration::from_millis(700), || {
        (pid(&env) != before).then(|| up.said())
    });
    // An edit after the quiet shows that the watcher was not simply asleep.
    files::save_by_rename(&env.path("answer.txt"), "three\n");
    up.wait_http(env.port(0), "/", "three");
    assert_eq!(restarts(&env, "watch"), 2);
    assert_eq!(restarts(&env, "crash"), 0);
}

#[test]
fn a_killed_service_is_restarted_counted_and_explained() {
    skip_unless!(needs::fuse());
    let env = samples::server();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    let before = pid(&env);
    leftovers::kill(before);
    up.until("web answers again under a new pid", || {
        let status = env.status();
        let web = status.service("web");
        (web["state"] == "ready" && web["pid"].as_i64() != Some(i64::from(before))).then_some(())
    });
    up.wait_http(env.port(0), "/", "one");
    let status = env.status();
    let web = status.service("web");
    assert_eq!(web["restarts"]["crash"], 1, "{web:#}");
    assert!(
        web["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains('9') || reason.contains("SIGKILL")),
        "{web:#}"
    );
}

#[test]
fn a_failing_step_keeps_the_last_good_view() {
    skip_unless!(needs::fuse());
    let env = samples::server_with_output();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    let from = up.so_far();
    fs::rename(env.path("source.txt"), env.path("source.away")).expect("rename");
    up.wait_line(from, &["step-1", "failed"]);
    // The line comes as the step ends, the state once the whole chain has.
    up.until("status says so", || {
        (env.status().steps("failed") == ["step-1"]).then_some(())
    });
    assert!(
        http::get(env.port(0), "/").is_some_and(|answer| answer.body == "one\n"),
        "{}",
        up.said()
    );
    files::write(&env.path("source.txt"), "two\n");
    up.wait_http(env.port(0), "/", "two");
}

#[test]
fn steps_that_could_not_run_are_tried_again_without_another_edit() {
    skip_unless!(needs::fuse());
    let env = samples::server_with_output();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    // A file where the write layers of steps belong.
    let work = env.instances()[0].join("work");
    let _ = fs::remove_dir_all(&work);
    files::write(&work, "in the way\n");
    let from = up.so_far();
    files::write(&env.path("source.txt"), "two\n");
    up.wait_line(from, &["the steps could not run"]);
    let body = http::get(env.port(0), "/").map(|answer| answer.body);
    assert_eq!(body.as_deref(), Some("one\n"), "the last good view stays");
    fs::remove_file(&work).expect("clear the way");
    up.wait_http(env.port(0), "/", "two");
}

#[test]
fn a_mount_point_removed_by_the_host_comes_back() {
    skip_unless!(needs::fuse());
    let env = samples::server_with_output();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    let out = env.path("out");
    assert!(
        out.is_dir(),
        "the mount point of the output is a directory of the project"
    );
    fs::remove_dir_all(&out).expect("the host may remove the mount point");
    up.until("the mount point is made again", || {
        out.is_dir().then_some(())
    });
    up.wait_http(env.port(0), "/", "one");
    files::write(&env.path("source.txt"), "two\n");
    up.wait_http(env.port(0), "/", "two");
    drop(up);
    until("the mount point goes with hd", SHORT, || {
        (!out.exists()).then_some(())
    });
}

#[test]
fn down_leaves_nothing() {
    skip_unless!(needs::fuse());
    let env = samples::server_with_output();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    env.hd(["down"]).finish().ok();
    up.wait_exit(SHORT);
    leftovers::expect_none(env.mark(), Duration::from_secs(1));
    assert_eq!(env.git(&["status", "--porcelain", "--ignored"]), "");
    assert!(!env.path("out").exists());
    assert_eq!(http::get(env.port(0), "/"), None);
    // What is down already is no error to anybody, and can come up again at once.
    env.hd(["down"]).finish();
    let mut again = env.up();
    again.wait_http(env.port(0), "/", "one");
    assert_eq!(env.status().steps("ran"), [""; 0]);
}

#[test]
fn a_project_of_somebody_else_stays_theirs() {
    skip_unless!(needs::fuse(), needs::root());
    const OWNER: u32 = 12_345;
    let env = samples::server_with_output();
    files::replace(
        &env.path("serve.py"),
        "print(",
        "open('written-by-service', 'w').close()\nprint(",
    );
    each_below(&env.path(""), &mut |path| {
        chown(path, Some(OWNER), Some(OWNER)).expect("chown")
    });
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    files::write(&env.path("source.txt"), "two\n");
    up.wait_http(env.port(0), "/", "two");
    env.hd(["down"]).finish().ok();
    up.wait_exit(SHORT);
    let mut of_root = Vec::new();
    each_below(&env.path(""), &mut |path| {
        if fs::symlink_metadata(path).expect("stat").uid() == 0 {
            of_root.push(path.to_owned());
        }
    });
    assert_eq!(of_root, [""; 0].map(std::path::PathBuf::from));
    assert!(
        env.path("written-by-service").exists(),
        "the service could write in its project"
    );
}

fn each_below(path: &Path, act: &mut impl FnMut(&Path)) {
    act(path);
    if fs::symlink_metadata(path).expect("stat").is_dir() {
        for entry in fs::read_dir(path).expect("list").flatten() {
            each_below(&entry.path(), act);
        }
    }
}

#[test]
fn once_beside_a_running_instance_asks_it() {
    skip_unless!(needs::fuse());
    let env = samples::server_with_output();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    let before = pid(&env);
    let beside = env.once();
    beside.ran(&[]);
    assert_eq!(beside.root(), env.status().root());
    assert_eq!(pid(&env), before, "the service was left alone");
}

#[test]
fn status_lists_living_actors_and_answers_fast() {
    skip_unless!(needs::fuse());
    let env = samples::server();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    let status = env.status();
    let actors = status.value()["actors"].as_array().expect("actors");
    assert!(actors.len() >= 9, "{actors:#?}");
    for actor in actors {
        assert_ne!(actor["state"], "dead", "{actor}");
        assert_eq!(actor["restarts"], 0, "{actor}");
    }
}

#[test]
fn logs_carry_the_service_and_survive_a_restart() {
    skip_unless!(needs::fuse());
    let env = samples::server();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    up.wait_line(0, &["web", "|", "serving one"]);
    files::write(&env.path("answer.txt"), "two\n");
    up.wait_line(0, &["web", "|", "serving two"]);
    let logs = until("both lines are in the log", SHORT, || {
        let logs = env.hd(["logs", "web"]).finish().ok().stdout;
        logs.contains("serving two").then_some(logs)
    });
    for text in ["serving one", "serving two"] {
        assert_eq!(logs.matches(text).count(), 1, "{logs}");
    }
}

#[test]
fn exec_passes_the_exit_code_through() {
    skip_unless!(needs::fuse());
    let env = samples::server();
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    env.hd(["exec", "sh", "-c", "exit 42"])
        .finish()
        .expect_code(42);
    let done = env.hd(["exec", "cat", "answer.txt"]).finish().ok();
    assert_eq!(done.stdout, "one\n");
    env.hd(["exec", "no-such-program"])
        .finish()
        .expect_code(127);
}
