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
    assert!(
        project
            .steps
            .iter()
            .any(|step| step.run.ends_with("cp -a conf /etc/conf"))
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
