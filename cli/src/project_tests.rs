use hd_config::{Command, VolumeSource};

use super::*;

fn project(files: &[(&str, &str)]) -> (tempfile::TempDir, Located) {
    let place = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(place.path().join(name), text).unwrap();
    }
    let directory = place.path().canonicalize().unwrap();
    let paths = InstancePaths::new(Path::new("/h"), &directory);
    let config = directory.join(FILE);
    (
        place,
        Located {
            directory,
            config,
            profiles: Vec::new(),
            scale: BTreeMap::new(),
            paths,
        },
    )
}

const TOML: &str = r#"
[environment]
name = "x"
env_file = ["a.env"]
env = { GREETING = "${WHO:-nobody} ${FROM_FILE}" }

[services.web]
command = "true"
env = { PORT = "${PORT:-8000}" }
"#;

#[test]
fn variables_come_from_the_caller_and_the_env_file() {
    let (_place, located) = project(&[(FILE, TOML), ("a.env", "FROM_FILE=file\nWHO=shadowed\n")]);
    let host = BTreeMap::from([("WHO".to_owned(), "me".to_owned())]);
    let loaded = located.load_with(host, &BTreeMap::new()).unwrap();
    assert_eq!(loaded.declared_env["GREETING"], "me file");
    assert_eq!(loaded.declared_env["FROM_FILE"], "file");
    assert_eq!(loaded.project.services[0].env["PORT"], "8000");
}

#[test]
fn a_missing_env_file_is_shown_where_it_is_named() {
    let (_place, located) = project(&[(FILE, TOML)]);
    let error = located
        .load_with(BTreeMap::new(), &BTreeMap::new())
        .unwrap_err();
    assert_eq!(error.exit(), 2);
    assert!(
        error.report().place.ends_with("hd.toml:4:13"),
        "{:?}",
        error.report()
    );
    let text = error.text(false, 100);
    assert!(
        text.contains("env_file = [\"a.env\"]") && text.contains("a.env"),
        "{text}"
    );
}

#[test]
fn images_paths_and_ports_take_variables_of_the_caller() {
    let toml = "[environment]\nname = \"x\"\nbase = \"python:${TAG:-3.11}\"\n\
                [services.web]\ncommand = \"serve $PORT\"\nport = \"${WEB_PORT:-5000}\"\n\
                volumes = [{ source = \"${DATA}\", target = \"/data\" }]\n";
    let (_place, located) = project(&[(FILE, toml)]);
    let load = |names: &[(&str, &str)]| {
        let pairs = names.iter();
        let environment = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        located.load_with(environment.collect(), &BTreeMap::new())
    };
    let project = load(&[("DATA", "/"), ("TAG", "3.12")]).unwrap().project;
    let web = &project.services[0];
    assert_eq!(project.base.as_deref(), Some("python:3.12"));
    assert_eq!(web.port, Some(5000));
    assert_eq!(web.volumes[0].source, VolumeSource::Bind("/".to_owned()));
    assert_eq!(web.command, Command::Shell("serve $PORT".to_owned()));
    let error = load(&[]).unwrap_err();
    assert!(
        error.report().place.ends_with("hd.toml:7:23"),
        "{:?}",
        error.report()
    );
    let wanted = "`services.web.volumes[0].source`: variable `DATA` is not set";
    assert_eq!(error.report().message, wanted);
}

#[test]
fn a_required_variable_is_shown_where_it_is_used() {
    let toml = "[environment]\nname = \"x\"\nenv = { A = \"${NOPE:?say what}\" }\n";
    let (_place, located) = project(&[(FILE, toml)]);
    let error = located
        .load_with(BTreeMap::new(), &BTreeMap::new())
        .unwrap_err();
    assert_eq!(
        error.report().message,
        "variable `NOPE` is required: say what"
    );
    assert!(
        error.report().place.contains("hd.toml:3:"),
        "{:?}",
        error.report()
    );
}

#[test]
fn the_file_is_found_upward_or_named() {
    let (place, located) = project(&[(FILE, TOML), ("other.toml", TOML)]);
    let below = place.path().join("a/b");
    std::fs::create_dir_all(&below).unwrap();
    let from = |directory: &Path, file: Option<&str>| {
        let place = Place {
            directory: Some(directory.to_owned()),
            file: file.map(PathBuf::from),
            instance: None,
            profile: Vec::new(),
        };
        locate(&place, None)
    };
    assert_eq!(from(&below, None).unwrap().config, located.config);
    let other = from(place.path(), Some("other.toml")).unwrap();
    assert_eq!(other.config, located.directory.join("other.toml"));
    assert_eq!(from(place.path(), Some("none.toml")).unwrap_err().exit(), 2);
    assert_eq!(from(Path::new("/proc/self"), None).unwrap_err().exit(), 2);
}

#[test]
fn a_variable_that_becomes_nothing_is_told_once_with_its_place() {
    let toml = r#"
[environment]
name = "x"
env = { A = "${NOPE}", B = "${NOPE:-}${SET}" }

[services.web]
command = "true"
replicas = 2
env = { URL = "http://$HOST_NAME/" }
"#;
    let (_place, located) = project(&[(FILE, toml)]);
    let host = BTreeMap::from([("SET".to_owned(), "s".to_owned())]);
    let loaded = located.load_with(host, &BTreeMap::new()).unwrap();
    assert_eq!(loaded.declared_env["A"], "");
    let [first, second] = loaded.unset.as_slice() else {
        panic!("{:?}", loaded.unset);
    };
    assert!(first.contains("hd.toml:4:9: NOPE is not set"), "{first}");
    assert!(
        second.contains("hd.toml:9:9: HOST_NAME is not set"),
        "{second}"
    );
}
