//! Named volumes, binds and memory: who has them, what is in them, and how long they last.

use std::os::unix::fs::{MetadataExt, symlink};

use hd_integration::{Env, SHORT, Up, files, leftovers, needs, skip_unless};

const HEAD: &str = "[environment]\nname = \"v\"\n[volumes]\ndata = {}\nsite = {}\n";

/// A service that is ready once its script is done.
fn service(name: &str, script: &str, volumes: &str) -> String {
    format!(
        "\n[services.{name}]\ncommand = [\"sh\", \"-c\", \"\"\"{script}; echo done; exec sleep 1000\"\"\"]\n\
         healthcheck = {{ log = \"done\" }}\nvolumes = {volumes}\n"
    )
}

fn env(services: &[String], more: &[(&str, &str)]) -> Env {
    let toml = format!("{HEAD}{}", services.concat());
    let mut all = vec![("hd.toml", toml.as_str())];
    all.extend(more);
    Env::project(&all)
}

fn ready(env: &Env, args: &[&str], services: &[&str]) -> Up {
    let mut up = env.up_with(args);
    for service in services {
        up.wait_line(0, &[service, "ready"]);
    }
    up
}

fn inside(env: &Env, service: &str, script: &str) -> String {
    let run = env.hd(["exec", "-s", service, "sh", "-c", script]).finish();
    run.ok().stdout
}

#[test]
fn data_lasts_over_restarts_and_down_is_shared_and_goes_when_asked() {
    skip_unless!(needs::fuse());
    let volumes = "[\"data:/var/lib/db\"]";
    let db = service("db", "echo run >> /var/lib/db/runs", volumes);
    let reader = service("reader", "true", "[\"data:/data:ro\", \"tmpfs:/scratch\"]");
    let env = env(&[db, reader], &[]);
    let mut up = ready(&env, &[], &["db", "reader"]);
    assert_eq!(inside(&env, "reader", "cat /data/runs"), "run\n");
    let refused = env
        .hd(["exec", "-s", "reader", "touch", "/data/x"])
        .finish();
    assert!(refused.stderr.contains("Read-only"), "{}", refused.said());

    inside(&env, "reader", "echo x > /scratch/x");
    let from = up.so_far();
    env.hd(["restart", "db", "reader"]).finish().ok();
    up.wait_line(from, &["reader", "ready"]);
    up.until("db ran twice", || {
        (inside(&env, "reader", "cat /data/runs") == "run\nrun\n").then_some(())
    });
    assert_eq!(inside(&env, "reader", "ls /scratch"), "", "memory is empty");
    let shown = env.status().service("reader")["volumes"].clone();
    assert_eq!(
        shown,
        serde_json::json!(["data:/data:ro", "tmpfs:/scratch"])
    );

    let running = env.hd(["volume", "rm", "data"]).finish().expect_code(2);
    assert!(running.stderr.contains("hd runs this project"));
    env.hd(["down"]).finish().ok();
    let listed = env.hd(["volume", "ls", "--json"]).finish().ok().json();
    let data = listed["volumes"][0].clone();
    assert_eq!(
        (&data["name"], &data["services"]),
        (&"data".into(), &serde_json::json!(["db", "reader"]))
    );
    let place = std::path::PathBuf::from(data["path"].as_str().unwrap());
    let owner = std::fs::metadata(env.path("")).unwrap().uid();
    assert_eq!(std::fs::metadata(&place).unwrap().uid(), owner);

    let mut killed = ready(&env, &[], &["db", "reader"]);
    assert_eq!(inside(&env, "db", "wc -l < /var/lib/db/runs"), "3\n");
    killed.kill();
    leftovers::expect_none(env.mark(), SHORT);
    let done = env.hd(["down", "-v"]).finish().ok();
    assert!(
        done.stderr.contains("removed the volume data"),
        "{}",
        done.said()
    );
    assert!(!place.exists());
    let _again = ready(&env, &[], &["db"]);
    assert_eq!(inside(&env, "db", "cat /var/lib/db/runs"), "run\n");
}

#[test]
fn an_empty_volume_begins_with_what_the_image_and_the_steps_made() {
    skip_unless!(needs::fuse(), needs::registry());
    let step = "[build]\nsteps = [\"mkdir -p /srv/site/sub && echo one > /srv/site/sub/page && \
                ln -s sub/page /srv/site/link && chown 33:33 /srv/site/sub\"]\n";
    let web = service("web", "true", "[\"site:/srv/site\", \"data:/etc/apt\"]");
    let env = env(&[step.to_owned(), web], &[]);
    let image = format!("{}/debian:12-slim", needs::registry().unwrap());
    let mut up = ready(&env, &["--base", &image], &["web"]);
    let look = "cat /srv/site/link; stat -c %u:%g /srv/site/sub; ls /etc/apt";
    let found = inside(&env, "web", look);
    assert!(found.starts_with("one\n33:33\n"), "{found}");
    assert!(found.contains("sources.list.d"), "{found}");

    // Another image, another output: what is in the volume stays.
    inside(
        &env,
        "web",
        "echo two > /srv/site/sub/page; rm /srv/site/link",
    );
    let from = up.so_far();
    files::replace(&env.path("hd.toml"), "echo one", "echo three");
    up.wait_line(from, &["restart web", "answering again"]);
    let found = inside(&env, "web", "cat /srv/site/sub/page; ls /srv/site");
    assert_eq!(found, "two\nsub\n");
}

#[test]
fn parts_of_the_project_and_of_the_host_are_bound_and_a_link_leads_nowhere() {
    skip_unless!(needs::fuse());
    let host = tempfile::tempdir().unwrap();
    files::write(&host.path().join("file"), "of the host\n");
    let volumes = format!(
        "[\"./conf:/opt-conf:ro\", \"./conf/a.txt:/settings/own.txt\", \"{}:/workspace/made/host\"]",
        host.path().display()
    );
    let web = service("web", "true", &volumes);
    let env = env(
        &[web],
        &[("conf/a.txt", "of the project\n"), ("secret", "")],
    );
    let mut up = ready(&env, &[], &["web"]);
    let all = "cat /opt-conf/a.txt /settings/own.txt made/host/file";
    let found = inside(&env, "web", all);
    assert_eq!(found, "of the project\nof the project\nof the host\n");
    // A bind is live in both directions, as far as it may be written.
    inside(&env, "web", "echo edited > /settings/own.txt");
    assert_eq!(files::read(&env.path("conf/a.txt")), "edited\n");

    // What is behind a link out of the project is not shown at the next start.
    std::fs::remove_dir_all(env.path("conf")).unwrap();
    std::fs::create_dir(env.path("conf")).unwrap();
    symlink("/etc/hostname", env.path("conf/a.txt")).unwrap();
    let from = up.so_far();
    env.hd(["restart", "web"]).finish().ok();
    let line = up.wait_line(from, &["web", "backoff"]);
    assert!(line.contains("a.txt"), "{line}");

    up.interrupt();
    leftovers::expect_none(env.mark(), SHORT);
    assert!(!env.path("made").exists(), "hd made it, hd removes it");
    assert!(host.path().join("file").exists());
}

#[test]
fn a_source_that_is_missing_is_named_with_its_place() {
    let env = env(&[service("web", "true", "[\"./conf:/x\"]")], &[]);
    let done = env.hd(["up", "--once"]).finish().expect_code(2);
    assert!(
        done.stderr.contains("there is no ./conf to mount")
            && done.stderr.contains("hd.toml:10:12"),
        "{}",
        done.said()
    );
}

#[test]
fn an_edit_of_the_volumes_restarts_those_that_have_them() {
    skip_unless!(needs::fuse());
    let other = service("other", "true", "[]");
    let env = env(&[other, service("web", "true", "[\"data:/a\"]")], &[]);
    let mut up = ready(&env, &[], &["other", "web"]);
    let pid = env.status().service("other")["pid"].clone();
    inside(&env, "web", "echo kept > /a/file");
    let from = up.so_far();
    files::replace(&env.path("hd.toml"), "data:/a", "data:/b");
    up.wait_line(from, &["restart web", "answering again"]);
    assert_eq!(
        inside(&env, "web", "cat /b/file; ls -d /a 2>&1 || true")
            .lines()
            .next(),
        Some("kept")
    );
    assert_eq!(env.status().service("other")["pid"], pid);

    // One that asks for what is not there changes nothing.
    let from = up.so_far();
    files::replace(&env.path("hd.toml"), "data:/b", "dta:/b");
    up.wait_line(from, &["there is no volume `dta`"]);
    assert_eq!(inside(&env, "web", "cat /b/file"), "kept\n");
}

#[test]
fn what_is_old_or_gone_goes_but_its_volumes() {
    skip_unless!(needs::fuse());
    let env = env(&[service("web", "true", "[\"data:/a\"]")], &[]);
    for instance in [&[][..], &["-p", "beside"]] {
        ready(&env, instance, &["web"]).interrupt();
    }
    let volumes = |env: &Env| {
        let all = std::fs::read_dir(env.home().join("instances")).unwrap();
        let dirs = all.map(|one| one.unwrap().path().join("volumes/data"));
        dirs.filter(|path| path.exists()).count()
    };
    env.hd(["prune", "--older-than", "0s"]).finish();
    assert_eq!(volumes(&env), 2);
    let place = env.mark().join("moved");
    std::fs::rename(env.path(""), &place).unwrap();
    let pruned = env.hd(["prune"]).dir(&place).finish().ok();
    assert_eq!(volumes(&env), 2, "it may be moved, or not mounted");
    assert!(
        pruned.stderr.contains("it has volumes"),
        "{}",
        pruned.said()
    );
    // The hint of that line, which means all instances of the directory.
    let gone = env.path("");
    let gone = gone
        .to_str()
        .expect("a name in UTF-8")
        .trim_end_matches('/');
    let asked = ["prune", "--project", gone];
    env.hd(asked).dir(&place).finish().ok();
    assert_eq!(volumes(&env), 0);
    std::fs::rename(&place, env.path("")).unwrap();
}
