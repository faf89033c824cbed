//! Values of Compose that an hd.toml refuses are told at their line, and cost no more than that.

mod importing;

use hd_config::ingest::Verdict;
use hd_config::parse;
use importing::composed_among;

#[test]
fn a_value_that_fits_nowhere_does_not_lose_the_file() {
    let files = [
        ("Dockerfile", "FROM base:1\nUSER app\nCMD [\"serve\"]\n"),
        ("of.env", "A=1\n"),
        ("../app.env", "A=1\n"),
        ("/etc/app.env", "A=1\n"),
    ];
    use Verdict::{Approximated, NotSupported};
    let cases = [
        ("env_file: ../app.env", NotSupported, "not in the project"),
        (
            "env_file: [/etc/app.env]",
            NotSupported,
            "not in the project",
        ),
        (
            "user: '${NOBODY}:${NOBODY}'",
            Approximated,
            "app of its image holds",
        ),
        (
            "user: '1000:${NOBODY}'",
            Approximated,
            "app of its image holds",
        ),
        (
            "working_dir: /srv/../..",
            Approximated,
            "/ of its image holds",
        ),
        (
            "profiles: [front.end]",
            Approximated,
            "front.end is front-end",
        ),
        ("profiles: ['']", Approximated, "without a name"),
        (
            "environment: ['=x', 'A B=1']",
            Approximated,
            "no name of a variable",
        ),
        (
            "healthcheck: { test: probe, start_interval: 1s }",
            Approximated,
            "without `start_interval`",
        ),
        (
            "depends_on: { two: { restart: true } }",
            Approximated,
            "without `restart`",
        ),
        (
            "env_file: [{ path: of.env, format: raw }]",
            Approximated,
            "without `format`",
        ),
        (
            "volumes: [{ type: tmpfs, target: /x, tmpfs: { size: 64m } }]",
            Approximated,
            "without `tmpfs`",
        ),
        (
            "volumes: [{ source: data, target: /x, volume: { subpath: a } }]",
            Approximated,
            "without `volume`",
        ),
        (
            "volumes: ['.:/workspace:ro']",
            Approximated,
            "not read-only",
        ),
    ];
    for (key, verdict, note) in cases {
        let text = format!("services:\n  one:\n    build: .\n    {key}\n");
        let imported = composed_among(&text, &files);
        let project = parse(&imported.toml, "hd.toml").unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(project.service("one").unwrap().user.as_deref(), Some("app"));
        let line = imported
            .lines
            .iter()
            .find(|line| line.text.starts_with(key));
        let line = line.unwrap_or_else(|| panic!("{key} is not told"));
        assert_eq!(line.verdict, verdict, "{key}: {:?}", line.notes);
        assert!(
            line.notes.join("; ").contains(note),
            "{key}: {:?}",
            line.notes
        );
    }
}
