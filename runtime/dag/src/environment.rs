//! The root of an environment: what is asked for, in one id.

use std::collections::BTreeMap;

use hd_store::{Id, NodeKind};

use crate::canonical::CanonicalError;
use crate::node::{BuildStep, DirNode, Env, Node, Package};
use crate::trees::{TreeError, Trees};

/// What an environment is made of.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// The base image; none for the host's own system.
    pub base: Option<Package>,
    /// Declared packages in their order.
    pub packages: Vec<Package>,
    /// The project's files.
    pub project: Option<Id>,
    /// Build steps in their order.
    pub steps: Vec<BuildStep>,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
}

/// An environment's nodes, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentNodes {
    /// Id of the last node, the environment: the root.
    pub root: Id,
    /// Ids and bytes, children before the environment.
    pub nodes: Vec<(Id, Vec<u8>)>,
}

/// Computes the root of an environment with the nodes it stands on.
///
/// It covers base, packages, project tree and the definition of each step, never what steps made
/// or observed: it is known a moment after an edit.
pub fn environment_root(environment: &Environment) -> Result<EnvironmentNodes, CanonicalError> {
    let base = environment.base.iter().cloned().map(Node::Package);
    let packages = environment.packages.iter().cloned().map(Node::Package);
    let project = environment.project.map(|tree| Node::Dir(DirNode { tree }));
    let steps = environment.steps.iter().cloned().map(Node::BuildStep);
    let mut nodes = Vec::new();
    for node in base.chain(packages).chain(project).chain(steps) {
        nodes.push(encoded(&node)?);
    }
    let env = Node::Env(Env {
        name: environment.name.clone(),
        children: nodes.iter().map(|(id, _)| *id).collect(),
        environment: environment.environment.clone(),
    });
    let last = encoded(&env)?;
    let root = last.0;
    nodes.push(last);
    Ok(EnvironmentNodes { root, nodes })
}

fn encoded(node: &Node) -> Result<(Id, Vec<u8>), CanonicalError> {
    let bytes = node.encode()?;
    Ok((NodeKind::Node.id_of(&bytes), bytes))
}

impl EnvironmentNodes {
    /// Saves the nodes and returns the root.
    pub fn save(&self, trees: &dyn Trees) -> Result<Id, TreeError> {
        for (_, bytes) in &self.nodes {
            trees.save(NodeKind::Node, bytes)?;
        }
        Ok(self.root)
    }
}
