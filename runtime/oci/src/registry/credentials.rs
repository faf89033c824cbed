//! Credentials as `docker login` and `podman login` store them: `auths`, `credHelpers`, `credsStore`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::auth::Secret;
use super::base64;
use super::helper::ask_helper;
use crate::reference::{DOCKER_HUB, DOCKER_HUB_API, Reference};

/// Says why stored credentials cannot be used. Never holds one.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file cannot be read.
    #[error("cannot read the credentials in {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what `docker login` writes.
    #[error("the credentials in {} are not valid: line {line}, column {column}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, from 1.
        column: usize,
    },
    /// A helper program failed.
    #[error("the credential helper {program} failed for {host}: {problem}")]
    Helper {
        /// The program.
        program: String,
        /// The registry.
        host: String,
        /// What happened.
        problem: String,
    },
}

/// Finds the credentials of a registry.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    files: Vec<ConfigFile>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ConfigFile {
    #[serde(deserialize_with = "or_none")]
    auths: BTreeMap<String, Option<AuthEntry>>,
    #[serde(deserialize_with = "or_none")]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

/// Reads `null` as nothing, which is how some tools write an empty list.
fn or_none<'de, D, T>(reader: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(reader)?.unwrap_or_default())
}

impl std::fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.auths.keys())
            .entries(self.cred_helpers.keys())
            .finish()
    }
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct AuthEntry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// Is what was found for a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    Password {
        user: String,
        password: Secret,
    },
    /// An OAuth2 refresh token.
    Identity(Secret),
}

impl Credentials {
    /// Uses no credentials at all.
    pub fn none() -> Credentials {
        Credentials::default()
    }

    /// Reads what there is of `$DOCKER_CONFIG/config.json` (else `~/.docker/config.json`), `$REGISTRY_AUTH_FILE`
    /// and `$XDG_RUNTIME_DIR/containers/auth.json`.
    ///
    /// # Errors
    /// Fails when a file is there but cannot be read or understood.
    pub fn discover() -> Result<Credentials, CredentialError> {
        let variable = |name: &str| {
            std::env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let docker = variable("DOCKER_CONFIG").or_else(|| Some(variable("HOME")?.join(".docker")));
        let podman = variable("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json"));
        let paths = [
            variable("REGISTRY_AUTH_FILE"),
            docker.map(|dir| dir.join("config.json")),
            podman,
        ];
        let mut credentials = Credentials::none();
        for path in paths.into_iter().flatten() {
            if path.exists() {
                credentials.add_file(&path)?;
            }
        }
        Ok(credentials)
    }

    /// Adds a file in Docker's format; files added earlier win.
    ///
    /// # Errors
    /// Fails when it cannot be read or understood.
    pub fn add_file(&mut self, path: &Path) -> Result<(), CredentialError> {
        let text = std::fs::read(path).map_err(|source| CredentialError::Read {
            path: path.to_owned(),
            source,
        })?;
        // The reader's own message could quote a secret.
        let file = serde_json::from_slice(&text).map_err(|error| CredentialError::Parse {
            path: path.to_owned(),
            line: error.line(),
            column: error.column(),
        })?;
        self.files.push(file);
        Ok(())
    }

    /// Looks the credentials for an image's registry up; the most specific entry wins.
    pub(crate) async fn find(
        &self,
        image: &Reference,
    ) -> Result<Option<Credential>, CredentialError> {
        let keys = keys(image);
        for file in &self.files {
            for key in &keys {
                let helper = file.cred_helpers.get(key);
                if let Some(helper) = helper.filter(|helper| !helper.is_empty()) {
                    return ask_helper(helper, key).await;
                }
                let entry = file.auths.iter().find(|(name, _)| bare(name) == bare(key));
                let entry = entry.and_then(|(_, entry)| entry.as_ref());
                if let Some(credential) = entry.and_then(AuthEntry::credential) {
                    return Ok(Some(credential));
                }
            }
            // Docker keeps an empty entry per host it has given to the store; other tools do not.
            let store = file.creds_store.as_ref().filter(|store| !store.is_empty());
            if let (Some(store), Some(host)) = (store, keys.last())
                && let Some(found) = ask_helper(store, host).await?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

impl AuthEntry {
    fn credential(&self) -> Option<Credential> {
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = filled(&self.identitytoken) {
            return Some(Credential::Identity(Secret(token)));
        }
        let (user, password) = match filled(&self.auth) {
            Some(encoded) => {
                let decoded = String::from_utf8(base64::decode(&encoded)?).ok()?;
                let (user, password) = decoded.split_once(':')?;
                // Docker once padded the decoded text with NULs.
                (user.to_owned(), password.trim_end_matches('\0').to_owned())
            }
            None => (filled(&self.username)?, self.password.clone()?),
        };
        let password = Secret(password);
        Some(Credential::Password { user, password })
    }
}

/// Lists the keys that may hold an image's credentials, most specific first; the last is the host's.
fn keys(image: &Reference) -> Vec<String> {
    let mut path = format!("{}/{}", image.registry(), image.repository());
    let mut keys = vec![path.clone()];
    while let Some(slash) = path.rfind('/') {
        path.truncate(slash);
        keys.push(path.clone());
    }
    if image.registry() == DOCKER_HUB {
        // What a login by the host's own name is stored under.
        keys.push(DOCKER_HUB_API.to_owned());
        keys.push("index.docker.io".to_owned());
        keys.push("https://index.docker.io/v1/".to_owned());
    }
    keys
}

/// Strips what people and old versions of Docker put around a host.
fn bare(key: &str) -> &str {
    let key = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let key = key.trim_end_matches('/');
    key.strip_suffix("/v1")
        .or_else(|| key.strip_suffix("/v2"))
        .unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(json: &str, image: &str) -> Option<Credential> {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("config.json");
        std::fs::write(&path, json).expect("file");
        let mut credentials = Credentials::none();
        credentials.add_file(&path).expect("credentials");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("runtime");
        let image = image.parse().expect("reference");
        runtime.block_on(credentials.find(&image)).expect("lookup")
    }

    fn password(user: &str, password: &str) -> Option<Credential> {
        let password = Secret(password.to_owned());
        Some(Credential::Password {
            user: user.to_owned(),
            password,
        })
    }

    #[test]
    fn entries_are_found_by_every_usual_key() {
        // bWU6cGE6c3M= is "me:pa:ss".
        let entry = r#"{"auth":"bWU6cGE6c3M="}"#;
        let table = [
            ("https://index.docker.io/v1/", "busybox", true),
            ("docker.io", "busybox", true),
            ("registry-1.docker.io", "busybox", true),
            ("localhost:5000", "localhost:5000/a/b", true),
            ("http://localhost:5000/v2/", "localhost:5000/a", true),
            ("localhost:5000/a", "localhost:5000/a/b", true),
            ("localhost:5000/a", "localhost:5000/b", false),
            ("localhost:5001", "localhost:5000/b", false),
            ("evil.example", "busybox", false),
        ];
        for (key, image, hit) in table {
            let json = format!(r#"{{"auths":{{"{key}":{entry}}}}}"#);
            let wanted = if hit { password("me", "pa:ss") } else { None };
            assert_eq!(find(&json, image), wanted, "{key} {image}");
        }
    }

    #[test]
    fn other_forms_of_an_entry_are_read() {
        let plain = r#"{"auths":{"h.io":{"username":"u","password":"p"}},"HttpHeaders":{}}"#;
        assert_eq!(find(plain, "h.io/a"), password("u", "p"));
        let token = r#"{"auths":{"h.io":{"auth":"Ojo=","identitytoken":"t"}}}"#;
        assert_eq!(
            find(token, "h.io/a"),
            Some(Credential::Identity(Secret("t".to_owned())))
        );
        assert_eq!(find(r#"{"auths":{"h.io":{}}}"#, "h.io/a"), None);
    }

    #[test]
    fn a_broken_file_is_named_without_its_content() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("config.json");
        std::fs::write(&path, r#"{"auths":{"h":{"password":"hunter2",,}}}"#).expect("file");
        let error = Credentials::none().add_file(&path).expect_err("broken");
        assert!(error.to_string().contains("config.json"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_empty_or_null_is_none() {
        let entry = r#""h.io":{"username":"u","password":"p"}"#;
        let table = [
            format!(r#"{{"auths":{{{entry}}},"credsStore":"","credHelpers":{{"h.io":""}}}}"#),
            format!(r#"{{"auths":{{{entry},"x.io":null}},"credsStore":null,"credHelpers":null}}"#),
        ];
        for json in table {
            assert_eq!(find(&json, "h.io/a"), password("u", "p"), "{json}");
        }
        assert_eq!(find(r#"{"auths":null,"credsStore":""}"#, "h.io/a"), None);
    }
}
