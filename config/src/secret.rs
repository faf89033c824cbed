//! Secrets as they are declared: where a value comes from, never the value.

/// `[secrets.NAME]`: a value that steps may read and that is kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Its name: `a-z`, `0-9`, `_`, `-`; steps read `/run/secrets/NAME`.
    pub name: String,
    /// Where the value comes from.
    pub source: SecretSource,
}

/// Where the value of a secret comes from, on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A variable of the environment in which `hd` was started.
    Env(String),
    /// A file: absolute, below `~/`, or relative to the project, whose tree then leaves it out.
    File(String),
}
