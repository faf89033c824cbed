//! What becomes of a step.

use hd_dag::{Rooted, StepResult};
use hd_store::Id;

use super::basis::Chosen;
use super::chain::StepFailure;
use super::run::Kept;
use crate::model::report::StepReport;

/// What became of a step.
pub(super) enum Made {
    /// It is true.
    Done(Done),
    /// Its command failed.
    Failed(Done, StepFailure),
    /// It was killed for a newer chain.
    Cancelled,
}

/// What a step leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Output {
    /// Its changes as a layer.
    pub(super) layer: Rooted,
    /// Files that have nothing new but their times.
    pub(super) touched: Option<Rooted>,
}

impl Output {
    /// Gives that of a stored result.
    pub(super) fn of(result: &StepResult) -> Self {
        Self {
            layer: result.output,
            touched: result.touched,
        }
    }

    /// Gives the trees it consists of.
    pub(super) fn trees(self) -> impl Iterator<Item = Rooted> {
        std::iter::once(self.layer).chain(self.touched)
    }
}

/// A step that came to its end.
pub(super) struct Done {
    pub(super) report: StepReport,
    /// What it leaves; nothing when it failed.
    pub(super) output: Option<Output>,
    /// The stored trace of its result.
    pub(super) trace: Option<Id>,
    /// Kept directories after a run; nothing when a result was valid.
    pub(super) kept: Vec<Kept>,
    /// The view its command ran in, with the times it was shown.
    pub(super) seen: Rooted,
    /// Where the output came from; nothing when it is not stored as a result.
    pub(super) chosen: Option<Chosen>,
}
