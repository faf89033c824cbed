//! What tests of importers share.
#![allow(dead_code, reason = "each test uses a part")]
#![allow(missing_docs, unreachable_pub, missing_debug_implementations)]

use std::collections::BTreeMap;

use hd_config::ingest::{BaseImage, FileKind, Imported, Surroundings};
use hd_config::{compose, dockerfile};

/// A context of these files; names that end in `/` are directories.
pub struct Here(pub &'static [&'static str]);

impl Surroundings for Here {
    fn file(&self, path: &str) -> Option<FileKind> {
        let has = |name: String| self.0.contains(&name.as_str());
        match path {
            path if has(format!("{path}/")) => Some(FileKind::Dir),
            path if has(path.to_owned()) && path.ends_with(".tgz") => {
                Some(FileKind::Archive { option: "z" })
            }
            path if has(path.to_owned()) => Some(FileKind::File {
                executable: path.ends_with(".sh"),
            }),
            _ => None,
        }
    }

    fn directories(&self, path: &str) -> Vec<String> {
        let here = self.0.iter().filter(|_| path.is_empty());
        here.filter_map(|name| name.strip_suffix('/'))
            .map(str::to_owned)
            .collect()
    }

    fn read(&self, path: &str) -> Option<String> {
        let arguments = "ARG TAG=1\nFROM base:${TAG}\nARG MODE=plain\nENV MODE=${MODE}\n";
        let usual = "WORKDIR /app\nCOPY . .\nCMD [\"serve\"]\n";
        match path {
            "Dockerfile" => Some(format!("FROM base:1\n{usual}")),
            "Dockerfile.arguments" => Some(format!("{arguments}{usual}")),
            _ => None,
        }
    }

    fn image(&self, reference: &str) -> Result<BaseImage, String> {
        if reference.starts_with("unknown") {
            return Err("no such host".to_owned());
        }
        Ok(BaseImage {
            env: BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]),
            cmd: vec!["sh".to_owned()],
            entrypoint: if reference.starts_with("entered") {
                vec!["enter".to_owned()]
            } else {
                vec![]
            },
            exposed: if reference.starts_with("exposing") {
                vec!["80/tcp".to_owned()]
            } else {
                vec![]
            },
            on_build: if reference.starts_with("onbuild") {
                vec!["RUN touch /built".to_owned()]
            } else {
                vec![]
            },
            ..BaseImage::default()
        })
    }
}

/// A context of these files with these texts.
pub struct Texts<'a>(pub &'a [(&'a str, &'a str)]);

impl Surroundings for Texts<'_> {
    fn file(&self, path: &str) -> Option<FileKind> {
        let executable = false;
        self.read(path).map(|_| FileKind::File { executable })
    }

    fn directories(&self, _path: &str) -> Vec<String> {
        Vec::new()
    }

    fn read(&self, path: &str) -> Option<String> {
        let found = self.0.iter().find(|(name, _)| *name == path);
        found.map(|(_, text)| (*text).to_owned())
    }

    fn image(&self, reference: &str) -> Result<BaseImage, String> {
        FILES.image(reference)
    }
}

/// A Compose file translated among these files.
pub fn composed_among(text: &str, files: &[(&str, &str)]) -> Imported {
    let options = compose::Options {
        file: "compose.yaml",
        build: options(),
        ..compose::Options::default()
    };
    compose::translate(text, &options, &Texts(files)).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

pub const FILES: Here = Here(&[
    "a.txt",
    "start.sh",
    "src/",
    "requirements.txt",
    "x.tgz",
    "package.json",
    "conf/",
    ".env",
]);

pub fn options<'a>() -> dockerfile::Options<'a> {
    dockerfile::Options {
        file: "Dockerfile",
        name: "My App",
        ..dockerfile::Options::default()
    }
}

pub fn imported(text: &str) -> Imported {
    dockerfile::translate(text, &options(), &FILES).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

pub fn composed(text: &str) -> Result<Imported, hd_config::ConfigError> {
    composed_with(text, &[("PORT", "81")], &[])
}

/// The same with these variables; the latter are those of `.env`.
pub fn composed_with(
    text: &str,
    of_caller: &[(&str, &str)],
    of_file: &[(&str, &str)],
) -> Result<Imported, hd_config::ConfigError> {
    let pairs = of_file.iter().chain(of_caller);
    let options = compose::Options {
        file: "compose.yaml",
        build: options(),
        variables: pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        of_env_file: of_file.iter().map(|(name, _)| (*name).to_owned()).collect(),
    };
    compose::translate(text, &options, &FILES)
}

pub const COMPOSE: &str = "services:
  web:
    build: .
    ports: ['${PORT}:8000']
    environment: [MODE=x, TOKEN]
    depends_on:
      init: { condition: service_completed_successfully }
    healthcheck: { test: curl localhost, interval: 3s, retries: 2 }
    restart: unless-stopped
    volumes: ['.:/srv', './conf:/etc/conf', 'data:/data']
    what: 1
  init:
    build: .
    entrypoint: sh -c
    command: ['echo \"$$HOME\"']
  cache: { image: 'redis:7' }
";
