//! Everything as an ordinary user: user namespaces, no right of root's outside of them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use hd_integration::{Env, SHORT, files, leftovers, needs, samples, skip_unless, until};

/// Every file below a directory, links not followed.
fn all_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_path_buf()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).expect("list a directory") {
            let path = entry.expect("an entry").path();
            if fs::symlink_metadata(&path).expect("a status").is_dir() {
                pending.push(path.clone());
            }
            found.push(path);
        }
    }
    found
}

/// All state is the user's own and closed to others; nothing of a run is left there.
#[track_caller]
fn expect_own_state(env: &Env, uid: u32) {
    let strangers: Vec<_> = all_below(env.home())
        .into_iter()
        .filter(|path| fs::symlink_metadata(path).expect("a status").uid() != uid)
        .collect();
    assert!(strangers.is_empty(), "{strangers:?}");
    let mode = |path: &Path| fs::metadata(path).expect("a status").mode() & 0o777;
    assert_eq!(mode(&env.home().join("cas")), 0o700);
    for instance in fs::read_dir(env.home().join("instances")).expect("list the instances") {
        let instance = instance.expect("an instance").path();
        assert_eq!(mode(&instance), 0o700);
        let works = fs::read_dir(instance.join("work")).map_or(0, Iterator::count);
        assert_eq!(works, 0, "write layers are left");
    }
}

fn uid_of(pid: &serde_json::Value) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running service");
    let line = status.lines().find(|line| line.starts_with("Uid:"));
    line.expect("a user").to_owned()
}

#[test]
fn steps_run_once_and_their_rights_are_kept() {
    skip_unless!(needs::fuse(), needs::root());
    let mut env = samples::chain();
    let uid = env.as_user(false).uid;
    let first = env.once();
    first.ran(&["step-1", "step-2", "step-3"]);
    assert_eq!(env.once().ran(&[]).view(), first.view());
    files::write(&env.path("second.txt"), "gamma\n");
    env.once().ran(&["step-2"]);
    expect_own_state(&env, uid);
    leftovers::expect_none(env.mark(), SHORT);

    // What its own maker may not read is kept all the same, and taken away again.
    let mut env = Env::project(&[(
        "hd.toml",
        "[environment]\nname = \"rights\"\n[build]\nsteps = [\n\
         \"mkdir -p deep/closed && echo one > deep/closed/file && chmod 000 deep/closed/file && chmod 500 deep/closed\",\n\
         \"stat -c '%a %u %n' deep/closed deep/closed/file > rights; id -u >> rights; rm -rf /usr/hd-no 2>/dev/null; true\",\n\
         \"cat rights >&2; test \\\"$(cat rights)\\\" = \\\"$(printf '500 4242 deep/closed\\\\n0 4242 deep/closed/file\\\\n4242')\\\"\",\n]\n",
    )]);
    let uid = env.as_user(false).uid;
    env.once().ran(&["step-1", "step-2", "step-3"]);
    env.once().ran(&[]);
    expect_own_state(&env, uid);
}

#[test]
fn a_live_edit_restarts_a_service_of_the_user_and_down_leaves_nothing() {
    skip_unless!(needs::fuse(), needs::root());
    let mut env = samples::server_with_output();
    let uid = env.as_user(false).uid;
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    let pid = env.status().service("web")["pid"].clone();
    assert_eq!(uid_of(&pid), format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}"));

    let inside = env
        .hd([
            "exec",
            "--",
            "sh",
            "-c",
            "id -u; touch by-service; cat out/answer.txt",
        ])
        .finish()
        .ok();
    assert_eq!(inside.stdout, format!("{uid}\none\n"));
    assert_eq!(fs::metadata(env.path("by-service")).unwrap().uid(), uid);
    fs::remove_file(env.path("by-service")).unwrap();

    files::write(&env.path("source.txt"), "two\n");
    up.wait_http(env.port(0), "/", "two");
    assert_ne!(env.status().service("web")["pid"], pid);
    env.hd(["down"]).finish().ok();
    assert_eq!(up.wait_exit(SHORT).code(), Some(0));
    leftovers::expect_none(env.mark(), SHORT);
    expect_own_state(&env, uid);
    assert_eq!(env.added(), [""; 0]);
}

#[test]
fn kill_of_hd_or_of_its_guardian_too_leaves_nothing() {
    skip_unless!(needs::fuse(), needs::root());
    let mut env = samples::server_with_output();
    env.as_user(false);
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    up.kill();
    leftovers::expect_none(env.mark(), SHORT);

    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    let service = env.status().service("web")["pid"].clone();
    let service = i32::try_from(service.as_i64().expect("a process id")).unwrap();
    let guardian = leftovers::children(up.pid(), "hd-guardian").pop();
    leftovers::signal(up.pid(), rustix::process::Signal::STOP);
    leftovers::kill(guardian.expect("a guardian").pid);
    up.kill();
    // The next command ends what both of them left.
    env.hd(["status"]).finish();
    until("the service is gone", SHORT, || {
        (!leftovers::alive(service)).then_some(())
    });
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn flask_demo_as_it_is() {
    skip_unless!(needs::fuse(), needs::root(), needs::package_index());
    let mut env = Env::example("flask-demo");
    let uid = env.as_user(false).uid;
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "<h1>flask-demo");
    files::replace(&env.path("config.py"), "1.0.0", "2.0.0");
    up.wait_http(env.port(0), "/version", "2.0.0");
    assert_eq!(env.status().service("web")["restarts"]["crash"], 0);
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
    expect_own_state(&env, uid);
    assert_eq!(env.added(), [""; 0]);
}

fn on_debian(steps: &str) -> Env {
    let registry = needs::registry().expect("checked by skip_unless");
    let toml = format!(
        "[environment]\nname = \"image\"\nbase = \"{registry}/debian:12-slim\"\n[build]\nsteps = [{steps}]\n\
         [services.web]\ncommand = \"sleep 1000\"\n"
    );
    Env::project(&[("hd.toml", &toml), ("a.txt", "one\n")])
}

#[test]
fn an_image_with_a_single_id_is_all_of_one_owner() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    // /etc/shadow is of group 42: to write to it is possible, and does not take it from that group.
    let mut env = on_debian(
        "\"test \\\"$(id -u) $(stat -c '%u %g' /etc/shadow a.txt | xargs)\\\" = '0 0 0 0 0' && echo x >> /etc/shadow\", \
         \"tail -n 1 /etc/shadow > /srv/made && rm /etc/gshadow && test \\\"$(cat /srv/made)\\\" = x\"",
    );
    let uid = env.as_user(false).uid;
    env.once().ran(&["step-1", "step-2"]);
    env.once().ran(&[]);
    let mut up = env.up_with(&["-d", "--wait"]);
    assert!(
        up.wait_exit(hd_integration::LONG).success(),
        "{}",
        up.said()
    );
    let inside = env.hd([
        "exec",
        "--",
        "sh",
        "-c",
        "id -u; cat /srv/made a.txt; echo by-root > theirs",
    ]);
    assert_eq!(inside.finish().ok().stdout, "0\nx\none\n");
    assert_eq!(fs::metadata(env.path("theirs")).unwrap().uid(), uid);
    env.hd(["down"]).finish().ok();
    leftovers::expect_none(env.mark(), SHORT);
    expect_own_state(&env, uid);

    let mut env = on_debian("\"chown 33:33 a.txt\"");
    env.as_user(false);
    let failed = env.hd(["up", "--once"]).finish().expect_code(3);
    assert!(failed.stderr.contains("/etc/subuid"), "{}", failed.said());
}

#[test]
fn an_image_with_more_ids_has_several_owners() {
    skip_unless!(
        needs::fuse(),
        needs::root(),
        needs::registry(),
        needs::program("newuidmap")
    );
    let mut env = on_debian(
        "\"mkdir /srv/p && echo s > /srv/p/secret && chmod 600 /srv/p/secret && chown -R 1000:1000 /srv/p && \
         chmod 700 /srv/p && chown 33:33 a.txt\", \
         \"test \\\"$(stat -c '%u %g %a' /srv/p/secret /etc/shadow | xargs)\\\" = '1000 1000 600 0 42 640' && \
         setpriv --reuid 1000 --clear-groups cat /srv/p/secret\"",
    );
    let uid = env.as_user(true).uid;
    env.once().ran(&["step-1", "step-2"]);
    env.once().ran(&[]);
    assert_eq!(
        fs::metadata(env.path("a.txt")).unwrap().uid(),
        uid,
        "a step has its own copy"
    );
    // A volume is of the service's own user, and can be removed by the one who runs hd.
    let toml = files::read(&env.path("hd.toml"))
        + "user = \"www-data\"\nvolumes = [\"data:/data\"]\n[volumes.data]\n";
    files::write(&env.path("hd.toml"), &toml);
    let mut up = env.up_with(&["-d", "--wait"]);
    assert!(
        up.wait_exit(hd_integration::LONG).success(),
        "{}",
        up.said()
    );
    let inside = env.hd([
        "exec",
        "--",
        "sh",
        "-c",
        "id -un; echo x > /data/x; stat -c %U /data/x",
    ]);
    assert_eq!(inside.finish().ok().stdout, "www-data\nwww-data\n");
    env.hd(["down", "--volumes"]).finish().ok();
    leftovers::expect_none(env.mark(), SHORT);
    expect_own_state(&env, uid);
}

#[test]
fn what_an_ordinary_user_lacks_is_said() {
    skip_unless!(needs::fuse(), needs::root());
    let mut env = Env::project(&[(
        "hd.toml",
        "[environment]\nname = \"lacks\"\n[services.web]\ncommand = \"sleep 1\"\nport = 80\n",
    )]);
    // Ports were moved to free ones: this one is to be as it is.
    let toml = fs::read_to_string(env.path("hd.toml")).unwrap();
    let port = env.port(0).to_string();
    fs::write(env.path("hd.toml"), toml.replace(&port, "80")).unwrap();
    env.as_user(false);
    let refused = env.hd(["up"]).finish().expect_code(2);
    assert!(refused.stderr.contains("port 80"), "{}", refused.said());
    assert!(refused.stderr.contains("hd.toml:"), "{}", refused.said());
    let checks = env.hd(["doctor", "--json"]).finish().ok().json();
    let grade = |name: &str| {
        let all = checks["checks"].as_array().expect("checks");
        let one = all.iter().find(|one| one["check"] == name);
        let one = one.unwrap_or_else(|| panic!("no check {name}: {checks:#}"));
        (
            one["grade"].as_str().unwrap().to_owned(),
            one["found"].to_string(),
        )
    };
    assert_eq!([grade("fuse").0, grade("overlay").0], ["ok", "ok"]);
    let (user, found) = grade("user");
    assert_eq!(user, "poor");
    assert!(
        found.contains("4242") && found.contains("one id"),
        "{found}"
    );

    // Where the device is root's alone, nothing can be mounted, and that is said.
    let mut env = samples::chain();
    env.as_user(false);
    let closed = env.mark().join("hd-of-user");
    let denied = hd_integration::Run::new(Path::new("setpriv"))
        .args(["--reuid", "4242", "--regid", "4242", "--clear-groups"])
        .args([closed.as_os_str(), "doctor".as_ref()])
        .env("HD_HOME", env.home())
        .finish();
    let mode = fs::metadata("/dev/fuse")
        .expect("a device")
        .permissions()
        .mode();
    if mode & 0o006 != 0o006 {
        assert_eq!(denied.code(), 7, "{}", denied.said());
        assert!(denied.stdout.contains("/dev/fuse"), "{}", denied.said());
    }
}

/// Answers `one` on port 8080.
const SERVE_PY: &str = r#"
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"one")
http.server.HTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
"#;

const ASK: &str = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())";

#[test]
fn isolated_services_reach_each_other_and_are_reached_by_published_ports() {
    skip_unless!(needs::fuse(), needs::root(), needs::program("python3"));
    let outside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let there = outside.local_addr().unwrap().port();
    let toml = format!(
        "[environment]\nname = \"net\"\n\
         [services.web]\ncommand = \"python3 -I serve.py\"\nnetwork = \"isolated\"\nport= 8080\n\
         ports = [\"auto:8080\"]\n\
         [services.client]\nnetwork = \"isolated\"\ndepends_on = [\"web\"]\n\
         command = [\"sh\", \"-c\", \"python3 -I ask.py http://web:8080/ > got; exec sleep 1000\"]\n\
         healthcheck = \"! python3 -I ask.py http://127.0.0.1:{there}/ 2> refused\"\n"
    );
    let files = [
        ("hd.toml", toml.as_str()),
        ("serve.py", SERVE_PY),
        ("ask.py", ASK),
    ];
    let mut env = Env::project(&files);
    let uid = env.as_user(false).uid;
    let mut up = env.up();
    up.wait_line(0, &["client", "ready"]);
    up.until("the client got an answer", || {
        (files::read(&env.path("got")) == "one\n").then_some(())
    });
    assert!(files::read(&env.path("refused")).contains("refused"));
    let web = env.status().service("web").clone();
    assert!(uid_of(&web["pid"]).contains(&uid.to_string()));
    let port = u16::try_from(web["published"][0]["port"].as_u64().unwrap()).unwrap();
    up.wait_http(port, "/", "one");
    env.hd(["restart", "web"]).finish().ok();
    up.wait_http(port, "/", "one");
    up.kill();
    leftovers::expect_none(env.mark(), SHORT);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn limits_without_control_groups_are_those_of_processes_which_is_told() {
    skip_unless!(needs::fuse(), needs::root(), needs::program("python3"));
    let toml = "[environment]\nname = \"limited\"\n\
        [services.hog]\ncommand = [\"python3\", \"-c\", \"x = b'x' * (3 << 30)\"]\n\
        resources = { memory = \"512MiB\", cpus = 0.5 }\nrestart = { max = 0 }\n\
        [services.bomb]\ncommand = \"python3 -I bomb.py\"\nresources = { pids = 30 }\n";
    let bomb = "import os, time\ncount = 0\n\
        try:\n    while count < 100:\n        if os.fork() == 0:\n            time.sleep(1000)\n        count += 1\n\
        except OSError as error:\n    open('told', 'w').write(f'{count} {error}\\n')\n\
        time.sleep(1000)\n";
    let mut env = Env::project(&[("hd.toml", toml), ("bomb.py", bomb)]);
    env.as_user(false);
    let mut up = env.up();
    for (service, controller, instead) in [
        ("hog", "memory", "each process has that limit (RLIMIT_AS)"),
        ("hog", "cpu", "it is not limited"),
        ("bomb", "pids", "its user has that limit (RLIMIT_NPROC)"),
    ] {
        let note = format!("{service}: no control group for {controller}: ");
        let line = up.wait_line(0, &[&note]);
        assert!(line.contains(instead), "{line}");
    }
    up.wait_line(0, &["hog", "failed"]);
    let said = env.hd(["logs", "hog"]).finish().ok().stdout;
    assert!(said.contains("MemoryError"), "{said}");
    let told = up.until("the bomb was refused one more", || {
        let told = fs::read_to_string(env.path("told")).ok()?;
        told.ends_with('\n').then_some(told)
    });
    let count: u32 = told.split(' ').next().unwrap().parse().unwrap();
    assert!(count < 30 && told.contains("Errno 11"), "{told}");
    let bomb = env.status().service("bomb").clone();
    let expected = serde_json::json!({"pids": {"used": null, "limit": 30}});
    assert_eq!(
        (&bomb["state"], &bomb["resources"]),
        (&"ready".into(), &expected)
    );
    env.hd(["down"]).finish().ok();
    up.wait_exit(SHORT);
    leftovers::expect_none(env.mark(), SHORT);
}
