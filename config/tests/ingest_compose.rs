//! Compose files translated: what is said and what is refused.

mod importing;

use hd_config::ingest::Verdict;
use hd_config::parse;
use importing::{COMPOSE, composed};

#[test]
fn compose_services_share_the_environment_they_are_built_in() {
    let imported = composed(COMPOSE).unwrap();
    let project = parse(&imported.toml, "hd.toml").unwrap();
    assert_eq!(project.workdir.as_deref(), Some("/srv"));
    let web = project.service("web").unwrap();
    assert_eq!(web.port, Some(8000));
    assert_eq!(web.env["TOKEN"], "${TOKEN:-}");
    assert_eq!(web.depends_on[0].service, "init");
    assert_eq!(web.command.to_string(), "serve");
    assert_eq!(web.working_dir.as_deref(), Some("/app"));
    let init = project.service("init").unwrap();
    assert_eq!(init.command.to_string(), "sh -c echo \"$HOME\"");
    assert!(project.service("cache").is_none() && !imported.is_complete());
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
    assert_eq!(
        (line("cache:").verdict, line("cache:").line),
        (Verdict::NotSupported, 16)
    );
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
    ("restart", "always", Verdict::Translated, ""),
    (
        "ports",
        "['127.0.0.1:8080:80']",
        Verdict::Approximated,
        "reached at 80",
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
        "{ replicas: 2 }",
        Verdict::NotSupported,
        "one instance",
    ),
    (
        "network_mode",
        "host",
        Verdict::Approximated,
        "host's network",
    ),
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
        Verdict::Approximated,
        "host's network",
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
        "without limits",
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
    for (key, value, verdict, part) in KEYS {
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
