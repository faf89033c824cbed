//! `hd ingest` as people use it: the examples, Compose, what is written and what is refused.

use std::io::{Read, Write};

use hd_integration::{Env, SHORT, files, leftovers, needs, skip_unless};

/// The Dockerfiles of an example, translated over its own hd.toml, on the base of the registry.
fn example(name: &str, file: &str, image: &str) -> Env {
    let env = Env::example(name);
    let base = format!(
        "BASE={}/{image}",
        needs::registry().expect("checked by skip_unless")
    );
    env.hd(["ingest", file, "--force", "--build-arg", &base])
        .finish()
        .ok();
    let toml = files::read(&env.path("hd.toml"));
    assert!(
        toml.contains("workdir = \"/app\"") && toml.contains("[services.web]"),
        "{toml}"
    );
    env
}

#[test]
fn a_compose_file_of_databases_alone_stands_beside_the_project() {
    let compose = (
        "compose.yaml",
        "services: { db: { image: 'postgres:16', ports: ['5432:5432'] } }\n",
    );
    let dockerfile = "FROM busybox:1\nCOPY . /app\nWORKDIR /app\nCMD [\"sleep\", \"1000\"]\n";
    let env = Env::project(&[compose, ("Dockerfile", dockerfile)]);
    let told = env.hd(["init"]).finish().ok().stdout;
    assert!(
        told.contains("compose.yaml:1") && told.contains("Dockerfile:1"),
        "{told}"
    );
    let toml = files::read(&env.path("hd.toml"));
    let both = [
        "base = \"busybox:1\"",
        "[services.db]\nbase = \"postgres:16\"\nport = 5432\n",
    ];
    assert!(both.iter().all(|part| toml.contains(part)), "{toml}");

    let package = (
        "package.json",
        "{ \"scripts\": { \"start\": \"node server.js\" } }\n",
    );
    let env = Env::project(&[compose, package]);
    let told = env.hd(["init"]).finish().ok().stderr;
    assert!(
        told.contains("the services of") && told.contains("compose.yaml"),
        "{told}"
    );
    let toml = files::read(&env.path("hd.toml"));
    let both = ["[services.web]", "[services.db]\nbase = \"postgres:16\"\n"];
    assert!(both.iter().all(|part| toml.contains(part)), "{toml}");

    let env = Env::project(&[compose]);
    env.hd(["init"]).finish();
    assert!(files::read(&env.path("hd.toml")).contains("postgres:16"));
}

#[test]
fn a_compose_file_of_another_directory_is_refused() {
    let compose = "services: { web: { build: . } }\n";
    let env = Env::project(&[
        ("Dockerfile", "FROM busybox:1\n"),
        ("docker/compose.yaml", compose),
    ]);
    for args in [
        ["ingest", "--compose", "docker/compose.yaml"],
        ["ingest", "docker/compose.yaml", "--context=."],
    ] {
        let refused = env.hd(args).finish().expect_code(2);
        assert!(
            refused.stderr.contains("its own directory"),
            "{}",
            refused.said()
        );
    }
    assert!(!env.path("hd.toml").exists());
}

#[test]
fn what_dot_env_says_to_compose_is_told_and_its_values_are_not_printed() {
    let dockerfile = "FROM busybox:1\nARG TOKEN\nRUN true\n";
    let compose = "services: { web: { build: { context: ., args: { TOKEN: '${TOKEN}' } }, command: 'sleep ${TIME}' } }\n";
    let env = Env::project(&[
        ("Containerfile", dockerfile),
        ("compose.yaml", compose),
        (".env", "TOKEN=s3cret\nCOMPOSE_FILE=other.yaml\n"),
    ]);
    let told = env.hd(["ingest"]).finish().expect_code(2).stdout;
    for part in [
        "the value that TOKEN has",
        "TIME is not set",
        "COMPOSE_FILE",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("s3cret"), "{told}");
}

#[test]
fn the_dockerfiles_of_flask_demo() {
    skip_unless!(
        needs::fuse(),
        needs::root(),
        needs::registry(),
        needs::package_index()
    );
    let env = example("flask-demo", "Dockerfile", "python:3.11-slim");
    env.once().ran(&["step-1", "step-2"]);
    // The other order of the same instructions is the same environment.
    let before = files::read(&env.path("hd.toml"));
    let after = files::read(
        &example("flask-demo", "Dockerfile.ordered", "python:3.11-slim").path("hd.toml"),
    );
    let steps = |toml: &str| {
        toml.lines()
            .filter(|line| !line.contains('#'))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(steps(&before), steps(&after));
    files::replace(
        &env.path("app.py"),
        "\"status\": \"ok\"",
        "\"status\": \"fine\"",
    );
    env.once().ran(&[]);
}

#[test]
fn the_dockerfiles_of_node_web() {
    skip_unless!(
        needs::fuse(),
        needs::root(),
        needs::registry(),
        needs::package_index()
    );
    example("node-web", "Dockerfile", "node:20-slim")
        .once()
        .ran(&["step-1"]);
    let env = example("node-web", "Dockerfile.ordered", "node:20-slim");
    env.once().ran(&["step-1", "step-2"]);
    files::replace(&env.path("src/version.ts"), "1.0.0", "2.0.0");
    env.once().ran(&["step-2"]);
}

#[test]
fn nothing_is_written_by_check_nor_over_a_file() {
    skip_unless!(needs::registry());
    let env = Env::project(&[("Dockerfile", "FROM x\n")]);
    let base = format!(
        "{}/busybox:1",
        needs::registry().expect("checked by skip_unless")
    );
    files::write(&env.path("Dockerfile"), &format!("FROM {base}\nRUN true\n"));
    let checked = env.hd(["ingest", "--check", "--json"]).finish().ok().json();
    assert_eq!(checked["file"], serde_json::Value::Null);
    assert_eq!(checked["lines"][1]["verdict"], "translated");
    assert!(!env.path("hd.toml").exists());
    env.hd(["ingest"]).finish().ok();
    let again = env.hd(["ingest"]).finish().expect_code(2);
    assert!(
        again.stderr.contains("is there already") && again.stderr.contains("--force"),
        "{}",
        again.said()
    );
    env.hd(["ingest", "-o", "other.toml"]).finish().ok();
    assert_eq!(
        files::read(&env.path("other.toml")),
        files::read(&env.path("hd.toml"))
    );
}

#[test]
fn what_cannot_be_had_ends_with_2_and_names_its_line() {
    skip_unless!(needs::registry());
    let base = needs::registry().expect("checked by skip_unless");
    let env = Env::project(&[("Dockerfile", "RUN x\n")]);
    let refused = env.hd(["ingest"]).finish().expect_code(2);
    assert!(
        refused.stderr.contains("Dockerfile:1:1"),
        "{}",
        refused.said()
    );
    assert!(!env.path("hd.toml").exists());
    files::write(
        &env.path("Dockerfile"),
        &format!("FROM {base}/busybox:1\nRUN --mount=type=secret,id=t,required=true x\n"),
    );
    let partly = env.hd(["ingest"]).finish().expect_code(2);
    assert!(
        partly.stdout.contains("not supported  Dockerfile:2"),
        "{}",
        partly.said()
    );
    assert!(env.path("hd.toml").exists());
}

#[test]
fn stages_on_two_images_and_an_image_to_copy_from() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let base = needs::registry().expect("checked by skip_unless");
    let dockerfile = format!(
        "FROM {base}/debian:12-slim AS build\nWORKDIR /src\nCOPY . .\nRUN perl -ne 'print uc' text > loud\nFROM {base}/busybox:1\nCOPY --from=build /src/loud /loud\nCOPY --from={base}/debian:12-slim /etc/debian_version /etc/issue* /opt/\nRUN test ! -e /usr/bin/perl && cat /loud /opt/debian_version > /all\n"
    );
    let env = Env::project(&[("Dockerfile", &dockerfile), ("text", "quiet\n")]);
    env.hd(["ingest"]).finish().ok();
    env.once();
    let all = env.hd(["run", "cat", "/all"]).finish().ok().stdout;
    assert!(all.starts_with("QUIET\n12."), "{all}");
    files::write(&env.path("text"), "Quiet\n");
    // It is as loud as before, so nothing that takes it runs.
    let again = env.once();
    assert_eq!(again.steps("ran").len(), 1, "{:?}", again.value());
}

#[test]
fn a_compose_file_runs_what_it_builds() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let base = needs::registry().expect("checked by skip_unless");
    let port = hd_integration::ports::Port::free();
    let compose = format!(
        "services:\n  web:\n    build: .\n    command: httpd -f -p 127.0.0.1:{0} -h /srv\n    ports: ['{0}:{0}']\n    depends_on: {{ page: {{ condition: service_completed_successfully }} }}\n  page:\n    build: .\n    command: sh -c 'echo from compose > index.html'\n",
        port.number
    );
    let dockerfile = format!("FROM {base}/busybox:1\nWORKDIR /srv\nCOPY . .\nRUN true\n");
    let env = Env::project(&[("Dockerfile", &dockerfile), ("compose.yaml", &compose)]);
    env.hd(["ingest"]).finish().ok();
    let mut up = env.up();
    up.wait_http(port.number, "/", "from compose");
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn a_command_of_compose_goes_to_the_entry_point_of_the_dockerfile() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let base = needs::registry().expect("checked by skip_unless");
    let compose = "services:\n  web:\n    build: .\n    \
                   command: \"'echo $${LEVEL:-3} $$(ls /site) > said; exec sleep 1000'\"\n";
    let dockerfile = format!(
        "FROM {base}/busybox:1 AS build\nRUN mkdir -p /dist/assets && touch /dist/assets/x.js /dist/index.html\n\
         FROM {base}/busybox:1\nWORKDIR /srv\nCOPY . .\nCOPY --from=build /dist/* /none* /site/\n\
         ENTRYPOINT [\"sh\", \"-c\"]\nCMD [\"exit 1\"]\n"
    );
    let env = Env::project(&[("Dockerfile", &dockerfile), ("compose.yaml", compose)]);
    env.hd(["ingest"]).finish().ok();
    let mut up = env.up();
    // A directory that a wildcard matches stands for its contents.
    up.until("the service has said what it finds", || {
        std::fs::read_to_string(env.path("said"))
            .ok()
            .filter(|text| text == "3 index.html x.js\n")
    });
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn values_of_dot_env_reach_the_services_of_a_compose_file() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let base = needs::registry().expect("checked by skip_unless");
    let compose = "services:\n  web:\n    build: .\n    \
                   command: sh -c 'echo \"$$DB_PASSWORD $$LEVEL $$MODE\" > said; exec sleep 1000'\n    \
                   environment: [DB_PASSWORD, 'LEVEL=${LEVEL:-3}', 'MODE=${MODE:-plain}']\n";
    let dockerfile = format!("FROM {base}/busybox:1\nWORKDIR /srv\nCOPY . .\n");
    let mut env = Env::project(&[
        ("Dockerfile", &dockerfile),
        ("compose.yaml", compose),
        (".env", "DB_PASSWORD=s3cret\nLEVEL=4\nMODE=of-file\n"),
    ]);
    // The caller's value wins over that of the file, as with Compose.
    env.set("MODE", "of-caller");
    let said = env.hd(["ingest"]).finish().ok().stdout;
    assert!(said.contains("every step and service"), "{said}");
    let mut up = env.up();
    up.until("the service has said its variables", || {
        std::fs::read_to_string(env.path("said"))
            .ok()
            .filter(|text| text == "s3cret 4 of-caller\n")
    });
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn a_compose_file_with_ports_of_its_own_is_isolated() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let base = needs::registry().expect("checked by skip_unless");
    let port = hd_integration::ports::Port::free();
    // Two hosts at once: the one that asks finds the other by its name.
    let compose = format!(
        "services:\n  web:\n    build: .\n    command: httpd -f -p 80 -h /srv\n    ports: ['127.0.0.1:{}:80']\n    \
        deploy: {{ resources: {{ limits: {{ memory: 64m, pids: 20 }} }} }}\n  \
        page:\n    build: .\n    command: sh -c 'wget -q -O asked.html http://web/index.html && exec sleep 1000'\n    \
        depends_on: {{ web: {{ condition: service_healthy }} }}\n",
        port.number
    );
    let dockerfile = format!("FROM {base}/busybox:1\nWORKDIR /srv\nCOPY . .\nRUN true\n");
    let env = Env::project(&[
        ("Dockerfile", &dockerfile),
        ("compose.yaml", &compose),
        ("index.html", "by name\n"),
    ]);
    let said = env.hd(["ingest"]).finish().ok().stdout;
    assert!(said.contains("nothing leads out"), "{said}");
    let mut up = env.up();
    up.until("the other service got it", || {
        std::fs::read_to_string(env.path("asked.html"))
            .ok()
            .filter(|text| text == "by name\n")
    });
    up.wait_http(port.number, "/asked.html", "by name\n");
    assert_eq!(env.status().service("web")["network"], "isolated");
    let config = env.hd(["config", "--json"]).finish().ok().json();
    let values = config["values"].as_array().expect("values");
    let memory = values
        .iter()
        .find(|value| value["key"] == "services.web.resources.memory");
    assert_eq!(memory.expect("a limit")["value"], 64 << 20);
    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
}

#[test]
fn a_secret_of_the_build_is_one_of_the_step() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let base = needs::registry().expect("checked by skip_unless");
    let dockerfile = format!(
        "FROM {base}/busybox:1\nRUN --mount=type=secret,id=NPM,target=/etc/npmrc wc -c < /etc/npmrc > /length\nRUN --mount=type=secret,id=key,env=KEY echo ${{#KEY}} > /size\nRUN test ! -e /etc/npmrc\n"
    );
    let mut env = Env::project(&[("Dockerfile", &dockerfile), ("npm.secret", "0123456789")]);
    env.set("API_KEY", "secretive");
    let secrets = [
        "--secret",
        "id=NPM,src=npm.secret",
        "--secret",
        "id=key,env=API_KEY",
    ];
    env.hd(["ingest"].iter().chain(&secrets)).finish().ok();
    env.once();
    let sizes = env.hd(["run", "cat", "/length", "/size"]).finish().ok();
    assert_eq!(sizes.stdout, "10\n9\n");
    let wrong = env
        .hd(["ingest", "--secret", "src=x"])
        .finish()
        .expect_code(2);
    assert!(wrong.stderr.contains("names no id"), "{}", wrong.said());
}

/// Answers every request on a port of its own with this text, for as long as the test runs.
fn answering(text: &'static str) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let _ = stream.read(&mut [0; 1024]);
            let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
            let _ = stream.write_all(format!("{head}{text}").as_bytes());
        }
    });
    port
}

#[test]
fn a_download_is_held_against_its_checksum() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let base = needs::registry().expect("checked by skip_unless");
    let port = answering("hello\n");
    let sum = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
    let dockerfile = format!(
        "FROM {base}/busybox:1\nADD --checksum=sha256:{sum} --chmod=640 http://127.0.0.1:{port}/d/greeting.txt /opt/\n"
    );
    let env = Env::project(&[("Dockerfile", &dockerfile)]);
    env.hd(["ingest"]).finish().ok();
    env.once();
    let shown = "stat -c %a /opt/greeting.txt && cat /opt/greeting.txt";
    let shown = env.hd(["run", "sh", "-c", shown]).finish().ok();
    assert_eq!(shown.stdout, "640\nhello\n");
    files::replace(&env.path("hd.toml"), sum, &sum.replace('5', "6"));
    let failed = env.once_fails(3);
    assert_eq!(failed.steps("failed").len(), 1, "{:?}", failed.value());
}
