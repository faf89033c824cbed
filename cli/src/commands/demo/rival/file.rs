//! The Dockerfiles and the Compose file of a project, and the base they begin with. Pure but for
//! reading them.

use std::path::Path;

use crate::commands::demo::outside::leads_out;

/// Names of the files, and what each stands for.
const IMAGES: [(&str, &str); 2] = [("Dockerfile", "naive"), ("Dockerfile.ordered", "ordered")];
/// The file for a container that sees the project as it is on disk.
pub(super) const DEV: (&str, &str) = ("Dockerfile.dev", "bind");
/// Names of Compose files, the first that is there counts.
pub(in super::super) const COMPOSE: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
];

/// A Dockerfile whose base can be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Dockerfile {
    /// Its name.
    pub(in super::super) name: String,
    /// `naive`, `ordered` or `bind`.
    pub(in super::super) kind: &'static str,
    /// Default of its `ARG BASE`.
    pub(in super::super) default: Option<String>,
}

/// What a project has for the other sides.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Files {
    /// Dockerfiles to build and run.
    pub(in super::super) images: Vec<Dockerfile>,
    /// Name of a Compose file that starts all services.
    pub(in super::super) compose: Option<String>,
    /// A Dockerfile of packages and a program that reloads; the project is mounted at `/app`.
    pub(in super::super) dev: Option<Dockerfile>,
    /// Names of those whose base cannot be chosen.
    pub(in super::super) fixed: Vec<&'static str>,
}

impl Files {
    /// Reads the files of a project; the error says why there is none to compare with.
    pub(in super::super) fn read(project: &Path) -> Result<Self, String> {
        let (mut images, mut fixed) = (Vec::new(), Vec::new());
        for (name, kind) in IMAGES {
            match read(project, name, kind) {
                Some(Ok(file)) => images.push(file),
                Some(Err(())) => fixed.push(name),
                None => {}
            }
        }
        let compose = COMPOSE.iter().find(|name| project.join(name).is_file());
        match (images.is_empty(), fixed.last().copied()) {
            (false, _) => {
                let dev = read(project, DEV.0, DEV.1);
                fixed.extend(matches!(dev, Some(Err(()))).then_some(DEV.0));
                Ok(Self {
                    images,
                    compose: compose.map(|name| (*name).to_owned()),
                    dev: dev.and_then(Result::ok),
                    fixed,
                })
            }
            (true, None) => Err("the project has no Dockerfile".to_owned()),
            (true, Some(name)) => Err(format!(
                "{name} does not begin with `ARG BASE=…` and `FROM ${{BASE}}`: both sides could not stand on the same image"
            )),
        }
    }

    /// Tells why Compose must not start a copy of the project, if there is a reason: what it would make
    /// or remove could be in use elsewhere.
    pub(in super::super) fn refusal(project: &Path, compose: &str) -> Option<String> {
        let text = match std::fs::read_to_string(project.join(compose)) {
            Ok(text) => text,
            Err(error) => return Some(format!("cannot read {compose}: {error}")),
        };
        let mounted = match hd_config::compose::confined(compose, &text) {
            Ok(mounted) => mounted,
            Err(why) => return Some(format!("it would not keep to itself: {why}")),
        };
        let path = mounted.iter().find(|path| leads_out(project, path))?;
        Some(format!(
            "it would not keep to itself: {compose} mounts {path}, a link out of the project"
        ))
    }

    /// Gives the image that a Dockerfile names when nobody else does.
    pub(in super::super) fn default_base(&self) -> Option<String> {
        self.images.iter().find_map(|file| file.default.clone())
    }
}

/// Reads one; `None` when there is none, an error when its base cannot be chosen.
fn read(project: &Path, name: &str, kind: &'static str) -> Option<Result<Dockerfile, ()>> {
    let text = std::fs::read_to_string(project.join(name)).ok()?;
    let file = base_argument(&text).map(|default| Dockerfile {
        name: name.to_owned(),
        kind,
        default,
    });
    Some(file.ok_or(()))
}

/// Gives the default of `ARG BASE` when the first `FROM` uses it.
fn base_argument(text: &str) -> Option<Option<String>> {
    let mut default = None;
    for line in text.lines().map(str::trim) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        if word.eq_ignore_ascii_case("arg") {
            let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
            if name == "BASE" {
                let value = value.trim_matches(['"', '\'']);
                default = Some((!value.is_empty()).then(|| value.to_owned()));
            }
        } else if word.eq_ignore_ascii_case("from") {
            let image = rest
                .split_whitespace()
                .find(|word| !word.starts_with("--"))?;
            return default.filter(|_| ["${BASE}", "$BASE"].contains(&image));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_an_argument_or_the_file_does_not_count() {
        let some = |text: &str| Some(Some(text.to_owned()));
        let cases = [
            ("ARG BASE=python:3.11\nFROM ${BASE}\n", some("python:3.11")),
            (
                "# x\narg BASE=\"a\"\nfrom --platform=x $BASE AS b\n",
                some("a"),
            ),
            ("ARG BASE\nFROM $BASE\n", Some(None)),
            ("FROM python\nARG BASE=x\n", None),
            ("ARG BASE=x\nFROM python\n", None),
            ("ARG BASE=x\n", None),
        ];
        for (text, expected) in cases {
            assert_eq!(base_argument(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_compared_says_why() {
        let place = tempfile::tempdir().unwrap();
        let why = Files::read(place.path()).unwrap_err();
        assert_eq!(why, "the project has no Dockerfile");
        std::fs::write(place.path().join("Dockerfile"), "FROM x\n").unwrap();
        let why = Files::read(place.path()).unwrap_err();
        assert!(
            why.starts_with("Dockerfile does not begin with `ARG BASE"),
            "{why}"
        );
        let text = "ARG BASE=x\nFROM ${BASE}\n";
        std::fs::write(place.path().join("Dockerfile.ordered"), text).unwrap();
        let found = Files::read(place.path()).unwrap();
        assert_eq!((found.images.len(), found.images[0].kind), (1, "ordered"));
        assert_eq!((found.compose, found.dev), (None, None));
        assert_eq!(found.fixed, ["Dockerfile"]);
        std::fs::write(place.path().join("Dockerfile.dev"), "FROM x\n").unwrap();
        let found = Files::read(place.path()).unwrap();
        assert_eq!(found.fixed, ["Dockerfile", "Dockerfile.dev"]);
        std::fs::write(place.path().join("Dockerfile.dev"), text).unwrap();
        std::fs::write(place.path().join("compose.yml"), "").unwrap();
        let found = Files::read(place.path()).unwrap();
        assert_eq!(found.compose.as_deref(), Some("compose.yml"));
        assert_eq!(found.dev.unwrap().kind, "bind");
    }

    #[test]
    fn a_compose_file_that_shares_something_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let project = place.path().join("project");
        std::fs::create_dir_all(project.join("own")).unwrap();
        std::os::unix::fs::symlink(place.path(), project.join("out")).unwrap();
        let refusal = |text: &str| {
            std::fs::write(project.join("compose.yaml"), text).unwrap();
            Files::refusal(&project, "compose.yaml")
        };
        let mounts = |path: &str| {
            format!("services:\n  web:\n    build: .\n    volumes: ['{path}:/data']\n")
        };
        assert_eq!(refusal(&mounts("./own")), None);
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/two-services");
        assert_eq!(Files::refusal(&example, "compose.yaml"), None);
        std::os::unix::fs::symlink(project.join("own"), project.join("copied")).unwrap();
        for path in ["./out", "./out/new", "./copied"] {
            let why = refusal(&mounts(path)).unwrap();
            assert!(why.contains(&format!("mounts {path}")), "{why}");
        }
        let why = refusal("services: {}\nvolumes: { db: { name: a } }\n").unwrap();
        assert!(why.contains("compose.yaml:2:"), "{why}");
    }
}
