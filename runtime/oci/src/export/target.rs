//! Where an exported image goes.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::reference::Reference;
use crate::source::{Place, Source, SourceError};

/// Says why nothing can be exported there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It names nothing.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An image can come from there, but not go there.
    #[error(
        "an image cannot be exported to `{text}`; oci:DIR[:TAG], docker-archive:FILE[:NAME] and REGISTRY/REPOSITORY[:TAG] can be had"
    )]
    NotATarget {
        /// The text as given.
        text: String,
    },
    /// A digest is not chosen.
    #[error("`{text}` names a digest, which the image has anyway: name a tag")]
    Digest {
        /// The text as given.
        text: String,
    },
}

/// Names the place an image goes to, and its name there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `oci:DIR[:TAG]`.
    Layout(Place),
    /// `docker-archive:FILE[:NAME]`.
    DockerArchive(Place),
    /// `REGISTRY/REPOSITORY[:TAG]`.
    Registry(Reference),
}

impl Target {
    /// Returns the same with a path that does not depend on the working directory.
    #[must_use]
    pub fn below(self, directory: &std::path::Path) -> Target {
        let absolute = |place: Place| Place {
            path: directory.join(place.path),
            ..place
        };
        match self {
            Target::Layout(place) => Target::Layout(absolute(place)),
            Target::DockerArchive(place) => Target::DockerArchive(absolute(place)),
            other => other,
        }
    }

    /// Returns the file or directory, when it is none of a registry.
    pub fn path(&self) -> Option<&PathBuf> {
        match self {
            Target::Layout(place) | Target::DockerArchive(place) => Some(&place.path),
            Target::Registry(_) => None,
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Target, TargetError> {
        match text.parse::<Source>()? {
            Source::Layout(place) => Ok(Target::Layout(place)),
            Source::DockerArchive(place) => Ok(Target::DockerArchive(place)),
            Source::Registry(reference) if reference.digest().is_some() => {
                Err(TargetError::Digest {
                    text: text.to_owned(),
                })
            }
            Source::Registry(reference) => Ok(Target::Registry(reference)),
            Source::LayoutArchive(_) | Source::DockerDaemon(_) => Err(TargetError::NotATarget {
                text: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.clone() {
            Target::Layout(place) => Source::Layout(place),
            Target::DockerArchive(place) => Source::DockerArchive(place),
            Target::Registry(reference) => Source::Registry(reference),
        };
        source.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_written_is_a_target() {
        for text in ["oci:d", "oci:d:t", "docker-archive:f:a/b:1", "h:1/a/b:t"] {
            let target: Target = text
                .parse()
                .unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(target.to_string(), text);
        }
        let digest = format!("h:1/a@sha256:{}", "0".repeat(64));
        for text in ["docker-daemon:a", "oci-archive:f", "oci:", digest.as_str()] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
