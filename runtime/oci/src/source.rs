//! Where an image is: a registry, a directory, an archive, or another engine, in the words that skopeo, podman and
//! BuildKit have for them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::reference::{Reference, ReferenceError};

/// Says why a text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It is no reference to a registry's image.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// Nothing stands behind the `oci:` or its like.
    #[error("`{text}` names no {what}")]
    Nothing {
        /// The text as given.
        text: String,
        /// What is missing.
        what: &'static str,
    },
    /// There is no such way to an image.
    #[error(
        "`{text}` begins with `{transport}:`, which hd does not know; oci:, oci-archive:, docker-archive: and docker-daemon: are known"
    )]
    Transport {
        /// The text as given.
        text: String,
        /// The word before the colon.
        transport: String,
    },
}

/// Names an image and the place where it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// `[registry/]repository[:tag][@digest]`.
    Registry(Reference),
    /// `oci:DIR[:tag]`: an OCI image layout.
    Layout(Place),
    /// `oci-archive:FILE[:tag]`: a layout in a tar archive.
    LayoutArchive(Place),
    /// `docker-archive:FILE[:name]`: what `docker save` writes.
    DockerArchive(Place),
    /// `docker-daemon:NAME`: an image of the Docker engine of this machine.
    DockerDaemon(String),
}

/// Is a file or directory, and which of its images is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file or directory.
    pub path: PathBuf,
    /// Tag or name of one image; none when there is but one.
    pub name: Option<String>,
}

impl Source {
    /// Returns the reference, if the image is in a registry.
    pub fn reference(&self) -> Option<&Reference> {
        match self {
            Source::Registry(reference) => Some(reference),
            _ => None,
        }
    }

    /// Returns the same with a path that does not depend on the working directory.
    #[must_use]
    pub fn below(self, directory: &Path) -> Source {
        let absolute = |place: Place| Place {
            path: directory.join(place.path),
            ..place
        };
        match self {
            Source::Layout(place) => Source::Layout(absolute(place)),
            Source::LayoutArchive(place) => Source::LayoutArchive(absolute(place)),
            Source::DockerArchive(place) => Source::DockerArchive(absolute(place)),
            other => other,
        }
    }
}

impl Place {
    fn parse(text: &str, rest: &str, what: &'static str) -> Result<Place, SourceError> {
        // As in skopeo: the first colon ends the path.
        let (path, name) = match rest.split_once(':') {
            Some((path, name)) => (path, Some(name.to_owned())),
            None => (rest, None),
        };
        if path.is_empty() || name.as_deref() == Some("") {
            let text = text.to_owned();
            let what = if path.is_empty() { what } else { "tag" };
            return Err(SourceError::Nothing { text, what });
        }
        let path = PathBuf::from(path);
        Ok(Place { path, name })
    }
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Source, SourceError> {
        let Some((word, rest)) = text.split_once(':') else {
            return Ok(Source::Registry(text.parse()?));
        };
        match word {
            "oci" => Place::parse(text, rest, "directory").map(Source::Layout),
            "oci-archive" => Place::parse(text, rest, "file").map(Source::LayoutArchive),
            "docker-archive" => Place::parse(text, rest, "file").map(Source::DockerArchive),
            "docker-daemon" if rest.is_empty() => Err(SourceError::Nothing {
                text: text.to_owned(),
                what: "image",
            }),
            "docker-daemon" => Ok(Source::DockerDaemon(rest.to_owned())),
            // `docker:27` is a tag of an image that is called so.
            "docker" if rest.starts_with("//") => {
                Ok(Source::Registry(rest.trim_start_matches('/').parse()?))
            }
            "dir" | "containers-storage" | "ostree" | "sif" | "tarball" if rest.contains('/') => {
                Err(SourceError::Transport {
                    text: text.to_owned(),
                    transport: word.to_owned(),
                })
            }
            _ => Ok(Source::Registry(text.parse()?)),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, place) = match self {
            Source::Registry(reference) => return write!(f, "{reference}"),
            Source::DockerDaemon(name) => return write!(f, "docker-daemon:{name}"),
            Source::Layout(place) => ("oci", place),
            Source::LayoutArchive(place) => ("oci-archive", place),
            Source::DockerArchive(place) => ("docker-archive", place),
        };
        write!(f, "{word}:{}", place.path.display())?;
        match &place.name {
            Some(name) => write!(f, ":{name}"),
            None => Ok(()),
        }
    }
}

impl From<Reference> for Source {
    fn from(reference: Reference) -> Source {
        Source::Registry(reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_an_image_is_read_and_written() {
        let table = [
            ("busybox", "docker.io/library/busybox:latest"),
            ("oci:1", "oci:1"),
            ("docker://h:1/a:b", "h:1/a:b"),
            ("docker://docker:27", "docker.io/library/docker:27"),
            ("docker:27", "docker.io/library/docker:27"),
            ("docker:dind", "docker.io/library/docker:dind"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
            ("oci:/a/b", "oci:/a/b"),
            ("oci:layout:v1", "oci:layout:v1"),
            ("oci-archive:x.tar", "oci-archive:x.tar"),
            ("docker-archive:x.tar:a/b:1", "docker-archive:x.tar:a/b:1"),
            ("docker-daemon:a:1", "docker-daemon:a:1"),
        ];
        for (text, wanted) in table {
            let source: Source = text
                .parse()
                .unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(source.to_string(), wanted, "{text}");
        }
        for text in [
            "oci:",
            "oci::t",
            "oci:dir:",
            "docker-daemon:",
            "dir:/x",
            "",
            "A:b",
        ] {
            assert!(text.parse::<Source>().is_err(), "{text}");
        }
    }

    #[test]
    fn paths_are_taken_from_where_they_are_said() {
        let below = |text: &str| {
            let source: Source = text.parse().expect("source");
            source.below(Path::new("/p")).to_string()
        };
        assert_eq!(below("oci:a:t"), "oci:/p/a:t");
        assert_eq!(below("docker-archive:/x.tar"), "docker-archive:/x.tar");
        assert_eq!(below("docker-daemon:a"), "docker-daemon:a");
    }
}
