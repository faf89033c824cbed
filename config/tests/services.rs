//! Keys of services that say how they are held, ended and started again; and profiles.

use std::time::Duration;

use hd_config::{Command, Probe, Project, Signal, WatchAction, parse, parse_with};

const TOML: &str = r#"
[environment]
name = "shop"

[services.web]
command = "serve"
port = "auto"
socket = "0.0.0.0"
working_dir = "./front//end"
user = "nobody"
env_file = ["a.env", "b.env"]
stop_signal = "SIGQUIT"
stop_grace = "30s"
restart = { max = "unlimited", min_delay = "1s", max_delay = "1m", factor = 3, reset_after = "5m" }
pre_start = ["make migrate", ["sh", "-c", "true"]]
post_start = "warm up"
pre_stop = "drain"
watch = ["src", { files = ["*.css", "*.svg"], action = "none" }, { files = "src/x", exec = "make x" }]
healthcheck = { http = "/healthz" }

[services.mail]
command = "mail"
profiles = ["debug", "full"]
healthcheck = { log = "listening on \\d+" }

[profiles.debug.environment]
env = { LEVEL = "debug" }
[profiles.debug.services.web]
command = "serve --debug"
port = 9000
[profiles.ci.services.web]
prot = 1
"#;

fn with(profiles: &[&str]) -> Project {
    let profiles: Vec<String> = profiles.iter().map(|name| (*name).to_owned()).collect();
    parse_with(TOML, "hd.toml", &profiles).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_key_of_the_life_of_a_service_is_read() {
    let project = with(&[]);
    let web = project.service("web").unwrap();
    assert_eq!((web.port, web.auto_port), (None, true));
    assert_eq!(web.socket.unwrap().to_string(), "0.0.0.0");
    assert_eq!(web.working_dir.as_deref(), Some("front/end"));
    assert_eq!(web.user.as_deref(), Some("nobody"));
    assert_eq!(web.env_file, ["a.env", "b.env"]);
    assert_eq!(web.stop_signal, Signal::QUIT);
    assert_eq!(web.stop_grace, Some(Duration::from_secs(30)));
    assert_eq!(web.backoff.max, None);
    let delays = [1, 2, 9].map(|ends| web.backoff.delay(ends).as_secs());
    assert_eq!(delays, [1, 3, 60]);
    assert_eq!(web.pre_start.len(), 2);
    assert_eq!(web.pre_start[0], Command::Shell("make migrate".to_owned()));
    assert_eq!((web.post_start.len(), web.pre_stop.len()), (1, 1));
    assert_eq!(web.watch.action(b"src/a.css"), None);
    let made = WatchAction::Exec(Command::Shell("make x".to_owned()));
    assert_eq!(web.watch.action(b"src/x"), Some(&made));
    assert_eq!(web.watch.action(b"src/y"), Some(&WatchAction::Restart));
    let mail = project.service("mail").unwrap();
    let probe = mail.healthcheck.as_ref().map(|check| &check.test);
    assert_eq!(probe, Some(&Probe::Log("listening on \\d+".to_owned())));
}

#[test]
fn profiles_choose_services_and_lay_tables_over_the_file() {
    let plain = with(&[]);
    assert_eq!(plain.profiles, ["ci", "debug", "full"]);
    let mail = plain.service("mail").unwrap();
    assert!(!mail.is_enabled(&[]) && !mail.is_enabled(&["ci".to_owned()]));
    assert!(mail.is_enabled(&["full".to_owned()]));
    assert!(plain.env.is_empty());

    let debug = with(&["debug"]);
    let web = debug.service("web").unwrap();
    assert_eq!(web.command, Command::Shell("serve --debug".to_owned()));
    assert_eq!((web.port, web.auto_port), (Some(9000), false));
    assert_eq!(web.user.as_deref(), Some("nobody"), "the rest is kept");
    assert_eq!(debug.env["LEVEL"], "debug");
    assert_eq!(debug.place("services.web.port").unwrap().line, 30);
}

#[test]
fn what_an_active_profile_says_is_checked_where_it_stands() {
    let error = parse_with(TOML, "hd.toml", &["ci".to_owned()]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "hd.toml:32:1: unknown key `prot` in [services.web]"
    );
    assert!(parse(TOML, "hd.toml").is_ok());
}

#[test]
fn two_services_at_one_port_are_refused_unless_they_never_meet() {
    let service = |name: &str, keys: &str| format!("[services.{name}]\ncommand = \"x\"\n{keys}\n");
    let both = |one: &str, other: &str| {
        let text = format!(
            "[environment]\nname = \"p\"\n{}{}[profiles.x]\n[profiles.y]\n",
            service("one", one),
            service("other", other)
        );
        parse(&text, "hd.toml")
            .map(|_| ())
            .map_err(|e| e.to_string())
    };
    let isolated = |ports: &str| format!("network = \"isolated\"\nports = [{ports}]");
    let cases = [
        ("port = 80".to_owned(), "port = 80".to_owned(), Some(80)),
        ("port = 80".to_owned(), isolated("\"80:81\""), Some(80)),
        ("port = 80".to_owned(), isolated("\"81:80\""), None),
        (isolated("\"81:80\""), isolated("\"82:80\""), Some(80)),
        (isolated("\"81:80\""), isolated("\"82:81\""), None),
        (isolated("\"81:80\""), isolated("\"81:82\""), Some(81)),
        (
            isolated("\"81:80\", \"82:80\""),
            isolated("\"83:83\""),
            None,
        ),
        (
            isolated("\"127.0.0.1:81:80\", \"[::]:81:80\""),
            String::new(),
            Some(81),
        ),
        (
            isolated("\"127.0.0.1:81:80\", \"[::1]:81:80\""),
            String::new(),
            None,
        ),
        (
            isolated("\"127.0.0.1:81:80\""),
            isolated("\"127.0.0.2:81:82\""),
            None,
        ),
        (
            isolated("\"127.0.0.1:81:80\""),
            isolated("\"0.0.0.0:81:82\""),
            Some(81),
        ),
        (isolated("\"81:80\", \"81:82\""), String::new(), Some(81)),
        (
            "port = 80\nprofiles = [\"x\"]".to_owned(),
            "port = 80\nprofiles = [\"y\"]".to_owned(),
            None,
        ),
        (
            "port = 80\nprofiles = [\"x\"]".to_owned(),
            "port = 80\nprofiles = [\"x\", \"y\"]".to_owned(),
            Some(80),
        ),
        (
            "port = 80\nprofiles = [\"x\"]".to_owned(),
            "port = 80".to_owned(),
            Some(80),
        ),
    ];
    for (one, other, expected) in cases {
        let found = both(&one, &other);
        match expected {
            None => assert_eq!(found, Ok(()), "{one} {other}"),
            Some(port) => {
                let why = found.unwrap_err();
                let wanted = format!("port {port} is taken by service `one`");
                assert!(why.contains(&wanted), "{one} {other}: {why}");
            }
        }
    }
}
