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

    /// Asks the registry to take a blob over from another of its repositories; `false` when it does not. One that
    /// refuses may still take the blob itself: rights there are no rights here.
    pub(crate) async fn mount_blob(
        &self,
        image: &Reference,
        digest: &Digest,
        from: &str,
    ) -> Result<bool, RegistryError> {
        let ask = self.begin(image, digest, Some(from))?;
        match self.call(image, &ask).await {
            Ok(response) => Ok(response.status() == StatusCode::CREATED),
            Err(
                RegistryError::Unauthorized { .. }
                | RegistryError::Forbidden { .. }
                | RegistryError::NotFound { .. }
                | RegistryError::Status {
                    status: 400..=499, ..
                },
            ) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends a blob; `came` is told of bytes that are there.
    pub(crate) async fn push_blob(
        &self,
        image: &Reference,
        blob: &Descriptor,
        file: &File,
        came: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let (mut tries, mut told) = (0, 0);
        loop {
            tries += 1;
            let mut sent_so_far = |sent: u64| {
                came(sent.saturating_sub(told));
                told = told.max(sent);
            };
            let lost = match self.try_push(image, blob, file, &mut sent_so_far).await {
                Err(
                    error @ (RegistryError::Status { status: 416, .. }
                    | RegistryError::NotFound { .. }),
                ) => error,
                done => return done,
            };
            // An upload the other side knows nothing of was lost there, or ended there while its answer was lost.
            if self.has_blob(image, &blob.digest).await? {
                came(blob.size.saturating_sub(told));
                return Ok(());
            }
            if tries >= self.retry.tries {
                return Err(lost);
            }
        }
    }

    async fn try_push(
        &self,
        image: &Reference,
        blob: &Descriptor,
        file: &File,
        sent_so_far: &mut (dyn FnMut(u64) + Send),
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
            sent_so_far(sent);
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
        sent_so_far(blob.size);
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::super::server::{Reply, Request, Server};
    use super::super::{Credentials, RegistrySettings, Retry};
    use super::*;

    const CONTENT: &[u8] = b"a small blob";

    /// Answers as a registry does until an upload is closed; then as `close` has it.
    fn registry(close: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Server {
        let closed = AtomicUsize::new(0);
        Server::start(move |request: &Request| match request.method.as_str() {
            "POST" => Reply::status(202).with("location", "/v2/a/b/blobs/uploads/1"),
            "PUT" => close(closed.fetch_add(1, Ordering::SeqCst)),
            _ if closed.load(Ordering::SeqCst) > 0 => Reply::status(200),
            _ => Reply::status(404),
        })
    }

    /// A client to which a silence of 300 ms is a failure.
    fn client() -> Registry {
        let retry = Retry {
            base: Duration::from_millis(1),
            silence: Duration::from_millis(300),
            ..Retry::default()
        };
        let settings = (Vec::new(), RegistrySettings::default());
        Registry::new(Credentials::none(), retry, settings).expect("client")
    }

    /// Pushes a blob. Returns what `came` was told altogether.
    async fn push(server: &Server) -> Result<u64, RegistryError> {
        let registry = client();
        let image = format!("{}/a/b:1", server.host()).parse();
        let blob = Descriptor {
            media_type: OCTETS.to_owned(),
            digest: Digest::of(CONTENT),
            size: CONTENT.len() as u64,
            platform: None,
        };
        let mut file = tempfile::tempfile().expect("file");
        file.write_all(CONTENT).expect("written");
        let told = Arc::new(AtomicU64::new(0));
        let came = |bytes| {
            told.fetch_add(bytes, Ordering::SeqCst);
        };
        let image: Reference = image.expect("reference");
        registry.push_blob(&image, &blob, &file, &came).await?;
        Ok(told.load(Ordering::SeqCst))
    }

    fn methods(server: &Server) -> Vec<String> {
        let requests = server.requests().into_iter();
        requests.map(|request| request.method).collect()
    }

    #[tokio::test]
    async fn a_registry_may_take_its_time_to_put_a_blob_away() {
        let (never, silence) = mpsc::channel::<()>();
        let silence = std::sync::Mutex::new(silence);
        let server = registry(move |_| {
            let waiting = silence.lock().expect("only here");
            let _ = waiting.recv_timeout(Duration::from_millis(900));
            Reply::status(201)
        });
        assert_eq!(push(&server).await.expect("sent"), CONTENT.len() as u64);
        assert_eq!(methods(&server), ["POST", "PUT"]);
        drop(never);
    }

    #[tokio::test]
    async fn a_blob_that_came_while_the_answer_was_lost_is_not_sent_again() {
        let server = registry(|closed| match closed {
            0 => Reply::none(),
            _ => Reply::status(404),
        });
        assert_eq!(push(&server).await.expect("sent"), CONTENT.len() as u64);
        assert_eq!(methods(&server), ["POST", "PUT", "PUT", "HEAD"]);
    }

    #[tokio::test]
    async fn an_upload_that_is_lost_begins_again_and_not_for_ever() {
        let server = Server::start(|request: &Request| match request.method.as_str() {
            "POST" => Reply::status(202).with("location", "/v2/a/b/blobs/uploads/1"),
            _ => Reply::status(404),
        });
        let error = push(&server).await.expect_err("refused");
        assert!(matches!(error, RegistryError::NotFound { .. }), "{error}");
        assert_eq!(methods(&server), ["POST", "PUT", "HEAD"].repeat(3));
    }

    #[tokio::test]
    async fn who_may_not_take_a_blob_over_may_send_it() {
        let mount = async |status: u16| {
            let server = Server::start(move |_| Reply::status(status));
            let image = format!("{}/a/b:1", server.host()).parse();
            let image: Reference = image.expect("reference");
            client()
                .mount_blob(&image, &Digest::of(CONTENT), "c/d")
                .await
        };
        for status in [400, 401, 403, 404, 405] {
            assert!(!mount(status).await.expect("no mount"), "{status}");
        }
        assert!(mount(201).await.expect("mounted"));
        assert!(mount(500).await.is_err());
    }
}
