//! The DagEngine actor: the only one that changes the DAG.
//!
//! - **Owns** the project tree and the root of the Env node.
//! - **Receives** `ApplyEdits`.
//! - **Sends** nothing; it answers with what changed.
//! - **When full** the asker waits (*Await*, one at a time).
//! - **After restart** it knows no tree: the Invalidator begins again with a whole scan.

use std::sync::Arc;

use hd_dag::Rooted;
use hd_store::Id;
use hd_supervision::Status;
use hd_supervision::actix::{Actor, Context, Handler};

use super::project::{Size, advance};
use super::root::environment;
use crate::messages::{Applied, ApplyEdits, BatchError, Found};
use crate::shared::Shared;
use crate::step_runner::wanted::Wanted;

/// Applies edits to the project tree and computes the root.
#[derive(Debug)]
pub struct DagEngine {
    /// Shared handles.
    pub shared: Arc<Shared>,
    /// The steps, which the root covers.
    pub steps: Arc<Vec<Wanted>>,
    /// Where it says what it does.
    pub status: Status,
    /// The tree, its size and its root, once a scan has given them.
    pub known: Option<(Rooted, Size, Id)>,
}

impl Actor for DagEngine {
    type Context = Context<Self>;
}

impl Handler<ApplyEdits> for DagEngine {
    type Result = Result<Applied, BatchError>;

    fn handle(&mut self, message: ApplyEdits, _: &mut Self::Context) -> Self::Result {
        let trees = &*self.shared.trees;
        let failed = |e: hd_dag::TreeError| BatchError::new("store", e);
        if self.known.is_none() && matches!(message.found, Found::Some(_)) {
            return Err(BatchError::new("gone", "the project tree is not known yet"));
        }
        let (old, mut size, old_root) = match self.known {
            Some((tree, size, root)) => (tree, size, Some(root)),
            None => (Rooted::empty(), Size::default(), None),
        };
        let advanced = advance(trees, old, &message.found).map_err(failed)?;
        advanced
            .changed
            .iter()
            .for_each(|change| size.change(change));
        let settings = &self.shared.settings;
        let nodes = environment(
            &settings.project,
            &settings.declared_env,
            &message.base,
            &self.steps,
            advanced.tree.tree,
        )
        .map_err(|e| BatchError::new("internal", e))?;
        let root = nodes.save(trees).map_err(failed)?;
        self.known = Some((advanced.tree, size, root));
        self.status
            .idle(format!("{} files, root {}", size.files, root.short()));
        Ok(Applied {
            old: old_root,
            root,
            project: advanced.tree,
            changed: advanced.changed,
            files: size.files,
            bytes: size.bytes,
        })
    }
}
