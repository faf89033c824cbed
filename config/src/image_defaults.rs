//! What an image says of the program it runs, taken over by services whose `hd.toml` leaves it open.

use crate::project::Project;
use crate::service::{Command, Healthcheck, Kind, Probe, Service};
use crate::signal::Signal;
use crate::volume::{self, Volume, VolumeSource};

/// The part of an image's configuration that concerns services (OCI image specification, "config.md").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageDefaults {
    /// Entry point and arguments; empty when the image names none.
    pub command: Vec<String>,
    /// `user[:group]` of that command; empty for root.
    pub user: String,
    /// Directory of that command.
    pub workdir: Option<String>,
    /// What asks it to stop; one that hd does not know is left out.
    pub stop_signal: Option<Signal>,
    /// How it is probed.
    pub healthcheck: Option<Healthcheck>,
    /// Ports as `8080/tcp`.
    pub exposed: Vec<String>,
    /// Directories that are to be volumes.
    pub volumes: Vec<String>,
}

/// Keys that a service leaves to its image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Open {
    /// `command`: then `user`, `working_dir` and `port` too, each where it is not given.
    pub command: bool,
    /// `stop_signal`.
    pub stop_signal: bool,
    /// `healthcheck`.
    pub healthcheck: bool,
}

impl ImageDefaults {
    /// Gives the one TCP port the image exposes; none when it exposes several.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        let number = |text: &String| match text.split_once('/') {
            None => text.parse().ok(),
            Some((number, "tcp")) => number.parse().ok(),
            Some(_) => None,
        };
        let mut ports = self.exposed.iter().filter_map(number);
        ports
            .next()
            .filter(|port| *port > 0 && ports.next().is_none())
    }

    /// Gives a probe for the words of an image: `["CMD", …]` or `["CMD-SHELL", line]`.
    #[must_use]
    pub fn probe(test: &[String]) -> Option<Probe> {
        match test.split_first() {
            Some((word, rest)) if word == "CMD" && !rest.is_empty() => {
                Some(Probe::Exec(Command::Exec(rest.to_vec())))
            }
            Some((word, [line])) if word == "CMD-SHELL" => {
                Some(Probe::Exec(Command::Shell(line.clone())))
            }
            _ => None,
        }
    }
}

/// What a service stands on.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// What its image says.
    pub image: &'a ImageDefaults,
    /// Where the project is inside, if it is: no volume takes its place.
    pub project: Option<&'a str>,
}

/// Fills in what services leave to their images; doing it again changes nothing.
///
/// `ground` gives what a service stands on: the environment, or a base of its own; nothing leaves it as it is.
///
/// # Errors
/// Names the service without a command, for which its image has none either.
pub fn complete<'a>(
    project: &mut Project,
    ground: impl Fn(&Service) -> Option<Ground<'a>>,
) -> Result<(), String> {
    for at in 0..project.services.len() {
        let Some(ground) = ground(&project.services[at]) else {
            continue;
        };
        let image = ground.image;
        let taken = image.port().filter(|port| {
            let mut others = project.services.iter().enumerate();
            others.any(|(other, service)| other != at && service.port == Some(*port))
        });
        // Replicas would be in each other's way; whether it listens there is for the program to say.
        let declared = project.services[at].declared();
        let alone = project.named(declared).count() == 1;
        let port = image.port().filter(|_| taken.is_none() && alone);
        let service = &mut project.services[at];
        if service.open.command {
            if image.command.is_empty() {
                return Err(service.name.clone());
            }
            of_command(service, image, port);
        }
        if service.base.is_some() {
            of_own_base(service, image);
        }
        if service.open.stop_signal
            && let Some(signal) = image.stop_signal
        {
            service.stop_signal = signal;
        }
        if service.open.healthcheck && service.kind == Kind::Service {
            service.healthcheck.clone_from(&image.healthcheck);
        }
        volumes(service, ground);
    }
    Ok(())
}

/// Who runs on a base of its own, and where: as the image says whatever the command, for no project is there.
fn of_own_base(service: &mut Service, image: &ImageDefaults) {
    if service.user.is_none() && !image.user.is_empty() {
        service.user = Some(image.user.clone());
    }
    let workdir = image.workdir.as_deref().filter(|dir| !dir.is_empty());
    let place = service.working_dir.take();
    service.working_dir = place.or_else(|| Some(workdir.unwrap_or("/").to_owned()));
}

/// What belongs to the command of the image.
fn of_command(service: &mut Service, image: &ImageDefaults, port: Option<u16>) {
    service.command = Command::Exec(image.command.clone());
    if !service.has_port() && service.kind == Kind::Service {
        service.port = port;
    }
    if service.working_dir.is_none() {
        service.working_dir.clone_from(&image.workdir);
    }
    if service.user.is_none() && !image.user.is_empty() {
        service.user = Some(image.user.clone());
    }
}

/// A volume of the service's own at each place that has none yet.
fn volumes(service: &mut Service, Ground { image, project }: Ground<'_>) {
    let overlap = |a: &str, b: &str| {
        let below = |a: &str, b: &str| {
            a.strip_prefix(b)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        below(a, b) || below(b, a)
    };
    let targets = image
        .volumes
        .iter()
        .filter_map(|text| volume::target(text).ok());
    let is_free = |target: &String| project.is_none_or(|project| !overlap(target, project));
    for target in targets.filter(is_free) {
        if service.volumes.iter().any(|one| one.target == target) {
            continue;
        }
        // No name in `[volumes]` has a capital.
        let name = format!("IMAGE-{}{}", service.name, target.replace('/', "-"));
        service.volumes.push(Volume {
            source: VolumeSource::Named(name),
            target,
            read_only: false,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TOML: &str = "[environment]\nname = \"x\"\nbase = \"nginx:1\"\n\
        [volumes]\ncache = {}\n\
        [services.web]\nvolumes = [\"cache:/var/cache\"]\n\
        [services.own]\ncommand = \"serve\"\nstop_signal = \"INT\"\nhealthcheck = false\n\
        [services.job]\ncommand = \"job\"\nkind = \"oneshot\"\n";

    fn image() -> ImageDefaults {
        let texts = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        ImageDefaults {
            command: texts(&["nginx", "-g", "daemon off;"]),
            user: "www".to_owned(),
            workdir: Some("/srv".to_owned()),
            stop_signal: Some(Signal::QUIT),
            healthcheck: ImageDefaults::probe(&texts(&["CMD", "true"])).map(|test| Healthcheck {
                test,
                interval: Duration::from_secs(30),
                timeout: Duration::from_secs(30),
                retries: 3,
                start_period: Duration::ZERO,
            }),
            exposed: texts(&["443/udp", "80/tcp"]),
            volumes: texts(&["/var/cache/", "/data", "/workspace/data", "/proc"]),
        }
    }

    fn ground(image: &ImageDefaults) -> Ground<'_> {
        Ground {
            image,
            project: Some("/workspace"),
        }
    }

    #[test]
    fn on_a_base_of_its_own_user_and_place_are_the_images_whatever_the_command() {
        let toml = "[environment]\nname = \"x\"\n[services.db]\nbase = \"pg:1\"\ncommand = \"pg -c x\"\n\
            [services.own]\nbase = \"pg:1\"\n[services.web]\ncommand = \"serve\"\n";
        let mut project = crate::parse(toml, "hd.toml").unwrap();
        let (image, none) = (image(), ImageDefaults::default());
        let of = |service: &Service| {
            let own = service.base.is_some();
            let (image, project) = (if own { &image } else { &none }, None);
            Some(Ground { image, project })
        };
        complete(&mut project, of).unwrap();
        let told = |name| {
            let service = project.service(name).unwrap();
            let (user, place) = (service.user.as_deref(), service.working_dir.as_deref());
            (service.command.to_string(), user, place, service.port)
        };
        let www = Some("www");
        let expected = ("pg -c x".to_owned(), www, Some("/srv"), None);
        assert_eq!(told("db"), expected);
        let command = "nginx -g daemon off;".to_owned();
        assert_eq!(told("own"), (command, www, Some("/srv"), Some(80)));
        assert_eq!(told("web"), ("serve".to_owned(), None, None, None));
    }

    #[test]
    fn a_service_takes_over_what_it_leaves_open() {
        let mut project = crate::parse(TOML, "hd.toml").unwrap();
        let image = image();
        complete(&mut project, |_| Some(ground(&image))).unwrap();
        let once = project.services.clone();
        complete(&mut project, |_| Some(ground(&image))).unwrap();
        assert_eq!(project.services, once);
        let web = project.service("web").unwrap();
        assert_eq!(web.command.to_string(), "nginx -g daemon off;");
        assert_eq!((web.port, web.stop_signal), (Some(80), Signal::QUIT));
        assert_eq!(web.user.as_deref(), Some("www"));
        assert_eq!(web.working_dir.as_deref(), Some("/srv"));
        assert!(web.healthcheck.is_some());
        let volumes: Vec<String> = web.volumes.iter().map(ToString::to_string).collect();
        assert_eq!(volumes, ["cache:/var/cache", "IMAGE-web-data:/data"]);
        let own = project.service("own").unwrap();
        assert_eq!((own.port, own.stop_signal), (None, Signal::INT));
        assert!(own.healthcheck.is_none() && own.user.is_none());
        assert_eq!(own.volumes.len(), 2);
        let job = project.service("job").unwrap();
        assert_eq!(job.stop_signal, Signal::QUIT);
        assert!(job.healthcheck.is_none(), "it is meant to end");
    }

    #[test]
    fn an_image_without_a_command_and_one_with_two_ports_help_nobody() {
        let mut project = crate::parse(TOML, "hd.toml").unwrap();
        let none = ImageDefaults::default();
        assert_eq!(
            complete(&mut project, |_| Some(ground(&none))).unwrap_err(),
            "web"
        );
        let two = ImageDefaults {
            exposed: vec!["80/tcp".to_owned(), "443".to_owned()],
            ..none
        };
        assert_eq!(two.port(), None);
        let words = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        for test in [&["NONE"][..], &[], &["CMD"], &["CMD-SHELL", "a", "b"]] {
            assert_eq!(ImageDefaults::probe(&words(test)), None, "{test:?}");
        }
    }
}
