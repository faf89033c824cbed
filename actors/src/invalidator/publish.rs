//! The conductor makes services follow: a view where another one is needed, supervisors that come and go,
//! restarts of those concerned.

use std::collections::BTreeMap;
use std::sync::Arc;

use hd_supervision::actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::actor::Invalidator;
use super::knows::{Purpose, Succeeded};
use super::{ask, impact};
use crate::finish::End;
use crate::messages::{BatchError, Origin, PinRoot, PrepareView, RestartCause, RestartFor};
use crate::model::project_tree::ProjectTree;
use crate::mount_server::view::ServiceView;
use crate::step_runner::chain::ChainOutcome;

impl Invalidator {
    pub(super) fn steps_succeeded(&mut self, done: Succeeded, ctx: &mut Context<Self>) {
        if self.knows.acting {
            self.knows.next = Some(done);
        } else {
            self.act_on(done, ctx);
        }
    }

    fn act_on(&mut self, done: Succeeded, ctx: &mut Context<Self>) {
        let Succeeded {
            origin,
            outcome,
            work,
        } = done;
        let (Some(base), Some(applied)) = (self.knows.base.clone(), self.knows.applied.clone())
        else {
            return;
        };
        let pin = PinRoot {
            root: applied.root,
            outcome: Some(outcome.clone()),
            project: ProjectTree {
                rooted: applied.project,
                size: applied.size,
            },
            saved: applied.saved,
            base: base.clone(),
            work: work.clone(),
        };
        let (edges, declared) = (self.edges.clone(), self.asked());
        let once = self.purpose == Purpose::Once;
        let same_view = self
            .knows
            .view
            .as_ref()
            .filter(|view| view.lower.tree == outcome.lower.tree && view.is_served())
            .filter(|view| view.declared.same_surroundings(&declared))
            .filter(|view| view.suits(&self.shared, applied.project))
            .cloned();
        let wish = (!once && same_view.is_none()).then(|| PrepareView {
            origin,
            declared: declared.clone(),
            base,
            outcome: outcome.clone(),
            project: applied.project,
        });
        let durable = once || wish.is_some();
        let prepared = async move {
            ask::pin(&edges, pin, durable).await?;
            let view = match wish {
                Some(wish) => Some(ask::view(&edges, wish).await?),
                None => same_view,
            };
            if let Some(roster) = &edges.roster {
                roster.follow(&declared.project).await?;
            }
            Ok((view, outcome))
        };
        self.knows.acting = true;
        ctx.spawn(prepared.into_actor(self).map(
            move |prepared: Result<_, BatchError>, this, ctx| {
                this.knows.acting = false;
                let next = this.knows.next.take();
                match prepared {
                    Ok((view, outcome)) => {
                        this.publish(origin, &outcome, view);
                        this.arm_lift(ctx);
                        // Only now does the view say by itself what it needs.
                        drop(work);
                    }
                    // What came meanwhile is found again.
                    Err(_) if this.heals(ctx) => return,
                    Err(error) => this.steps_broken(origin, &error, ctx),
                }
                if let Some(next) = next {
                    this.act_on(next, ctx);
                }
            },
        ));
    }

    fn publish(
        &mut self,
        origin: Origin,
        outcome: &Arc<ChainOutcome>,
        view: Option<Arc<ServiceView>>,
    ) {
        if let (Some(view), Some(applied)) = (&view, &self.knows.applied) {
            // Before any restart: what starts now sees the newest project.
            view.aim(applied.project);
        }
        let restarting = view
            .map(|view| self.restart(origin, outcome, view))
            .unwrap_or_default();
        let (steps, tree) = (outcome.steps.clone(), outcome.view.tree);
        let invalid = self.knows.invalid.clone();
        self.finish_generation(|state| {
            state.steps = steps;
            state.view = Some(tree);
            state.error = invalid;
        });
        self.tell_batch(origin, outcome, restarting);
        self.knows.broken = 0;
        self.knows.pending.clear();
        self.keep_for_a_view(origin, outcome);
        self.knows.outcome = Some(outcome.clone());
        self.status
            .idle(format!("generation {}", self.knows.generation));
        if self.purpose == Purpose::Once {
            self.finish.end(End::Done);
        }
    }

    /// Restarts those concerned and names them.
    fn restart(
        &mut self,
        origin: Origin,
        outcome: &ChainOutcome,
        view: Arc<ServiceView>,
    ) -> Vec<String> {
        let before = self.knows.view.replace(view.clone());
        let declared = self.asked();
        let served = self
            .edges
            .roster
            .as_ref()
            .and_then(|roster| roster.serve(declared.clone()));
        let seen = impact::View {
            now: view.lower.tree,
            anew: before.as_ref().and_then(|before| anew(before, &view)),
            before: before.map(|view| view.lower.tree),
        };
        let changed: Vec<_> = self
            .knows
            .pending
            .iter()
            .map(|change| change.path.clone())
            .collect();
        let services = &declared.project.services;
        let is_new = seen.before.is_some_and(|before| before != seen.now) && seen.anew.is_none();
        let stay = is_new && self.stay(services, &outcome.steps);
        if stay {
            self.show_suspended(services);
        }
        // With a new view all start anew, whoever changed what.
        let edits = if seen.before == Some(seen.now) && seen.anew.is_none() {
            self.edits(services, &changed)
        } else {
            BTreeMap::new()
        };
        let mut causes = match stay {
            true => BTreeMap::new(),
            false => impact::causes(services, &seen, &outcome.steps, &edits),
        };
        if let Some(served) = served {
            impact::redeclared(&served.project.services, services, &mut causes);
        }
        let restarts = causes.iter().filter(|(_, cause)| {
            // A first start is told by itself.
            !matches!(cause, RestartCause::Acted { .. } | RestartCause::Boot)
        });
        let names = restarts.map(|(name, _)| name.clone()).collect();
        for (name, cause) in causes {
            if let Some(port) = self.edges.services.restart(&name) {
                let view = view.clone();
                port.put(RestartFor {
                    origin,
                    cause,
                    view,
                });
            }
        }
        // Only now: one who falls over before has restarted nobody, and the next one does.
        self.last_view.set(view);
        names
    }
}

/// Tells why all services start anew in `now`, though its tree may be that of the view before.
fn anew(before: &Arc<ServiceView>, now: &Arc<ServiceView>) -> Option<RestartCause> {
    if Arc::ptr_eq(before, now) {
        return None;
    }
    if !before.declared.same_surroundings(&now.declared) {
        return Some(RestartCause::Changed(vec!["environment".to_owned()]));
    }
    if !before.is_served() {
        return Some(RestartCause::ViewLost);
    }
    // An output has another place.
    (before.lower.tree == now.lower.tree).then(|| RestartCause::View(Vec::new()))
}
