//! The JSON Schema of `hd.toml`: what the parser takes it takes, and it refuses the common mistakes.

use std::path::{Path, PathBuf};

use hd_config::schema::SCHEMA;
use hd_config::template::{Facts, template};

fn validator() -> jsonschema::Validator {
    let schema = serde_json::from_str(SCHEMA).unwrap_or_default();
    let sound = jsonschema::meta::validate(&schema).map_err(|error| error.to_string());
    assert_eq!(sound, Ok(()));
    jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{error}"))
}

fn errors(validator: &jsonschema::Validator, toml: &str) -> Vec<String> {
    let value: Result<serde_json::Value, _> = toml::from_str(toml);
    let value = value.unwrap_or_else(|error| panic!("{error}\n{toml}"));
    let errors = validator.iter_errors(&value);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// Every hd.toml below a directory of the workspace.
fn files(below: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(below);
    let mut found = Vec::new();
    let mut rest = vec![root];
    while let Some(directory) = rest.pop() {
        for entry in std::fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path();
            if path.is_dir() && entry.file_name() != "node_modules" {
                rest.push(path);
            } else if entry.file_name() == "hd.toml" {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn examples_and_the_reference_file_validate() {
    let validator = validator();
    let examples = files("examples");
    assert!(examples.len() >= 3, "{examples:?}");
    for path in examples {
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(errors(&validator, &text), [""; 0], "{}", path.display());
    }
    assert_eq!(errors(&validator, include_str!("full.toml")), [""; 0]);
}

#[test]
fn what_init_writes_validates() {
    let validator = validator();
    let manifests = [
        &[][..],
        &["requirements.txt", "app.py"],
        &["package.json", "package-lock.json", "server.js"],
        &["Cargo.toml", "Cargo.lock"],
        &["pyproject.toml", "main.py", "package.json", "tsconfig.json"],
    ];
    for files in manifests {
        let text = template(&Facts {
            directory: "shop",
            files,
            read: &|_| Some(String::new()),
        })
        .text;
        hd_config::parse(&text, "hd.toml").unwrap();
        assert_eq!(errors(&validator, &text), [""; 0], "{files:?}\n{text}");
    }
}

#[test]
fn variables_may_stand_for_images_paths_and_ports() {
    let text = "[environment]\nname = \"x\"\nbase = \"python:${TAG:-3}\"\nworkdir = \"${DIR:-/app}\"\n\
                [services.web]\ncommand = \"x\"\nport = \"${PORT:-80}\"\nnetwork = \"isolated\"\n\
                ports = [\"${OUT:-8080}:80\"]\nvolumes = [\"${DATA:-./data}:/data\"]\n\
                user = \"${UID:-1000}\"\nhealthcheck = { http = \"${URL:-/}\" }\n";
    hd_config::parse(text, "hd.toml").unwrap();
    assert_eq!(errors(&validator(), text), [""; 0]);
}

#[test]
fn mistakes_are_refused_as_the_parser_refuses_them() {
    let validator = validator();
    let head = "[environment]\nname = \"x\"\n";
    let wrong = [
        "",
        "[environment]\n",
        "[environment]\nname = \"a b\"\n",
        &format!("{head}nane = \"y\"\n"),
        &format!("{head}[services.web]\nport = 1\n"),
        &format!("{head}[services.web]\ncommand = \"x\"\nport = \"high\"\n"),
        &format!("{head}[services.web]\ncommand = \"x\"\nport = 0\n"),
        &format!("{head}[services.web]\ncommand = []\n"),
        &format!("{head}[services.Web]\ncommand = \"x\"\n"),
        &format!("{head}[services.web]\ncommand = \"x\"\nrestart_policy = \"sometimes\"\n"),
        &format!("{head}[services.web]\ncommand = \"x\"\nstop_grace = 5\n"),
        &format!("{head}[services.web]\ncommand = \"x\"\nstop_grace = \"5\"\n"),
        &format!("{head}[services.web]\ncommand = \"x\"\nhealthcheck = {{ interval = \"1s\" }}\n"),
        &format!("{head}[services.web]\ncommand = \"x\"\nwatch = \"*.py\"\n"),
        &format!("{head}[services.web]\ncommand = \"x\"\nwatch = [{{ files = \"a\" }}]\n"),
        &format!("{head}[build]\nsteps = [\"a\"]\n[[build.step]]\nname = \"a\"\nrun = \"a\"\n"),
        &format!("{head}[dependencies]\nruby = \"3\"\n"),
        &format!("{head}[options]\njobs = 0\n"),
    ];
    for text in wrong {
        assert!(hd_config::parse(text, "hd.toml").is_err(), "{text}");
        assert!(!errors(&validator, text).is_empty(), "{text}");
    }
}
