//! Blobs and manifests on their way out ("Pushing" of the distribution specification).

use std::fs::File;
use std::os::unix::fs::FileExt;

use reqwest::header::LOCATION;
use reqwest::{Method, Response, StatusCode, Url};

use super::ask::{Ask, Payload};
use super::{Registry, RegistryError, media};
use crate::digest::Digest;
use crate::manifest::Descriptor;
use crate::reference::Reference;

/// Bytes sent in one request; what is no longer goes in one, which every registry takes.
const PIECE: u64 = 16 << 20;
const OCTETS: &str = "application/octet-stream";

impl Registry {
    /// Says whether a blob is in the repository of an image.
    pub(crate) async fn has_blob(
        &self,
        image: &Reference,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        let what = format!("blob {} of {image}", digest.short());
        let ask = self.ask(image, Method::HEAD, &format!("blobs/{digest}"), &what)?;
        match self.call(image, &ask).await {
            Ok(_) => Ok(true),
            Err(RegistryError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Asks the registry to take a blob over from another of its repositories; `false` when it does not.
    pub(crate) async fn mount_blob(
        &self,
        image: &Reference,
        digest: &Digest,
        from: &str,
    ) -> Result<bool, RegistryError> {
        let ask = self.begin(image, digest, Some(from))?;
        Ok(self.call(image, &ask).await?.status() == StatusCode::CREATED)
    }

    /// Sends a blob; `came` is told of bytes that are there.
    pub(crate) async fn push_blob(
        &self,
        image: &Reference,
        blob: &Descriptor,
        file: &File,
        came: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_push(image, blob, file, came).await {
                // The upload was lost on the other side: from the start.
                Err(RegistryError::Status { status: 416, .. } | RegistryError::NotFound { .. })
                    if tries < self.retry.tries => {}
                done => return done,
            }
        }
    }

    async fn try_push(
        &self,
        image: &Reference,
        blob: &Descriptor,
        file: &File,
        came: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let mut ask = self.begin(image, &blob.digest, None)?;
        let begun = self.call(image, &ask).await?;
        ask.url = self.next(&ask, &begun)?;
        let mut sent = 0;
        while blob.size - sent > PIECE {
            let bytes = self.read(&ask, file, sent, PIECE)?;
            ask.method = Method::PATCH;
            ask.body = Some(Payload {
                media_type: OCTETS.to_owned(),
                range: Some((sent, sent + PIECE - 1)),
                bytes,
            });
            let response = self.call(image, &ask).await?;
            ask.url = self.next(&ask, &response)?;
            sent += PIECE;
            came(PIECE);
        }
        let (rest, last) = (blob.size - sent, blob.size.max(1) - 1);
        ask.method = Method::PUT;
        ask.body = Some(Payload {
            media_type: OCTETS.to_owned(),
            range: (sent > 0).then_some((sent, last)),
            bytes: self.read(&ask, file, sent, rest)?,
        });
        ask.url
            .query_pairs_mut()
            .append_pair("digest", &blob.digest.to_string());
        self.call(image, &ask).await?;
        came(rest);
        Ok(())
    }

    /// Sends a manifest and lets the tag of the image stand for it.
    pub(crate) async fn push_manifest(
        &self,
        image: &Reference,
        bytes: Vec<u8>,
    ) -> Result<(), RegistryError> {
        let what = format!("the manifest of {image}");
        let tail = format!("manifests/{}", image.manifest_name());
        let mut ask = self.ask(image, Method::PUT, &tail, &what)?;
        ask.body = Some(Payload {
            media_type: media::OCI_MANIFEST.to_owned(),
            range: None,
            bytes,
        });
        self.call(image, &ask).await.map(|_| ())
    }

    fn begin(
        &self,
        image: &Reference,
        digest: &Digest,
        from: Option<&str>,
    ) -> Result<Ask, RegistryError> {
        let what = format!("an upload of blob {} to {image}", digest.short());
        let mut ask = self.ask(image, Method::POST, "blobs/uploads/", &what)?;
        if let Some(from) = from {
            ask.url
                .query_pairs_mut()
                .append_pair("mount", &digest.to_string())
                .append_pair("from", from);
        }
        ask.body = Some(Payload {
            media_type: OCTETS.to_owned(),
            range: None,
            bytes: Vec::new(),
        });
        Ok(ask)
    }

    /// Reads where an upload goes on.
    fn next(&self, ask: &Ask, response: &Response) -> Result<Url, RegistryError> {
        let refuse = |problem: String| RegistryError::Redirect {
            host: ask.host.clone(),
            what: ask.what.clone(),
            problem,
        };
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| refuse("without saying where to".to_owned()))?;
        let next = response
            .url()
            .join(location)
            .map_err(|_| refuse("to no valid address".to_owned()))?;
        self.http.check_plain(&next).map_err(refuse)?;
        Ok(next)
    }

    fn read(&self, ask: &Ask, file: &File, at: u64, len: u64) -> Result<Vec<u8>, RegistryError> {
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        let read = file.read_exact_at(&mut bytes, at);
        read.map(|()| bytes).map_err(|error| RegistryError::Unsent {
            what: ask.what.clone(),
            cause: error.to_string(),
        })
    }
}
