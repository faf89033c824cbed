//! A client of registries that speak the OCI distribution specification: manifests and blobs, in and out.

mod ask;
mod auth;
mod base64;
mod blob;
mod body;
mod connect;
mod credentials;
mod error;
mod helper;
mod http;
mod manifests;
mod mirror;
mod proxies;
mod retry;
mod settings;
mod token;
mod tries;
mod upload;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Response, StatusCode, Url};

use ask::{Ask, Failure};
use auth::Authorization;
use http::{Http, authority};
use tries::Tries;

pub(crate) use blob::Sink;
pub(crate) use connect::near;
pub use credentials::{CredentialError, Credentials};
pub use error::RegistryError;
pub(crate) use error::first_cause;
pub(crate) use manifests::Served;
pub use retry::Retry;
pub use settings::{Mirror, RegistrySettings, Rule, SettingsError};

use crate::digest::Digest;
use crate::manifest::Descriptor;
use crate::media;
use crate::reference::Reference;

/// Longest manifest or index taken, in bytes; the specification asks registries to take 4 MiB.
pub(crate) const MAX_MANIFEST: u64 = 4 << 20;

/// Reads from registries. Every image's way in is remembered, so one 401 is met per image.
#[derive(Debug)]
pub(crate) struct Registry {
    http: Http,
    credentials: Credentials,
    retry: Retry,
    settings: RegistrySettings,
    /// By host, repository, and whether something is to be written.
    ways_in: Mutex<HashMap<(String, String, bool), Authorization>>,
}

impl Registry {
    pub(crate) fn new(
        credentials: Credentials,
        retry: Retry,
        (plain, settings): (Vec<String>, RegistrySettings),
    ) -> Result<Registry, RegistryError> {
        Ok(Registry {
            http: Http::new(retry.clone(), plain, settings.clone())?,
            settings,
            credentials,
            retry,
            ways_in: Mutex::new(HashMap::new()),
        })
    }

    /// Fetches a small blob whole and checks length and digest.
    pub(crate) async fn small_blob(
        &self,
        image: &Reference,
        descriptor: &Descriptor,
    ) -> Result<Vec<u8>, RegistryError> {
        let mut bytes = Vec::new();
        let host = image.api_host().to_owned();
        let what = format!("blob {} of {image}", descriptor.digest.short());
        if descriptor.size > MAX_MANIFEST {
            let (found, wanted) = (descriptor.size, MAX_MANIFEST);
            return Err(RegistryError::WrongSize {
                host,
                what,
                found,
                wanted,
            });
        }
        self.blob(image, descriptor, &mut bytes).await?;
        if descriptor.digest.matches(&bytes) {
            return Ok(bytes);
        }
        let (found, wanted) = (Digest::of(&bytes), descriptor.digest.clone());
        Err(RegistryError::WrongDigest {
            host,
            what,
            found,
            wanted,
        })
    }

    fn ask(
        &self,
        image: &Reference,
        method: Method,
        tail: &str,
        what: &str,
    ) -> Result<Ask, RegistryError> {
        let host = image.api_host();
        let address = format!(
            "{}://{host}/v2/{}/{tail}",
            self.http.scheme(host),
            image.repository()
        );
        let url = Url::parse(&address).map_err(|_| RegistryError::Redirect {
            host: host.to_owned(),
            what: what.to_owned(),
            problem: "to no valid address".to_owned(),
        })?;
        Ok(Ask {
            method,
            url,
            accept: None,
            from: 0,
            body: None,
            host: host.to_owned(),
            what: what.to_owned(),
        })
    }

    /// Sends a request until it is answered: lets itself in once, waits when told, tries failures of the moment
    /// again. Only a successful answer is returned.
    async fn call(&self, image: &Reference, ask: &Ask) -> Result<Response, RegistryError> {
        let (host, repository) = (image.api_host(), image.repository());
        let key = (host.to_owned(), repository.to_owned(), ask.writes());
        // Where an upload goes on may be another host, which is shown nothing.
        let at_home = self.http.is_home(host, &ask.url);
        let (mut tries, mut let_in) = (Tries::new(&self.retry), false);
        loop {
            let known = self
                .ways_in
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(&key)
                .filter(|_| at_home)
                .cloned();
            let response = match self.http.send_once(ask, known.as_ref()).await {
                Ok(response) => response,
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(cause)) => {
                    if tries.again().await {
                        continue;
                    }
                    let (host, tries) = (ask.host.clone(), tries.failed);
                    return Err(RegistryError::Connection { host, cause, tries });
                }
            };
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            match status {
                // Where a redirect led may be a stranger's, who is not to say where a password is sent.
                StatusCode::UNAUTHORIZED
                    if !let_in && at_home && self.http.is_home(host, response.url()) =>
                {
                    let_in = true;
                    let way = self.let_in(image, ask, response).await?;
                    self.ways_in
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(key.clone(), way);
                }
                StatusCode::TOO_MANY_REQUESTS => {
                    if !tries.again_as_told(tries::told(&response)).await {
                        let (host, tries) = (ask.host.clone(), tries.limited);
                        return Err(RegistryError::RateLimited { host, tries });
                    }
                }
                _ => {
                    let made = tries.failed + 1;
                    if !status.is_server_error() || !tries.again().await {
                        let given = known.is_some_and(|way| way.is_credential());
                        return Err(self.refusal(ask, response, given, made).await);
                    }
                }
            }
        }
    }

    async fn let_in(
        &self,
        image: &Reference,
        ask: &Ask,
        refused: Response,
    ) -> Result<Authorization, RegistryError> {
        let credential = self.credentials.find(image).await?;
        let given = credential.is_some();
        match token::authorize(&self.http, (image, ask.writes()), &refused, credential).await? {
            Some(way) => Ok(way),
            None => Err(self.refusal(ask, refused, given, 1).await),
        }
    }

    /// Turns an answer that is no success into an error.
    async fn refusal(
        &self,
        ask: &Ask,
        response: Response,
        given: bool,
        tries: u32,
    ) -> RegistryError {
        let status = response.status().as_u16();
        let by = match self.http.is_home(&ask.host, response.url()) {
            true => String::new(),
            false => format!(" by {}", authority(response.url())),
        };
        let detail = by + &body::error_detail(response, self.retry.silence).await;
        let (host, what) = (ask.host.clone(), ask.what.clone());
        match status {
            401 => RegistryError::Unauthorized {
                host,
                what,
                given,
                detail,
            },
            403 => RegistryError::Forbidden { host, what, detail },
            404 => RegistryError::NotFound { host, what, detail },
            _ => RegistryError::Status {
                host,
                what,
                status,
                detail,
                tries,
            },
        }
    }
}

fn content_type(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE);
    media::essence(
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default(),
    )
}

#[cfg(test)]
#[path = "../../tests/common/server.rs"]
mod server;
