//! The conductor makes services follow: a view where another one is needed, supervisors that come and go,
//! restarts of those concerned.

use std::collections::BTreeMap;
use std::sync::Arc;

use hd_config::Service;
use hd_dag::{Change, Rooted, TreePath};
use hd_supervision::actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::actor::Invalidator;
use super::knows::{Purpose, Succeeded};
use super::{ask, impact};
use crate::finish::End;
use crate::messages::{BatchError, PinRoot, PrepareView, RestartCause, RestartFor};
use crate::model::project_tree::ProjectTree;
use crate::mount_server::view::ServiceView;
use crate::mount_server::views::Views;

impl Invalidator {
    pub(super) fn steps_succeeded(&mut self, done: Succeeded, ctx: &mut Context<Self>) {
        if self.knows.acting {
            self.knows.next = Some(done);
        } else {
            self.act_on(done, ctx);
        }
    }

    fn act_on(&mut self, done: Succeeded, ctx: &mut Context<Self>) {
        let Some(applied) = self.knows.applied.clone() else {
            return;
        };
        // Not the one that is known by now: the outcome holds of this one.
        let base = done.base.clone();
        let pin = PinRoot {
            root: applied.root,
            outcome: Some(done.outcome.clone()),
            project: ProjectTree {
                rooted: applied.project,
                size: applied.size,
            },
            saved: applied.saved,
            base: base.clone(),
            work: done.work.clone(),
        };
        let once = self.purpose == Purpose::Once;
        // Before a view is wished for: who makes one follows it from then on.
        let goes_on = self.goes_on(&done, applied.project);
        let has_all = |chosen: &Chosen| chosen.views.has_all(&done.declared, &done.base);
        let wish = (!once && !goes_on.as_ref().is_some_and(has_all)).then(|| PrepareView {
            origin: done.origin,
            declared: done.declared.clone(),
            base,
            outcome: done.outcome.clone(),
            project: applied.project,
            main: goes_on.as_ref().map(|chosen| chosen.views.main.clone()),
        });
        let durable = once || wish.is_some();
        let (edges, declared) = (self.edges.clone(), done.declared.clone());
        let prepared = async move {
            ask::pin(&edges, pin, durable).await?;
            let stay = goes_on.as_ref().is_some_and(|chosen| chosen.stay);
            let view = match wish {
                Some(wish) => Some(Chosen {
                    views: ask::view(&edges, wish).await?,
                    stay,
                }),
                None => goes_on,
            };
            if let Some(roster) = &edges.roster {
                roster.follow(&declared.project).await?;
            }
            Ok(view)
        };
        self.knows.acting = true;
        ctx.spawn(prepared.into_actor(self).map(
            move |prepared: Result<_, BatchError>, this, ctx| {
                this.knows.acting = false;
                let next = this.knows.next.take();
                match prepared {
                    Ok(view) => {
                        // The work is over with it: only then does the view say by itself what it needs.
                        this.publish(done, view);
                        this.arm_lift(ctx);
                    }
                    // What came meanwhile is found again.
                    Err(_) if this.heals(ctx) => return,
                    Err(error) => this.steps_broken(done.origin, done.generation, &error, ctx),
                }
                if let Some(next) = next {
                    this.act_on(next, ctx);
                }
            },
        ));
    }

    /// Gives the views services have, if those of the environment are to go on in theirs: it shows the outcome, or the
    /// outcome is another only for what they keep writing themselves.
    fn goes_on(&mut self, done: &Succeeded, project: Rooted) -> Option<Chosen> {
        if !self.knows.views.as_ref()?.are_served() {
            // The MountServer may have made others meanwhile, and started services in them.
            let newest = self.last_view.newest();
            self.knows.views = newest.or_else(|| self.knows.views.take());
        }
        let views = self.knows.views.clone()?;
        let view = &views.main;
        let stands = view.is_served()
            && view.declared.same_surroundings(&done.declared)
            && view.suits(&self.shared, project, &done.outcome.outputs);
        if !stands {
            return None;
        }
        if view.lower.tree == done.outcome.lower.tree {
            return Some(Chosen { views, stay: false });
        }
        let services = &done.declared.project.services;
        let changes = self.knows.pending.seen_by(done.generation);
        let stay = self.stay(services, &changes, &done.outcome.steps);
        if stay {
            self.show_suspended(services);
        }
        stay.then_some(Chosen { views, stay })
    }

    fn publish(&mut self, done: Succeeded, chosen: Option<Chosen>) {
        let (origin, generation, outcome) = (done.origin, done.generation, &done.outcome);
        if let (Some(chosen), Some(applied)) = (&chosen, &self.knows.applied) {
            // Before any restart: what starts now sees the newest project.
            chosen.views.main.aim(applied.project);
        }
        let was_behind = self.knows.is_behind();
        let changes = self.knows.pending.seen_by(generation);
        let restarting = chosen
            .map(|chosen| self.restart(&done, &changes, chosen))
            .unwrap_or_default();
        let (steps, tree) = (outcome.steps.clone(), outcome.view.tree);
        // An edit that the disk did not take is one still.
        let invalid = self.knows.invalid.clone();
        let invalid = invalid.or_else(|| self.knows.not_taken.clone());
        self.state.update(|state| state.view = Some(tree));
        let is_newest = self.finish_generation(generation, |state| {
            state.steps = steps;
            state.error = invalid;
        });
        self.tell_batch(origin, &changes, outcome, restarting);
        self.knows.broken = 0;
        self.knows.pending.acted_on(generation);
        self.last_view.acted_on(done.project);
        self.keep_for_a_view(&done);
        self.knows.outcome = Some(outcome.clone());
        if was_behind && !self.knows.is_behind() {
            self.show_suspended(&done.declared.project.services);
        }
        if !is_newest {
            // The newer one has failed, and kept what services ran on before.
            self.pin_last_good(done.work);
        }
        self.status.idle(format!("generation {generation}"));
        if self.purpose == Purpose::Once {
            self.finish.end(End::Done);
        }
    }

    /// Restarts those concerned and names them.
    fn restart(&mut self, done: &Succeeded, changes: &[Change], chosen: Chosen) -> Vec<String> {
        let Chosen { views, stay } = chosen;
        let before = self.knows.views.replace(views.clone());
        let served = self
            .edges
            .roster
            .as_ref()
            .and_then(|roster| roster.serve(done.declared.clone()));
        let seen = impact::View {
            now: views.main.lower.tree,
            anew: before
                .as_ref()
                .and_then(|before| anew(&before.main, &views.main)),
            before: before.as_ref().map(|before| before.main.lower.tree),
        };
        let services = &done.declared.project.services;
        // With a new view all start anew, whoever changed what.
        let is_as_before = seen.before == Some(seen.now) && seen.anew.is_none();
        let follow = services
            .iter()
            .filter(|service| !stay && (is_as_before || service.base.is_some()));
        let follow: Vec<Service> = follow.cloned().collect();
        let changed: Vec<_> = changes.iter().map(|change| change.path.clone()).collect();
        // Nothing concerns those who stay where they are.
        let edits = match follow.is_empty() {
            true => BTreeMap::new(),
            false => self.edits(services, &follow, &changed),
        };
        let mut causes = impact::causes(services, &seen, &done.outcome.steps, &edits);
        for service in services.iter().filter(|service| service.base.is_some()) {
            causes.remove(&service.name);
            let cause = apart(service, before.as_ref(), &views, &edits);
            causes.extend(cause.map(|cause| (service.name.clone(), cause)));
        }
        if let Some(served) = served {
            impact::redeclared(&served.project.services, services, &mut causes);
        }
        let roster = self.edges.roster.as_ref();
        let restarts = causes.iter().filter(|(name, cause)| {
            // A first start is told by itself.
            let anew = !matches!(cause, RestartCause::Acted { .. } | RestartCause::Boot);
            anew && !roster.is_some_and(|roster| roster.stays_down(name, cause))
        });
        let names = restarts.map(|(name, _)| name.clone()).collect();
        let restarts = causes.into_iter().map(|(name, cause)| {
            let (origin, view) = (done.origin, views.of(&name).clone());
            (
                name,
                RestartFor {
                    origin,
                    cause,
                    view,
                },
            )
        });
        self.edges.services.restart_all(restarts.collect());
        // Only now: one who falls over before has restarted nobody, and the next one does.
        self.last_view.set(views);
        names
    }
}

/// The views services are to be in.
#[derive(Debug)]
struct Chosen {
    views: Views,
    /// Those of the environment stay in theirs, though the outcome would make another.
    stay: bool,
}

/// Tells why a service on a base of its own starts anew, if it does: no step, and no view of the others, concerns it.
fn apart(
    service: &Service,
    before: Option<&Views>,
    now: &Views,
    edits: &BTreeMap<String, Vec<TreePath>>,
) -> Option<RestartCause> {
    let was = before.and_then(|before| before.apart.get(&service.name));
    match was {
        None => Some(RestartCause::Boot),
        Some(was) if Arc::ptr_eq(was, now.of(&service.name)) => {
            impact::concerned(&service.watch, edits.get(&service.name)?)
        }
        Some(was) if !was.is_served() => Some(RestartCause::ViewLost),
        Some(was) if was.has_the_base_of(now.of(&service.name)) => Some(environment_changed()),
        Some(_) => Some(RestartCause::Changed(vec!["base".to_owned()])),
    }
}

fn environment_changed() -> RestartCause {
    RestartCause::Changed(vec!["environment".to_owned()])
}

/// Tells why all services start anew in `now`, though its tree may be that of the view before.
fn anew(before: &Arc<ServiceView>, now: &Arc<ServiceView>) -> Option<RestartCause> {
    if Arc::ptr_eq(before, now) {
        return None;
    }
    if !before.declared.same_surroundings(&now.declared) {
        return Some(environment_changed());
    }
    if !before.is_served() {
        return Some(RestartCause::ViewLost);
    }
    // An output has another place.
    (before.lower.tree == now.lower.tree).then(|| RestartCause::View(Vec::new()))
}
