//! Compose files translated: what is said and what is refused.

mod importing;

use hd_config::ingest::{Imported, Line, Verdict};
use hd_config::{ServiceNetwork, parse};
use importing::{COMPOSE, composed};

#[test]
fn compose_services_share_the_environment_they_are_built_in() {
    let imported = composed(COMPOSE).unwrap();
    let project = parse(&imported.toml, "hd.toml").unwrap();
    assert_eq!(project.workdir.as_deref(), Some("/srv"));
    let web = project.service("web").unwrap();
    assert_eq!(web.port, Some(8000));
    assert!(!web.env.contains_key("TOKEN"));
    assert_eq!(web.depends_on[0].service, "init");
    assert_eq!(web.command.to_string(), "serve");
    assert_eq!(web.working_dir.as_deref(), Some("/app"));
    let init = project.service("init").unwrap();
    assert_eq!(init.command.to_string(), "sh -c echo \"$HOME\"");
    assert!(project.service("cache").unwrap().base.is_some() && imported.is_complete());
    let all = project.services.iter().flat_map(|one| &one.volumes);
    let volumes: Vec<String> = all.map(ToString::to_string).collect();
    assert!(
        volumes.contains(&"./conf:/etc/conf".to_owned()),
        "{volumes:?}"
    );
    let line = |start: &str| {
        imported
            .lines
            .iter()
            .find(|line| line.text.starts_with(start))
            .unwrap()
    };
    assert_eq!(line("what:").notes, ["not known to hd"]);
    let told = line("cache:");
    assert_eq!((told.verdict, told.line), (Verdict::Approximated, 16));
}

#[test]
fn compose_errors_name_their_place() {
    let cases = [
        ("services: [", "compose.yaml:1:"),
        ("x: 1\n", "compose.yaml:1:1: the file has no services"),
        (
            "services:\n  a: {}\n",
            "compose.yaml:2:3: the service `a` has neither `build` nor `image`",
        ),
        (
            "services:\n  a: { image: '${X:?set X}' }\n",
            "compose.yaml:2:15: variable `X` is required: set X",
        ),
        (
            "services:\n  a: { build: sub }\n",
            "compose.yaml:1:1: there is no sub/Dockerfile to build from",
        ),
    ];
    for (text, expected) in cases {
        let error = composed(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

/// The thirty keys that Compose files use most, by a count over public ones: key, value, verdict, and
/// a part of the `hd.toml` or of the notes.
const KEYS: [(&str, &str, Verdict, &str); 30] = [
    ("image", "base:1", Verdict::Translated, "base = \"base:1\""),
    (
        "restart",
        "always",
        Verdict::Approximated,
        "max = \"unlimited\"",
    ),
    (
        "ports",
        "['127.0.0.1:8080:80']",
        Verdict::Translated,
        "ports = [\"127.0.0.1:8080:80\"]",
    ),
    (
        "volumes",
        "['data:/data']",
        Verdict::Translated,
        "volumes = [\"data:/data\"]",
    ),
    (
        "environment",
        "{ A: '1' }",
        Verdict::Translated,
        "A = \"1\"",
    ),
    (
        "depends_on",
        "[other]",
        Verdict::Translated,
        "condition = \"started\"",
    ),
    (
        "command",
        "serve --now",
        Verdict::Translated,
        "\"serve\", \"--now\"",
    ),
    (
        "container_name",
        "c",
        Verdict::NotSupported,
        "their name alone",
    ),
    ("build", ".", Verdict::Translated, ""),
    (
        "healthcheck",
        "{ test: [CMD, probe], interval: 3s }",
        Verdict::Translated,
        "interval = \"3s\"",
    ),
    ("networks", "[back]", Verdict::Approximated, "127.0.0.1"),
    (
        "deploy",
        "{ resources: { limits: { cpus: '0.50', memory: 50M, pids: 9 } } }",
        Verdict::Translated,
        "resources = { cpus = 0.5, memory = \"50MiB\", pids = 9 }",
    ),
    ("network_mode", "host", Verdict::Translated, "hd's default"),
    (
        "logging",
        "{ driver: none }",
        Verdict::NotSupported,
        "rotates logs itself",
    ),
    (
        "env_file",
        "a.txt",
        Verdict::Translated,
        "env_file = [\"a.txt\"]",
    ),
    ("hostname", "h", Verdict::NotSupported, "their name alone"),
    (
        "privileged",
        "true",
        Verdict::NotSupported,
        "never have more",
    ),
    (
        "profiles",
        "[debug]",
        Verdict::Translated,
        "profiles = [\"debug\"]",
    ),
    (
        "extra_hosts",
        "['a:1.2.3.4']",
        Verdict::NotSupported,
        "no names",
    ),
    ("secrets", "[token]", Verdict::NotSupported, "no `token`"),
    (
        "user",
        "'1000:1000'",
        Verdict::Translated,
        "user = \"1000:1000\"",
    ),
    ("expose", "['9000']", Verdict::Translated, "port = 9000"),
    ("entrypoint", "[enter]", Verdict::Translated, "\"enter\""),
    (
        "working_dir",
        "/srv",
        Verdict::Translated,
        "working_dir = \"/srv\"",
    ),
    (
        "devices",
        "['/dev/kvm']",
        Verdict::NotSupported,
        "never have more",
    ),
    (
        "ulimits",
        "{ nofile: 10 }",
        Verdict::NotSupported,
        "no counterpart",
    ),
    (
        "cap_add",
        "[SYS_ADMIN]",
        Verdict::NotSupported,
        "never have more",
    ),
    ("tmpfs", "/run", Verdict::Translated, "tmpfs:/run"),
    (
        "stop_signal",
        "SIGINT",
        Verdict::Translated,
        "stop_signal = \"SIGINT\"",
    ),
    ("init", "true", Verdict::Translated, ""),
];

#[test]
fn the_keys_that_are_used_most_are_each_answered() {
    for (key, value, verdict, part) in KEYS.into_iter().chain(MORE) {
        let others = [("image", "base:1"), ("command", "x")];
        let others = others
            .iter()
            .filter(|(other, _)| *other != key && (*other, key) != ("image", "build"));
        let others: String = others
            .map(|(name, value)| format!("    {name}: {value}\n"))
            .collect();
        let own = if key == "build" { "build" } else { "image" };
        let base = if own == "build" {
            "build: ."
        } else {
            "image: base:1"
        };
        let text = format!(
            "services:\n  one:\n    {key}: {value}\n{others}  other:\n    {base}\n    command: y\n"
        );
        let imported = composed(&text).unwrap_or_else(|e| panic!("{key}: {e}"));
        let start = format!("{key}:");
        let lines = imported
            .lines
            .iter()
            .filter(|line| line.file.contains("compose"));
        let mut lines = lines.filter(|line| line.text.starts_with(&start));
        let line = lines.next().unwrap_or_else(|| panic!("{key} is not told"));
        assert_eq!(line.verdict, verdict, "{key}: {:?}", line.notes);
        let said = format!("{}{}", imported.toml, line.notes.join("; "));
        assert!(said.contains(part), "{key}: {said}");
    }
}

/// Further values of those keys, and what else means the same.
const MORE: [(&str, &str, Verdict, &str); 18] = [
    ("restart", "on-failure:5", Verdict::Translated, "max = 5"),
    (
        "restart",
        "on-failure:x",
        Verdict::Approximated,
        "no number",
    ),
    (
        "deploy",
        "{ restart_policy: { condition: on-failure, delay: 20s, max_attempts: 3, window: 2m } }",
        Verdict::Translated,
        "restart = { max = 3, max_delay = \"20s\", min_delay = \"20s\", reset_after = \"2m\" }",
    ),
    ("deploy", "{ replicas: 2 }", Verdict::Translated, "cas = 2"),
    ("deploy", "{ replicas: 0 }", Verdict::NotSupported, "not 0"),
    ("scale", "3", Verdict::Translated, "replicas = 3"),
    ("deploy", "{ mode: global }", Verdict::NotSupported, "Swarm"),
    ("deploy", "{ replicas: 1 }", Verdict::Translated, ""),
    (
        "deploy",
        "{ resources: { reservations: { memory: 1g } } }",
        Verdict::NotSupported,
        "nothing is reserved",
    ),
    ("mem_limit", "1g", Verdict::Translated, "memory = \"1GiB\""),
    ("mem_limit", "4k", Verdict::Approximated, "no limit"),
    ("cpus", "1.5", Verdict::Translated, "cpus = 1.5"),
    ("pids_limit", "-1", Verdict::Translated, ""),
    (
        "network_mode",
        "none",
        Verdict::Translated,
        "network = \"none\"",
    ),
    (
        "network_mode",
        "service:other",
        Verdict::Translated,
        "share one network",
    ),
    ("network_mode", "bridge", Verdict::Approximated, "127.0.0.1"),
    (
        "extra_hosts",
        "{ host.docker.internal: host-gateway }",
        Verdict::Approximated,
        "127.0.0.1",
    ),
    ("ports", "['80:80']", Verdict::Translated, "port = 80"),
];

/// A file with two services: names, published ports and networks of each.
fn two(ports: [&str; 2], networks: [&str; 2], more: &str) -> Imported {
    let service = |name: &str, at: usize| {
        format!(
            "  {name}:\n    image: base:1\n    command: x\n    ports: [{}]\n    networks: [{}]\n",
            ports[at], networks[at]
        )
    };
    let (one, other) = (service("one", 0), service("other", 1));
    let text = format!("services:\n{one}{other}{more}");
    composed(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

#[test]
fn services_are_isolated_where_the_file_asks_for_it() {
    let networks = "networks:\n  back: { internal: true }\n  front: {}\n";
    let apart = format!("  apart: {{ image: 'db:1' }}\n{networks}");
    let beside = format!("  beside: {{}}\n{networks}");
    let cases = [
        (["'80:80'", ""], ["front", "front"], networks, false),
        (["'8080:80'", ""], ["front", "front"], networks, true),
        // What runs beside hd is reached on the machine's network.
        (["'8080:80'", ""], ["front", "front"], &beside, false),
        (["", ""], ["'front', back", "front"], networks, false),
        (["", ""], ["front", "back"], &apart, true),
    ];
    for (ports, on, more, isolated) in cases {
        let imported = two(ports, on, more);
        let project = parse(&imported.toml, "hd.toml").unwrap();
        let wanted = match isolated {
            true => ServiceNetwork::Isolated,
            false => ServiceNetwork::Host,
        };
        for service in &project.services {
            assert_eq!(service.network, wanted, "{ports:?} {on:?} {more}");
        }
        let reasons = imported.lines.iter().flat_map(|line| &line.notes);
        let reasons = reasons.filter(|note| note.contains("nothing leads out"));
        let each = project.services.len() * usize::from(isolated);
        assert_eq!(reasons.count(), each, "one for each");
    }
}

#[test]
fn published_ports_are_those_of_the_isolated_network() {
    let ports = ["'8080:80', '[::1]:8443:443'", "'8080:81', 9000"];
    let imported = two(ports, ["default", "default"], "");
    let project = parse(&imported.toml, "hd.toml").unwrap();
    let of = |name: &str| -> Vec<String> {
        let ports = &project.service(name).unwrap().ports;
        ports.iter().map(ToString::to_string).collect()
    };
    assert_eq!(of("one"), ["127.0.0.1:8080:80", "[::1]:8443:443"]);
    assert_eq!(of("other"), ["auto:9000"], "8080 is taken");
    let notes = imported.lines.iter().flat_map(|line| &line.notes);
    let taken = |note: &&String| note.contains("`one` is published at 8080 already");
    assert!(notes.filter(taken).count() == 1 && !imported.is_complete());
    assert_eq!(project.service("other").unwrap().port, Some(81));
}

#[test]
fn two_services_at_one_port_are_told_apart_by_nothing() {
    let imported = two(["'8080:80'", "'8081:80'"], ["a", "a"], "");
    assert!(!imported.is_complete());
    let clash = |line: &&Line| {
        line.notes
            .iter()
            .any(|note| note.contains("listens at 80 too"))
    };
    let line = imported.lines.iter().find(clash).unwrap();
    assert_eq!((line.line, line.verdict), (10, Verdict::NotSupported));
    // And nobody reaches one by the published port of the other.
    let project = parse(&imported.toml, "hd.toml").unwrap();
    let published = |name: &str| project.service(name).unwrap().ports.len();
    assert_eq!((published("one"), published("other")), (1, 0));
}

#[test]
fn secrets_and_configs_are_files_at_their_places() {
    let text = "services:\n  one:\n    build: .\n    \
        secrets: [token, { source: token, target: other, mode: 256 }, far, swarm]\n    \
        configs: [{ source: conf, target: /etc/app.conf }, said]\n    \
        healthcheck: { disable: true }\n\
        secrets:\n  token: { file: ./a.txt }\n  far: { file: /etc/far }\n  swarm: { external: true }\n\
        configs:\n  conf: { file: a.txt }\n  said: { content: x }\n";
    let imported = composed(text).unwrap();
    let project = parse(&imported.toml, "hd.toml").unwrap();
    let one = project.service("one").unwrap();
    let volumes: Vec<String> = one.volumes.iter().map(ToString::to_string).collect();
    let wanted = [
        "./a.txt:/run/secrets/token:ro",
        "./a.txt:/run/secrets/other:ro",
        "/etc/far:/run/secrets/far:ro",
        "./a.txt:/etc/app.conf:ro",
    ];
    assert_eq!(volumes, wanted);
    assert!(imported.toml.contains("healthcheck = false"));
    let notes: String = imported
        .lines
        .iter()
        .flat_map(|line| line.notes.clone())
        .collect();
    for part in ["owner and mode", "Docker Swarm", "write it to one"] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    assert!(!imported.is_complete());
}

#[test]
fn a_service_without_a_command_runs_what_its_image_runs() {
    let imported =
        composed("services:\n  one:\n    image: unknown:1\n    stop_signal: QUIT\n").unwrap();
    assert!(imported.is_complete(), "{:?}", imported.lines);
    let project = parse(&imported.toml, "hd.toml").unwrap();
    assert!(project.service("one").unwrap().open.command);
}
