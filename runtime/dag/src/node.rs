//! The nodes of the graph that describes what is asked for.

use std::collections::BTreeMap;

use hd_store::{Id, NodeKind};
use serde::{Deserialize, Serialize};

use crate::canonical::{self, CanonicalError};

/// A regular file of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileNode {
    /// Content.
    pub blob: Id,
    /// Length in bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
}

/// A directory with all below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirNode {
    /// Its tree.
    pub tree: Id,
}

/// Something a package provider delivers; a base image is one too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Who delivers it, for example `oci` or `pip`.
    pub provider: String,
    /// Its name there.
    pub name: String,
    /// Its exact version.
    pub version: String,
    /// Digest of what was delivered, if known; it need not be in the store.
    pub artefact: Option<Id>,
    /// Its files, if it brings files of its own.
    pub tree: Option<Id>,
}

/// A build command as it is declared; what it reads and makes is no part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildStep {
    /// Name people know it by.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Declared environment.
    pub environment: BTreeMap<String, String>,
    /// Whatever else decides how it runs: user, workdir, network, limits and so on.
    pub settings: BTreeMap<String, String>,
    /// Place among the steps, from 0.
    pub order: u64,
}

/// An environment: the root of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Env {
    /// Its name.
    pub name: String,
    /// Ids of the nodes it consists of, in order.
    pub children: Vec<Id>,
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
}

/// A node of the graph.
///
/// Nodes are stored as objects of kind `Node`; the tag in the encoding keeps the ids of the types
/// apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    /// A regular file.
    File(FileNode),
    /// A directory.
    Dir(DirNode),
    /// A package.
    Package(Package),
    /// A build step.
    BuildStep(BuildStep),
    /// An environment.
    Env(Env),
}

impl Node {
    /// Encodes the node.
    pub fn encode(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::encode(self)
    }

    /// Decodes a node; unknown types and fields are refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, CanonicalError> {
        canonical::decode(bytes)
    }

    /// Returns the id the node is stored under.
    pub fn id(&self) -> Result<Id, CanonicalError> {
        Ok(NodeKind::Node.id_of(&self.encode()?))
    }
}
