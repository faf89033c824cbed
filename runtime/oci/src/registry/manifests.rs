//! Manifests and indexes on their way in, and what a tag stands for.

use reqwest::{Method, Response};

use super::ask::Ask;
use super::body::{self, Unread};
use super::tries::Tries;
use super::{MAX_MANIFEST, Registry, RegistryError, content_type};
use crate::digest::Digest;
use crate::media;
use crate::reference::Reference;

/// Is a manifest or index as it was served.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) bytes: Vec<u8>,
}

impl Registry {
    pub(super) async fn resolve_at(&self, image: &Reference) -> Result<Digest, RegistryError> {
        let ask = self.ask(
            image,
            Method::HEAD,
            &format!("manifests/{}", image.manifest_name()),
            "image",
        )?;
        let ask = Ask {
            accept: Some(media::ACCEPT),
            what: image.to_string(),
            ..ask
        };
        let answered = match self.call(image, &ask).await {
            Ok(response) => served_digest(&response),
            // Not every server knows HEAD.
            Err(RegistryError::Status {
                status: 405 | 501, ..
            }) => None,
            Err(error) => return Err(error),
        };
        match answered {
            Some(digest) => Ok(digest),
            None => Ok(self
                .manifest_at(image, &image.manifest_name())
                .await?
                .digest),
        }
    }

    pub(super) async fn manifest_at(
        &self,
        image: &Reference,
        name: &str,
    ) -> Result<Served, RegistryError> {
        let ask = self.ask(image, Method::GET, &format!("manifests/{name}"), "image")?;
        let what = format!("the manifest {name} of {image}");
        let ask = Ask {
            accept: Some(media::ACCEPT),
            what,
            ..ask
        };
        let mut tries = Tries::new(&self.retry);
        let (media_type, promised, bytes) = loop {
            let response = self.call(image, &ask).await?;
            let media_type = check_manifest_type(&ask, &response)?;
            let promised = name
                .parse::<Digest>()
                .ok()
                .or_else(|| served_digest(&response));
            let limit = MAX_MANIFEST as usize;
            match body::read_bounded(response, limit, self.retry.silence).await {
                Ok(bytes) => break (media_type, promised, bytes),
                Err(Unread::Broken(_)) if tries.again().await => {}
                Err(unread) => return Err(unusable(ask, unread, tries.failed)),
            }
        };
        let digest = match promised {
            Some(wanted) if wanted.matches(&bytes) => wanted,
            Some(wanted) => {
                return Err(RegistryError::WrongDigest {
                    host: ask.host,
                    what: ask.what,
                    found: Digest::of(&bytes),
                    wanted,
                });
            }
            None => Digest::of(&bytes),
        };
        Ok(Served {
            media_type,
            digest,
            bytes,
        })
    }
}

fn unusable(ask: Ask, unread: Unread, tries: u32) -> RegistryError {
    let Ask { host, what, .. } = ask;
    match unread {
        Unread::TooLong(limit) => RegistryError::TooLong { host, what, limit },
        Unread::Broken(cause) => RegistryError::Connection {
            host,
            cause: format!("{what} breaks off ({cause})"),
            tries,
        },
    }
}

fn served_digest(response: &Response) -> Option<Digest> {
    let value = response.headers().get("docker-content-digest")?;
    value.to_str().ok()?.parse().ok()
}

/// Returns the media type; a page of a proxy or a login is not mistaken for a manifest.
fn check_manifest_type(ask: &Ask, response: &Response) -> Result<String, RegistryError> {
    let content_type = content_type(response);
    let is_document = content_type.ends_with("+json") || content_type.ends_with("+prettyjws");
    if is_document || content_type == "application/json" {
        return Ok(content_type);
    }
    let (host, what) = (ask.host.clone(), ask.what.clone());
    Err(RegistryError::NotARegistry {
        host,
        what,
        content_type,
    })
}
