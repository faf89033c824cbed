//! What a build step produced, as its history keeps it.

use hd_store::Id;
use serde::{Deserialize, Serialize};

use crate::canonical::{self, CanonicalError};
use crate::times::Rooted;

/// A result of a step; its encoding is the payload of the store's history under [`key`](Self::key).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepResult {
    /// What the step is: see DESIGN §5, "Key".
    pub key: Id,
    /// Its observations, an object of kind `Trace`.
    pub trace: Id,
    /// The layer it wrote.
    pub output: Rooted,
    /// Files that it wrote anew with what they held, or touched: nothing but their times is new. They stand
    /// beside the layer, so that they replace nothing that a step beside this one wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub touched: Option<Rooted>,
    /// The tree it ran on. The store keeps this tree's nodes, but neither its blobs nor its
    /// times: it serves to be compared, not to be read.
    pub made_on: Rooted,
    /// Its output on the terminal, a blob.
    pub log: Option<Id>,
    /// When it ended, milliseconds since 1970.
    pub made_at_unix_ms: u64,
    /// How long it ran, in milliseconds.
    pub ms: u64,
    /// Whether it observed files of the host itself, which no tree covers. Left out of the encoding when
    /// true, as results say that were stored before this was known.
    #[serde(default = "presumably", skip_serializing_if = "is_true")]
    pub host: bool,
}

fn presumably() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_true(host: &bool) -> bool {
    *host
}

impl StepResult {
    /// Encodes the result.
    pub fn encode(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::encode(self)
    }

    /// Decodes a result; unknown fields are refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, CanonicalError> {
        canonical::decode(bytes)
    }
}
