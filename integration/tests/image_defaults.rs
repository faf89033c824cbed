//! What an image says of its program holds for services that leave it open.

use hd_integration::ports::Port;
use hd_integration::{Env, LONG, http, images, needs, skip_unless, until};
use serde_json::{Value, json};

/// Says over HTTP what it found, and where its signal led it.
const SCRIPT: &str = r#"trap 'echo USR1 >> /data/ended; exit 0' USR1
env > /data/env; id -u > /data/who; pwd > /data/where
httpd -f -p 127.0.0.1:PORT -h /data &
wait"#;

/// `busybox` with a program and all that an image can say of it; answers its reference.
fn image(env: &Env, tag: &str, change: impl FnOnce(&mut Value)) -> String {
    let registry = needs::registry().expect("checked by skip_unless");
    let place = env.mark().join(format!("image-{tag}"));
    let dir = format!("dir:{}", place.display());
    images::copy(&[], &format!("docker://{registry}/busybox:1"), &dir);
    images::change(&place, |config, _| change(&mut config["config"]));
    let image = format!("{registry}/hd-defaults/{}:{tag}", std::process::id());
    images::copy(&[], &dir, &format!("docker://{image}"));
    image
}

fn full(env: &Env, port: u16) -> String {
    image(env, "full", |config| {
        let path = config["Env"][0].clone();
        *config = json!({
            "Env": [path, "GREETING=hello"],
            "Entrypoint": ["sh", "-c"],
            "Cmd": [SCRIPT.replace("PORT", &port.to_string())],
            "WorkingDir": "/srv/app",
            "User": "1000:1000",
            "ExposedPorts": { format!("{port}/tcp"): {}, "53/udp": {} },
            "Volumes": { "/data": {} },
            "StopSignal": "SIGUSR1",
            "Labels": { "org.example.k": "v w" },
            "Healthcheck": {
                "Test": ["CMD-SHELL", "echo probed >> /data/probed"],
                "Interval": 100_000_000,
            },
        });
    })
}

const SERVICES: &str = r#"
[services.web]

[services.job]
command = "ls /data > /srv/app/seen"
kind = "oneshot"

[services.more]
command = ["sleep", "1000"]

[services.plain]
command = ["sleep", "1000"]
stop_signal = "INT"
healthcheck = false
"#;

fn value<'v>(config: &'v Value, key: &str) -> &'v Value {
    let values = config["values"].as_array().expect("values");
    let found = values.iter().find(|value| value["key"] == key);
    found.unwrap_or(&Value::Null)
}

#[test]
fn a_service_takes_over_what_the_image_says() {
    skip_unless!(
        needs::fuse(),
        needs::root(),
        needs::registry(),
        needs::program("skopeo")
    );
    let env = Env::project(&[]);
    let port = Port::free();
    let base = full(&env, port.number);
    let toml = format!("[environment]\nname = \"x\"\nbase = \"{base}\"\n{SERVICES}");
    std::fs::write(env.path("hd.toml"), toml).expect("write hd.toml");
    let unknown = env.hd(["config", "--json"]).finish().ok().json();
    let from = &value(&unknown, "services.web.command")["from"];
    assert!(
        from.as_str().is_some_and(|text| text.contains("once")),
        "{from}"
    );

    let mut up = env.up();
    let get = |path: &str| http::get(port.number, path).filter(|answer| answer.status == 200);
    let page = |path: &str| until(path, LONG, || get(path)).body;
    assert!(page("/env").contains("GREETING=hello\n"), "ENV");
    assert_eq!(page("/who"), "1000\n", "USER");
    assert_eq!(page("/where"), "/srv/app\n", "WORKDIR");
    // The probe may be writing it just now.
    until("HEALTHCHECK", LONG, || {
        get("/probed").filter(|answer| answer.body.starts_with("probed\n"))
    });
    up.until("all are ready", || {
        let status = env.hd(["status", "--json"]).finish().json();
        let services = status["services"].as_array()?.clone();
        let of = |name: &str| services.iter().find(|one| one["name"] == name).cloned();
        let (web, plain) = (of("web")?, of("plain")?);
        let ready = web["state"] == "ready" && plain["state"] == "ready";
        ready.then(|| assert_eq!(web["port"], port.number, "EXPOSE"))
    });
    up.until("the job is done", || {
        std::fs::read_to_string(env.path("seen")).ok()
    });
    let seen = std::fs::read_to_string(env.path("seen")).expect("read");
    assert_eq!(seen, "", "the volume of another service");
    let config = env.hd(["config", "--json"]).finish().ok().json();
    for (key, wanted, image) in [
        ("services.web.port", json!(port.number), true),
        ("services.web.stop_signal", json!("USR1"), true),
        ("services.web.user", json!("1000:1000"), true),
        (
            "services.web.volumes",
            json!(["IMAGE-web-data:/data"]),
            true,
        ),
        ("services.plain.stop_signal", json!("INT"), false),
        ("services.plain.healthcheck.test", Value::Null, false),
        ("services.plain.user", Value::Null, false),
    ] {
        let value = value(&config, key);
        assert_eq!(value["value"], wanted, "{key}");
        let from = value["from"].as_str().unwrap_or_default();
        assert_eq!(from == format!("image {base}"), image, "{key}: {from}");
    }
    // What is written to the volume outlives a restart and the way down.
    env.hd(["restart", "web"]).finish().ok();
    assert_eq!(page("/ended"), "USR1\n", "STOPSIGNAL");
    env.hd(["down"]).finish().ok();
    up.wait_exit(LONG);
    let mut up = env.up();
    up.wait_http(port.number, "/ended", "USR1\nUSR1\n");
}

/// What systemd as an image asks for; the shell of busybox calls it by its number.
#[test]
fn every_signal_of_linux_is_a_stop_signal() {
    skip_unless!(needs::fuse(), needs::registry(), needs::program("skopeo"));
    let env = Env::project(&[]);
    let base = image(&env, "systemd", |config| {
        config["StopSignal"] = json!("SIGRTMIN+3");
    });
    let place = env.mark().join("seen");
    std::fs::create_dir(&place).expect("make a directory");
    let service = |name: &str, number: i32, then: &str| {
        let trap = format!("trap 'echo {number} > /seen/{name}; {then}' {number}");
        let wait = format!("touch /seen/{name}-begun; while :; do sleep 1000 & wait $!; done");
        let volume = place.display();
        format!("[services.{name}]\ncommand = \"{trap}; {wait}\"\nvolumes = [\"{volume}:/seen\"]\n")
    };
    let toml = format!(
        "[environment]\nname = \"x\"\nbase = \"{base}\"\n{}{}{}stop_signal = \"PWR\"\n",
        service("web", 37, "exit 0"),
        service("asked", 36, "true"),
        service("own", 30, "exit 0"),
    );
    std::fs::write(env.path("hd.toml"), toml).expect("write hd.toml");
    let mut up = env.up();
    let read = |name: &str| std::fs::read_to_string(place.join(name)).ok();
    for name in ["web-begun", "asked-begun", "own-begun"] {
        up.until(name, || read(name));
    }
    let config = env.hd(["config", "--json"]).finish().ok().json();
    let signal = value(&config, "services.web.stop_signal");
    assert_eq!(signal["value"], "RTMIN+3");
    env.hd(["kill", "--signal", "RTMIN+2", "asked"])
        .finish()
        .ok();
    up.until("it heard of it", || {
        read("asked").filter(|text| text == "36\n")
    });
    env.hd(["down"]).finish().ok();
    up.wait_exit(LONG);
    assert_eq!(read("web").as_deref(), Some("37\n"));
    assert_eq!(read("own").as_deref(), Some("30\n"));
    let target = format!("oci:{}/out", env.mark().display());
    for (service, signal) in [("web", "SIGRTMIN+3"), ("own", "SIGPWR")] {
        env.hd(["export", "--base", &base, "--service", service, &target])
            .finish()
            .ok();
        let inspected = env
            .hd(["image", "inspect", "--json", &target])
            .finish()
            .ok();
        let config = &inspected.json()["images"][0]["config"]["config"];
        assert_eq!(config["StopSignal"], signal, "{service}");
    }
}

/// Nothing listens, and no program is called `NONE`: with a port or a probe it would never be ready.
#[test]
fn of_two_exposed_ports_none_is_chosen_and_none_is_no_probe() {
    skip_unless!(needs::fuse(), needs::registry(), needs::program("skopeo"));
    let env = Env::project(&[]);
    let base = image(&env, "quiet", |config| {
        config["Cmd"] = json!(["sleep", "1000"]);
        config["ExposedPorts"] = json!({ "80/tcp": {}, "443/tcp": {} });
        config["Healthcheck"] = json!({ "Test": ["NONE"] });
    });
    let toml = format!("[environment]\nname = \"x\"\nbase = \"{base}\"\n[services.web]\n");
    std::fs::write(env.path("hd.toml"), toml).expect("write hd.toml");
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    let web = env.status().service("web").clone();
    assert_eq!(
        (&web["state"], &web["port"]),
        (&json!("ready"), &Value::Null)
    );
    let config = env.hd(["config", "--json"]).finish().ok().json();
    for key in ["services.web.port", "services.web.healthcheck.test"] {
        assert_eq!(value(&config, key)["value"], Value::Null, "{key}");
    }
    let command = value(&config, "services.web.command");
    assert_eq!(command["from"], format!("image {base}"));
}

#[test]
fn healthcheck_none_of_a_dockerfile_switches_that_of_its_base_off() {
    skip_unless!(needs::fuse(), needs::registry(), needs::program("skopeo"));
    let env = Env::project(&[]);
    let base = image(&env, "failing", |config| {
        config["Healthcheck"] = json!({
            "Test": ["CMD", "false"], "Interval": 100_000_000, "Retries": 1, "StartPeriod": 1,
        });
    });
    let ready = |more: &str| {
        let text = format!("FROM {base}\nCMD [\"sleep\", \"1000\"]\n{more}");
        std::fs::write(env.path("Dockerfile"), text).expect("write a Dockerfile");
        env.hd(["ingest", "--force"]).finish().ok();
        let done = env.hd(["up", "--wait"]).finish();
        env.hd(["down"]).finish().ok();
        done.code()
    };
    assert_ne!(ready(""), 0, "the probe of the base fails");
    assert_eq!(ready("HEALTHCHECK NONE\n"), 0);
}

#[test]
fn labels_are_shown_and_exported() {
    skip_unless!(needs::fuse(), needs::registry(), needs::program("skopeo"));
    let env = Env::project(&[("hd.toml", "[environment]\nname = \"x\"\n")]);
    let base = full(&env, 9);
    let config = |name: &str| {
        let inspected = env.hd(["image", "inspect", "--json", name]).finish().ok();
        inspected.json()["images"][0]["config"]["config"].clone()
    };
    let asked = config(&base);
    assert_eq!(asked["Labels"]["org.example.k"], "v w");
    assert_eq!(asked["ExposedPorts"]["9/tcp"], json!({}));
    let target = format!("oci:{}/out", env.mark().display());
    env.hd(["export", "--base", &base, &target]).finish().ok();
    let exported = config(&target);
    for key in [
        "Labels",
        "StopSignal",
        "Healthcheck",
        "ExposedPorts",
        "Volumes",
    ] {
        assert_eq!(exported[key], asked[key], "{key}");
    }
}

#[test]
fn without_any_command_the_service_is_named() {
    skip_unless!(needs::fuse(), needs::registry(), needs::program("skopeo"));
    let env = Env::project(&[]);
    let base = image(&env, "mute", |config| {
        config["Cmd"] = Value::Null;
    });
    let toml =
        format!("[environment]\nname = \"x\"\nbase = \"{base}\"\n[services.web]\nport = 1\n");
    std::fs::write(env.path("hd.toml"), toml).expect("write hd.toml");
    let failed = env.hd(["up"]).finish().expect_code(2);
    for word in ["hd.toml:4:", "`web` has no command", &base, "command ="] {
        assert!(
            failed.stderr.contains(word),
            "no `{word}` in {}",
            failed.stderr
        );
    }
}
