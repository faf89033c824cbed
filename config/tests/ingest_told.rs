//! What a file says and cannot be had as it says it is told; nothing becomes something else in silence.

mod importing;

use hd_config::ingest::Imported;
use hd_config::{Project, compose, parse};
use importing::{composed, composed_among, composed_with, imported};

fn project(imported: &Imported) -> Project {
    parse(&imported.toml, "hd.toml").unwrap_or_else(|e| panic!("{e}\n{}", imported.toml))
}

/// All notes, each with the begin of its line.
fn notes(imported: &Imported) -> String {
    let lines = imported.lines.iter();
    lines
        .flat_map(|line| {
            line.notes
                .iter()
                .map(|note| format!("{}: {note}\n", line.text))
        })
        .collect()
}

#[test]
fn an_entry_point_takes_the_place_of_the_command_of_the_stage_before() {
    let stages = |last: &str| {
        let text = format!(
            "FROM base:1 AS one\nCOPY . /app\nWORKDIR /app\nCMD [\"serve\"]\nFROM one\n{last}"
        );
        project(&imported(&text)).services[0].command.to_string()
    };
    assert_eq!(stages("USER app\n"), "serve");
    assert_eq!(stages("ENTRYPOINT [\"debug\"]\n"), "debug");
    let own = "CMD [\"now\"]\nENTRYPOINT [\"debug\"]\n";
    assert_eq!(stages(own), "debug now");
}

#[test]
fn the_port_of_the_file_comes_before_that_of_the_image() {
    let port = |expose: &str| {
        let text = format!("FROM exposing:1\nCOPY . /app\n{expose}CMD [\"serve\"]\n");
        project(&imported(&text)).services[0].port
    };
    assert_eq!([port(""), port("EXPOSE 8080\n")], [Some(80), Some(8080)]);
}

#[test]
fn all_of_a_script_runs_in_its_directory() {
    let step = |script: &str| {
        let text = format!("FROM base:1\nCOPY . /app\nWORKDIR /x\nRUN {script}\nWORKDIR /app\n");
        let imported = imported(&text);
        let steps = project(&imported).steps;
        let step = steps.iter().find(|step| step.run.contains("cd /x"));
        step.unwrap_or_else(|| panic!("{}", imported.toml))
            .run
            .clone()
    };
    assert_eq!(step("a && b 2>&1"), "mkdir -p /x && cd /x && a && b 2>&1");
    assert_eq!(step("a & b"), "mkdir -p /x && cd /x || exit\na & b");
}

#[test]
fn what_is_mounted_is_of_the_build_context() {
    let dockerfile = "FROM base:1\nWORKDIR /srv\n\
                      RUN --mount=type=bind,source=list.txt,target=/l.txt cat /l.txt\n";
    let text = "services: { one: { build: ./sub, command: serve } }\n";
    let all = [
        ("sub/Dockerfile", dockerfile),
        ("sub/list.txt", ""),
        ("list.txt", ""),
    ];
    let here = composed_among(text, &all);
    let run = &project(&here).steps[0].run;
    assert!(run.contains("/sub/list.txt") && here.is_complete(), "{run}");
    let missing = composed_among(text, &[all[0], all[2]]);
    assert!(!missing.is_complete());
    assert!(notes(&missing).contains("there is no sub/list.txt"));
}

#[test]
fn a_variable_that_is_passed_on_and_not_set_stays_unset() {
    let text = "services: { one: { image: 'base:1', command: serve, environment: [A, B] } }\n";
    let imported = composed_with(text, &[("A", "1")], &[]).unwrap();
    let env = &project(&imported).services[0].env;
    assert_eq!((env["A"].as_str(), env.get("B")), ("${A:-}", None));
    assert!(notes(&imported).contains("B is not set now: left out"));
}

#[test]
fn what_would_be_another_image_or_other_data_is_needed() {
    let service = "image: 'base:1', command: serve";
    let cases = [
        (
            "{ build: { context: ., dockerfile_inline: FROM x } }",
            "",
            "`build.dockerfile_inline`",
        ),
        (
            "{ build: { additional_contexts: { x: ../x } } }",
            "",
            "`build.additional_contexts`",
        ),
        (
            "{ build: ., volumes: ['.:/srv'] }, two: { build: ., volumes: ['.:/docs'] }",
            "",
            "not at /docs",
        ),
        (
            &format!("{{ {service}, volumes: ['d:/d'] }}"),
            "{ external: true }",
            "`d` begins empty: `external`",
        ),
        (
            &format!("{{ {service}, volumes: ['d:/d'] }}"),
            "{ driver: local, driver_opts: { type: none, o: bind, device: /srv } }",
            "`d` begins empty: `driver_opts`",
        ),
    ];
    for (services, volume, told) in cases {
        let text = format!("services: {{ one: {services} }}\nvolumes: {{ d: {volume} }}\n");
        let imported = composed(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert!(!imported.is_complete(), "{text}");
        assert!(
            notes(&imported).contains(told),
            "{text}{}",
            notes(&imported)
        );
    }
    for volume in ["", "{ external: false, driver: local }"] {
        let text = format!(
            "services: {{ one: {{ {service}, volumes: ['d:/d'] }} }}\nvolumes: {{ d: {volume} }}\n"
        );
        assert!(composed(&text).unwrap().is_complete(), "{text}");
    }
}

#[test]
fn a_file_runs_the_project_where_it_builds_or_shows_it() {
    let cases = [
        (
            "services: { db: { image: 'postgres:16', volumes: ['./init.sql:/x.sql', 'd:/d'] } }",
            false,
        ),
        (
            "services: { db: { image: 'postgres:16' }, web: { build: . } }",
            true,
        ),
        (
            "services: { web: { image: 'node:20', volumes: ['.:/app'] } }",
            true,
        ),
        ("services: {}", true),
        ("services: [", true),
    ];
    for (text, runs) in cases {
        assert_eq!(
            compose::runs_the_project(text, "compose.yaml"),
            runs,
            "{text}"
        );
    }
}

#[test]
fn a_file_of_variables_beats_what_the_dockerfile_says() {
    let dockerfile = "FROM base:1\nRUN x\nENV MODE=production LEVEL=1 NAME=a\n\
                      COPY . /app\nWORKDIR /app\nCMD [\"serve\"]\n";
    let all = [
        ("Dockerfile", dockerfile),
        ("dev.env", "MODE=development\nLEVEL=2\n"),
    ];
    let service = "{ environment: { LEVEL: '3' }, build: ., env_file: dev.env }";
    let imported = composed_among(&format!("services: {{ one: {service} }}\n"), &all);
    let env = &project(&imported).services[0].env;
    let said = ["MODE", "LEVEL", "NAME"].map(|name| env.get(name).map(String::as_str));
    assert_eq!(said, [None, Some("3"), Some("a")], "{}", imported.toml);
    assert!(notes(&imported).contains("MODE is that of dev.env"));
}

#[test]
fn a_variable_that_is_written_out_is_told() {
    let text = "services: { one: { image: 'base:1', command: 'serve $A $B $$C ${D:-x}' } }\n";
    let imported = composed_with(text, &[], &[("A", "s3cret")]).unwrap();
    let notes = notes(&imported);
    assert!(notes.contains("the value that A has in .env"), "{notes}");
    assert!(notes.contains("B is not set now"), "{notes}");
    assert!(
        !notes.contains("C is") && !notes.contains("D is"),
        "{notes}"
    );
}

#[test]
fn a_service_that_names_what_another_builds_runs_it() {
    let text = "services: { one: { build: ., image: mine }, two: { image: 'mine:latest', command: work }, \
                three: { image: other } }\n";
    let imported = composed(text).unwrap();
    let services = project(&imported).services;
    let bases: Vec<Option<&str>> = services.iter().map(|one| one.base.as_deref()).collect();
    assert_eq!(bases, [None, None, Some("other")], "{}", imported.toml);
}

#[test]
fn a_containerfile_is_what_is_built_where_no_file_is_named() {
    let text = "services: { one: { build: ./sub, command: serve } }\n";
    let here = composed_among(text, &[("sub/Containerfile", "FROM base:7\n")]);
    assert_eq!(project(&here).base.as_deref(), Some("base:7"));
}
