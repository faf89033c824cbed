//! Requests on their way: the client for each host, redirects followed by hand, nothing in plain text over a network.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, OnceLock, PoisonError};

use reqwest::header::{ACCEPT, LOCATION, RANGE};
use reqwest::{Method, Response, StatusCode, Url};

use super::ask::{Ask, Failure};
use super::auth::Authorization;
use super::connect::{certificates, far, near, roots, setup};
use super::error::{RegistryError, classify};
use super::retry::Retry;
use super::settings::RegistrySettings;

const MAX_REDIRECTS: usize = 10;

/// Sends requests. Redirects are followed here and not by reqwest, so that no credential leaves its host and no
/// connection falls back to plain text.
#[derive(Debug)]
pub(super) struct Http {
    /// For hosts on this machine: no proxy, no authorities to load.
    near: reqwest::Client,
    far: OnceLock<reqwest::Client>,
    /// For hosts with authorities of their own.
    special: Mutex<HashMap<String, reqwest::Client>>,
    retry: Retry,
    /// Hosts that may be spoken to without TLS.
    plain: Vec<String>,
    settings: RegistrySettings,
}

impl Http {
    pub(super) fn new(
        retry: Retry,
        plain: Vec<String>,
        settings: RegistrySettings,
    ) -> Result<Http, RegistryError> {
        Ok(Http {
            near: near()?.build().map_err(setup)?,
            far: OnceLock::new(),
            special: Mutex::default(),
            retry,
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

    /// Says whether an address leads to a registry itself and not to another host. As addresses are compared, so a
    /// port may be written out that is the scheme's own.
    pub(super) fn is_home(&self, host: &str, url: &Url) -> bool {
        let home = Url::parse(&format!("{}://{host}/", self.scheme(host)));
        home.is_ok_and(|home| home.origin() == url.origin())
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
        let own = self.authorities(url);
        if !own.is_empty() {
            let mut roots = roots();
            for certificate in own.iter().flat_map(|pem| certificates(pem)) {
                roots.add(certificate).map_err(setup)?;
            }
            let built = far(roots)?;
            return Ok(special.entry(host).or_insert(built).clone());
        }
        if let Some(client) = self.far.get() {
            return Ok(client.clone());
        }
        let built = far(roots())?;
        Ok(self.far.get_or_init(|| built).clone())
    }

    /// Reads the authorities of a host, which are kept under its name with or without the port.
    fn authorities(&self, url: &Url) -> Vec<Vec<u8>> {
        let mut names = vec![authority(url)];
        names.extend(with_port(url).filter(|name| *name != names[0]));
        let found = names.iter().map(|name| self.settings.authorities(name));
        found.flatten().collect()
    }

    /// Refuses an address that would carry credentials or content in plain text over a network.
    pub(super) fn check_plain(&self, url: &Url) -> Result<(), String> {
        let host = authority(url);
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.may_be_plain(&host) => Ok(()),
            "http" if with_port(url).is_some_and(|host| self.may_be_plain(&host)) => Ok(()),
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

    /// Sends a request that brings `sent` bytes, and waits for the head of the answer.
    pub(super) async fn answer(
        &self,
        url: &Url,
        request: reqwest::RequestBuilder,
        sent: u64,
    ) -> Result<Response, Failure> {
        let patience = self.retry.answer_within(sent);
        match tokio::time::timeout(patience, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                Err(classify(&authority(url), error).map_or_else(Failure::Final, Failure::Passing))
            }
            Err(_) => {
                let cause = format!("no answer within {} s", patience.as_secs_f32());
                Err(Failure::Passing(cause))
            }
        }
    }

    pub(super) fn retry(&self) -> &Retry {
        &self.retry
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
        let origin = ask.url.origin();
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
            let sent = ask.body.as_ref().map_or(0, |body| body.bytes.len());
            let response = self.answer(&url, request, sent as u64).await?;
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
            same_host &= next.origin() == origin;
            url = next;
        }
        Err(redirect(format!("over {MAX_REDIRECTS} times")).into())
    }
}

/// Returns `host[:port]` of an address.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Returns `host:port` of an address, also where the port is the scheme's own, which [`authority`] leaves out.
fn with_port(url: &Url) -> Option<String> {
    let port = url.port_or_known_default()?;
    Some(format!("{}:{port}", url.host_str()?))
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn http(certificates: Vec<PathBuf>) -> Http {
        let settings = RegistrySettings {
            certificates,
            ..RegistrySettings::default()
        };
        let plain = vec!["plain.example:80".to_owned()];
        Http::new(Retry::default(), plain, settings).expect("client")
    }

    fn url(text: &str) -> Url {
        Url::parse(text).expect("address")
    }

    #[test]
    fn a_port_that_is_the_schemes_own_leads_to_the_same_host() {
        let dir = tempfile::tempdir().expect("directory");
        std::fs::create_dir(dir.path().join("reg.example:443")).expect("directory");
        std::fs::write(dir.path().join("reg.example:443/own.crt"), "x").expect("file");
        let http = http(vec![dir.path().to_owned()]);
        let table = [
            ("reg.example:443", "https://reg.example/x", true),
            ("reg.example", "https://reg.example:443/x", true),
            ("plain.example:80", "http://plain.example/x", true),
            ("127.0.0.1", "http://127.0.0.1:80/x", true),
            ("[::1]:80", "http://[::1]/x", true),
            ("reg.example:443", "https://reg.example:444/x", false),
            ("reg.example:443", "http://reg.example:443/x", false),
            ("reg.example", "https://other.example/x", false),
            ("plain.example:80", "https://plain.example/x", false),
        ];
        for (host, address, wanted) in table {
            assert_eq!(
                http.is_home(host, &url(address)),
                wanted,
                "{host} {address}"
            );
        }
        assert!(http.check_plain(&url("http://plain.example/x")).is_ok());
        assert!(http.check_plain(&url("http://plain.example:81/x")).is_err());
        let own = |address| http.authorities(&url(address)).len();
        assert_eq!(own("https://reg.example/x"), 1);
        assert_eq!(own("https://reg.example:444/x"), 0);
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_plain_text() {
        let http = http(Vec::new());
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
        assert!(http.check_plain(&url("http://169.254.169.254/x")).is_err());
        assert!(http.check_plain(&url("file:///etc/passwd")).is_err());
        assert!(http.check_plain(&url("https://cdn.example/x")).is_ok());
    }
}
