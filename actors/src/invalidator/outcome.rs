//! What the conductor does with the outcome of a generation of steps.

use std::sync::Arc;
use std::time::Duration;

use hd_supervision::actix::{ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture};

use super::actor::{Invalidator, Why};
use super::knows::{Purpose, Succeeded};
use crate::events::Event;
use crate::finish::End;
use crate::messages::{BatchError, Origin, Paths, PathsSettled, PinRoot, PrepareView, Settled};
use crate::model::declared::Declared;
use crate::model::project_tree::ProjectTree;
use crate::model::state::Failure;
use crate::session::AtWork;

/// Pause before steps that could not run are tried again; doubled each time.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(250);
/// Most doublings of it: 32 seconds.
const DOUBLINGS_MAX: u32 = 7;
/// How often the conductor begins anew because damage was met: each time less is left of it.
const HEALS_MAX: u32 = 5;

impl Invalidator {
    /// Says whether a stored object turned out to be damaged since it was asked last: by now it is
    /// out of sight, and base, project and outputs can be read, fetched or made again.
    pub(super) fn met_damage(&mut self) -> bool {
        let met = self.shared.store.damages_met();
        if met == self.knows.damages || self.knows.healed == HEALS_MAX {
            return false;
        }
        self.knows.damages = met;
        self.knows.healed += 1;
        let note = "the store is damaged; what is lost is read, fetched or made again";
        self.shared.events.tell(Event::Note(note.to_owned()));
        true
    }

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

    /// Something but a step went wrong: told, and tried again while hd serves, so that an edit is
    /// never left behind; what needs another edit (a configuration, two steps that disagree) waits
    /// for it. At the first start it ends hd.
    pub(super) fn steps_broken(
        &mut self,
        origin: Origin,
        generation: u64,
        error: &BatchError,
        ctx: &mut Context<Self>,
    ) {
        let failure = Failure::from(error);
        self.finish_generation(generation, |state| state.error = Some(failure.clone()));
        self.knows.came_to_nothing(generation);
        let was_up = self.state.get().view.is_some();
        if self.purpose == Purpose::Once || !was_up {
            // Whoever ends says why.
            self.finish.end(End::Failed(failure));
            return;
        }
        let note = format!("the steps could not run: {error}");
        self.shared.events.tell(Event::Note(note));
        if !matches!(error.code, "config" | "step") {
            self.try_again(origin, generation, ctx);
        }
    }

    /// An edit could not be taken over: told once, while it is tried again and again, and all later ones behind it.
    pub(super) fn edit_not_taken(&mut self, error: &BatchError) {
        // There is no base yet, or the tree begins anew: it is tried again in a moment.
        if matches!(error.code, "busy" | "gone") {
            return;
        }
        let failure = Failure::from(error);
        if self.knows.not_taken.as_ref() == Some(&failure) {
            return;
        }
        self.knows.not_taken = Some(failure.clone());
        self.state.update(|state| state.error = Some(failure));
        let note = format!("an edit could not be taken over, and is tried again: {error}");
        self.shared.events.tell(Event::Note(note));
    }

    pub(super) fn edit_taken(&mut self) {
        if let Some(was) = self.knows.not_taken.take() {
            self.state.update(|state| {
                state.error.take_if(|error| *error == was);
            });
            let note = "edits are taken over again".to_owned();
            self.shared.events.tell(Event::Note(note));
        }
    }

    fn try_again(&mut self, origin: Origin, generation: u64, ctx: &mut Context<Self>) {
        let after = TRY_AGAIN_AFTER.saturating_mul(1 << self.knows.broken.min(DOUBLINGS_MAX));
        self.knows.broken += 1;
        ctx.run_later(after, move |this, ctx| {
            // Else a newer one was asked for.
            if this.knows.generation == generation {
                this.ask_again(origin, Paths::Rescan, ctx);
            }
        });
    }

    /// Asks for the steps though nobody edited anything.
    pub(super) fn ask_again(&mut self, origin: Origin, paths: Paths, ctx: &mut Context<Self>) {
        let generation = self.knows.generation;
        let again = self.advance(origin, paths, Why::Own);
        ctx.spawn(again.map(move |outcome, this, ctx| {
            if let Err(error) = outcome {
                this.steps_broken(origin, generation, &error, ctx);
            }
        }));
    }

    /// Gives what was declared when the steps were asked for last.
    pub(super) fn asked(&self) -> Arc<Declared> {
        let asked = self.knows.asked.as_ref();
        asked.map_or_else(|| self.shared.declared(), |asked| asked.declared.clone())
    }

    /// Keeps what a view is made of for whoever continues when this runtime has only built.
    pub(super) fn keep_for_a_view(&self, done: &Succeeded) {
        if let (Purpose::Once, Some(applied)) = (self.purpose, &self.knows.applied) {
            // Only one generation is made; a restarted conductor finds the same again.
            let _ = self.shared.built.set(PrepareView {
                origin: done.origin,
                declared: done.declared.clone(),
                base: done.base.clone(),
                outcome: done.outcome.clone(),
                project: applied.project,
                main: None,
            });
        }
    }
}

impl Handler<PathsSettled> for Invalidator {
    type Result = ResponseActFuture<Self, Result<Settled, BatchError>>;

    fn handle(&mut self, batch: PathsSettled, _: &mut Self::Context) -> Self::Result {
        tracing::debug!(batch = batch.origin.batch, since_event = ?batch.origin.seen_at.elapsed(), "paths settled");
        let edit = self.advance(batch.origin, batch.paths, Why::Edit);
        Box::pin(edit.map(|settled, this, _| {
            match &settled {
                Ok(_) => this.edit_taken(),
                Err(error) => this.edit_not_taken(error),
            }
            settled
        }))
    }
}
