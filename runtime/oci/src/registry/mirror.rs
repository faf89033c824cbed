//! Registries and their mirrors: who is asked, and who next.

use super::blob::{Sink, Transfer};
use super::settings::Rule;
use super::{Registry, RegistryError, Served};
use crate::digest::Digest;
use crate::manifest::Descriptor;
use crate::reference::Reference;

impl Registry {
    /// Asks for the digest a tag stands for, without the manifest when the registry allows it.
    pub(crate) async fn resolve(&self, image: &Reference) -> Result<Digest, RegistryError> {
        let places = self.places(image)?;
        let mut last = None;
        for place in &places {
            match self.resolve_at(place).await {
                Ok(found) => return Ok(found),
                Err(error) => last = Some(self.passed_over(place, error)),
            }
        }
        Err(last.unwrap_or_else(|| blocked(image)))
    }

    /// Fetches a manifest or index by tag or digest and checks its digest.
    pub(crate) async fn manifest(
        &self,
        image: &Reference,
        name: &str,
    ) -> Result<Served, RegistryError> {
        let places = self.places(image)?;
        let mut last = None;
        for place in &places {
            match self.manifest_at(place, name).await {
                Ok(found) => return Ok(found),
                Err(error) => last = Some(self.passed_over(place, error)),
            }
        }
        Err(last.unwrap_or_else(|| blocked(image)))
    }

    /// Streams a blob of exactly the promised length into `sink`, in order, each byte once. Its digest is for the
    /// caller to check. Ends early, as if complete, when nobody wants the rest.
    pub(crate) async fn blob(
        &self,
        image: &Reference,
        descriptor: &Descriptor,
        sink: &mut impl Sink,
    ) -> Result<(), RegistryError> {
        let places = self.places(image)?;
        let mut transfer = Transfer::new(descriptor.size);
        let mut last = None;
        for place in &places {
            // What was handed on cannot be taken back: the next place goes on there, and the digest tells whether the
            // parts belong together.
            match self.blob_at(place, descriptor, &mut transfer, sink).await {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(self.passed_over(place, error)),
            }
        }
        Err(last.unwrap_or_else(|| blocked(image)))
    }

    fn passed_over(&self, place: &Reference, error: RegistryError) -> RegistryError {
        tracing::debug!(%place, %error, "not to be had here");
        error
    }

    /// Lists where an image may be, in the order of asking: mirrors, then the registry itself.
    fn places(&self, image: &Reference) -> Result<Vec<Reference>, RegistryError> {
        let name = format!("{}/{}", image.registry(), image.repository());
        match self.settings.rule(&name) {
            Some(rule) if rule.blocked => Err(blocked(image)),
            Some(rule) => Ok(places(rule, &name, image)),
            None => Ok(vec![image.clone()]),
        }
    }
}

fn blocked(image: &Reference) -> RegistryError {
    let image = image.to_string();
    RegistryError::Blocked { image }
}

fn places(rule: &Rule, name: &str, image: &Reference) -> Vec<Reference> {
    let rest = rule.rest(name).unwrap_or_default();
    let at = |location: &String| {
        let moved = format!("{location}{rest}").parse::<Reference>().ok()?;
        Some(moved.named_as(image))
    };
    let mirrors = rule
        .mirrors
        .iter()
        .filter_map(|mirror| at(&mirror.location));
    let own = rule.location.as_ref().and_then(at);
    mirrors
        .chain([own.unwrap_or_else(|| image.clone())])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::settings::Mirror;
    use super::*;

    #[test]
    fn mirrors_come_before_the_registry_itself() {
        let rule = Rule {
            prefix: "docker.io".to_owned(),
            blocked: false,
            insecure: false,
            location: None,
            mirrors: vec![Mirror {
                location: "m.example:1/hub".to_owned(),
                insecure: false,
            }],
        };
        let image: Reference = "busybox:1".parse().expect("reference");
        let name = "docker.io/library/busybox";
        let found: Vec<String> = places(&rule, name, &image)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            found,
            [
                "m.example:1/hub/library/busybox:1",
                "docker.io/library/busybox:1"
            ]
        );
        let pinned = image.with_digest(Digest::of(b"x"));
        let moved = Rule {
            location: Some("new.example".to_owned()),
            mirrors: Vec::new(),
            ..rule
        };
        let found = places(&moved, name, &pinned);
        assert_eq!((found.len(), found[0].digest()), (1, pinned.digest()));
        assert_eq!(found[0].registry(), "new.example");
    }
}
