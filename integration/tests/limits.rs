//! `resources`: what one service uses up is missed by that one alone, and its control groups go with it.

use std::fs;
use std::path::Path;

use hd_integration::poll::{SHORT, until};
use hd_integration::{Env, files, kernel, leftovers, needs, skip_unless};

const GOOD: &str = "\n[services.good]\ncommand = \"sleep 1000\"\n";

/// Each process makes more of itself as fast as it is let.
const BOMB: &str = r#"
import os, time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.05)
"#;

/// Makes more of itself until it is refused.
const FEW: &str = r#"
import os, time
try:
    while os.fork():
        pass
except OSError:
    print("refused", flush=True)
time.sleep(1000)
"#;

fn env(services: &str) -> Env {
    let toml = format!("[environment]\nname = \"limits\"\n{services}{GOOD}");
    Env::project(&[("hd.toml", &toml), ("bomb.py", BOMB)])
}

/// Whether this user may make control groups of version 1 or 2.
fn control_groups() -> Result<(), String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let has = |kind: &str| mounts.lines().any(|line| line.contains(kind));
    match rustix::process::geteuid().is_root() && (has(" - cgroup ") || has(" - cgroup2 ")) {
        true => Ok(()),
        false => Err("no control groups, or not root".to_owned()),
    }
}

/// The control groups of an instance.
fn groups(env: &Env) -> Vec<String> {
    let instances = fs::read_dir(env.home().join("instances"))
        .into_iter()
        .flatten();
    let ids = instances
        .flatten()
        .map(|one| one.file_name().into_string().unwrap());
    let ids: Vec<String> = ids.collect();
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), &ids, &mut found);
    found
}

fn walk(directory: &Path, ids: &[String], found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if ids.iter().any(|id| name.starts_with(&format!("hd-{id}-"))) {
                found.push(entry.path().display().to_string());
            }
            walk(&entry.path(), ids, found);
        }
    }
}

/// The limits of open files of a process, soft and hard, as the kernel writes them.
fn open_files(limits: &str) -> (String, String) {
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let mut words = line.expect("the limit").split_whitespace().skip(3);
    let mut word = || words.next().expect("a number").to_owned();
    (word(), word())
}

#[test]
fn hd_may_open_as_many_files_as_it_may_be_given_and_what_it_runs_as_many_as_before() {
    skip_unless!(needs::fuse());
    let toml = "[environment]\nname = \"files\"\n\
                [build]\nsteps = [\"mkdir out && cat /proc/self/limits > out/limits\"]\n\
                [services.idle]\ncommand = \"exec sleep 1000\"\n";
    let env = Env::project(&[("hd.toml", toml)]);
    let mut up = env.up_through("ulimit -Sn 700; ulimit -Hn 900; exec \"$HD\" up");
    up.wait_line(0, &["idle", "ready"]);
    let pair = |soft: &str| (soft.to_owned(), "900".to_owned());
    let own = fs::read_to_string(format!("/proc/{}/limits", up.pid())).expect("limits");
    assert_eq!(open_files(&own), pair("900"));
    let idle = env.status().service("idle")["pid"].clone();
    let service = fs::read_to_string(format!("/proc/{idle}/limits")).expect("limits");
    assert_eq!(open_files(&service), pair("700"));
    let step = env.hd(["exec", "cat", "out/limits"]).finish().ok().stdout;
    assert_eq!(open_files(&step), pair("700"));
    up.interrupt();
}

fn reason(env: &Env, service: &str) -> String {
    let reason = env.status().service(service)["reason"].clone();
    reason.as_str().unwrap_or_default().to_owned()
}

#[test]
fn memory_that_is_used_up_ends_one_service_and_is_the_reason() {
    skip_unless!(needs::fuse(), needs::program("python3"), control_groups());
    let hog = "[services.hog]\ncommand = [\"python3\", \"-c\", \"x = b'x' * (300 << 20)\"]\n\
               resources = { memory = \"48MiB\", cpus = 0.8 }\nrestart = { max = 0 }\n";
    let env = env(hog);
    let mut up = env.up();
    let line = up.wait_line(0, &["hog", "failed"]);
    assert!(
        line.contains("out of memory: killed at its limit of 48 MiB"),
        "{line}"
    );
    let good = env.status().service("good").clone();
    assert_eq!(good["state"], "ready");
    up.until("its groups go with it", || {
        groups(&env).is_empty().then_some(())
    });
    up.interrupt();
}

#[test]
fn a_fork_bomb_is_bounded_named_and_ended() {
    skip_unless!(needs::fuse(), needs::program("python3"), control_groups());
    let bomb = "[services.bomb]\ncommand = \"python3 -I bomb.py\"\n\
                resources = { pids = 25, cpus = 0.3 }\n";
    let env = env(bomb);
    let mut up = env.up();
    up.wait_line(0, &["good", "ready"]);
    let good = env.status().service("good")["pid"].clone();
    up.until("status names the limit", || {
        reason(&env, "bomb")
            .contains("limit of 25 processes")
            .then_some(())
    });
    let mine = groups(&env);
    assert!(!mine.is_empty());
    let counted = mine.iter().find_map(|group| {
        let procs = fs::read_to_string(Path::new(group).join("cgroup.procs")).ok()?;
        Some(procs.lines().count())
    });
    assert!(counted.is_some_and(|count| count <= 25), "{counted:?}");
    assert_eq!(env.status().service("good")["pid"], good);
    let full = env
        .hd(["exec", "-s", "bomb", "true"])
        .finish()
        .expect_code(125);
    let said = "bomb is at its limit of processes";
    assert!(full.stderr.contains(said), "{}", full.said());
    env.hd(["down"]).deadline(SHORT).finish().ok();
    up.wait_exit(SHORT);
    leftovers::expect_none(env.mark(), SHORT);
    assert_eq!(groups(&env), [""; 0]);

    // Killed, it leaves them to its guardian.
    let mut up = env.up();
    up.wait_line(0, &["good", "ready"]);
    until("the bomb runs in its groups", SHORT, || {
        let runs = env.status().service("bomb")["pid"].is_i64();
        (runs && !groups(&env).is_empty()).then_some(())
    });
    up.kill();
    until("the guardian removed them", SHORT, || {
        groups(&env).is_empty().then_some(())
    });
}

/// Once there is a file `burst` it makes processes until one is refused; it is well while there is no such file.
const BURSTS: &str = r#"
import os, threading, time
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if os.path.exists("burst") else 200)
        self.end_headers()
    def log_message(self, *_):
        pass

def burst():
    while not os.path.exists("burst"):
        time.sleep(0.02)
    try:
        while os.fork():
            pass
        time.sleep(1000)
    except OSError:
        pass

server = HTTPServer(("127.0.0.1", int(os.environ["HD_PORT_WEB"])), Handler)
threading.Thread(target=burst, daemon=True).start()
server.serve_forever()
"#;

#[test]
fn who_was_at_its_limit_is_well_again_after_the_next_probe_that_passes() {
    skip_unless!(needs::fuse(), needs::program("python3"), control_groups());
    let toml = "[environment]\nname = \"limits\"\n\
                [services.web]\ncommand = \"python3 -I web.py\"\nport = 5000\n\
                resources = { pids = 25 }\n\
                healthcheck = { http = \"/\", interval = \"100ms\", retries = 1000000 }\n";
    let env = Env::project(&[("hd.toml", toml), ("web.py", BURSTS)]);
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    files::write(&env.path("burst"), "");
    up.until("status names the limit", || {
        let reason = reason(&env, "web");
        reason.contains("limit of 25 processes").then_some(())
    });
    fs::remove_file(env.path("burst")).unwrap();
    up.until("it is ready and nothing else", || {
        (reason(&env, "web") == "ready").then_some(())
    });
}

#[test]
fn what_runs_beside_a_service_is_within_its_limits_and_status_says_what_is_used() {
    skip_unless!(needs::fuse(), needs::program("python3"), control_groups());
    let hooked = "[services.box]\ncommand = \"sleep 1000\"\n\
                  resources = { memory = \"96MiB\", cpus = 1.5, pids = 60 }\n\
                  pre_start = \"cat /proc/self/cgroup > before\"\n\
                  post_start = \"cat /proc/self/cgroup > hook\"\n\
                  healthcheck = \"cat /proc/self/cgroup > probe\"\n";
    let env = env(hooked);
    let mut up = env.up();
    up.wait_line(0, &["box", "ready"]);
    let own = groups(&env);
    let name = own.first().and_then(|group| group.rsplit('/').next());
    let name = name.expect("box has a group").to_owned();
    let exec = |script: &str| env.hd(["exec", "-s", "box", "sh", "-c", script]).finish();
    let told = exec("cat /proc/self/cgroup").ok().stdout;
    assert!(told.contains(&name), "{name}: {told}");
    for file in ["hook", "probe"] {
        let told = up.until("it was run", || {
            fs::read_to_string(env.path(file))
                .ok()
                .filter(|text| text.ends_with('\n'))
        });
        assert!(told.contains(&name), "{file}: {told}");
    }
    let before = fs::read_to_string(env.path("before")).unwrap();
    assert!(before.contains("-box-"), "{before}");

    // Killed at the limit of the service, whose own process goes on.
    let pid = env.status().service("box")["pid"].clone();
    let hog = exec("exec python3 -c 'x = b\"x\" * (400 << 20)'").expect_code(137);
    assert!(hog.stdout.is_empty());
    let now = env.status().service("box").clone();
    assert_eq!(now["pid"], pid);
    let (memory, pids) = (&now["resources"]["memory"], &now["resources"]["pids"]);
    assert_eq!(
        (&memory["limit"], &pids["limit"]),
        (&(96 << 20).into(), &60.into())
    );
    assert_eq!(now["resources"]["cpus"]["limit"], 1500);
    let used = |of: &serde_json::Value| of["used"].as_u64().expect("it is counted");
    assert!(used(memory) > 0 && used(memory) <= 96 << 20, "{now}");
    assert!((1..=60).contains(&used(pids)), "{now}");
    let shown = env.hd(["ps"]).finish().ok().stdout;
    assert!(
        shown.contains("USES") && shown.contains("/60 pids"),
        "{shown}"
    );
    assert!(env.status().service("good")["resources"].is_null());
    env.hd(["down"]).finish().ok();
    assert_eq!(groups(&env), [""; 0]);
}

#[test]
fn what_is_limited_is_set_counted_named_and_given_back() {
    skip_unless!(needs::fuse(), needs::program("python3"), control_groups());
    let box_of = "[services.hog]\ncommand = [\"python3\", \"-c\", \"x = b'x' * (300 << 20)\"]\n\
                  resources = { memory = \"48MiB\" }\nrestart = { max = 0 }\n\
                  [services.box]\ncommand = \"python3 -I few.py\"\n\
                  resources = { memory = \"96MiB\", cpus = 1.5, pids = 12 }\n";
    let env = env(box_of);
    files::write(&env.path("few.py"), FEW);
    let mut up = env.up();
    let line = up.wait_line(0, &["hog", "failed"]);
    assert!(line.contains("killed at its limit of 48 MiB"), "{line}");
    up.wait_line(0, &["box", "refused"]);
    up.until("status names the limit", || {
        reason(&env, "box")
            .contains("limit of 12 processes")
            .then_some(())
    });
    let resources = env.status().service("box")["resources"].clone();
    let used = |name: &str| resources[name]["used"].as_u64().expect("it is counted");
    assert!((1..=12).contains(&used("pids")), "{resources}");
    assert!((1..=96 << 20).contains(&used("memory")), "{resources}");
    assert!(used("cpus") > 0, "{resources}");
    let own = groups(&env);
    let set = |file: &str| {
        let found = own.iter().map(|group| Path::new(group).join(file));
        found
            .filter_map(|file| fs::read_to_string(file).ok())
            .next()
    };
    if kernel::is_inside() {
        assert_eq!(set("cpu.max").as_deref(), Some("150000 100000\n"));
        assert_eq!(set("memory.max").as_deref(), Some("100663296\n"));
        // Beside the group of the session it was started in, whose limits hold for it too.
        assert!(
            own.iter()
                .all(|group| group.starts_with("/sys/fs/cgroup/user/hd-")),
            "{own:?}"
        );
    } else {
        let quota = set("cpu.max").or_else(|| set("cpu.cfs_quota_us"));
        assert!(quota.is_some_and(|quota| quota.starts_with("150000")));
    }
    up.interrupt();
    assert_eq!(groups(&env), [""; 0]);
}

#[test]
fn all_of_it_holds_by_control_groups_of_version_2_alone() {
    skip_unless!(needs::root(), kernel::installed());
    kernel::runs(&["what_is_limited_is_set_counted_named_and_given_back"]);
}
