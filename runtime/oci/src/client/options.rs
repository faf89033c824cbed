//! How a client goes about its work.

use crate::layer::Limits;
use crate::platform::Platform;
use crate::registry::{Credentials, RegistryError, RegistrySettings, Retry};

/// Is how a [`Client`] goes about its work.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// What to show to registries.
    pub credentials: Credentials,
    /// Registries, as `host[:port]`, that may be spoken to without TLS; those on this machine always are.
    pub plain_http: Vec<String>,
    /// What the machine says about registries: mirrors, authorities, those without TLS.
    pub registries: RegistrySettings,
    /// The platform to choose images for.
    pub platform: Platform,
    /// Bounds on each layer.
    pub limits: Limits,
    /// Layers fetched at a time; each takes a few MiB of memory.
    pub parallel: usize,
    /// What to do about failures that may pass.
    pub retry: Retry,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            credentials: Credentials::none(),
            plain_http: Vec::new(),
            registries: RegistrySettings::default(),
            platform: Platform::host(),
            limits: Limits::default(),
            parallel: 3,
            retry: Retry::default(),
        }
    }
}

impl ClientOptions {
    /// Takes what this machine says: credentials, `registries.conf`, `certs.d`, and `HD_REGISTRY_TIMEOUT`, the
    /// seconds of silence after which a transfer has failed; what is sent may be answered later. Proxies are taken
    /// from `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, also in small letters; one that is empty hides no
    /// other.
    ///
    /// # Errors
    /// Fails when one of these is there but cannot be read or understood.
    pub fn discover() -> Result<ClientOptions, RegistryError> {
        let mut options = ClientOptions {
            credentials: Credentials::discover()?,
            registries: RegistrySettings::discover()?,
            ..ClientOptions::default()
        };
        let variable = "HD_REGISTRY_TIMEOUT";
        if let Some(text) = std::env::var(variable).ok().filter(|text| !text.is_empty()) {
            let seconds = text.parse().ok().filter(|seconds| *seconds > 0);
            let cause = format!("{variable} is `{text}`, wanted are seconds");
            let seconds = seconds.ok_or(RegistryError::Setup { cause })?;
            options.retry.silence = std::time::Duration::from_secs(seconds);
        }
        Ok(options)
    }
}
