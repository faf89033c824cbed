//! Image references: `[registry/]repository[:tag][@digest]`, with Docker's defaults.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;

pub(crate) const DOCKER_HUB: &str = "docker.io";
/// The host that answers for `docker.io`.
pub(crate) const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// Says what is wrong with an image reference, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("image reference `{text}`, character {}: {problem}", .at + 1)]
pub struct ReferenceError {
    /// The reference as given.
    pub text: String,
    /// Offset of the fault in characters, from 0.
    pub at: usize,
    /// What is wrong there.
    pub problem: String,
}

/// Names an image in a registry.
///
/// A first component is a registry when it holds a `.` or `:` or is `localhost`, as Docker has it. Otherwise the
/// image is one of Docker Hub's, where one-component names live under `library/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Returns the registry as a person writes it: `docker.io` or `host[:port]`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the host and port to talk to.
    pub fn api_host(&self) -> &str {
        if self.registry == DOCKER_HUB {
            DOCKER_HUB_API
        } else {
            &self.registry
        }
    }

    /// Returns the repository with Docker Hub's `library/` filled in.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the tag; `latest` was filled in when neither tag nor digest was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Returns the digest that pins the image, which wins over the tag.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns the same image pinned to `digest`, keeping the tag for people.
    pub fn with_digest(&self, digest: Digest) -> Reference {
        Reference {
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// Returns this repository with the tag and digest of another reference.
    pub(crate) fn named_as(&self, other: &Reference) -> Reference {
        Reference {
            registry: self.registry.clone(),
            repository: self.repository.clone(),
            tag: other.tag.clone(),
            digest: other.digest.clone(),
        }
    }

    /// Returns what stands after `manifests/` in a request: digest or tag.
    pub(crate) fn manifest_name(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Reference, ReferenceError> {
        Parser { text }.parse()
    }
}

struct Parser<'a> {
    text: &'a str,
}

impl<'a> Parser<'a> {
    /// Builds the error for a fault at byte offset `byte`.
    fn error(&self, byte: usize, problem: impl Into<String>) -> ReferenceError {
        let before = self.text.get(..byte).unwrap_or(self.text);
        ReferenceError {
            text: self.text.to_owned(),
            at: before.chars().count(),
            problem: problem.into(),
        }
    }

    /// Returns where `part`, a slice of the text, begins.
    fn offset(&self, part: &str) -> usize {
        (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize)
    }

    fn parse(&self) -> Result<Reference, ReferenceError> {
        if self.text.is_empty() {
            return Err(self.error(0, "it is empty"));
        }
        if let Some(at) = self.text.find("://") {
            return Err(self.error(at, "leave the `scheme://` out"));
        }
        let (name, digest) = match self.text.split_once('@') {
            Some((name, digest)) => (name, Some(self.digest(digest)?)),
            None => (self.text, None),
        };
        let (registry, rest) = self.split_registry(name)?;
        // A colon after the last slash begins the tag; a registry's port was split off before.
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(self.tag(tag)?)),
            None => (rest, None),
        };
        self.check_path(path)?;
        let repository = if registry == DOCKER_HUB && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if registry.len() + 1 + repository.len() > 255 {
            return Err(self.error(0, "names are at most 255 characters long"));
        }
        let tag = match (&tag, &digest) {
            (None, None) => Some("latest".to_owned()),
            _ => tag,
        };
        Ok(Reference {
            registry,
            repository,
            tag,
            digest,
        })
    }

    fn digest(&self, text: &str) -> Result<Digest, ReferenceError> {
        text.parse()
            .map_err(|error| self.error(self.offset(text), format!("{error}")))
    }

    fn split_registry<'n>(&self, name: &'n str) -> Result<(String, &'n str), ReferenceError> {
        let Some((first, rest)) = name.split_once('/') else {
            return Ok((DOCKER_HUB.to_owned(), name));
        };
        let is_host = first == "localhost" || first.contains(['.', ':', '[']);
        if !is_host {
            return Ok((DOCKER_HUB.to_owned(), name));
        }
        self.check_host(first)?;
        let registry = match first {
            "index.docker.io" | DOCKER_HUB_API => DOCKER_HUB.to_owned(),
            other => other.to_ascii_lowercase(),
        };
        Ok((registry, rest))
    }

    fn check_host(&self, host: &str) -> Result<(), ReferenceError> {
        let start = self.offset(host);
        let (name, port) = match host.strip_prefix('[') {
            Some(inner) => {
                let Some((address, after)) = inner.split_once(']') else {
                    return Err(self.error(start, "an IPv6 registry needs a closing `]`"));
                };
                if address.parse::<std::net::Ipv6Addr>().is_err() {
                    return Err(self.error(start + 1, "this is not an IPv6 address"));
                }
                match after.strip_prefix(':') {
                    Some(port) => (None, Some(port)),
                    None if after.is_empty() => (None, None),
                    None => return Err(self.error(self.offset(after), "a port begins with `:`")),
                }
            }
            None => match host.split_once(':') {
                Some((name, port)) => (Some(name), Some(port)),
                None => (Some(host), None),
            },
        };
        if let Some(port) = port
            && (port.starts_with('+') || !port.parse::<u16>().is_ok_and(|number| number > 0))
        {
            return Err(self.error(self.offset(port), "a port is a number from 1 to 65535"));
        }
        for label in name.into_iter().flat_map(|name| name.split('.')) {
            let at = self.offset(label);
            if label.is_empty() || label.starts_with('-') || label.ends_with('-') {
                return Err(self.error(at, "this is no host name"));
            }
            let legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
            if let Some(bad) = label.find(|c| !legal(c)) {
                return Err(self.error(at + bad, "this character cannot stand in a host name"));
            }
        }
        Ok(())
    }

    fn tag(&self, tag: &'a str) -> Result<String, ReferenceError> {
        let at = self.offset(tag);
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if let Some(bad) = tag.find(|c| !legal(c)) {
            return Err(self.error(at + bad, "this character cannot stand in a tag"));
        }
        if tag.is_empty() || tag.starts_with(['.', '-']) {
            return Err(self.error(at, "a tag begins with a letter, a digit or `_`"));
        }
        if tag.len() > 128 {
            return Err(self.error(at, "a tag is at most 128 characters long"));
        }
        Ok(tag.to_owned())
    }

    /// Checks each component against `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
    fn check_path(&self, path: &str) -> Result<(), ReferenceError> {
        for component in path.split('/') {
            let at = self.offset(component);
            if component.is_empty() {
                return Err(self.error(at, "a part of the repository name is empty"));
            }
            if let Some(bad) = component.find(|c: char| c.is_ascii_uppercase()) {
                return Err(self.error(at + bad, "repository names are lowercase"));
            }
            let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            let legal = |c: char| alphanumeric(c) || matches!(c, '.' | '_' | '-');
            if let Some(bad) = component.find(|c| !legal(c)) {
                return Err(
                    self.error(at + bad, "this character cannot stand in a repository name")
                );
            }
            let ends = component.starts_with(alphanumeric) && component.ends_with(alphanumeric);
            let separators = component
                .split(alphanumeric)
                .filter(|part| !part.is_empty());
            let mut known = separators
                .map(|part| matches!(part, "." | "_" | "__") || part.bytes().all(|b| b == b'-'));
            if !ends || !known.all(|ok| ok) {
                return Err(self.error(
                    at,
                    "a part of the repository name is words of a-z and 0-9 joined by `.`, `_`, `__` or `-`",
                ));
            }
        }
        Ok(())
    }
}
