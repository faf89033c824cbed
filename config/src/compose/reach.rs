//! What a Compose file touches beyond the project that it is started as.
//!
//! `docker compose -p NAME` gives containers, images, networks and volumes names of their own unless
//! the file names them itself: then two projects share them, and `down -v` of one removes what the
//! other keeps. Only keys that are known to stay within the project pass: what is not known here may
//! reach anything.

use super::yaml::{self, Data, Key, Node};
use crate::error::{ConfigError, Problem};
use crate::source::Source;

/// Keys of the file that make nothing, or what is looked at below.
const TOP: [&str; 7] = [
    "configs", "name", "networks", "secrets", "services", "version", "volumes",
];

/// Keys of a service that concern its own container alone, or are looked at below.
const SERVICE: [&str; 53] = [
    "annotations",
    "attach",
    "build",
    "cap_drop",
    "command",
    "configs",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_shares",
    "cpus",
    "cpuset",
    "depends_on",
    "deploy",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "entrypoint",
    "env_file",
    "environment",
    "expose",
    "extra_hosts",
    "group_add",
    "healthcheck",
    "hostname",
    "image",
    "init",
    "labels",
    "links",
    "logging",
    "mem_limit",
    "mem_reservation",
    "mem_swappiness",
    "memswap_limit",
    "network_mode",
    "networks",
    "oom_kill_disable",
    "pids_limit",
    "platform",
    "ports",
    "profiles",
    "read_only",
    "restart",
    "scale",
    "secrets",
    "shm_size",
    "stdin_open",
    "tmpfs",
    "tty",
    "user",
    "volumes",
];

/// More of them, of which the same is true.
const SERVICE_TOO: [&str; 4] = ["stop_grace_period", "stop_signal", "ulimits", "working_dir"];

/// Keys of `build` that change the image alone; `tags` and `cache_to` write elsewhere.
const BUILD: [&str; 14] = [
    "additional_contexts",
    "args",
    "cache_from",
    "context",
    "dockerfile",
    "dockerfile_inline",
    "extra_hosts",
    "labels",
    "network",
    "no_cache",
    "platforms",
    "secrets",
    "shm_size",
    "target",
];

const NETWORK: [&str; 6] = [
    "attachable",
    "driver",
    "enable_ipv6",
    "internal",
    "ipam",
    "labels",
];

/// Checks that a Compose file, started under a project name of its own, touches nothing that another
/// project may have: no image, volume, network or container with a name of its own, no directory of
/// the machine. Gives the paths of the project that it mounts.
///
/// # Errors
/// The first thing that reaches beyond, with its place; and text that cannot be read.
pub fn confined(file: &str, text: &str) -> Result<Vec<String>, ConfigError> {
    let source = Source::new(file, text);
    let root = yaml::load(&source, text)?;
    let mut check = Check {
        source,
        mounted: Vec::new(),
    };
    if yaml::documents(text) > 1 {
        return Err(check.wrong(&root, "the file has more than one document".to_owned()));
    }
    check.only(&root, &[&TOP], "the file")?;
    for (key, node) in section(&root, "services") {
        check.service(&key.name, node)?;
    }
    for (key, node) in section(&root, "volumes") {
        let whose = format!("the volume `{}`", key.name);
        check.only(node, &[&["driver", "labels"]], &whose)?;
        check.driver(node, "local", &whose)?;
    }
    for (key, node) in section(&root, "networks") {
        let whose = format!("the network `{}`", key.name);
        check.only(node, &[&NETWORK], &whose)?;
        check.driver(node, "bridge", &whose)?;
    }
    for kind in ["secrets", "configs"] {
        for (key, node) in section(&root, kind) {
            let whose = format!("`{}` of {kind}", key.name);
            let keys = ["content", "environment", "file", "labels"];
            check.only(node, &[&keys], &whose)?;
            if let Some(file) = node.get("file") {
                check.path(file, file.text().unwrap_or_default())?;
            }
        }
    }
    Ok(check.mounted)
}

fn section<'a>(root: &'a Node, name: &str) -> &'a [(Key, Node)] {
    root.get(name).map(Node::map).unwrap_or_default()
}

struct Check {
    source: Source,
    mounted: Vec<String>,
}

impl Check {
    fn wrong(&self, node: &Node, message: String) -> ConfigError {
        let hint = String::new();
        let problem = Problem::Import { message, hint };
        self.source.error(node.span.clone(), problem)
    }

    /// Refuses every key but these.
    fn only(&self, node: &Node, known: &[&[&str]], whose: &str) -> Result<(), ConfigError> {
        let is_known = |name: &str| name.starts_with("x-") || known.concat().contains(&name);
        let Some((key, value)) = node.map().iter().find(|(key, _)| !is_known(&key.name)) else {
            return Ok(());
        };
        let value = value.text().map(|text| format!(": {text}"));
        let said = format!("`{}{}`", key.name, value.unwrap_or_default());
        let message = format!("{said} of {whose} may reach what is not of this project alone");
        let hint = String::new();
        let problem = Problem::Import { message, hint };
        Err(self.source.error(key.span.clone(), problem))
    }

    fn driver(&self, node: &Node, usual: &str, whose: &str) -> Result<(), ConfigError> {
        let driver = node.get("driver").filter(|it| it.text() != Some(usual));
        driver.map_or(Ok(()), |driver| {
            Err(self.wrong(driver, format!("{whose} is kept by another driver")))
        })
    }

    fn service(&mut self, name: &str, node: &Node) -> Result<(), ConfigError> {
        let whose = format!("the service `{name}`");
        self.only(node, &[&SERVICE, &SERVICE_TOO], &whose)?;
        if let Some(build) = node.get("build") {
            self.only(build, &[&BUILD], &format!("the build of `{name}`"))?;
            if let Some(image) = node.get("image") {
                let tag = image.text().unwrap_or_default();
                let message =
                    format!("what {whose} builds gets the name {tag}, which may be in use");
                return Err(self.wrong(image, message));
            }
        }
        if let Some(mode) = node.get("network_mode") {
            let mode_text = mode.text().unwrap_or_default();
            let own = ["bridge", "default", "host", "none"].contains(&mode_text)
                || mode_text.starts_with("service:");
            if !own {
                return Err(self.wrong(mode, format!("{whose} joins the network {mode_text}")));
            }
        }
        for entry in node.get("volumes").map(Node::list).unwrap_or_default() {
            self.volume(entry)?;
        }
        Ok(())
    }

    fn volume(&mut self, entry: &Node) -> Result<(), ConfigError> {
        if let Data::Map(_) = entry.data {
            let text = |key: &str| entry.get(key).and_then(Node::text).unwrap_or_default();
            return match (text("type"), text("source")) {
                ("tmpfs", _) => Ok(()),
                ("volume", source) if !source.contains('$') => Ok(()),
                ("bind", source) => self.path(entry, source),
                (kind, _) => Err(self.wrong(entry, format!("it mounts {kind:?}"))),
            };
        }
        let text = entry.text().unwrap_or_default();
        if text.contains('$') {
            // A variable may bring along the colon and what stands before it.
            return self.path(entry, text);
        }
        match text.split_once(':') {
            Some((source, _)) if source.starts_with(['.', '/', '~']) => self.path(entry, source),
            // A volume of a name, which stands below `volumes`, or one without.
            _ => Ok(()),
        }
    }

    /// Takes a path of the project; one that leads out of it, or may, is refused.
    fn path(&mut self, node: &Node, path: &str) -> Result<(), ConfigError> {
        let leaves = path.split('/').any(|part| part == "..");
        if path.is_empty() || leaves || path.starts_with(['/', '~']) || path.contains('$') {
            let message = format!("{path:?} is mounted, which is not of the project");
            return Err(self.wrong(node, message));
        }
        self.mounted.push(path.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        confined("compose.yaml", text).unwrap_err().to_string()
    }

    #[test]
    fn what_has_a_name_of_its_own_is_refused_with_its_line() {
        let volume = "services: {}\nvolumes:\n  db:\n    name: myapp_db\n";
        assert_eq!(
            refused(volume),
            "compose.yaml:4:5: `name: myapp_db` of the volume `db` may reach what is not of this project alone"
        );
        let image = "services:\n  web:\n    build: .\n    image: myapp\n";
        assert_eq!(
            refused(image),
            "compose.yaml:4:12: what the service `web` builds gets the name myapp, which may be in use"
        );
    }

    #[test]
    fn nothing_passes_that_may_reach_beyond_the_project() {
        let top = [
            "volumes: { db: { external: true } }",
            "volumes: { db: { driver_opts: { device: /srv, o: bind, type: none } } }",
            "volumes: { db: { driver: nfs } }",
            "volumes: &v { db: { <<: { name: a } } }",
            "networks: { default: { name: shared } }",
            "networks: { default: { driver: macvlan } }",
            "secrets: { a: { external: true } }",
            "secrets: { a: { file: /etc/shadow } }",
            "include: [other.yaml]",
            "services: { a: { build: { context: ., tags: [myapp] } } }",
            "services: { a: { build: { context: ., cache_to: [type=inline] } } }",
            "---\na: 1",
        ];
        let service = [
            "container_name: web",
            "extends: { file: other.yaml, service: a }",
            "pull_policy: always",
            "privileged: true",
            "use_api_socket: true",
            "provider: { type: x }",
            "volumes_from: [container:web]",
            "network_mode: container:web",
            "volumes: [/var/run/docker.sock:/var/run/docker.sock:ro]",
            "volumes: [~/data:/data]",
            "volumes: [../data:/data]",
            "volumes: ['./a/../../data:/data']",
            "volumes: ['${DATA}:/data']",
            "volumes: ['${DATA_MOUNT}']",
            "volumes: ['data${MORE}']",
            "volumes: [{ type: bind, source: /srv, target: /data }]",
            "volumes: [{ type: volume, source: '$X', target: /data }]",
            "volumes: [{ type: cluster, source: x, target: /data }]",
        ];
        for text in top {
            assert!(
                confined("c.yaml", &format!("x-a: 1\n{text}\n")).is_err(),
                "{text}"
            );
        }
        for line in service {
            let text = format!("services:\n  a:\n    image: x\n    {line}\n");
            assert!(confined("c.yaml", &text).is_err(), "{line}");
        }
    }

    #[test]
    fn a_usual_file_passes_and_tells_what_it_mounts() {
        let text = "\
name: myapp
x-a: &a { build: { context: ., args: { BASE: '${BASE:-x}' } }, network_mode: host }
services:
  web:
    <<: *a
    command: run
    ports: ['8000:8000']
    volumes: ['.:/app', data:/data, /app/node_modules, { type: bind, source: ./conf, target: /c }]
    secrets: [token]
  db: { image: postgres, restart: always }
volumes: { data: , more: { driver: local } }
networks: { default: , inner: { internal: true } }
secrets: { token: { file: ./token.txt } }
";
        let mounted = confined("compose.yaml", text).unwrap();
        assert_eq!(mounted, [".", "./conf", "./token.txt"]);
    }
}
