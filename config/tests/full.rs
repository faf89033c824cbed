//! Every key that works, read into its type.

use std::time::Duration;

use hd_config::{
    Command, Condition, DependencyKind, GcLimits, Kind, Probe, ProjectMode, Provider,
    RestartPolicy, StepNetwork, ViewMode, parse,
};

const FULL: &str = include_str!("full.toml");

#[test]
fn the_environment_is_read() {
    let project = parse(FULL, "hd.toml").unwrap();
    assert_eq!(project.name, "shop");
    assert_eq!(project.base.as_deref(), Some("python:3.11-slim"));
    assert_eq!(project.workdir.as_deref(), Some("/srv/shop"));
    assert_eq!(project.user.as_deref(), Some("1000:1000"));
    assert_eq!(project.env_file, [".env", "conf/dev.env"]);
    let env: Vec<(&str, &str)> = project
        .env
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(
        env,
        [
            ("DEBUG", "true"),
            ("LEVEL", "3"),
            ("MODE", "${MODE:-dev}"),
            ("RATE", "1.5")
        ]
    );
}

#[test]
fn dependencies_and_steps_keep_their_order() {
    let project = parse(FULL, "hd.toml").unwrap();
    let list =
        |names: &[&str]| DependencyKind::List(names.iter().map(|n| (*n).to_owned()).collect());
    let expected = [
        (Provider::Python, DependencyKind::Version("3.11".to_owned())),
        (
            Provider::Node,
            DependencyKind::Version(">=18, <21".to_owned()),
        ),
        (Provider::Apt, list(&["curl", "git"])),
        (Provider::Cargo, list(&["just"])),
        (
            Provider::Npm,
            DependencyKind::File("web/package.json".to_owned()),
        ),
        (
            Provider::Pip,
            DependencyKind::File("requirements.txt".to_owned()),
        ),
    ];
    let found = project
        .dependencies
        .into_iter()
        .map(|one| (one.provider, one.kind));
    assert_eq!(found.collect::<Vec<_>>(), expected);

    let steps = project
        .steps
        .iter()
        .map(|step| (step.name.as_str(), step.slug.as_str()));
    let expected = [
        ("step-1", "npm-ci"),
        ("step-2", "npm-run-build"),
        ("step-3", "npm-run-build-2"),
    ];
    assert_eq!(steps.collect::<Vec<_>>(), expected);
    assert_eq!(project.cache, ["node_modules", "web/dist"]);
}

#[test]
fn services_are_read_with_their_defaults() {
    let project = parse(FULL, "hd.toml").unwrap();
    let names: Vec<&str> = project
        .services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    assert_eq!(names, ["web", "migrate", "db", "worker_2", "proxy"]);

    let proxy = project.service("proxy").unwrap();
    let ports: Vec<String> = proxy.ports.iter().map(ToString::to_string).collect();
    let published = [
        "127.0.0.1:8080:80",
        "127.0.0.1:9000:9000",
        "auto:81",
        "auto:82",
    ];
    assert_eq!(
        (proxy.network.as_str(), ports),
        ("isolated", published.map(str::to_owned).to_vec())
    );
    let limits = (
        proxy.resources.memory,
        proxy.resources.cpus,
        proxy.resources.pids,
    );
    assert_eq!(limits, (Some(512 << 20), Some(1500), Some(200)));
    let volumes = &project.service("db").unwrap().volumes;
    let volumes: Vec<String> = volumes.iter().map(ToString::to_string).collect();
    assert_eq!(
        volumes,
        ["data:/var/lib/db", "./conf:/etc/db:ro", "tmpfs:/scratch"]
    );

    let web = project.service("web").unwrap();
    assert_eq!(web.command, Command::Shell("python app.py".to_owned()));
    assert_eq!(
        (web.port, web.kind, web.restart),
        (Some(5000), Kind::Service, RestartPolicy::OnFailure)
    );
    assert!(web.watch.matches(b"templates/a.html") && !web.watch.matches(b"test_a.py"));
    assert_eq!(web.env["PORT"], "5000");
    let on: Vec<_> = web
        .depends_on
        .iter()
        .map(|on| (on.service.as_str(), on.condition))
        .collect();
    assert_eq!(
        on,
        [
            ("migrate", Condition::Completed),
            ("db", Condition::Healthy)
        ]
    );
    let check = web.healthcheck.as_ref().unwrap();
    let (host, path) = ("127.0.0.1".to_owned(), "/healthz".to_owned());
    assert_eq!(
        check.test,
        Probe::Http {
            host,
            port: 5000,
            path
        }
    );
    assert_eq!(
        (check.interval, check.retries),
        (Duration::from_millis(500), 5)
    );

    let migrate = project.service("migrate").unwrap();
    assert_eq!(
        (migrate.kind, migrate.restart),
        (Kind::Oneshot, RestartPolicy::Never)
    );

    let worker = project.service("worker_2").unwrap();
    assert_eq!(
        worker.command,
        Command::Exec(vec!["node".to_owned(), "w.js".to_owned(), String::new()])
    );
    assert_eq!(worker.restart, RestartPolicy::Always);
    assert!(worker.watch.is_empty() && worker.healthcheck.is_none());
    let conditions: Vec<_> = worker.depends_on.iter().map(|on| on.condition).collect();
    assert_eq!(conditions, [Condition::Started, Condition::Completed]);

    let order = hd_config::order::start_order(&project.services).unwrap();
    let order: Vec<&str> = order.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(order, ["migrate", "db", "web", "worker_2", "proxy"]);
}

#[test]
fn probes_take_every_form() {
    let probe = |text: &str| {
        let toml = format!(
            "[environment]\nname = \"x\"\n[services.a]\ncommand = \"a\"\nport = 9\nhealthcheck = {text}\n"
        );
        parse(&toml, "hd.toml")
            .unwrap()
            .service("a")
            .unwrap()
            .healthcheck
            .clone()
            .unwrap()
            .test
    };
    let tcp = |host: &str, port| Probe::Tcp {
        host: host.to_owned(),
        port,
    };
    let http = |host: &str, port, path: &str| Probe::Http {
        host: host.to_owned(),
        port,
        path: path.to_owned(),
    };
    let cases = [
        (
            "\"curl -f x\"",
            Probe::Exec(Command::Shell("curl -f x".to_owned())),
        ),
        (
            "[\"pg_isready\"]",
            Probe::Exec(Command::Exec(vec!["pg_isready".to_owned()])),
        ),
        (
            "{ test = [\"a\"] }",
            Probe::Exec(Command::Exec(vec!["a".to_owned()])),
        ),
        ("{ tcp = 5432 }", tcp("127.0.0.1", 5432)),
        ("{ tcp = \"db:5432\" }", tcp("db", 5432)),
        ("{ tcp = \"[::1]:1\" }", tcp("::1", 1)),
        ("{ http = \"/a?b=1\" }", http("127.0.0.1", 9, "/a?b=1")),
        ("{ http = \"http://h\" }", http("h", 80, "/")),
        ("{ http = \"http://h:81/a\" }", http("h", 81, "/a")),
    ];
    for (text, expected) in cases {
        assert_eq!(probe(text), expected, "{text}");
    }
}

#[test]
fn files_options_and_places_are_read() {
    let project = parse(FULL, "hd.toml").unwrap();
    assert_eq!(project.files.include(), ["src", "package.json"]);
    assert_eq!(project.files.exclude(), ["*.log"]);
    assert_eq!(project.files.ignore_files(), [".gitignore"]);
    assert_eq!(project.options.restart_grace, Duration::from_secs(90));
    assert_eq!(project.options.project, ProjectMode::Live);
    assert_eq!(project.options.view, ViewMode::Erofs);
    let limits = GcLimits {
        max_size: None,
        min_free: Some(2 << 30),
        keep: Duration::from_secs(36 * 3600),
    };
    assert_eq!(project.options.gc, limits);
    let place = |key: &str| project.place(key).map(ToString::to_string);
    assert_eq!(place("services.web.port").as_deref(), Some("hd.toml:30:1"));
    assert_eq!(place("build.steps[1]").as_deref(), Some("hd.toml:22:20"));
    assert_eq!(
        place("dependencies.pip.file").as_deref(),
        Some("hd.toml:19:1")
    );
    assert_eq!(place("no.such"), None);
    assert_eq!(project.step("step-2"), project.step("npm-run-build"));
}

#[test]
fn the_smallest_project_has_the_documented_defaults() {
    let project = parse("environment.name = 'x'", "hd.toml").unwrap();
    assert_eq!(project.base, None);
    assert_eq!(project.options.restart_grace, Duration::from_secs(5));
    assert_eq!(project.options.view, ViewMode::Auto);
    assert_eq!(project.options.gc.max_size, Some(20 << 30));
    assert_eq!(project.options.gc.keep, Duration::from_secs(7 * 86_400));
    assert_eq!(project.files.ignore_files(), [".gitignore", ".hdignore"]);
    assert!(project.services.is_empty() && project.steps.is_empty());
}

const LONG: &str = r#"
[environment]
name = "long"

[build]
cache = ["obj"]

[build.caches.cargo]
path = "~/.cargo/registry/"
[build.caches.apt]
path = "/var/cache//apt"

[[build.step]]
name = "generate"
run = "make gen"
outputs = ["gen/"]
inputs = ["schema/**"]

[[build.step]]
name = "back"
run = "cargo build"
needs = ["generate", "generate"]
env = { LEVEL = 3 }
network = "none"
timeout = "10m"
workdir = "server"
caches = ["cargo"]

[[build.step]]
name = "front"
run = "npm run build"
needs = []
"#;

#[test]
fn long_steps_are_read_whole() {
    let project = parse(LONG, "hd.toml").unwrap();
    let [generate, back, front] = &project.steps[..] else {
        panic!("{:?}", project.steps)
    };
    assert_eq!(
        (generate.name.as_str(), generate.slug.as_str()),
        ("step-1", "generate")
    );
    assert_eq!(generate.outputs, ["gen"]);
    assert!(generate.inputs.as_ref().unwrap().matches(b"schema/a.json"));
    assert_eq!(generate.needs, None);
    assert_eq!(back.needs, Some(vec!["generate".to_owned()]));
    assert_eq!(back.env["LEVEL"], "3");
    assert_eq!(back.network, StepNetwork::None);
    assert_eq!(back.timeout, Some(Duration::from_secs(600)));
    assert_eq!(back.workdir.as_deref(), Some("server"));
    assert_eq!(back.caches, ["cargo"]);
    assert_eq!(front.needs, Some(vec![]));
    let caches: Vec<(&str, &str)> = project
        .caches
        .iter()
        .map(|cache| (&*cache.name, &*cache.path))
        .collect();
    assert_eq!(
        caches,
        [("cargo", "~/.cargo/registry"), ("apt", "/var/cache/apt")]
    );
    assert_eq!(project.step("back"), project.step("step-2"));
    assert_eq!(project.place("build.step[1].env.LEVEL").unwrap().line, 23);
}

#[test]
fn stages_and_the_steps_in_them() {
    let text = r#"
[environment]
name = "x"
[build.stages.base]
base = "debian:12"
workdir = "/src"
[build.stages.test]
from = "base"
[[build.step]]
name = "cc"
run = "make"
stage = "base"
user = "nobody"
[[build.step]]
name = "check"
run = "make check"
stage = "test"
needs = ["cc"]
[[build.step]]
name = "take"
run = "cp /stages/test/app /"
from = ["test", "base", "test"]
user = 1000
"#;
    let project = parse(text, "hd.toml").unwrap();
    let origin = |name: &str| hd_config::step::stage_image(&project.stages, name);
    assert_eq!(origin("base"), Some("debian:12"));
    assert_eq!(origin("test"), Some("debian:12"));
    assert_eq!(origin("none"), None);
    let line = hd_config::step::lineage(&project.stages, "test");
    let line: Vec<_> = line.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(line, ["test", "base"]);
    let steps = project.steps.iter();
    let found = steps.map(|step| (step.stage.as_deref(), step.user.as_deref()));
    let expected = [
        (Some("base"), Some("nobody")),
        (Some("test"), None),
        (None, Some("1000")),
    ];
    assert_eq!(found.collect::<Vec<_>>(), expected);
    assert_eq!(project.steps[2].from, ["test", "base"]);
}
