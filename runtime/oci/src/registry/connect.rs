//! Clients as they are set up: TLS by rustls with ring, names by hickory-dns, proxies of the environment.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::error::RegistryError;
use super::proxies;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

pub(super) fn setup(error: impl std::fmt::Display) -> RegistryError {
    let cause = error.to_string();
    RegistryError::Setup { cause }
}

fn builder(roots: rustls::RootCertStore) -> Result<reqwest::ClientBuilder, RegistryError> {
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
        .user_agent(concat!("hd/", env!("CARGO_PKG_VERSION"))))
}

/// Makes a client for other machines, by the proxies of the environment.
pub(super) fn far(roots: rustls::RootCertStore) -> Result<reqwest::Client, RegistryError> {
    let read = |name: &str| std::env::var(name).ok();
    let builder = proxies::set(builder(roots)?, read)?;
    builder.build().map_err(setup)
}

/// Prepares a client for this machine only: no proxy, no authorities. Silence is for the caller to bound: a timeout of
/// the client's own would run while a body is sent, too.
pub(crate) fn near() -> Result<reqwest::ClientBuilder, RegistryError> {
    Ok(builder(rustls::RootCertStore::empty())?.no_proxy())
}

/// Loads the authorities of the machine (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others), or Mozilla's list where
/// there are none, as in a bare root directory.
pub(super) fn roots() -> rustls::RootCertStore {
    let mut store = rustls::RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    store
}

/// Reads the certificates of a PEM file; what is none is left out.
pub(super) fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).flatten().collect()
}
