//! The DagEngine actor: the only one that changes the DAG.
//!
//! - **Owns** the project tree and the root of the Env node.
//! - **Receives** `ApplyEdits`.
//! - **Sends** nothing; it answers with what changed.
//! - **When full** the asker waits (*Await*, one at a time).
//! - **After restart** it knows no tree: the Invalidator begins again with a whole scan.

use std::sync::Arc;

use hd_store::Id;
use hd_supervision::Status;
use hd_supervision::actix::{Actor, Context, Handler};

use super::project::advance;
use super::root::environment;
use crate::messages::{Applied, ApplyEdits, BatchError, Found};
use crate::model::project_tree::ProjectTree;
use crate::shared::Shared;

/// Applies edits to the project tree and computes the root.
#[derive(Debug)]
pub struct DagEngine {
    /// Shared handles.
    pub shared: Arc<Shared>,
    /// Where it says what it does.
    pub status: Status,
    /// The tree and the root, once a scan has given them.
    pub known: Option<(ProjectTree, Id)>,
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
        let (old, old_root) = self.known.unzip();
        let advanced = advance(trees, old, &message.found).map_err(failed)?;
        let project = advanced.project;
        let declared = self.shared.declared();
        let nodes = environment(
            &declared.project,
            &declared.env,
            &message.base,
            &declared.steps,
            project.rooted.tree,
        )
        .map_err(|e| BatchError::new("internal", e))?;
        let root = nodes.save(trees).map_err(failed)?;
        self.known = Some((project, root));
        let files = project.size.files;
        self.status
            .idle(format!("{files} files, root {}", root.short()));
        Ok(Applied {
            old: old_root,
            root,
            project: project.rooted,
            changed: advanced.changed,
            size: project.size,
            saved: message.saved,
        })
    }
}
