//! Compose services on images of their own: databases and the like, beside what is built.

mod importing;

use hd_config::{Condition, compose, parse};
use importing::{Texts, composed, composed_among, options};

const SHOP: &str = "services:
  db:
    image: 'entered:1'
    command: [-c, 'max=${MAX:-5}']
    user: postgres
    working_dir: /srv
    environment: { PASSWORD: 'a$$b', NAME: '${NAME:-shop}' }
    ports: ['5432:5432']
    volumes: ['data:/var/lib/db', '/srv/cache', './conf:/etc/db:ro', '.:/srv/project']
    healthcheck: { test: [CMD, ready], interval: 2s }
  web:
    build: .
    command: serve
    working_dir: /srv
    volumes: ['.:/srv']
    depends_on: { db: { condition: service_healthy } }
  sender: { build: ./sender }
volumes: { data: {} }
";

#[test]
fn a_database_keeps_its_image_its_data_and_its_health() {
    let files = [("Dockerfile", "FROM base:1\n"), ("conf", "")];
    let imported = composed_among(SHOP, &files);
    let project = parse(&imported.toml, "hd.toml").unwrap();
    assert_eq!(project.base.as_deref(), Some("base:1"));
    let db = project.service("db").unwrap();
    assert_eq!(db.base.as_deref(), Some("entered:1"));
    // An ENTRYPOINT stays before a command.
    assert_eq!(db.command.to_string(), "enter -c max=5");
    assert_eq!(db.user.as_deref(), Some("postgres"));
    assert_eq!(db.working_dir.as_deref(), Some("/srv"));
    assert_eq!((db.port, db.env["PASSWORD"].as_str()), (Some(5432), "a$$b"));
    let volumes: Vec<String> = db.volumes.iter().map(ToString::to_string).collect();
    let expected = [
        "data:/var/lib/db",
        "db-srv-cache:/srv/cache",
        "./conf:/etc/db:ro",
        ".:/srv/project",
    ];
    assert_eq!(volumes, expected);
    assert!(db.healthcheck.is_some());
    let web = project.service("web").unwrap();
    assert_eq!(web.base, None);
    let waits = &web.depends_on[0];
    assert_eq!(
        (&*waits.service, waits.condition),
        ("db", Condition::Healthy)
    );
    // Another build is another environment.
    assert!(project.service("sender").is_none() && !imported.is_complete());
    let lost = imported.lines.iter().filter(|line| line.needed);
    let lost: Vec<&str> = lost.map(|line| &*line.text).collect();
    assert_eq!(lost, ["sender: { build: ./sender }"]);
}

#[test]
fn the_image_that_shows_the_project_is_the_environment() {
    let cases = [
        (
            "db: { image: db }, web: { image: run, volumes: ['.:/app'] }",
            ("run", Some("db"), None),
        ),
        (
            "db: { image: db }, web: { image: run }",
            ("db", None, Some("run")),
        ),
        ("db: { image: db }, web: { image: db }", ("db", None, None)),
    ];
    for (services, (base, db, web)) in cases {
        let imported = composed(&format!("services: {{ {services} }}\n")).unwrap();
        let project = parse(&imported.toml, "hd.toml").unwrap();
        let of = |name| project.service(name).unwrap().base.clone();
        let found = (project.base.as_deref(), of("db"), of("web"));
        let expected = (Some(base), db.map(str::to_owned), web.map(str::to_owned));
        assert_eq!(found, expected, "{services}");
        assert!(imported.is_complete(), "{services}");
    }
}

#[test]
fn what_another_build_makes_is_no_image_of_a_registry() {
    let text = "services: { web: { build: . }, sender: { build: ./sender, image: acme/sender }, \
                worker: { image: 'acme/sender:latest' }, db: { image: pg } }\n";
    let imported = composed(text).unwrap();
    let services = parse(&imported.toml, "hd.toml").unwrap().services;
    let names: Vec<&str> = services.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["web", "db"], "{}", imported.toml);
    let lost = imported.lines.iter().filter(|line| line.needed);
    assert_eq!(lost.count(), 2);
}

#[test]
fn databases_stand_beside_what_a_dockerfile_runs() {
    let text = "services: { db: { image: pg, ports: ['5433:5432'] }, app: { image: other } }\n";
    let dockerfile = "FROM base:1\nCMD [\"serve\"]\n";
    let (file, build) = ("compose.yaml", options());
    let options = compose::Options {
        file,
        build,
        ..compose::Options::default()
    };
    let around = Texts(&[]);
    let imported = compose::translate_beside(text, dockerfile, &options, &around).unwrap();
    let project = parse(&imported.toml, "hd.toml").unwrap();
    let (web, db) = (
        project.service("app").unwrap(),
        project.service("db").unwrap(),
    );
    assert_eq!(
        (web.base.as_deref(), db.base.as_deref()),
        (None, Some("pg"))
    );
    // The project is on the network of this machine, and finds it where it always did.
    assert_eq!(db.ports[0].to_string(), "127.0.0.1:5433:5432");
    let lost: Vec<&str> = imported
        .lines
        .iter()
        .filter(|line| line.needed)
        .map(|line| &*line.text)
        .collect();
    assert!(
        lost.len() == 1 && lost[0].starts_with("app:"),
        "a name that is taken: {lost:?}"
    );
}

#[test]
fn two_of_one_image_are_told_of_their_ports() {
    let imported =
        composed("services: { web: { build: . }, a: { image: pg }, b: { image: pg } }\n");
    let imported = imported.unwrap();
    let notes = imported.lines.iter().flat_map(|line| &line.notes);
    let told = notes.filter(|note| note.starts_with("`a` runs the same image"));
    assert_eq!((told.count(), imported.is_complete()), (1, true));
}
