//! Services on images of their own: beside the environment, concerned by nothing of it.

use std::fs;

use hd_integration::ports::Port;
use hd_integration::{Env, LONG, SHORT, Up, files, images, leftovers, needs, skip_unless};
use serde_json::{Value, json};

/// A page that is what the service of the other image answers, which is known by its name.
const SERVE: &str = r#"
import http.server, os, urllib.request
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = "http://db:%s%s" % (os.environ["HD_PORT_DB"], self.path)
        body = urllib.request.urlopen(url).read()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(open("out/word", "rb").read().strip() + b" " + body)
    def log_message(self, *words):
        pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["HD_PORT_WEB"])), Page).serve_forever()
"#;

const TOML: &str = r#"
[environment]
name = "shop"
env = { OF_ALL = "1" }

[build]
steps = ["mkdir -p out && cp word.txt out/word"]

[services.web]
command = "python3 -I serve.py"
watch = ["serve.py"]
depends_on = { db = { condition = "healthy" } }
port = 8001

[services.db]
base = "BASE"
command = ["sh", "-c", "echo run >> /wrote; env > /data/env; ls / > /data/root; pwd > /data/where; id -u > /data/who; cp /conf/* /data; exec httpd -f -p 127.0.0.1:$HD_PORT_DB -h /data"]
watch = ["conf/**"]
healthcheck = { test = "wget -q -O - http://db:$HD_PORT_DB/word" }
volumes = ["data:/data", "./conf:/conf:ro"]
port = 8002

[volumes]
data = {}
"#;

fn env(base: &str) -> Env {
    Env::project(&[
        ("hd.toml", &TOML.replace("BASE", base)),
        ("serve.py", SERVE),
        ("word.txt", "one\n"),
        ("conf/word", "first"),
        (".gitignore", "/out/\n__pycache__/\n"),
    ])
}

fn busybox() -> String {
    let registry = needs::registry().expect("checked by skip_unless");
    format!("{registry}/busybox:1")
}

/// Busybox by another name, and with another configuration.
fn image(tag: &str, change: impl FnOnce(&mut Value)) -> String {
    let (place, base) = (tempfile::tempdir().expect("a directory"), busybox());
    let dir = format!("dir:{}", place.path().join("image").display());
    images::copy(&[], &format!("docker://{base}"), &dir);
    images::change(&place.path().join("image"), |config, _| {
        change(&mut config["config"]);
    });
    let registry = base.trim_end_matches("/busybox:1");
    let image = format!("{registry}/hd-own/{}:{tag}", std::process::id());
    images::copy(&[], &dir, &format!("docker://{image}"));
    image
}

fn pid(env: &Env, service: &str) -> Value {
    env.status().service(service)["pid"].clone()
}

/// Waits until a service runs as another process than before, and is ready.
#[track_caller]
fn another_run(up: &mut Up, env: &Env, service: &str, before: &Value) {
    up.until(&format!("{service} started anew"), || {
        let status = env.status();
        let now = status.service(service);
        (now["pid"] != *before && now["state"] == "ready").then_some(())
    });
}

#[test]
fn a_service_on_an_image_of_its_own_is_concerned_by_its_own_alone() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let env = env(&busybox());
    let mut up = env.up();
    up.wait_http(env.port(0), "/word", "one first");
    let get = |path: &str| {
        hd_integration::http::get(env.port(1), path)
            .expect("an answer")
            .body
    };
    // Of the environment it sees nothing, and no project.
    assert_eq!(
        (get("/where"), get("/who")),
        ("/\n".to_owned(), "0\n".to_owned())
    );
    let (inside, around) = (get("/root"), get("/env"));
    assert!(!inside.contains("workspace"), "{inside}");
    assert!(
        !around.contains("OF_ALL") && !around.contains("PYTHON"),
        "{around}"
    );
    let web = env
        .hd(["exec", "-s", "web", "sh", "-c", "echo $OF_ALL; ls"])
        .finish()
        .ok();
    assert!(
        web.stdout.contains("1\n") && web.stdout.contains("serve.py"),
        "{}",
        web.stdout
    );

    let (of_web, of_db) = (pid(&env, "web"), pid(&env, "db"));
    files::write(&env.path("word.txt"), "two\n");
    up.wait_http(env.port(0), "/word", "two first");
    assert_ne!(pid(&env, "web"), of_web, "an output of a step is another");
    assert_eq!(pid(&env, "db"), of_db, "it sees no output");
    let of_web = pid(&env, "web");
    files::write(&env.path("conf/word"), "second");
    up.wait_http(env.port(0), "/word", "two second");
    assert_ne!(pid(&env, "db"), of_db, "it watches that");
    assert_eq!(pid(&env, "web"), of_web, "it does not");

    // What it writes is listed, kept, dropped and brought back as that of any other.
    let written = || env.hd(["diff", "db"]).finish().ok().stdout;
    let runs = || {
        env.hd(["exec", "-s", "db", "cat", "/wrote"])
            .finish()
            .ok()
            .stdout
    };
    assert!(written().contains("/wrote"), "{}", written());
    assert_eq!(runs(), "run\nrun\n");
    env.hd(["snapshot", "two"]).finish().ok();
    let before = pid(&env, "db");
    env.hd(["reset", "db"]).finish().ok();
    another_run(&mut up, &env, "db", &before);
    assert_eq!(runs(), "run\n");
    let before = pid(&env, "db");
    env.hd(["restore", "two"]).finish().ok();
    another_run(&mut up, &env, "db", &before);
    assert_eq!(runs(), "run\nrun\nrun\n");

    // Another base concerns it alone; a new one of the kind starts beside it.
    let (of_web, of_db) = (pid(&env, "web"), pid(&env, "db"));
    let other = image("other", |config| config["WorkingDir"] = json!("/srv"));
    let image = image("more", |config| {
        config["User"] = json!("7:7");
        config["WorkingDir"] = json!("/srv");
        config["Cmd"] = json!(["sleep", "1000"]);
        config["Volumes"] = json!({ "/keep": {} });
    });
    let toml = fs::read_to_string(env.path("hd.toml")).expect("read");
    let more = format!("\n[services.more]\nbase = \"{image}\"\n");
    files::write(
        &env.path("hd.toml"),
        &(toml.replace(&busybox(), &other) + &more),
    );
    another_run(&mut up, &env, "db", &of_db);
    another_run(&mut up, &env, "more", &Value::Null);
    assert_eq!(pid(&env, "web"), of_web);
    let reason = env.status().service("db")["reason"].to_string();
    assert!(reason.contains("base"), "{reason}");
    assert_eq!(get("/where"), "/srv\n");
    let who = env.hd(["exec", "-s", "more", "id", "-u"]).finish().ok();
    assert_eq!(who.stdout, "7\n");
    let config = env
        .hd(["config", "--json", "services.more"])
        .finish()
        .ok()
        .json();
    let values = config["values"].as_array().expect("values");
    let value = |key: &str| values.iter().find(|value| value["key"] == key);
    for (key, expected) in [
        ("services.more.user", json!("7:7")),
        ("services.more.working_dir", json!("/srv")),
        ("services.more.command", json!(["sleep", "1000"])),
        ("services.more.volumes", json!(["IMAGE-more-keep:/keep"])),
    ] {
        let found = value(key).unwrap_or(&Value::Null);
        assert_eq!(
            (&found["value"], &found["from"]),
            (&expected, &json!(format!("image {image}"))),
            "{key}"
        );
    }
    // Without a base it is a service of the environment again, and sees that.
    let (of_web, of_more) = (pid(&env, "web"), pid(&env, "more"));
    let toml = fs::read_to_string(env.path("hd.toml")).expect("read");
    let toml = toml.replace(
        &format!("base = \"{image}\"\n"),
        "command = \"exec sleep 1000\"\n",
    );
    files::write(&env.path("hd.toml"), &toml);
    another_run(&mut up, &env, "more", &of_more);
    let seen = env
        .hd(["exec", "-s", "more", "cat", "out/word"])
        .finish()
        .ok();
    assert_eq!((seen.stdout.as_str(), pid(&env, "web")), ("two\n", of_web));
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn hd_that_is_killed_finds_all_of_it_again() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let env = env(&busybox());
    let mut killed = env.up();
    killed.wait_http(env.port(0), "/word", "one first");
    killed.kill();
    leftovers::expect_none(env.mark(), LONG);
    // Collected with nothing running, what the services stand on stays.
    env.hd(["cas", "gc"]).finish().ok();
    env.hd(["cas", "verify", "--read-data"]).finish().ok();
    let mut up = env.up();
    up.wait_http(env.port(0), "/word", "one first");
    let one_off = env
        .hd(["-p", "beside", "exec", "-s", "db", "cat", "/etc/passwd"])
        .finish();
    assert!(one_off.ok().stdout.contains("root"));
    // The environment is meant where no service is named, whichever comes first.
    let toml = fs::read_to_string(env.path("hd.toml")).expect("read");
    let (before, services) = toml.split_once("[services.web]").expect("its services");
    let (web, db) = services.split_once("[services.db]").expect("its services");
    let (db, volumes) = db.split_once("[volumes]").expect("its volumes");
    let toml = format!("{before}[services.db]{db}[services.web]{web}[volumes]{volumes}");
    files::write(&env.path("hd.toml"), &toml);
    for words in [&["-p", "beside", "run"][..], &["exec"]] {
        let words = words.iter().chain(&["cat", "out/word"]);
        assert_eq!(env.hd(words).finish().ok().stdout, "one\n");
    }
    env.hd(["down"]).finish().ok();
    up.wait_exit(LONG);
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn replicas_share_one_view_and_an_ordinary_user_has_it_too() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let toml = format!(
        "[environment]\nname = \"r\"\n[services.db]\nbase = \"{}\"\nreplicas = 2\n\
         command = [\"sh\", \"-c\", \"echo $HD_REPLICA > /own; id -u; exec sleep 1000\"]\n\
         healthcheck = {{ test = \"cat /own\" }}\n",
        busybox()
    );
    let mut env = Env::project(&[("hd.toml", &toml)]);
    env.as_user(false);
    let mut up = env.up();
    for name in ["db-1", "db-2"] {
        up.wait_line(0, &[name, "ready"]);
    }
    let own = |service: &str| {
        env.hd(["exec", "-s", service, "cat", "/own"])
            .finish()
            .ok()
            .stdout
    };
    assert_eq!(
        (own("db-1"), own("db-2")),
        ("1\n".to_owned(), "2\n".to_owned())
    );
    let before = pid(&env, "db-2");
    env.hd(["scale", "db=3"]).finish().ok();
    another_run(&mut up, &env, "db-3", &Value::Null);
    assert_eq!((own("db-3"), pid(&env, "db-2")), ("3\n".to_owned(), before));
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn an_image_without_a_command_and_one_that_is_not_there_are_told_at_their_place() {
    skip_unless!(
        needs::fuse(),
        needs::root(),
        needs::registry(),
        needs::program("skopeo")
    );
    let toml =
        |base: &str| format!("[environment]\nname = \"x\"\n\n[services.db]\nbase = \"{base}\"\n");
    let registry = needs::registry().expect("checked");
    let silent = image("silent", |config| config["Cmd"] = Value::Null);
    let cases = [
        (silent, 2, "hd.toml:4:11: the service `db` has no command"),
        (format!("{registry}/no/such:1"), 2, "no/such:1"),
    ];
    for (base, code, said) in cases {
        let env = Env::project(&[("hd.toml", &toml(&base))]);
        let failed = env.hd(["up"]).finish().expect_code(code);
        assert!(failed.stderr.contains(said), "{}", failed.said());
        assert!(!failed.stderr.contains("panicked"), "{}", failed.said());
        leftovers::expect_none(env.mark(), SHORT);
    }
}

#[test]
fn a_compose_file_with_a_database_runs_as_it_stands() {
    skip_unless!(
        needs::fuse(),
        needs::root(),
        needs::registry(),
        needs::program("skopeo")
    );
    let (of_db, of_web) = (Port::free(), Port::free());
    let compose = format!(
        "services:\n  web:\n    build: .\n    \
         command: sh -c 'wget -q -O /tmp/index.html http://db:{0}/page && exec httpd -f -p 127.0.0.1:{1} -h /tmp'\n    \
         ports: ['{1}:{1}']\n    depends_on: {{ db: {{ condition: service_healthy }} }}\n  \
         db:\n    image: {2}\n    command: sh -c 'echo of $${{WHO}} >> /data/page; exec httpd -f -p 127.0.0.1:{0} -h /data'\n    \
         environment: {{ WHO: '${{WHO:-nobody}}' }}\n    expose: ['{0}']\n    volumes: ['data:/data']\n    \
         healthcheck: {{ test: [CMD, wget, -q, -O, '-', 'http://db:{0}/page'], interval: 200ms }}\n\
         volumes: {{ data: {{}} }}\n",
        of_db.number,
        of_web.number,
        busybox(),
    );
    let dockerfile = format!("FROM {}\nWORKDIR /srv\n", busybox());
    let files = [("Dockerfile", &*dockerfile), ("compose.yaml", &compose)];
    let mut env = Env::project(&files);
    env.hd(["ingest", "compose.yaml"]).finish().ok();
    env.set("WHO", "hd");
    let mut up = env.up();
    up.wait_http(of_web.number, "/", "of hd");
    env.hd(["down"]).finish().ok();
    up.wait_exit(LONG);
    let mut up = env.up();
    up.wait_http(of_web.number, "/", "of hd\nof hd");
}
