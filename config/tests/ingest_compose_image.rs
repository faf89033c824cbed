//! What Compose services take over from the Dockerfile or the image that they are made of.

mod importing;

use hd_config::{Project, parse};
use importing::composed_among;

/// The services of a Compose file whose `build: .` is this Dockerfile.
fn services(dockerfile: &str, services: &str) -> Project {
    let text = format!("services:\n{services}");
    let imported = composed_among(&text, &[("Dockerfile", dockerfile)]);
    parse(&imported.toml, "hd.toml").unwrap_or_else(|e| panic!("{e}\n{}", imported.toml))
}

#[test]
fn a_command_takes_the_place_of_cmd_and_not_of_entrypoint() {
    let of_file = "FROM base:1\nENTRYPOINT [\"python\"]\nCMD [\"a.py\"]\n";
    let cases = [
        (of_file, "build: .", "python a.py"),
        (of_file, "build: ., command: b.py", "python b.py"),
        (of_file, "build: ., command: []", "python"),
        (of_file, "build: ., command: ", "python a.py"),
        (of_file, "build: ., entrypoint: perl, command: b", "perl b"),
        (of_file, "build: ., entrypoint: perl", "perl"),
        (of_file, "build: ., entrypoint: [], command: b", "b"),
        (of_file, "build: ., entrypoint: , command: b", "python b"),
        // Alone it waits for a person, and is no service by itself.
        (
            "FROM base:1\nENTRYPOINT [\"python\"]\n",
            "build: ., command: b.py",
            "python b.py",
        ),
        // The string form takes no arguments.
        (
            "FROM base:1\nENTRYPOINT python a.py\n",
            "build: ., command: b.py",
            "python a.py",
        ),
        ("FROM entered:1\n", "build: ., command: b", "enter b"),
        ("", "image: 'entered:1', command: b", "enter b"),
        ("", "image: 'base:1', command: b", "b"),
    ];
    for (dockerfile, keys, expected) in cases {
        let project = services(dockerfile, &format!("  one: {{ {keys} }}\n"));
        let command = &project.service("one").unwrap().command;
        assert_eq!(command.to_string(), expected, "{dockerfile} {keys}");
    }
}

#[test]
fn services_that_are_built_of_one_file_are_so_however_it_is_written() {
    let of_file = "FROM base:1\nENTRYPOINT [\"python\"]\n";
    let ways = [
        ".",
        "./",
        "{ context: . }",
        "{ dockerfile: Dockerfile }",
        "{ context: ./, dockerfile: ./Dockerfile, args: {} }",
    ];
    let all = ways.iter().enumerate();
    let all =
        all.map(|(number, build)| format!("  s{number}: {{ build: {build}, command: a.py }}\n"));
    let project = services(of_file, &all.collect::<String>());
    assert_eq!(project.services.len(), ways.len());
}

#[test]
fn an_entry_point_that_is_not_known_is_told_at_the_command() {
    let note = |keys: &str| {
        let text = format!("services:\n  one: {{ image: 'unknown:1', {keys} }}\n");
        let lines = composed_among(&text, &[]).lines;
        let mut notes = lines.iter().flat_map(|line| &line.notes);
        notes.any(|note| note.contains("whether unknown:1 has an ENTRYPOINT"))
    };
    assert!(note("command: b"));
    assert!(!note("command: b, entrypoint: a") && !note("restart: always"));
}

#[test]
fn user_and_directory_hold_for_a_command_where_the_file_has_none() {
    let dockerfile = "FROM base:1\nCOPY . /srv\nWORKDIR /var/app\nUSER app\nSTOPSIGNAL INT\n";
    let project = services(dockerfile, "  one: { build: ., command: serve }\n");
    let one = project.service("one").unwrap();
    assert_eq!(one.working_dir.as_deref(), Some("/var/app"));
    assert_eq!(one.user.as_deref(), Some("app"));
    assert_eq!(one.stop_signal, hd_config::Signal::INT);
}

#[test]
fn the_port_of_the_file_is_that_of_who_serves_there() {
    let dockerfile = "FROM base:1\nEXPOSE 8000\nCMD [\"serve\"]\n";
    let ports = |text: &str| -> Vec<Option<u16>> {
        let project = services(dockerfile, text);
        project.services.iter().map(|one| one.port).collect()
    };
    let web = "web: { build: ., ports: ['8000:8000'] }";
    let cases = [
        (format!("  worker: {{ build: ., command: work }}\n  {web}\n"), [None, Some(8000)]),
        (format!("  worker: {{ build: ., entrypoint: work }}\n  {web}\n"), [None, Some(8000)]),
        // Of two that run the same, who says it.
        (format!("  twin: {{ build: . }}\n  {web}\n"), [None, Some(8000)]),
        (
            "  web: { build: . }\n  worker: { build: ., command: work }\n".to_owned(),
            [Some(8000), None],
        ),
        (
            "  web: { build: ., command: 'serve --loud', expose: [9000] }\n  twin: { build: . }\n".to_owned(),
            [Some(9000), Some(8000)],
        ),
        (
            "  init: { build: . }\n  web: { build: ., depends_on: { init: { condition: service_completed_successfully } } }\n".to_owned(),
            [None, Some(8000)],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(ports(&text), expected, "{text}");
    }
}

#[test]
fn a_dollar_sign_of_a_command_stands_as_it_is_written() {
    let cases = [
        ("sh -c 'echo $${PORT:-8000}'", "${PORT:-8000}"),
        ("sh -c \"echo $${PORT:-8000}\"", "${PORT:-8000}"),
        ("serve $${DB}_test", "${DB}_test"),
        ("sh -c 'echo $${#A}'", "${#A}"),
        ("serve $$HOME", "$HOME"),
        ("serve \\$$HOME", "$HOME"),
    ];
    for (command, expected) in cases {
        let text = format!("  one:\n    image: base:1\n    command: {command}\n");
        let project = services("", &text);
        let command = project.service("one").unwrap().command.to_string();
        assert!(
            command.contains(expected) && !command.contains("\\$"),
            "{text}{command}"
        );
    }
}

#[test]
fn what_is_ignored_is_said_in_the_context_of_the_build() {
    let dockerfile = "FROM base:1\nCOPY . /app\nCMD [\"serve\"]\n";
    let root = [(".dockerignore", "of-root\n"), ("Dockerfile", dockerfile)];
    let context = [
        ("back/Dockerfile", dockerfile),
        ("back/.dockerignore", "dist\n!dist/x\n**/*.log\n"),
    ];
    let own = [("back/Dockerfile.dockerignore", "*.md\n")];
    let excluded = |build: &str, files: &[&[(&str, &str)]]| {
        let text = format!("services:\n  one:\n    build: {build}\n");
        let imported = composed_among(&text, &files.concat());
        let project = parse(&imported.toml, "hd.toml").unwrap();
        project.files.exclude().to_vec()
    };
    assert_eq!(excluded(".", &[&root, &context]), ["/of-root"]);
    assert_eq!(
        excluded("./back", &[&root, &context]),
        ["/back/dist", "!/back/dist/x", "/back/**/*.log"]
    );
    assert_eq!(excluded("back", &[&root, &context, &own]), ["/back/*.md"]);
}

#[test]
fn a_health_check_without_a_test_changes_the_times_of_the_one_of_the_file() {
    let of_file = "HEALTHCHECK --interval=1m --timeout=9s --retries=7 CMD probe\n";
    let cases = [
        (
            of_file,
            "interval: 5s",
            "\"probe\", timeout = \"9s\", interval = \"5s\", retries = 7",
        ),
        (
            of_file,
            "retries: 2",
            "\"probe\", interval = \"1m\", timeout = \"9s\", retries = 2",
        ),
        (
            of_file,
            "test: other, interval: 5s",
            "\"other\", interval = \"5s\" }",
        ),
        (of_file, "disable: true", "healthcheck = false"),
        (of_file, "test: [NONE]", "healthcheck = false"),
        ("HEALTHCHECK NONE\n", "interval: 5s", "healthcheck = false"),
    ];
    for (health, keys, expected) in cases {
        let dockerfile = format!("FROM base:1\nCMD [\"serve\"]\n{health}");
        let text = format!("services:\n  one: {{ build: ., healthcheck: {{ {keys} }} }}\n");
        let toml = composed_among(&text, &[("Dockerfile", &dockerfile)]).toml;
        assert!(toml.contains(expected), "{health}{keys}: {toml}");
    }
    // What an image itself has is not known here, and stands.
    let text = "services:\n  one: { image: 'base:1', healthcheck: { interval: 5s } }\n";
    let imported = composed_among(text, &[]);
    assert!(!imported.toml.contains("healthcheck"), "{}", imported.toml);
    let notes: Vec<_> = imported.lines.iter().flat_map(|line| &line.notes).collect();
    assert!(
        notes.iter().any(|note| note.contains("times of the image")),
        "{notes:?}"
    );
}
