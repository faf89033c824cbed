//! `hd restore` while disks are slow, clients go away and the power is cut.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use hd_integration::disk::Disk;
use hd_integration::{Env, LONG, SHORT, Up, files, leftovers, needs, poll, skip_unless};
use rustix::process::Signal;

/// Everything a service has in its volume; `other` is none of it.
const TOML: &str = "[environment]\nname = \"v\"\n[volumes]\ndata = {}\n
[services.db]\ncommand = \"sleep 1000\"\nvolumes = [\"data:/data\"]\n
[services.other]\ncommand = \"sleep 1000\"\n";

/// Services that run, one of which wrote something else since a snapshot.
fn written(env: &Env) -> Up {
    let mut up = env.up();
    for service in ["db", "other"] {
        up.wait_line(0, &[service, "ready"]);
    }
    let write = |text: &str| {
        let script = format!("echo {text} > /data/file");
        let args = ["exec", "-s", "db", "sh", "-c", &script];
        env.hd(args).finish().ok();
    };
    write("kept");
    env.hd(["snapshot", "x", "db"]).finish().ok();
    write("later");
    up
}

fn volume(env: &Env) -> PathBuf {
    let listed = env.hd(["volume", "ls", "--json"]).finish().ok().json();
    listed["volumes"][0]["path"]
        .as_str()
        .expect("a path")
        .into()
}

/// Where the content of the volume is written before it is in its place.
fn beside(volume: &Path) -> PathBuf {
    volume.with_file_name(".data.new")
}

fn pid(env: &Env, service: &str) -> Option<u64> {
    let status = env.status();
    let service = status.service(service);
    let is_ready = service["state"] == "ready";
    service["pid"].as_u64().filter(|_| is_ready)
}

/// Has each `fsync` and `syncfs` of what is made beside a volume take minutes, longer than any deadline here.
struct SlowSync(Child);

impl SlowSync {
    fn of(up: &Up, env: &Env, volume: &Path) -> Self {
        let beside = beside(volume);
        let child = Command::new("strace")
            .args(["-f", "-qq", "-e", "trace=fsync,syncfs"])
            .args(["-e", "inject=fsync,syncfs:delay_enter=600000000"])
            .arg("-P")
            .arg(&beside)
            .arg("-P")
            .arg(beside.join("file"))
            .arg("-o")
            .arg(env.mark().join("strace.log"))
            .args(["-p", &up.pid().to_string()])
            .stdin(Stdio::null())
            .spawn()
            .expect("start strace");
        let slow = Self(child);
        let tasks = format!("/proc/{}/task", up.pid());
        poll::until("all threads are traced", LONG, || {
            let mut tasks = std::fs::read_dir(&tasks).ok()?.flatten();
            let is_traced = |task: std::fs::DirEntry| {
                let status = std::fs::read_to_string(task.path().join("status"));
                status.is_ok_and(|status| !status.contains("TracerPid:\t0\n"))
            };
            tasks.all(is_traced).then_some(())
        });
        slow
    }
}

impl Drop for SlowSync {
    fn drop(&mut self) {
        // Whom it traces goes on at once.
        self.0.kill().expect("kill strace");
        self.0.wait().expect("the end of strace");
    }
}

/// Begins to restore, and kills the client when the content is being written.
fn begun_and_left(env: &Env, volume: &Path) {
    let mut command = env.hd(["restore", "x", "db"]).into_command();
    let mut client = command.stdin(Stdio::null()).spawn().expect("a client");
    poll::until("the content is made", LONG, || {
        beside(volume).join("file").exists().then_some(())
    });
    client.kill().expect("kill the client");
    client.wait().expect("reap the client");
}

#[test]
fn services_start_while_a_disk_is_slow_and_what_was_begun_is_done_though_nobody_waits() {
    skip_unless!(
        needs::fuse(),
        needs::root(),
        needs::program("strace").map(drop)
    );
    let env = Env::project(&[("hd.toml", TOML)]);
    let mut up = written(&env);
    let volume = volume(&env);
    let slow = SlowSync::of(&up, &env, &volume);
    begun_and_left(&env, &volume);
    for service in ["db", "other"] {
        let old = pid(&env, service);
        assert!(old.is_some(), "{service} runs until the content is ready");
        env.hd(["restart", service]).finish().ok();
        up.until("another process", || {
            pid(&env, service).filter(|_| pid(&env, service) != old)
        });
    }
    assert!(beside(&volume).exists(), "the disk is not done yet");
    assert_eq!(files::read(&volume.join("file")), "later\n");
    let old = pid(&env, "db");
    drop(slow);
    up.until("it is brought back, and runs", || {
        let is_back = files::read(&volume.join("file")) == "kept\n";
        pid(&env, "db").filter(|_| is_back && pid(&env, "db") != old)
    });
    up.until("nothing is left of what was there", || {
        (!beside(&volume).exists()).then_some(())
    });
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

/// Both have the volume; `other` ends once there is no file `closed` any more.
const SHARED: &str = r#"
[environment]
name = "v"
[volumes]
data = {}
[services.db]
command = "sleep 1000"
restart_policy = "always"
restart = { max = 1000, min_delay = "5s", max_delay = "5s" }
watch = ["db.conf"]
volumes = ["data:/data"]
[services.other]
command = ["sh", "-c", "trap 'while test -e closed; do sleep 0.02; done; exit 0' TERM; echo up; while :; do sleep 0.02; done"]
healthcheck = { log = "^up$" }
stop_grace = "1h"
volumes = ["data:/data"]
"#;

fn state(env: &Env, service: &str) -> String {
    let state = env.status().service(service)["state"].clone();
    state.as_str().unwrap_or_default().to_owned()
}

/// Restores both services, with something done while one of them still ends.
fn restored_while(env: &Env, up: &mut Up, act: impl FnOnce(&mut Up)) {
    let mut command = env.hd(["restore", "x", "db"]).into_command();
    let mut restore = command.stdin(Stdio::null()).spawn().expect("a client");
    up.until("other is being stopped", || {
        (state(env, "other") == "stopping").then_some(())
    });
    act(up);
    std::fs::remove_file(env.path("closed")).expect("let it end");
    let ended = poll::until("it is restored", LONG, || {
        restore.try_wait().expect("look at the client")
    });
    assert!(ended.success(), "{ended:?}");
}

/// What a service has in its volume is what was brought back, and what it writes stays.
fn has_what_was_brought_back(env: &Env, up: &mut Up) {
    up.until("db runs", || pid(env, "db"));
    let script = "cat /data/file && echo x > /data/after";
    let args = ["exec", "-s", "db", "sh", "-c", script];
    assert_eq!(env.hd(args).finish().ok().stdout, "kept\n");
    assert_eq!(files::read(&volume(env).join("after")), "x\n");
}

#[test]
fn a_service_whose_back_off_ends_meanwhile_starts_with_what_is_brought_back() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", SHARED), ("closed", "")]);
    let mut up = written(&env);
    let old = pid(&env, "db").and_then(|pid| i32::try_from(pid).ok());
    leftovers::signal(old.expect("db runs"), Signal::KILL);
    up.until("it is to start again", || {
        (state(&env, "db") == "backoff").then_some(())
    });
    restored_while(&env, &mut up, |up| {
        up.until("it waits, or it runs", || {
            (state(&env, "db") != "backoff").then_some(())
        });
        up.until("it stays as it is", || {
            matches!(state(&env, "db").as_str(), "waiting" | "ready").then_some(())
        });
    });
    has_what_was_brought_back(&env, &mut up);
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn a_service_that_an_edit_restarts_meanwhile_starts_with_what_is_brought_back() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", SHARED), ("closed", "")]);
    let mut up = written(&env);
    restored_while(&env, &mut up, |up| {
        up.until("db has ended", || {
            env.status().service("db")["pid"].is_null().then_some(())
        });
        let from = up.so_far();
        files::write(&env.path("db.conf"), "");
        up.wait_line(from, &["db.conf"]);
    });
    has_what_was_brought_back(&env, &mut up);
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn what_was_brought_back_survives_a_cut_of_power() {
    skip_unless!(
        needs::fuse(),
        needs::root(),
        needs::program("mkfs.ext4").map(drop)
    );
    let env = Env::project(&[("hd.toml", TOML)]);
    let disk = Disk::ext4(env.home(), "96m");
    let mut up = written(&env);
    let volume = volume(&env);
    env.hd(["stop"]).finish().ok();
    env.hd(["restore", "x", "db"]).finish().ok();
    up.kill();
    poll::until("its processes are gone", SHORT, || {
        leftovers::processes(env.mark()).is_empty().then_some(())
    });
    disk.cut_power();
    assert_eq!(files::read(&volume.join("file")), "kept\n");
}

/// What they write into the project is their own; one has a volume, too.
const LAYERS: &str =
    "[environment]\nname = \"v\"\n[options]\nproject = \"projected\"\n[volumes]\ndata = {}\n
[services.a]\ncommand = \"sleep 1000\"\nvolumes = [\"data:/data\"]\n
[services.b]\ncommand = \"sleep 1000\"\n";

/// The file that says what a snapshot consists of.
fn record(env: &Env, name: &str) -> PathBuf {
    let instances = env.home().join("instances");
    let mut instances = std::fs::read_dir(instances).expect("list the instances");
    let instance = instances.next().expect("an instance").expect("its entry");
    let file = format!("snapshots/{name}.json");
    instance.path().join(file)
}

#[test]
fn a_restore_that_fails_leaves_every_service_what_it_wrote() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", LAYERS)]);
    let mut up = env.up();
    up.wait_line(0, &["b", "ready"]);
    let inside = |service: &str, script: &str| {
        let args = ["exec", "-s", service, "sh", "-c", script];
        env.hd(args).finish().ok().stdout
    };
    let write = |text: &str| {
        inside("a", &format!("echo {text} | tee file > /data/file"));
        inside("b", &format!("echo {text} > file"));
    };
    let written = || [inside("a", "cat file /data/file"), inside("b", "cat file")];
    let pids = || Some([pid(&env, "a")?, pid(&env, "b")?]);
    up.until("both run", pids);
    write("kept");
    env.hd(["snapshot", "x"]).finish().ok();
    write("later");

    // What `b` wrote is in the store no more.
    let record = record(&env, "x");
    let whole = files::read(&record);
    let mut torn: serde_json::Value = serde_json::from_str(&whole).expect("a record");
    torn["services"]["b"]["content"]["tree"] = "0".repeat(64).into();
    files::write(&record, &torn.to_string());
    let old = up.until("both run", pids);
    let failed = env.hd(["restore", "x"]).finish().expect_code(1);
    up.until("both run again", || {
        pids().filter(|new| new[0] != old[0] && new[1] != old[1])
    });
    assert_eq!(
        written(),
        ["later\nlater\n", "later\n"],
        "{}",
        failed.said()
    );

    files::write(&record, &whole);
    let old = up.until("both run", pids);
    env.hd(["restore", "x"]).finish().ok();
    up.until("both run once more", || {
        pids().filter(|new| new[0] != old[0] && new[1] != old[1])
    });
    assert_eq!(written(), ["kept\nkept\n", "kept\n"]);
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}
