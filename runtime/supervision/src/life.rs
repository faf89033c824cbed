//! One incarnation of an actor: built on its lane, run until it ends, and always reported.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use actix::dev::ContextFut;
use actix::{Actor, ActorContext, AsyncContext, Context};
use tokio::sync::{mpsc, oneshot};

use crate::exit::{ChildDown, Exit};
use crate::mailbox::{Owner, Pump};
use crate::observe::{Cell, Probe};
use crate::panics::{self, Label};
use crate::tree::Event;

/// What a tree tells a child that is an actor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// Stop when ready: `Actor::stopping` may ask for time by answering `Running::Continue`.
    Stop,
    /// Be dropped at once.
    Kill,
}

/// Says how a child ended when dropped, so that no end goes unreported.
pub(crate) struct Report {
    pub(crate) down: ChildDown,
    pub(crate) tree: mpsc::UnboundedSender<Event>,
    pub(crate) line: Option<(Arc<Cell>, u32)>,
    /// Dropped with the report: whoever waits for the end sees it closed.
    pub(crate) _over: oneshot::Sender<()>,
}

impl Report {
    /// Reports `exit`.
    pub(crate) fn end(mut self, exit: Exit) {
        self.down.exit = exit;
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if let Some((cell, number)) = &self.line {
            cell.died(*number, &self.down.exit);
        }
        // Fails only when the tree itself is gone.
        let _ = self.tree.send(Event::Down(self.down.clone()));
    }
}

/// Builds the actor of one incarnation.
pub(crate) type Build<A> = Box<dyn FnOnce() -> A + Send>;

/// An incarnation on its way to its lane. Lost on the way, it closes its mail and reports itself.
pub(crate) struct Seed<A: Actor> {
    pub(crate) build: Build<A>,
    pub(crate) mailbox: Owner<A>,
    pub(crate) orders: mpsc::UnboundedReceiver<Order>,
    pub(crate) probes: mpsc::Receiver<Probe>,
    pub(crate) report: Report,
}

enum Stage<A: Actor<Context = Context<A>>> {
    Unborn(Build<A>),
    Alive(Box<ContextFut<A, Context<A>>>),
    Over,
}

/// The task that runs one incarnation.
pub(crate) struct Life<A: Actor<Context = Context<A>>> {
    stage: Stage<A>,
    mailbox: Owner<A>,
    orders: mpsc::UnboundedReceiver<Order>,
    probes: mpsc::Receiver<Probe>,
    report: Report,
}

impl<A: Actor<Context = Context<A>>> Life<A> {
    pub(crate) fn new(seed: Seed<A>) -> Self {
        Self {
            stage: Stage::Unborn(seed.build),
            mailbox: seed.mailbox,
            orders: seed.orders,
            probes: seed.probes,
            report: seed.report,
        }
    }

    fn step(&mut self, task: &mut TaskContext<'_>) -> Poll<Exit> {
        let mut told_to_stop = false;
        while let Poll::Ready(order) = self.orders.poll_recv(task) {
            match order {
                Some(Order::Stop) => told_to_stop = true,
                // Without a tree nobody would ever stop this actor.
                Some(Order::Kill) | None => return Poll::Ready(Exit::Vanished),
            }
        }
        if let Stage::Unborn(_) = self.stage {
            if told_to_stop {
                return Poll::Ready(Exit::Normal);
            }
            self.be_born();
        }
        let Stage::Alive(actor) = &mut self.stage else {
            return Poll::Ready(Exit::Vanished);
        };
        if told_to_stop {
            actor.ctx().stop();
        }
        self.mailbox.begin_turn();
        let polled = Pin::new(actor).poll(task);
        self.answer_probes(task);
        ready!(polled);
        Poll::Ready(Exit::Normal)
    }

    fn be_born(&mut self) {
        if let Stage::Unborn(build) = std::mem::replace(&mut self.stage, Stage::Over) {
            let mut ctx = Context::new();
            ctx.spawn(Pump {
                mailbox: self.mailbox.share(),
            });
            self.stage = Stage::Alive(Box::new(ctx.into_future(build())));
        }
    }

    fn answer_probes(&mut self, task: &mut TaskContext<'_>) {
        let free = self.mailbox.was_visited();
        while let Poll::Ready(Some(probe)) = self.probes.poll_recv(task) {
            // The asker may have given up already.
            let _ = probe.send(free);
        }
    }

    /// Releases the actor and notes how it ended.
    ///
    /// An actor that did not end by itself is not asked anything any more: only its fields are
    /// dropped. This happens outside of unwinding, so that a second panic cannot abort the process.
    fn bury(&mut self, exit: Exit) {
        let _label = Label::enter(&self.report.down.child);
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        let mailbox = self.mailbox.share();
        let ended_itself = exit.is_normal();
        let released = catch_unwind(AssertUnwindSafe(move || {
            mailbox.close();
            if let Stage::Alive(mut actor) = stage
                && !ended_itself
            {
                actor.ctx().terminate();
            }
        }));
        self.report.down.exit = match released {
            Err(payload) if exit.is_normal() => Exit::Panicked(panics::describe(&*payload)),
            _ => exit,
        };
    }
}

impl<A: Actor<Context = Context<A>>> Future for Life<A> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<()> {
        let life = self.get_mut();
        let label = Label::enter(&life.report.down.child);
        let exit = match catch_unwind(AssertUnwindSafe(|| life.step(task))) {
            Ok(step) => ready!(step),
            Err(payload) => Exit::Panicked(panics::describe(&*payload)),
        };
        drop(label);
        life.bury(exit);
        Poll::Ready(())
    }
}

impl<A: Actor<Context = Context<A>>> Drop for Life<A> {
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Over) {
            self.bury(Exit::Vanished);
        }
    }
}
