//! One request to a registry, and what it may come to.

use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE};
use reqwest::{Method, Url};

use super::error::RegistryError;

/// Is one request, without what lets it in.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) accept: Option<&'static str>,
    /// First byte wanted, when not all are.
    pub(super) from: u64,
    /// What is sent along.
    pub(super) body: Option<Payload>,
    /// For messages: the host of the registry, and what is asked for.
    pub(super) host: String,
    pub(super) what: String,
}

/// Is what a request brings.
#[derive(Clone)]
pub(super) struct Payload {
    pub(super) media_type: String,
    /// First and last byte of the whole, when this is a part.
    pub(super) range: Option<(u64, u64)>,
    pub(super) bytes: Vec<u8>,
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({} bytes)", self.bytes.len())
    }
}

impl Payload {
    pub(super) fn apply(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        let request = request.header(CONTENT_TYPE, &self.media_type);
        let request = match self.range {
            // Not HTTP's own form: without a unit, as the distribution specification has it.
            Some((first, last)) => request.header(CONTENT_RANGE, format!("{first}-{last}")),
            None => request,
        };
        request.body(self.bytes.clone())
    }
}

impl Ask {
    /// Says whether it changes something there, which needs another right.
    pub(super) fn writes(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD)
    }
}

/// Tells whether a failed request may be tried again.
pub(super) enum Failure {
    Final(RegistryError),
    /// The cause, in words.
    Passing(String),
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Failure {
        Failure::Final(error)
    }
}
