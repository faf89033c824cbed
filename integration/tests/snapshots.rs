//! `hd snapshot` keeps what services wrote, `hd restore` brings it back.

use std::os::unix::fs::MetadataExt;

use hd_integration::{Env, SHORT, Up, files, http, leftovers, needs, samples, skip_unless};

/// Everything a write layer can hold: new, changed and removed files, a directory in the place of another,
/// links, a hole, a pipe.
const WRITES: &str = "mkdir -p made/deep && echo x > made/deep/file && echo more >> serve.py && rm .gitignore \
    && rm -r data && mkdir data && echo old > data/old && echo new > data/new && ln -s made link && ln made/deep/file made/second \
    && truncate -s 9M made/hole && printf end >> made/hole && mkfifo made/pipe && chmod 2750 made/deep \
    && touch -d 2001-02-03T04:05:06.789 made/second";
/// What of it is looked at afterwards.
const LOOK: &str = "find made data link .gitignore -printf '%p %y %m %n %s %l\n' 2>/dev/null | sort; cat made/deep/file \
    data/*; tail -n 1 serve.py; stat -c %y made/second; md5sum made/hole; test made/second -ef made/deep/file && echo one; \
    test $(stat -c %b made/hole) -lt 1000 && echo sparse";

fn serving(env: &Env) -> Up {
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    up
}

fn inside(env: &Env, script: &str) -> String {
    env.hd(["exec", "sh", "-c", script]).finish().ok().stdout
}

fn ok(env: &Env, args: &[&str]) -> String {
    env.hd(args).finish().ok().said()
}

fn diff(env: &Env) -> String {
    env.hd(["diff"]).finish().ok().stdout
}

#[test]
fn what_a_service_wrote_is_brought_back_after_a_reset_and_after_down() {
    skip_unless!(needs::fuse());
    is_brought_back(&samples::projected());
}

#[test]
fn for_an_ordinary_user_too() {
    skip_unless!(needs::fuse(), needs::root());
    let mut env = samples::projected();
    env.as_user(false);
    is_brought_back(&env);
}

fn is_brought_back(env: &Env) {
    let mut up = serving(env);
    inside(env, WRITES);
    let (before, listed) = (inside(env, LOOK), diff(env));
    assert!(before.contains("one\nsparse\n"), "{before}");
    assert!(before.contains("new\nold\n"), "{before}");
    assert!(
        listed.contains("data/gone") && !listed.contains("data/old"),
        "{listed}"
    );
    ok(env, &["snapshot", "first"]);
    assert_eq!(
        (inside(env, LOOK), diff(env)),
        (before.clone(), listed.clone())
    );

    let pid = || env.status().service("web")["pid"].clone();
    let old = pid();
    ok(env, &["reset"]);
    up.until("it is another process", || {
        (pid() != old && !pid().is_null()).then_some(())
    });
    up.wait_http(env.port(0), "/", "one");
    assert_eq!(diff(env), "");
    // What the host edits since is none of the snapshot's.
    files::write(&env.path("answer.txt"), "two\n");
    up.wait_http(env.port(0), "/", "two");
    ok(env, &["restore", "first"]);
    up.wait_http(env.port(0), "/", "two");
    assert_eq!(
        (inside(env, LOOK), diff(env)),
        (before.clone(), listed.clone())
    );

    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
    ok(env, &["cas", "gc"]);
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "two");
    assert_eq!(diff(env), "");
    ok(env, &["restore", "first", "web"]);
    up.wait_http(env.port(0), "/", "two");
    assert_eq!((inside(env, LOOK), diff(env)), (before, listed));
    files::write(&env.path("answer.txt"), "three\n");
    up.wait_http(env.port(0), "/", "three");
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
    ok(env, &["cas", "verify", "--read-data"]);
}

#[test]
fn snapshots_are_listed_replaced_and_removed() {
    skip_unless!(needs::fuse());
    let env = samples::projected();
    let mut up = serving(&env);
    let names = || {
        let listed = env.hd(["snapshot", "ls", "--json"]).finish().ok().json();
        let all = listed["snapshots"].as_array().unwrap();
        let name = |one: &serde_json::Value| one["name"].as_str().unwrap().to_owned();
        all.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(names(), [""; 0]);
    inside(&env, "echo 1 > n");
    let said = env.hd(["snapshot", "a", "--json"]).finish().ok().json();
    assert_eq!(said["snapshot"]["services"]["web"]["entries"], 1);
    inside(&env, "echo 2 > n");
    ok(&env, &["snapshot", "b", "web"]);
    inside(&env, "echo 3 > n");
    ok(&env, &["snapshot", "a"]);
    assert_eq!(names(), ["b", "a"]);
    for (snapshot, n) in [("b", "2\n"), ("a", "3\n")] {
        ok(&env, &["restore", snapshot]);
        up.wait_http(env.port(0), "/", "one");
        assert_eq!(inside(&env, "cat n"), n);
    }
    // It stays when all that was not used goes.
    ok(&env, &["prune", "--older-than", "0s"]);
    ok(&env, &["restore", "b"]);
    up.wait_http(env.port(0), "/", "one");
    assert_eq!(inside(&env, "cat n"), "2\n");
    for (args, code, words) in [
        (["restore", "c", "web"], 2, "no snapshot `c`"),
        (["restore", "a", "nobody"], 2, "no service `nobody`"),
        (["snapshot", "../x", "web"], 2, "cannot be the name"),
        (["snapshot", "rm", "c"], 2, "no snapshot `c`"),
    ] {
        let run = env.hd(args).finish();
        assert!(run.said().contains(words), "{}", run.said());
        run.expect_code(code);
    }
    ok(&env, &["snapshot", "rm", "a"]);
    assert_eq!(names(), ["b"]);
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
    env.hd(["snapshot", "c"]).finish().expect_code(2);
    env.hd(["restore", "b"]).finish().expect_code(2);
    ok(&env, &["snapshot", "rm", "--all"]);
    assert_eq!(names(), [""; 0]);
}

#[test]
fn a_snapshot_that_cannot_be_replaced_is_still_whole() {
    skip_unless!(needs::fuse());
    let env = samples::projected();
    let mut up = serving(&env);
    inside(&env, "echo first > n");
    ok(&env, &["snapshot", "a"]);
    inside(&env, "echo second > n");
    // The new file cannot be written beside the one before.
    let snapshots = env.instances()[0].join("snapshots");
    let beside = snapshots.join(format!("a.json.new-{}", up.pid()));
    assert!(snapshots.join("a.json").exists());
    std::fs::create_dir(&beside).unwrap();
    let failed = env.hd(["snapshot", "a"]).finish();
    assert_ne!(failed.code(), 0, "{}", failed.said());
    std::fs::remove_dir(&beside).unwrap();
    up.interrupt();
    ok(&env, &["cas", "gc"]);
    let mut up = serving(&env);
    ok(&env, &["restore", "a"]);
    up.wait_http(env.port(0), "/", "one");
    assert_eq!(inside(&env, "cat n"), "first\n");
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

/// Writes a number into a volume and then into another file of it, over and over.
const COUNT: &str = "[environment]\nname = \"v\"\n[volumes]\ndata = {}\n
[services.db]
command = [\"sh\", \"-c\", \"\"\"n=$(cat /data/b 2>/dev/null || echo 0); echo from $n
while :; do test -e /data/halt || { n=$((n+1)); for f in a b; do echo $n > /data/.new; mv /data/.new /data/$f; done; }; done\"\"\"]
healthcheck = { log = \"from\" }
volumes = [\"data:/data\"]
[services.reader]
command = \"sleep 1000\"
volumes = [\"data:/data:ro\"]
";

#[test]
fn volumes_are_kept_as_they_were_at_one_moment() {
    skip_unless!(needs::fuse());
    let env = Env::project(&[("hd.toml", COUNT)]);
    let mut up = env.up();
    up.wait_line(0, &["db", "ready"]);
    let number = |file: &str| -> i64 {
        let read = ["exec", "-s", "reader", "cat", file];
        let text = env.hd(read).finish().ok().stdout;
        text.trim().parse().unwrap_or(-1)
    };
    up.until("it counts", || (number("/data/b") > 5).then_some(()));
    let said = env.hd(["snapshot", "x", "--json"]).finish().ok().json();
    let entries = said["snapshot"]["volumes"]["data"]["entries"].as_u64();
    assert!(entries.is_some_and(|entries| entries >= 2), "{said}");
    // It goes on.
    let then = number("/data/b");
    up.until("it counts on", || (number("/data/b") > then).then_some(()));
    ok(&env, &["stop"]);
    let last = number_of(&env, "b");
    // Nothing runs, so nothing counts on after it was brought back.
    ok(&env, &["restore", "x", "db"]);
    let (a, b) = (number_of(&env, "a"), number_of(&env, "b"));
    assert!(a == b || a == b + 1, "torn: {a} {b}");
    assert!(b < last, "{b} is no earlier than {last}");
    let from = up.so_far();
    ok(&env, &["start"]);
    up.wait_line(from, &["from", &b.to_string()]);
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn what_is_being_started_is_kept_once_it_runs() {
    skip_unless!(needs::fuse());
    let toml = "[environment]\nname = \"v\"\n[volumes]\ndata = {}\n[services.db]\ncommand = \"sleep 1000\"\n\
                pre_start = \"echo half > /data/state && sleep 5 && echo whole > /data/state\"\n\
                volumes = [\"data:/data\"]\n";
    let env = Env::project(&[("hd.toml", toml)]);
    let mut up = env.up();
    let state = || {
        let listed = env.hd(["volume", "ls", "--json"]).finish().ok().json();
        let path = listed["volumes"][0]["path"].as_str()?;
        std::fs::read_to_string(std::path::Path::new(path).join("state")).ok()
    };
    up.until("it is half done", || {
        state().filter(|state| state == "half\n")
    });
    ok(&env, &["snapshot", "x"]);
    up.wait_line(0, &["db", "ready"]);
    ok(&env, &["stop"]);
    // Nothing runs, so nobody writes it anew.
    ok(&env, &["restore", "x"]);
    assert_eq!(state().as_deref(), Some("whole\n"));
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

/// A snapshot waits for what is being started, and nothing else starts meanwhile: nor is it ended before.
#[test]
fn who_serves_goes_on_serving_while_a_snapshot_waits() {
    skip_unless!(needs::fuse(), needs::program("python3"));
    let env = samples::server();
    let toml = env.path("hd.toml");
    let more = "\n[services.slow]\ncommand = \"sleep 1000\"\nwatch = []\n\
                pre_start = \"until test -e go; do sleep 0.05; done\"\n\
                \n[services.other]\ncommand = \"sleep 1000\"\nwatch = [\"other.md\"]\n";
    files::write(&toml, &(files::read(&toml) + more));
    let mut up = env.up();
    up.wait_http(env.port(0), "/", "one");
    for service in ["web", "other"] {
        up.wait_line(0, &[service, "ready"]);
    }
    let waits = |up: &mut Up, service: &str, edited: &str| {
        let mut edits = 0;
        up.until(service, || {
            edits += 1;
            files::write(&env.path(edited), &format!("{edits}\n"));
            let report = env.status().service(service).clone();
            let reason = report["reason"].as_str().unwrap_or_default();
            reason.contains("`hd snapshot`").then_some(report.clone())
        })
    };
    std::thread::scope(|scope| {
        let snapshot = scope.spawn(|| env.hd(["snapshot", "x"]).finish());
        // From here on nothing starts.
        waits(&mut up, "other", "other.md");
        let web = waits(&mut up, "web", "answer.txt");
        assert_eq!(web["state"], "ready", "{web}");
        let answer = http::get(env.port(0), "/").expect("an answer");
        assert_eq!(answer.body, "one\n");
        files::write(&env.path("answer.txt"), "two\n");
        files::write(&env.path("go"), "");
        snapshot.join().expect("it ends").ok();
    });
    up.wait_http(env.port(0), "/", "two");
    up.interrupt();
}

#[test]
fn a_volume_that_is_brought_back_from_nothing_has_the_owner_it_had() {
    skip_unless!(needs::fuse(), needs::root());
    let toml = "[environment]\nname = \"v\"\n[volumes]\ndata = {}\n[services.other]\ncommand = \"sleep 1000\"\n\
                [services.db]\ncommand = [\"sh\", \"-c\", \"echo kept > /data/file && chmod 2770 /data && exec sleep 1000\"]\n\
                user = \"nobody\"\nvolumes = [\"data:/data\"]\n";
    let env = Env::project(&[("hd.toml", toml)]);
    let mut up = env.up();
    let volume = || {
        let listed = env.hd(["volume", "ls", "--json"]).finish().ok().json();
        let path = listed["volumes"][0]["path"]
            .as_str()
            .map(std::path::PathBuf::from);
        let status = std::fs::metadata(path?).ok()?;
        Some((status.uid(), status.gid(), status.mode() & 0o7777))
    };
    let was = up.until("it has its mode", || {
        volume().filter(|(.., mode)| *mode == 0o2770)
    });
    assert_ne!(was.0, 0);
    ok(&env, &["snapshot", "x"]);
    ok(&env, &["stop", "db"]);
    let listed = env.hd(["volume", "ls", "--json"]).finish().ok().json();
    let place = listed["volumes"][0]["path"].as_str().expect("its place");
    std::fs::remove_dir_all(place).expect("lose the volume");
    assert_eq!(volume(), None);
    ok(&env, &["restore", "x", "db"]);
    assert_eq!(volume(), Some(was));
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

/// A number in the volume, which lies on the host.
fn number_of(env: &Env, file: &str) -> i64 {
    let listed = env.hd(["volume", "ls", "--json"]).finish().ok().json();
    let path = listed["volumes"][0]["path"].as_str().unwrap();
    let text = files::read(&std::path::Path::new(path).join(file));
    text.trim().parse().unwrap()
}
