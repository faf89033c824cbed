//! `hd init` and `hd ingest` where nothing answers: what they make of other tools' files.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

struct Here {
    place: tempfile::TempDir,
}

impl Here {
    fn new(files: &[(&str, &str)]) -> Self {
        let here = Self {
            place: tempfile::tempdir().unwrap(),
        };
        for (name, text) in files {
            let file = here.project().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        here
    }

    fn project(&self) -> PathBuf {
        self.place.path().join("project")
    }

    fn hd(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hd"));
        command.args(args);
        command.current_dir(self.project()).stdin(Stdio::null());
        command.env("HD_HOME", self.place.path().join("home"));
        command.env_remove("TAG").env_remove("DEBUG");
        command.output().unwrap()
    }
}

/// A project with these files; gives the exit code and what `hd ingest --check --json` prints.
fn ingested(files: &[(&str, &str)], args: &[&str]) -> (Option<i32>, Value) {
    let args = [["ingest", "--check", "--json"].as_slice(), args].concat();
    let output = Here::new(files).hd(&args);
    let said = serde_json::from_slice(&output.stdout);
    let said = said.unwrap_or_else(|e| panic!("{e}: {output:?}"));
    (output.status.code(), said)
}

/// Place, text and notes of the lines that are not supported.
fn refused(said: &Value) -> Vec<String> {
    let lines = said["lines"].as_array().unwrap().iter();
    let refused = lines.filter(|line| line["verdict"] == "not supported");
    refused
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap().to_owned();
            format!("{} {} {}", text("place"), text("text"), line["notes"])
        })
        .collect()
}

// Nothing listens there: that an image is not known is found out at once.
const COMPOSE: &str = "services:\n  web:\n    image: 127.0.0.1:1/app:${TAG}\n    command: serve\n";

#[test]
fn a_line_of_dot_env_that_cannot_be_read_costs_no_other() {
    let env = "TAG=1.2\nDE BUG\nPASSWORD=a${secret\n";
    let (code, said) = ingested(&[("compose.yaml", COMPOSE), (".env", env)], &[]);
    let toml = said["toml"].as_str().unwrap();
    assert!(toml.contains("base = \"127.0.0.1:1/app:1.2\""), "{toml}");
    let lines = refused(&said);
    assert_eq!((code, lines.len()), (Some(2), 2), "{lines:?}");
    assert!(
        lines[0].starts_with(".env:2:1 ") && lines[0].contains("KEY=value"),
        "{lines:?}"
    );
    assert!(lines[1].starts_with(".env:3:10 PASSWORD= "), "{lines:?}");
    // Compose too has no value for a name alone.
    let alone = [("compose.yaml", COMPOSE), (".env", "TAG=1\nDEBUG\n")];
    assert_eq!(ingested(&alone, &[]).0, Some(0));
}

#[test]
fn a_file_that_compose_lays_over_the_other_is_told() {
    for over in ["compose.override.yaml", "docker-compose.override.yml"] {
        let files = [
            ("compose.yaml", COMPOSE),
            (over, "services: {}\n"),
            (".env", "TAG=1\n"),
        ];
        let (code, said) = ingested(&files, &[]);
        let lines = refused(&said);
        assert_eq!((code, lines.len()), (Some(2), 1), "{lines:?}");
        assert!(
            lines[0].contains(over) && lines[0].contains("laid over compose.yaml"),
            "{lines:?}"
        );
        // Compose leaves it too where the other is named.
        for named in [["compose.yaml"].as_slice(), &["--compose", "compose.yaml"]] {
            assert_eq!(ingested(&files, named).0, Some(0), "{named:?}");
        }
    }
}

#[test]
fn services_of_a_compose_file_keep_what_their_dockerfile_says() {
    let dockerfile = "FROM 127.0.0.1:1/base:1\nCOPY . /app\nEXPOSE 8000\nENTRYPOINT [\"python\"]\n\
        HEALTHCHECK --timeout=9s CMD probe\n";
    let compose = "services:\n  worker: { build: ./back, command: work.py }\n  \
        web: { build: ./back, command: 'web.py $${PORT:-8000}', ports: ['8000:8000'], \
        healthcheck: { interval: 5s }, env_file: ../far.env, user: '${NOBODY}:${NOBODY}' }\n";
    let files = [
        ("compose.yaml", compose),
        ("../far.env", "A=1\n"),
        (".dockerignore", "of-root\n"),
        ("back/Dockerfile", dockerfile),
        ("back/.dockerignore", "dist\n"),
    ];
    let (code, said) = ingested(&files, &[]);
    let toml = said["toml"].as_str().unwrap();
    let (worker, web) = toml.split_once("[services.web]").unwrap();
    assert!(
        worker.contains("command = [\"python\", \"work.py\"]"),
        "{toml}"
    );
    assert!(
        !worker.contains("port =") && web.contains("port = 8000"),
        "{toml}"
    );
    assert!(
        web.contains("[\"python\", \"web.py\", \"${PORT:-8000}\"]"),
        "{toml}"
    );
    assert!(
        web.contains("timeout = \"9s\", interval = \"5s\""),
        "{toml}"
    );
    assert!(toml.contains("exclude = [\"/back/dist\"]"), "{toml}");
    let lines = refused(&said);
    assert_eq!((code, lines.len()), (Some(2), 1), "{lines:?}");
    assert!(lines[0].contains("not in the project"), "{lines:?}");
}

#[test]
fn a_new_file_waits_for_the_server_and_not_for_its_database() {
    let app = "from flask import Flask\nredis = Redis(host=\"localhost\", port=6379)\n\
        app = Flask(__name__)\nif __name__ == \"__main__\":\n    app.run(port=8000)\n";
    let here = Here::new(&[("app.py", app)]);
    let done = here.hd(&["init"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let toml = std::fs::read_to_string(here.project().join("hd.toml")).unwrap();
    assert!(
        toml.contains("port = 8000") && !toml.contains("6379"),
        "{toml}"
    );
}
