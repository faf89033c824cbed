//! What the conductor does with the outcome of a generation of steps.

use std::sync::Arc;

use super::actor::Invalidator;
use super::impact;
use super::knows::Purpose;
use crate::messages::{Origin, PinRoot, PrepareView, RestartCause, RestartFor};
use crate::model::project_tree::ProjectTree;
use crate::mount_server::view::ServiceView;
use crate::session::AtWork;
use crate::step_runner::chain::ChainOutcome;

impl Invalidator {
    /// After a failure: the project as it is now stays, and so does what the services run on.
    pub(super) fn pin_last_good(&self, work: Arc<AtWork>) {
        let (Some(base), Some(applied)) = (&self.knows.base, &self.knows.applied) else {
            return;
        };
        if self.purpose == Purpose::Once {
            // Nobody goes on from here; the next command looks at everything again.
            return;
        }
        let pin = PinRoot {
            root: applied.root,
            outcome: self.knows.outcome.clone(),
            project: ProjectTree {
                rooted: applied.project,
                size: applied.size,
            },
            saved: applied.saved,
            base: base.clone(),
            work,
        };
        if let Err(refused) = self.edges.pin.offer(pin) {
            tracing::warn!(%refused, "the root is not pinned; the next one will be");
        }
    }

    /// Keeps what a view is made of for whoever continues when this runtime has only built.
    pub(super) fn keep_for_a_view(&self, origin: Origin, outcome: &Arc<ChainOutcome>) {
        if let (Purpose::Once, Some(base), Some(applied)) =
            (self.purpose, &self.knows.base, &self.knows.applied)
        {
            // Only one generation is made; a restarted conductor finds the same again.
            let _ = self.shared.built.set(PrepareView {
                origin,
                base: base.clone(),
                outcome: outcome.clone(),
                project: applied.project,
            });
        }
    }

    /// Restarts those concerned and names them.
    pub(super) fn restart(
        &mut self,
        origin: Origin,
        outcome: &ChainOutcome,
        view: Arc<ServiceView>,
    ) -> Vec<String> {
        let before = self.knows.view.replace(view.clone());
        let seen = impact::View {
            before: before.map(|view| view.lower.tree),
            now: view.lower.tree,
        };
        let changed: Vec<_> = self
            .knows
            .pending
            .iter()
            .map(|change| change.path.clone())
            .collect();
        let services = &self.shared.settings.project.services;
        let causes = impact::causes(services, &seen, &outcome.steps, &changed);
        let restarts = causes
            .iter()
            .filter(|(_, cause)| !matches!(cause, RestartCause::Acted { .. }));
        let names = restarts.map(|(name, _)| name.clone()).collect();
        for (name, cause) in causes {
            if let Some(port) = self.edges.services.get(&name) {
                let view = view.clone();
                port.put(RestartFor {
                    origin,
                    cause,
                    view,
                });
            }
        }
        names
    }
}
