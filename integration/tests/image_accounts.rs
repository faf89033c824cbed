//! Who the commands of an image are, and whose its directories: as under other engines.

use hd_integration::{Env, files, images, needs, skip_unless};
use serde_json::{Value, json};

/// `busybox` with what a script run by root makes of it, and another configuration; answers its reference.
fn image(env: &Env, script: &str, change: impl FnOnce(&mut Value)) -> String {
    let registry = needs::registry().expect("checked by skip_unless");
    let toml = format!(
        "[environment]\nname = \"maker\"\nbase = \"{registry}/busybox:1\"\nworkdir = \"/elsewhere\"\n\
         [build]\nsteps = ['''{script}''']\n"
    );
    let place = env.mark().display();
    let made = format!("oci:{place}/made:v1");
    let maker = Env::project(&[("hd.toml", toml.as_str())]);
    maker.hd(["export", &made]).finish().ok();
    let dir = env.mark().join("changed");
    images::copy(&[], &made, &format!("dir:{}", dir.display()));
    images::change(&dir, |config, _| change(&mut config["config"]));
    let image = format!("oci:{place}/image:v1");
    images::copy(&[], &format!("dir:{}", dir.display()), &image);
    image
}

/// Says what a project is: on this base, with more lines, with these steps.
fn declare(env: &Env, base: &str, more: &str, steps: &[&str]) {
    let mut toml = format!("[environment]\nname = \"x\"\nbase = \"{base}\"\n{more}\n");
    for (number, step) in steps.iter().enumerate() {
        toml += &format!("[[build.step]]\nname = \"own-{number}\"\nrun = '''{step}'''\n");
    }
    files::write(&env.path("hd.toml"), &toml);
}

/// What a script finds as root in the image that an environment is exported as, away from the project's directory.
fn said_in_export(env: &Env, script: &str) -> String {
    let exported = format!("oci:{}/exported:v1", env.mark().display());
    env.hd(["export", &exported]).finish().ok();
    let reader = Env::project(&[]);
    let more = "workdir = \"/elsewhere\"\nuser = \"root\"";
    declare(&reader, &exported, more, &[]);
    said(&reader, script)
}

fn said(env: &Env, script: &str) -> String {
    let run = ["run", "--", "sh", "-c", script];
    env.hd(run).finish().ok().stdout.trim().to_owned()
}

/// Adds a user `app` with a home of its own.
const APP: &str = "echo app:x:1001:1001::/home/app:/bin/sh >> /etc/passwd && mkdir -p /home/app \
                   && chown 1001:1001 /home/app";

#[test]
fn what_an_image_says_of_home_and_user_beats_its_accounts() {
    skip_unless!(
        needs::fuse(),
        needs::root(),
        needs::registry(),
        needs::program("skopeo")
    );
    let env = Env::project(&[]);
    let script = format!("{APP} && mkdir /data && chown 1001:1001 /data");
    let base = image(&env, &script, |config| {
        config["User"] = "app".into();
        let own = [json!("HOME=/data"), json!("USER=somebody")];
        config["Env"].as_array_mut().expect("a list").extend(own);
    });
    let step = "mkdir out && echo $HOME $USER $LOGNAME > out/said && touch ~/made \
                && cut -d' ' -f2 /proc/mounts > out/mounts";
    declare(&env, &base, "", &[step]);
    env.once();
    let seen = said(&env, "cat out/said; ls /data; echo $HOME $USER");
    assert_eq!(seen, "/data somebody app\nmade\n/data somebody");
    // Downloads are kept where programs look for them.
    let mounts = said(&env, "cat out/mounts");
    assert!(mounts.lines().any(|at| at == "/data/.cache"), "{mounts}");
}

/// The image says nothing of whom hd chose itself, since the project is theirs.
#[test]
fn whom_hd_chose_for_a_service_does_not_get_the_home_of_the_image() {
    skip_unless!(
        needs::fuse(),
        needs::root(),
        needs::registry(),
        needs::program("skopeo")
    );
    let env = Env::project(&[]);
    let base = image(&env, "true", |config| {
        let own = [json!("HOME=/root"), json!("USER=root")];
        config["Env"].as_array_mut().expect("a list").extend(own);
    });
    let service = "[services.web]\ncommand = \"exec sleep 1000\"";
    declare(&env, &base, service, &[]);
    std::os::unix::fs::chown(env.path(""), Some(4242), Some(4242)).expect("chown");
    let mut up = env.up();
    up.wait_line(0, &["web", "ready"]);
    let look = "id -u; echo $HOME $USER; touch $HOME/mine && echo written";
    let seen = env.hd(["exec", "sh", "-c", look]).finish().ok().stdout;
    assert_eq!(seen, "4242\n/tmp 4242\nwritten\n");
    up.interrupt();
}

#[test]
fn directories_above_the_project_stay_whose_they_are() {
    skip_unless!(
        needs::fuse(),
        needs::root(),
        needs::registry(),
        needs::program("skopeo")
    );
    let env = Env::project(&[("file", "x")]);
    let script = format!(
        "{APP} && mkdir -p /opt/app/src && chown 1001:0 /opt/app && chmod 775 /opt/app \
         && chown 33:33 /opt/app/src && chmod 2777 /opt/app/src"
    );
    let base = image(&env, &script, |config| {
        config["User"] = "app".into();
        config["WorkingDir"] = "/opt/app/src".into();
    });
    let look = "stat -c \"%u:%g %a\" /opt/app /opt/app/src";
    let seen = format!("{look} > /opt/app/seen");
    let steps = [
        seen.as_str(),
        "mkdir -p kept && touch kept/x",
        "touch /opt/app/made",
    ];
    // What is kept is put into what a step leaves; it is no other's directory for that.
    declare(&env, &base, "[build]\ncache = [\"kept\"]", &steps);
    env.once();
    let wanted = "1001:0 775\n33:33 2777";
    assert_eq!(
        said(&env, "cat /opt/app/seen; ls /opt/app/made"),
        format!("{wanted}\n/opt/app/made")
    );
    assert_eq!(said_in_export(&env, look), wanted);
}

#[test]
fn links_on_the_way_to_home_and_project_stay_links() {
    skip_unless!(
        needs::fuse(),
        needs::root(),
        needs::registry(),
        needs::program("skopeo")
    );
    let env = Env::project(&[("file", "new\n")]);
    let script = "echo app:x:1001:1001::/home/app:/bin/sh >> /etc/passwd && mkdir -p /home /var/homes/app /data/app \
                  && echo rc > /var/homes/app/.rc && echo old > /data/app/old && chown 1001:1001 /var/homes/app \
                  && ln -s ../var/homes/app /home/app && ln -s data/app /app";
    let base = image(&env, script, |config| {
        config["User"] = "app".into();
        config["WorkingDir"] = "/app".into();
    });
    let links = "readlink /home/app; readlink /app";
    let step =
        format!("mkdir out && (pwd; cat ~/.rc old file; {links}; ls -d ~/.cache) > out/seen");
    let service = "[services.web]\ncommand = \"exec sleep 1000\"";
    declare(&env, &base, service, &[&step, "touch ~/made"]);
    env.once();
    let seen = "/data/app\nrc\nold\nnew\n../var/homes/app\ndata/app\n/home/app/.cache";
    let there = "cat /data/app/out/seen; ls /var/homes/app";
    assert_eq!(said(&env, there), format!("{seen}\nmade"));
    env.hd(["up", "-d", "--wait"]).finish().ok();
    let look = format!("cat /data/app/file; {links}");
    let inside = env.hd(["exec", "sh", "-c", &look]).finish().ok();
    assert_eq!(inside.stdout, "new\n../var/homes/app\ndata/app\n");
    env.hd(["down"]).finish().ok();
    let found = said_in_export(&env, &format!("{there}; {links}"));
    assert_eq!(found, format!("{seen}\nmade\n../var/homes/app\ndata/app"));
}

#[test]
fn what_is_of_who_runs_steps_is_of_that_user_in_an_exported_image() {
    skip_unless!(
        needs::fuse(),
        needs::root(),
        needs::registry(),
        needs::program("skopeo")
    );
    let env = Env::project(&[("file", "x")]);
    let script = format!("{APP} && mkdir /home/app/.kept && touch /home/app/.kept/of-root");
    let base = image(&env, &script, |config| {
        config["User"] = "app".into();
        config["WorkingDir"] = "/home/app/src".into();
    });
    let of_root = "[[build.step]]\nname = \"root\"\nrun = \"touch /usr/of-root\"\nuser = \"root\"";
    let own = "mkdir out && touch out/x ~/made ~/.kept/more";
    declare(&env, &base, of_root, &[own]);
    env.once();
    let places = [
        "",
        "/src",
        "/src/file",
        "/src/out",
        "/src/out/x",
        "/made",
        "/.npm",
        "/.kept/more",
    ];
    let look: Vec<String> = places
        .iter()
        .map(|at| format!("stat -c %u:%g /home/app{at}"))
        .collect();
    let found = said_in_export(&env, &look.join(" && "));
    assert_eq!(found, ["1001:1001"; 8].join("\n"));
    // What is root's elsewhere, and what the image itself has of root, stays so.
    let others = "stat -c %u:%g /usr/of-root /usr /home/app/.kept/of-root";
    assert_eq!(said_in_export(&env, others), "0:0\n0:0\n0:0");
}

#[test]
fn a_project_is_exported_as_that_of_a_user_whom_a_step_made() {
    skip_unless!(needs::fuse(), needs::root(), needs::registry());
    let env = Env::project(&[("file", "x")]);
    let base = format!(
        "{}/busybox:1",
        needs::registry().expect("checked by skip_unless")
    );
    let more = format!(
        "user = \"app\"\n[[build.step]]\nname = \"add\"\nrun = '''{APP}'''\nuser = \"root\""
    );
    declare(&env, &base, &more, &["mkdir out && touch out/x"]);
    let look = "stat -c %u:%g /workspace /workspace/file /workspace/out/x /etc/passwd";
    let found = said_in_export(&env, look);
    assert_eq!(found, "1001:1001\n1001:1001\n1001:1001\n0:0");
}

#[test]
fn a_user_is_in_the_groups_that_list_it() {
    skip_unless!(
        needs::fuse(),
        needs::root(),
        needs::registry(),
        needs::program("skopeo")
    );
    let env = Env::project(&[]);
    let script = format!(
        "{APP} && echo shared:x:77:other,app >> /etc/group && mkdir /shared && chown 0:77 /shared && chmod 770 /shared"
    );
    let base = image(&env, &script, |config| config["User"] = "app".into());
    let service = "[services.web]\ncommand = \"exec sleep 1000\"\nuser = \"app\"";
    declare(
        &env,
        &base,
        service,
        &["touch /shared/made && mkdir out && id -G > out/groups"],
    );
    env.once();
    assert_eq!(
        said(&env, "cat out/groups; ls /shared; id -G"),
        "1001 77\nmade\n1001 77"
    );
    env.hd(["up", "-d", "--wait"]).finish().ok();
    let inside = env.hd(["exec", "id", "-G"]).finish().ok();
    assert_eq!(inside.stdout, "1001 77\n");
    env.hd(["down"]).finish().ok();
    // Who names a group has that one.
    let named = format!("user = \"app:1001\"\n{service}");
    declare(&env, &base, &named, &["mkdir out && id -G > out/groups"]);
    env.once();
    assert_eq!(said(&env, "cat out/groups"), "1001");
}
