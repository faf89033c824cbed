//! Blobs as a stream that survives broken connections: what is missing is asked for by Range.

use std::time::Instant;

use reqwest::header::CONTENT_RANGE;
use reqwest::{Method, Response, StatusCode};

use super::ask::Ask;
use super::retry::Pace;
use super::{Registry, RegistryError, body, content_type};
use crate::manifest::Descriptor;
use crate::reference::Reference;

/// Takes a blob as it comes.
pub(crate) trait Sink: Send {
    /// Takes the next bytes; `false` when no more are wanted.
    fn take(&mut self, bytes: &[u8]) -> impl Future<Output = bool> + Send;
}

impl Sink for Vec<u8> {
    async fn take(&mut self, bytes: &[u8]) -> bool {
        self.extend_from_slice(bytes);
        true
    }
}

/// Bytes that make a broken transfer a step forward.
const PROGRESS: u64 = 1 << 16;

impl Registry {
    /// Streams what is not there yet of a blob.
    pub(super) async fn blob_at(
        &self,
        image: &Reference,
        descriptor: &Descriptor,
        transfer: &mut Transfer,
        sink: &mut impl Sink,
    ) -> Result<(), RegistryError> {
        let what = format!("blob {} of {image}", descriptor.digest.short());
        let base = self.ask(
            image,
            Method::GET,
            &format!("blobs/{}", descriptor.digest),
            &what,
        )?;
        transfer.pace = Pace::default();
        let (mut failures, mut outages) = (0, 0);
        loop {
            let ask = Ask {
                from: transfer.done,
                ..base.clone()
            };
            let before = transfer.done;
            let response = match self.call(image, &ask).await {
                Ok(response) => response,
                // A name that is mistyped stays so; a host that has given something may come back.
                Err(error) if transfer.done > 0 && is_outage(&error) => {
                    outages += 1;
                    if outages >= self.retry.tries {
                        let problem = format!("broke off and cannot go on ({error})");
                        return Err(transfer.incomplete(&ask, problem));
                    }
                    tracing::debug!(got = transfer.done, %error, "blob transfer waits");
                    tokio::time::sleep(self.retry.wait_for_return(outages)).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let skip = transfer.check(&ask, &response)?;
            let end = transfer.run(self, &ask, response, skip, sink).await?;
            let problem = match end {
                End::Complete | End::Unwanted => return Ok(()),
                End::Broken(problem) => problem,
            };
            // A connection that got somewhere is not counted against the server.
            (failures, outages) = match transfer.done > before + PROGRESS {
                true => (1, 0),
                false => (failures + 1, outages),
            };
            if failures >= self.retry.tries {
                return Err(transfer.incomplete(&ask, problem));
            }
            tracing::debug!(
                got = transfer.done,
                size = transfer.size,
                problem,
                "blob transfer resumes"
            );
            tokio::time::sleep(self.retry.wait(failures)).await;
        }
    }
}

/// Says whether the way to a registry, or the registry, is gone for the moment.
fn is_outage(error: &RegistryError) -> bool {
    matches!(
        error,
        RegistryError::UnknownHost { .. }
            | RegistryError::Refused { .. }
            | RegistryError::Connection { .. }
            | RegistryError::Status {
                status: 500..=599,
                ..
            }
    )
}

enum End {
    Complete,
    Unwanted,
    Broken(String),
}

/// Is how far a blob has come, wherever its parts came from.
pub(super) struct Transfer {
    done: u64,
    size: u64,
    pace: Pace,
}

impl Transfer {
    pub(super) fn new(size: u64) -> Transfer {
        Transfer {
            done: 0,
            size,
            pace: Pace::default(),
        }
    }

    fn incomplete(&self, ask: &Ask, problem: String) -> RegistryError {
        RegistryError::Incomplete {
            host: ask.host.clone(),
            what: ask.what.clone(),
            problem,
            got: self.done,
            size: self.size,
        }
    }

    fn wrong_size(&self, ask: &Ask, found: u64) -> RegistryError {
        RegistryError::WrongSize {
            host: ask.host.clone(),
            what: ask.what.clone(),
            found,
            wanted: self.size,
        }
    }

    /// Checks the head of an answer and returns how many of its bytes are known already.
    fn check(&self, ask: &Ask, response: &Response) -> Result<u64, RegistryError> {
        let content_type = content_type(response);
        if content_type == "text/html" {
            let (host, what) = (ask.host.clone(), ask.what.clone());
            return Err(RegistryError::NotARegistry {
                host,
                what,
                content_type,
            });
        }
        let start = if response.status() == StatusCode::PARTIAL_CONTENT {
            let range = response
                .headers()
                .get(CONTENT_RANGE)
                .and_then(|value| value.to_str().ok());
            let start = range.and_then(range_start).unwrap_or(self.done);
            if start > self.done {
                return Err(
                    self.incomplete(ask, format!("resumes at byte {start}, leaving a hole"))
                );
            }
            start
        } else {
            0
        };
        if let Some(length) = response.content_length()
            && start + length != self.size
        {
            return Err(self.wrong_size(ask, start + length));
        }
        Ok(self.done - start)
    }

    async fn run(
        &mut self,
        registry: &Registry,
        ask: &Ask,
        mut response: Response,
        mut skip: u64,
        sink: &mut impl Sink,
    ) -> Result<End, RegistryError> {
        loop {
            let asked = Instant::now();
            let chunk = match body::chunk(&mut response, registry.retry.silence).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) if self.done == self.size => return Ok(End::Complete),
                Ok(None) => return Ok(End::Broken("ends early".to_owned())),
                // All is there but the end, and there is no range to ask for; the digest tells whether it is right.
                Err(_) if self.done == self.size => return Ok(End::Complete),
                Err(cause) => return Ok(End::Broken(format!("breaks off ({cause})"))),
            };
            let waited = asked.elapsed();
            let known = skip.min(chunk.len() as u64);
            skip -= known;
            let fresh = &chunk[known as usize..];
            if self.done + fresh.len() as u64 > self.size {
                return Err(self.wrong_size(ask, self.done + fresh.len() as u64));
            }
            self.done += fresh.len() as u64;
            if !fresh.is_empty() && !sink.take(fresh).await {
                return Ok(End::Unwanted);
            }
            if !self
                .pace
                .keeps_up(&registry.retry, waited, chunk.len() as u64)
            {
                return Err(self.incomplete(ask, "comes too slowly".to_owned()));
            }
        }
    }
}

/// Reads where `bytes 10-19/20` begins.
fn range_start(header: &str) -> Option<u64> {
    let range = header.trim().strip_prefix("bytes")?.trim_start();
    range.split_once('-')?.0.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::server::{Reply, Server};
    use super::super::{Credentials, RegistrySettings, Retry};
    use super::*;
    use crate::digest::Digest;

    #[tokio::test]
    async fn a_missing_end_is_no_missing_byte() {
        for content in [&b""[..], b"content"] {
            let server = Server::start(move |_| Reply {
                endless: true,
                ..Reply::new(200, "application/octet-stream", content)
            });
            let settings = (Vec::new(), RegistrySettings::default());
            let registry = Registry::new(Credentials::none(), Retry::default(), settings);
            let image = format!("{}/a/b:1", server.host()).parse();
            let blob = Descriptor {
                media_type: "application/octet-stream".to_owned(),
                digest: Digest::of(content),
                size: content.len() as u64,
                platform: None,
            };
            let registry = registry.expect("client");
            let found = registry.small_blob(&image.expect("reference"), &blob).await;
            assert_eq!(found.expect("whole"), content);
            assert_eq!(server.requests().len(), 1);
        }
    }

    #[test]
    fn ranges_are_read() {
        assert_eq!(range_start("bytes 10-19/20"), Some(10));
        assert_eq!(range_start("bytes */20"), None);
        assert_eq!(range_start("10"), None);
    }
}
