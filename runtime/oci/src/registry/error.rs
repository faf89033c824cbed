//! What a registry or the way to it can do to us, in words that name place, cause and next step.

use std::error::Error as StdError;
use std::io;

use crate::digest::Digest;
use crate::reference::{DOCKER_HUB, DOCKER_HUB_API};

/// Says why a registry did not give what was asked of it. Holds no address with a query, no header, no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Credentials are missing or wrong (401).
    #[error(
        "registry {} wants credentials for {what} (401{detail}); {}",
        known_as(.host),
        login_hint(.host, .given)
    )]
    Unauthorized {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// Credentials had been given.
        given: bool,
        /// What the registry says about it.
        detail: String,
    },
    /// The credentials do not suffice (403).
    #[error(
        "registry {} refuses access to {what} (403{detail}); check the rights of the account",
        known_as(.host)
    )]
    Forbidden {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// What the registry says about it.
        detail: String,
    },
    /// There is no such thing (404).
    #[error("registry {} has no {what} (404{detail}); check name and tag", known_as(.host))]
    NotFound {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// What the registry says about it.
        detail: String,
    },
    /// The registry goes on refusing for too many requests (429).
    #[error(
        "registry {} limits requests (429) and still did after {tries} tries; log in, or wait",
        known_as(.host)
    )]
    RateLimited {
        /// The registry.
        host: String,
        /// Tries made.
        tries: u32,
    },
    /// An answer that is no use.
    #[error(
        "registry {host} answered {status} to the request for {what}{detail}, in {tries} tries"
    )]
    Status {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// HTTP status.
        status: u16,
        /// What the registry says about it.
        detail: String,
        /// Tries made.
        tries: u32,
    },
    /// The answer does not come from a registry.
    #[error(
        "{host} answered the request for {what} with `{content_type}`: this is no registry, \
         or a proxy or login page stands between"
    )]
    NotARegistry {
        /// The host.
        host: String,
        /// What was asked for.
        what: String,
        /// Media type of the answer.
        content_type: String,
    },
    /// The host has no address.
    #[error(
        "registry {host} is unknown: no address found for the name; check the name and the network"
    )]
    UnknownHost {
        /// The host.
        host: String,
    },
    /// Nothing listens there.
    #[error("registry {host} refused the connection: nothing listens there")]
    Refused {
        /// The host.
        host: String,
    },
    /// The TLS session could not be set up.
    #[error(
        "no secure connection to registry {host}: {cause}; put its authority into /etc/docker/certs.d/{host}/ca.crt"
    )]
    Tls {
        /// The host.
        host: String,
        /// What the TLS library says.
        cause: String,
    },
    /// The connection broke or could not be made.
    #[error("the connection to registry {host} failed in {tries} tries: {cause}")]
    Connection {
        /// The host.
        host: String,
        /// What happened.
        cause: String,
        /// Tries made.
        tries: u32,
    },
    /// Redirections go in circles or to where they must not.
    #[error("registry {host} redirects the request for {what} {problem}")]
    Redirect {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// What is wrong.
        problem: String,
    },
    /// A transfer ended early, again and again, or crawls.
    #[error("{what} from registry {host} {problem}: {got} of {size} bytes came")]
    Incomplete {
        /// The registry.
        host: String,
        /// What was transferred.
        what: String,
        /// How it failed.
        problem: String,
        /// Bytes that came.
        got: u64,
        /// Bytes there should be.
        size: u64,
    },
    /// The bytes are not those that were promised.
    #[error(
        "{what} from registry {host} has digest {found}, wanted was {wanted}; nothing was stored"
    )]
    WrongDigest {
        /// The registry.
        host: String,
        /// What was transferred.
        what: String,
        /// Digest of what came.
        found: Digest,
        /// Digest asked for.
        wanted: Digest,
    },
    /// There are more or fewer bytes than promised.
    #[error(
        "{what} from registry {host} has {found} bytes, wanted were {wanted}; nothing was stored"
    )]
    WrongSize {
        /// The registry.
        host: String,
        /// What was transferred.
        what: String,
        /// Bytes that came or were announced.
        found: u64,
        /// Bytes wanted.
        wanted: u64,
    },
    /// A manifest is longer than any should be.
    #[error("{what} from registry {host} is longer than {limit} bytes; nothing was stored")]
    TooLong {
        /// The registry.
        host: String,
        /// What was transferred.
        what: String,
        /// Most bytes that are taken.
        limit: usize,
    },
    /// What is to be sent cannot be read.
    #[error("{what} cannot go on: the file cannot be read: {cause}")]
    Unsent {
        /// What is sent.
        what: String,
        /// Why.
        cause: String,
    },
    /// The token server's answer cannot be used.
    #[error("the token server {realm} of registry {host} gave no usable answer: {problem}")]
    Token {
        /// The registry.
        host: String,
        /// Host of the token server.
        realm: String,
        /// What is wrong.
        problem: String,
    },
    /// Stored credentials cannot be used.
    #[error(transparent)]
    Credentials(#[from] super::credentials::CredentialError),
    /// The machine's settings cannot be used.
    #[error(transparent)]
    Settings(#[from] super::settings::SettingsError),
    /// The machine's settings forbid it.
    #[error("{image} is blocked by registries.conf")]
    Blocked {
        /// The image.
        image: String,
    },
    /// The HTTP client could not be set up.
    #[error("the HTTP client cannot be set up: {cause}")]
    Setup {
        /// What is wrong.
        cause: String,
    },
}

/// Returns a registry's name as people write it.
fn known_as(host: &str) -> &str {
    match host {
        DOCKER_HUB_API => DOCKER_HUB,
        other => other,
    }
}

fn login_hint(host: &str, given: &bool) -> String {
    // Docker Hub is the one that `docker login` means by itself; under another name it would not be found again.
    let login = match host {
        DOCKER_HUB_API => "docker login".to_owned(),
        other => format!("docker login {other}"),
    };
    if *given {
        format!("those found were not accepted: `{login}` renews them")
    } else {
        format!("`{login}` stores them; a public image may be misspelt")
    }
}

/// Returns what is at the bottom of an error: the layers above it only say that something failed.
pub(crate) fn first_cause(error: &(dyn StdError + 'static)) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

/// Sorts a failed connection by its cause. `Ok` is worth another try.
pub(super) fn classify(host: &str, error: reqwest::Error) -> Result<String, RegistryError> {
    let host = host.to_owned();
    let error = error.without_url();
    let mut texts = Vec::new();
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if let Some(cause) = tls_fault(inner) {
            return Err(RegistryError::Tls { host, cause });
        }
        let io = inner.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused) {
            return Err(RegistryError::Refused { host });
        }
        let text = inner.to_string();
        if error.is_connect() && text.contains("dns error") {
            return Err(RegistryError::UnknownHost { host });
        }
        texts.push(text);
        cause = inner.source();
    }
    Ok(texts.pop().unwrap_or_else(|| "no cause given".to_owned()))
}

/// Finds what TLS has against a connection. An I/O error wraps causes that its `source` does not show.
fn tls_fault(error: &(dyn StdError + 'static)) -> Option<String> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls.to_string());
    }
    let wrapped = error.downcast_ref::<io::Error>()?.get_ref()?;
    tls_fault(wrapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_hub_is_called_as_people_call_it() {
        let refused = |given| RegistryError::Unauthorized {
            host: DOCKER_HUB_API.to_owned(),
            what: "docker.io/library/busybux:latest".to_owned(),
            given,
            detail: String::new(),
        };
        let text = refused(false).to_string();
        assert!(text.starts_with("registry docker.io wants"), "{text}");
        assert!(text.contains("`docker login` stores"), "{text}");
        assert!(text.contains("may be misspelt"), "{text}");
        let text = refused(true).to_string();
        assert!(text.contains("`docker login` renews"), "{text}");
    }
}
