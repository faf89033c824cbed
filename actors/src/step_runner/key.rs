//! The key of a step: everything that is declared about it and nothing that is observed.
//!
//! Results are looked up by it; which of them is valid is decided by their observations.

use std::collections::BTreeMap;

use hd_store::Id;
use serde::Serialize;

/// Version of the trace format; results of another version are never compared.
pub const TRACE_FORMAT: u32 = 1;

/// Version of the way in which kept directories become part of a result; of no concern where none is kept.
pub const KEPT_FORMAT: u32 = 2;

/// Declared facts of a step (DESIGN §5, "Key").
///
/// Not in it, on purpose: proxy, certificate and package-index settings, resolv.conf, time, and
/// what the network answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepKey {
    /// The command as written.
    pub command: String,
    /// Whole environment of the command without pass-through, PATH and HOME included.
    pub environment: BTreeMap<String, String>,
    /// Who runs it: `root`, `owner` (the project directory's), or the image's user.
    pub user: String,
    /// Other groups of that user.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<u32>,
    /// How ids inside map to ids outside: `root`, `range` or `single`.
    pub id_map: String,
    /// Directory in which it starts.
    pub workdir: String,
    /// `host` or `none`.
    pub network: String,
    /// Limits set on it, as text.
    pub limits: String,
    /// Whether a base image was given; the host is another world.
    pub based: bool,
    /// Places of the host that show through: one that comes is seen by what found nothing there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shown: Vec<String>,
    /// Machine architecture.
    pub architecture: String,
    /// [`TRACE_FORMAT`].
    pub trace_format: u32,
    /// What of its changes is kept; all when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<String>,
    /// Names of its secrets; what they hold is no part of anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Where its named caches show: what lies there is no part of what it leaves. What they hold is in no key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub caches: Vec<String>,
    /// Whose files count as nobody's in what it leaves, where that is not who runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keeper: Option<(u32, u32)>,
    /// Kept directories of `[build] cache`, each with the tree that earlier steps of the chain
    /// put there. They are not traced, so what flows through them is declared here.
    pub cache: BTreeMap<String, Option<Id>>,
    /// [`KEPT_FORMAT`], where directories are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_format: Option<u32>,
}

impl StepKey {
    /// Gives the id under which results are kept.
    ///
    /// JSON of a struct with sorted maps is deterministic; it is only hashed, never read back.
    pub fn id(&self) -> Id {
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        Id::derive("hd 2026 step key v1", &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> StepKey {
        StepKey {
            command: "make".into(),
            environment: BTreeMap::from([("PATH".into(), "/bin".into())]),
            user: "owner".into(),
            groups: Vec::new(),
            id_map: "root".into(),
            workdir: "/workspace".into(),
            network: "host".into(),
            limits: String::new(),
            based: false,
            shown: Vec::new(),
            architecture: "x86_64".into(),
            trace_format: TRACE_FORMAT,
            outputs: Vec::new(),
            secrets: Vec::new(),
            caches: Vec::new(),
            keeper: None,
            cache: BTreeMap::new(),
            kept_format: None,
        }
    }

    #[test]
    fn every_declared_fact_changes_the_id() {
        let changes: [fn(&mut StepKey); 15] = [
            |k| k.groups.push(33),
            |k| k.command.push('!'),
            |k| drop(k.environment.insert("A".into(), "b".into())),
            |k| k.user = "root".into(),
            |k| k.workdir = "/src".into(),
            |k| k.network = "none".into(),
            |k| k.limits = "nofile=1".into(),
            |k| k.based = true,
            |k| k.trace_format += 1,
            |k| k.outputs.push("dist".into()),
            |k| k.secrets.push("token".into()),
            |k| k.caches.push("deps".into()),
            |k| k.keeper = Some((33, 33)),
            |k| k.kept_format = Some(KEPT_FORMAT),
            |k| k.cache.extend([("dist".to_owned(), None)]),
        ];
        for change in changes {
            let mut other = key();
            change(&mut other);
            assert_ne!(key().id(), other.id());
        }
        assert_eq!(key().id(), key().id());
    }
}
