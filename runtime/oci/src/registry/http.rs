//! HTTP clients: TLS by rustls with ring, names by hickory-dns, redirects followed by hand.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use reqwest::{Method, Response, StatusCode, Url};

use super::auth::Authorization;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::error::{RegistryError, classify};
use super::proxies;
use super::settings::RegistrySettings;

const MAX_REDIRECTS: usize = 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

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
    fn apply(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
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

/// Sends requests. Redirects are followed here and not by reqwest, so that no credential leaves its host and no
/// connection falls back to plain text.
#[derive(Debug)]
pub(super) struct Http {
    /// For hosts on this machine: no proxy, no authorities to load.
    near: reqwest::Client,
    far: OnceLock<reqwest::Client>,
    /// For hosts with authorities of their own.
    special: Mutex<HashMap<String, reqwest::Client>>,
    silence: Duration,
    /// Hosts that may be spoken to without TLS.
    plain: Vec<String>,
    settings: RegistrySettings,
}

impl Http {
    pub(super) fn new(
        silence: Duration,
        plain: Vec<String>,
        settings: RegistrySettings,
    ) -> Result<Http, RegistryError> {
        Ok(Http {
            near: near(silence)?.build().map_err(setup)?,
            far: OnceLock::new(),
            special: Mutex::default(),
            silence,
            plain,
            settings,
        })
    }

    /// Returns `http` for hosts on this machine and those that were named, else `https`.
    pub(super) fn scheme(&self, host: &str) -> &'static str {
        if self.may_be_plain(host) {
            "http"
        } else {
            "https"
        }
    }

    fn may_be_plain(&self, host: &str) -> bool {
        is_loopback(host_name(host))
            || self.plain.iter().any(|plain| plain == host)
            || self.settings.is_insecure(host)
    }

    fn client(&self, url: &Url) -> Result<reqwest::Client, RegistryError> {
        if url.scheme() == "http" && is_loopback(url.host_str().unwrap_or_default()) {
            return Ok(self.near.clone());
        }
        let host = authority(url);
        let mut special = self.special.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = special.get(&host) {
            return Ok(client.clone());
        }
        let own = self.settings.authorities(&host);
        if !own.is_empty() {
            let mut roots = roots();
            for certificate in own.iter().flat_map(|pem| certificates(pem)) {
                roots.add(certificate).map_err(setup)?;
            }
            let built = far(self.silence, roots)?;
            return Ok(special.entry(host).or_insert(built).clone());
        }
        if let Some(client) = self.far.get() {
            return Ok(client.clone());
        }
        let built = far(self.silence, roots())?;
        Ok(self.far.get_or_init(|| built).clone())
    }

    /// Refuses an address that would carry credentials or content in plain text over a network.
    pub(super) fn check_plain(&self, url: &Url) -> Result<(), String> {
        let host = authority(url);
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.may_be_plain(&host) => Ok(()),
            "http" => Err(format!("to plain HTTP on {host}")),
            other => Err(format!("to the unknown scheme `{other}`")),
        }
    }

    /// Builds a request to be sent by [`Http::send_once`] or as it is.
    pub(super) fn request(
        &self,
        method: Method,
        url: Url,
    ) -> Result<reqwest::RequestBuilder, RegistryError> {
        Ok(self.client(&url)?.request(method, url))
    }

    /// Sends a request once and follows its redirects; the authorization stays with the first host.
    pub(super) async fn send_once(
        &self,
        ask: &Ask,
        authorization: Option<&Authorization>,
    ) -> Result<Response, Failure> {
        let redirect = |problem: String| RegistryError::Redirect {
            host: ask.host.clone(),
            what: ask.what.clone(),
            problem,
        };
        let origin = (ask.url.scheme().to_owned(), authority(&ask.url));
        let mut url = ask.url.clone();
        let mut same_host = true;
        for _ in 0..MAX_REDIRECTS {
            let mut request = self.request(ask.method.clone(), url.clone())?;
            if let Some(accept) = ask.accept {
                request = request.header(ACCEPT, accept);
            }
            if ask.from > 0 {
                request = request.header(RANGE, format!("bytes={}-", ask.from));
            }
            if let Some(body) = &ask.body {
                request = body.apply(request);
            }
            if let Some(authorization) = authorization.filter(|_| same_host) {
                request = authorization.apply(request);
            }
            let response = match request.send().await {
                Ok(response) => response,
                Err(error) => {
                    return Err(classify(&authority(&url), error)
                        .map_or_else(Failure::Final, Failure::Passing));
                }
            };
            let follows =
                response.status().is_redirection() && response.status() != StatusCode::NOT_MODIFIED;
            if !follows {
                return Ok(response);
            }
            let location = response
                .headers()
                .get(LOCATION)
                .and_then(|value| value.to_str().ok());
            let location =
                location.ok_or_else(|| redirect("without saying where to".to_owned()))?;
            let next = url
                .join(location)
                .map_err(|_| redirect("to no valid address".to_owned()))?;
            if url.scheme() == "https" && next.scheme() == "http" {
                return Err(
                    redirect(format!("from HTTPS to plain HTTP on {}", authority(&next))).into(),
                );
            }
            self.check_plain(&next).map_err(redirect)?;
            // Once left, a host that comes back in the chain was named by a stranger.
            same_host &= (next.scheme().to_owned(), authority(&next)) == origin;
            url = next;
        }
        Err(redirect(format!("over {MAX_REDIRECTS} times")).into())
    }
}

/// Reads the certificates of a PEM file; what is none is left out.
fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).flatten().collect()
}

/// Returns `host[:port]` of an address.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn host_name(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn setup(error: impl std::fmt::Display) -> RegistryError {
    let cause = error.to_string();
    RegistryError::Setup { cause }
}

fn builder(
    silence: Duration,
    roots: rustls::RootCertStore,
) -> Result<reqwest::ClientBuilder, RegistryError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(setup)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(silence)
        .user_agent(concat!("hd/", env!("CARGO_PKG_VERSION"))))
}

/// Makes a client for other machines, by the proxies of the environment.
fn far(silence: Duration, roots: rustls::RootCertStore) -> Result<reqwest::Client, RegistryError> {
    let read = |name: &str| std::env::var(name).ok();
    let builder = proxies::set(builder(silence, roots)?, read)?;
    builder.build().map_err(setup)
}

/// Prepares a client for this machine only: no proxy, no authorities.
pub(crate) fn near(silence: Duration) -> Result<reqwest::ClientBuilder, RegistryError> {
    Ok(builder(silence, rustls::RootCertStore::empty())?.no_proxy())
}

/// Loads the authorities of the machine (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others), or Mozilla's list where
/// there are none, as in a bare root directory.
fn roots() -> rustls::RootCertStore {
    let mut store = rustls::RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    store
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_plain_text() {
        let http = Http::new(
            Duration::from_secs(1),
            vec!["plain.example:80".to_owned()],
            RegistrySettings::default(),
        )
        .expect("client");
        let table = [
            ("127.0.0.1:5055", "http"),
            ("127.9.9.9", "http"),
            ("localhost", "http"),
            ("[::1]:5000", "http"),
            ("[::1]", "http"),
            ("plain.example:80", "http"),
            ("plain.example", "https"),
            ("registry-1.docker.io", "https"),
            ("127.0.0.1.evil.example", "https"),
            ("10.0.0.1:5000", "https"),
            ("localhost.evil.example:5000", "https"),
        ];
        for (host, wanted) in table {
            assert_eq!(http.scheme(host), wanted, "{host}");
        }
        let url = |text: &str| Url::parse(text).expect("address");
        assert!(http.check_plain(&url("http://169.254.169.254/x")).is_err());
        assert!(http.check_plain(&url("file:///etc/passwd")).is_err());
        assert!(http.check_plain(&url("https://cdn.example/x")).is_ok());
    }
}
