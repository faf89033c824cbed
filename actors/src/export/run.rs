//! What a container made of an exported image does by default: a service of `hd.toml` in an image's words.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hd_config::{Command, Healthcheck, Kind, Probe, Project, Service};
use hd_oci::RunConfig;

use super::Wish;
use crate::base::Base;
use crate::messages::BatchError;
use crate::model::declared::Declared;

/// Gives the defaults, and what an image cannot say.
pub(super) fn config(
    declared: &Declared,
    base: &Base,
    wish: &Wish,
) -> Result<(RunConfig, Vec<String>), BatchError> {
    let project = &declared.project;
    let service = chosen(project, wish)?;
    let workdir = base.workdir(project.workdir.as_deref());
    let mut run = RunConfig {
        env: environment(declared, service, wish),
        workdir: workdir.clone(),
        user: project.user.clone(),
        labels: wish.labels.clone(),
        ..RunConfig::default()
    };
    let mut notes = left_out(project, service);
    notes.extend(of_files(service, wish));
    if let Some(service) = service {
        if let Some(dir) = &service.working_dir {
            run.workdir = Path::new(&workdir).join(dir).to_string_lossy().into_owned();
        }
        run.command = Some(service.command.argv());
        run.user = service.user.clone().or(run.user);
        run.exposed = service
            .port
            .iter()
            .map(|port| format!("{port}/tcp"))
            .collect();
        // Where hd.toml says nothing, what the base says stays.
        let own = !service.open.stop_signal;
        run.stop_signal = own.then(|| format!("SIG{}", service.stop_signal));
        if let Some(check) = &service.healthcheck {
            run.healthcheck = health(check);
            if run.healthcheck.is_none() {
                notes.push(format!(
                    "{}: a healthcheck that reads the log",
                    service.name
                ));
            }
        }
    }
    Ok((run, notes))
}

/// The service named, else the first that is meant to go on and starts by itself; of those that run in what is
/// exported.
fn chosen<'p>(project: &'p Project, wish: &Wish) -> Result<Option<&'p Service>, BatchError> {
    let mut here = project.services.iter().filter(|one| one.base.is_none());
    let Some(name) = &wish.service else {
        return Ok(here.find(|one| one.kind == Kind::Service && one.profiles.is_empty()));
    };
    let found = project.named(name).next();
    let names: Vec<&str> = here.map(|one| one.name.as_str()).collect();
    let (message, hint) = match found.map(|service| (service, &service.base)) {
        Some((service, None)) => return Ok(Some(service)),
        Some((_, Some(base))) => (
            format!("the service `{name}` does not run in what is exported"),
            format!(
                "it runs {base} as it is; export as one of: {}",
                names.join(", ")
            ),
        ),
        None => (
            format!("there is no service `{name}`"),
            format!("there are {}", names.join(", ")),
        ),
    };
    Err(BatchError::new("config", message).hint(hint))
}

/// What `hd.toml` sets. What only an `env_file` sets, or is made of that, is left out: such files hold secrets.
fn environment(
    declared: &Declared,
    service: Option<&Service>,
    wish: &Wish,
) -> BTreeMap<String, String> {
    let named = |whose: &str, name: &String| {
        wish.own_env
            .get(whose)
            .is_some_and(|names| names.contains(name))
    };
    let set = declared.env.iter().filter(|(name, _)| named("", name));
    let mut env: BTreeMap<String, String> = set
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let Some(service) = service else {
        return env;
    };
    // The ports of other services are those of this machine.
    let own = BTreeSet::from([service.port_variable(), "PORT".to_owned()]);
    let wanted = |name: &String| named(&service.name, name) || own.contains(name);
    let of_service = service.env.iter().filter(|(name, _)| wanted(name));
    env.extend(of_service.map(|(name, value)| (name.clone(), value.clone())));
    env
}

/// Says which variables are left out although `hd.toml` sets them.
fn of_files(service: Option<&Service>, wish: &Wish) -> Vec<String> {
    let whose = ["", service.map_or("", |one| one.name.as_str())];
    let names = whose
        .iter()
        .filter_map(|whose| wish.env_of_files.get(*whose));
    let names: BTreeSet<&String> = names.flatten().collect();
    let note = |name| {
        format!(
            "{name}, whose value an env_file has a part in: `docker run --env {name}=VALUE` gives it"
        )
    };
    names.into_iter().map(note).collect()
}

fn left_out(project: &Project, service: Option<&Service>) -> Vec<String> {
    let mut notes = Vec::new();
    let files = service
        .map(|one| one.env_file.as_slice())
        .unwrap_or_default();
    for file in project.env_file.iter().chain(files) {
        notes.push(format!(
            "{file}, which may hold secrets: `docker run --env-file {file}` gives it"
        ));
    }
    let Some(service) = service else {
        return notes;
    };
    let name = &service.name;
    let hooks = [
        ("pre_start", &service.pre_start),
        ("post_start", &service.post_start),
        ("pre_stop", &service.pre_stop),
    ];
    let set = hooks.iter().filter(|(_, commands)| !commands.is_empty());
    notes.extend(set.map(|(hook, _)| format!("{name}: {hook}")));
    if service.socket.is_some() {
        notes.push(format!("{name}: the socket that hd hands over"));
    }
    for other in &service.depends_on {
        notes.push(format!(
            "{name}: depends_on {}, an image of its own by --service",
            other.service
        ));
    }
    notes
}

/// A probe in Docker's words; none for one that reads the log or waits to be told.
fn health(check: &Healthcheck) -> Option<hd_oci::Healthcheck> {
    let shell = |line: String| vec!["CMD-SHELL".to_owned(), line];
    let test = match &check.test {
        Probe::Exec(Command::Shell(line)) => shell(line.clone()),
        Probe::Exec(Command::Exec(words)) => {
            let program = std::iter::once("CMD".to_owned());
            program.chain(words.iter().cloned()).collect()
        }
        Probe::Http { host, port, path } => shell(http(&format!("http://{host}:{port}{path}"))),
        Probe::Tcp { host, port } => shell(tcp(host, *port)),
        Probe::Https { host, port, path } => {
            let is_near = host == "localhost" || host == "::1" || host.starts_with("127.");
            shell(https(&format!("https://{host}:{port}{path}"), is_near))
        }
        Probe::Log(_) | Probe::Notify => return None,
    };
    Some(hd_oci::Healthcheck {
        test,
        interval: check.interval,
        timeout: check.timeout,
        start_period: check.start_period,
        retries: check.retries,
    })
}

/// Asks with what the image has: not every image has curl.
fn http(url: &str) -> String {
    let url = quoted(url);
    format!(
        "curl -fsS -o /dev/null {url} || wget -q -O /dev/null {url} || \
         python3 -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1])' {url} || \
         node -e 'fetch(process.argv[1]).then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))' {url}"
    )
}

/// The same over TLS; on this machine any certificate will do.
fn https(url: &str, is_near: bool) -> String {
    if !is_near {
        return http(url);
    }
    let url = quoted(url);
    format!(
        "curl -kfsS -o /dev/null {url} || wget -q --no-check-certificate -O /dev/null {url} || \
         python3 -c 'import sys, ssl, urllib.request as r; r.urlopen(sys.argv[1], context=ssl._create_unverified_context())' {url} || \
         NODE_TLS_REJECT_UNAUTHORIZED=0 node -e 'fetch(process.argv[1]).then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))' {url}"
    )
}

fn tcp(host: &str, port: u16) -> String {
    let host = quoted(host);
    format!(
        "nc -z {host} {port} || \
         python3 -c 'import sys, socket as s; s.create_connection((sys.argv[1], int(sys.argv[2])))' {host} {port} || \
         bash -c 'exec 3<>/dev/tcp/$0/$1' {host} {port}"
    )
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn check(test: Probe) -> Option<Vec<String>> {
        let (interval, timeout) = (Duration::from_secs(5), Duration::from_secs(1));
        let check = Healthcheck {
            test,
            interval,
            timeout,
            retries: 3,
            start_period: Duration::ZERO,
        };
        health(&check).map(|check| check.test)
    }

    #[test]
    fn every_probe_has_words_but_the_one_that_reads_the_log() {
        let line = Probe::Exec(Command::Shell("./ok".to_owned()));
        assert_eq!(check(line).unwrap(), ["CMD-SHELL", "./ok"]);
        let list = Probe::Exec(Command::Exec(vec!["ok".to_owned(), "now".to_owned()]));
        assert_eq!(check(list).unwrap(), ["CMD", "ok", "now"]);
        let host = "127.0.0.1".to_owned();
        let http = Probe::Http {
            host: host.clone(),
            port: 80,
            path: "/it's".to_owned(),
        };
        assert!(check(http).unwrap()[1].contains(r"'http://127.0.0.1:80/it'\''s'"));
        assert!(check(Probe::Tcp { host, port: 5 }).unwrap()[1].starts_with("nc -z '127.0.0.1' 5"));
        assert_eq!(check(Probe::Log("ready".to_owned())), None);
    }

    #[test]
    fn the_first_service_that_goes_on_is_the_image() {
        let text = "[environment]\nname = \"x\"\n\
            [services.migrate]\ncommand = \"m\"\nkind = \"oneshot\"\n\
            [services.debug]\ncommand = \"d\"\nprofiles = [\"dev\"]\n\
            [services.web]\ncommand = [\"web\", \"-p\"]\n";
        let project = hd_config::parse(text, "hd.toml").unwrap();
        let mut wish = Wish {
            target: "oci:x".parse().unwrap(),
            service: None,
            own_env: BTreeMap::new(),
            env_of_files: BTreeMap::new(),
            labels: BTreeMap::new(),
            epoch: None,
            compression: hd_oci::Compression::Gzip,
        };
        let name = |wish: &Wish| chosen(&project, wish).map(|one| one.map(|one| one.name.clone()));
        assert_eq!(name(&wish).unwrap().as_deref(), Some("web"));
        wish.service = Some("migrate".to_owned());
        assert_eq!(name(&wish).unwrap().as_deref(), Some("migrate"));
        wish.service = Some("no".to_owned());
        assert!(name(&wish).unwrap_err().hint.contains("web"));
    }
}
