//! What a tree needs to know to build a child again and again.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::{Actor, Context, Handler};
use tokio::sync::{mpsc, oneshot};

use crate::exit::{ChildDown, Exit};
use crate::lane::Lane;
use crate::life::{Life, Order, Report, Seed};
use crate::mailbox::{Mailbox, Owner};
use crate::observe::{Board, Status};
use crate::policy::Restart;
use crate::port::{Mail, Port};
use crate::runtime::Runtime;
use crate::tree::{Event, TreeSpec};

/// How long a child may take to stop unless its spec says otherwise.
pub const GRACE: Duration = Duration::from_secs(5);

/// What a factory is told about the incarnation it builds.
#[derive(Clone, Debug)]
pub struct Birth {
    /// The name of the child.
    pub name: Arc<str>,
    /// How often the child was rebuilt before; the mail of those incarnations is lost.
    pub restarts: u32,
    /// Where the actor publishes what it is doing.
    pub status: Status,
}

impl Birth {
    /// Tells whether an earlier incarnation may have left work undone.
    #[must_use]
    pub fn is_restart(&self) -> bool {
        self.restarts > 0
    }
}

/// Says how long a child may take to stop.
pub(crate) type Grace = Arc<dyn Fn() -> Duration + Send + Sync>;

/// A child of a tree: an actor, from [`ChildSpec::actor`], or a nested [`TreeSpec`]. Clones mean the same child.
#[derive(Clone)]
pub struct ChildSpec {
    /// Tells this spec from another one with the same name.
    pub(crate) id: u64,
    pub(crate) name: Arc<str>,
    pub(crate) restart: Restart,
    pub(crate) lane: Lane,
    pub(crate) grace: Grace,
    pub(crate) start: Start,
}

#[derive(Clone)]
pub(crate) enum Start {
    Actor(Arc<dyn Fn(Launch<'_>) + Send + Sync>),
    Tree(TreeSpec),
}

/// All that is needed to set one incarnation of an actor going.
pub(crate) struct Launch<'a> {
    runtime: &'a Runtime,
    lane: Lane,
    orders: mpsc::UnboundedReceiver<Order>,
    report: Report,
}

impl ChildSpec {
    /// Describes an actor, built by `factory` on its lane at each (re)start.
    pub fn actor<A, F>(name: &str, factory: F) -> ActorSpec<A>
    where
        A: Actor<Context = Context<A>>,
        F: Fn(&Birth) -> A + Send + Sync + 'static,
    {
        ActorSpec {
            name: name.into(),
            restart: Restart::Permanent,
            lane: Lane::Main,
            grace: Arc::new(|| GRACE),
            factory: Arc::new(factory),
            ports: Vec::new(),
        }
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn new(
        name: Arc<str>,
        restart: Restart,
        lane: Lane,
        grace: Grace,
        start: Start,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            name,
            restart,
            lane,
            grace,
            start,
        }
    }

    /// Takes the child, or the actors of the tree, off the board.
    pub(crate) fn forget(&self, board: &Board) {
        match &self.start {
            Start::Actor(_) => board.forget(&self.name),
            Start::Tree(tree) => tree.forget(board),
        }
    }

    /// Starts an incarnation that reports to `tree`.
    pub(crate) fn launch(
        &self,
        epoch: u64,
        tree: &mpsc::UnboundedSender<Event>,
        runtime: &Runtime,
    ) -> Running {
        let (over, ended) = oneshot::channel();
        let report = Report {
            down: ChildDown {
                child: Arc::clone(&self.name),
                epoch,
                exit: Exit::Vanished,
            },
            tree: tree.clone(),
            line: None,
            _over: over,
        };
        let control = match &self.start {
            Start::Actor(start) => {
                let (control, orders) = mpsc::unbounded_channel();
                start(Launch {
                    runtime,
                    lane: self.lane,
                    orders,
                    report,
                });
                Control::Actor(control)
            }
            Start::Tree(tree) => Control::Tree(tree.start_nested(report, runtime)),
        };
        Running { control, ended }
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("name", &self.name)
            .field("restart", &self.restart)
            .field("lane", &self.lane)
            .field("grace", &(self.grace)())
            .finish_non_exhaustive()
    }
}

/// An incarnation as its tree holds it. Dropped with its tree, it takes the child along.
pub(crate) struct Running {
    pub(crate) control: Control,
    /// Resolves when the incarnation is over, whatever way.
    pub(crate) ended: oneshot::Receiver<()>,
}

pub(crate) enum Control {
    /// Dropping it kills the actor.
    Actor(mpsc::UnboundedSender<Order>),
    Tree(mpsc::UnboundedSender<Event>),
}

impl Running {
    /// Asks the child to stop; it may be over already.
    pub(crate) fn ask_to_stop(&self) {
        match &self.control {
            Control::Actor(orders) => drop(orders.send(Order::Stop)),
            Control::Tree(events) => drop(events.send(Event::Stop)),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.control, Control::Tree(_)) {
            self.ask_to_stop();
        }
    }
}

type Bind<A> = Arc<dyn Fn(&Arc<Mailbox<A>>) + Send + Sync>;

/// An actor on its way to become a [`ChildSpec`]: permanent, on the main lane, [`GRACE`] to stop.
pub struct ActorSpec<A: Actor<Context = Context<A>>> {
    name: Arc<str>,
    restart: Restart,
    lane: Lane,
    grace: Grace,
    factory: Arc<dyn Fn(&Birth) -> A + Send + Sync>,
    ports: Vec<Bind<A>>,
}

impl<A: Actor<Context = Context<A>>> ActorSpec<A> {
    /// Lets each incarnation serve `port`, from before it is built.
    #[must_use]
    pub fn serves<M>(mut self, port: &Port<M>) -> Self
    where
        A: Handler<M>,
        M: Mail,
    {
        let port = port.clone();
        self.ports
            .push(Arc::new(move |mailbox| port.bind_mailbox(mailbox)));
        self
    }

    /// Sets when the actor is rebuilt.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// Sets where it runs.
    #[must_use]
    pub fn lane(mut self, lane: Lane) -> Self {
        self.lane = lane;
        self
    }

    /// Sets how long it may take to stop before it is dropped; asked for when it is to stop.
    #[must_use]
    pub fn grace(mut self, grace: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        self.grace = Arc::new(grace);
        self
    }
}

impl<A: Actor<Context = Context<A>>> From<ActorSpec<A>> for ChildSpec {
    fn from(spec: ActorSpec<A>) -> Self {
        let ActorSpec { factory, ports, .. } = spec;
        let start = Start::Actor(Arc::new(move |launch| {
            launch_actor(launch, &factory, &ports)
        }));
        Self::new(spec.name, spec.restart, spec.lane, spec.grace, start)
    }
}

fn launch_actor<A: Actor<Context = Context<A>>>(
    launch: Launch<'_>,
    factory: &Arc<dyn Fn(&Birth) -> A + Send + Sync>,
    ports: &[Bind<A>],
) {
    let Launch {
        runtime,
        lane,
        orders,
        mut report,
    } = launch;
    let name = Arc::clone(&report.down.child);
    let mailbox = Owner::new();
    let cell = runtime.board().cell(&name);
    let (number, probes) = cell.born(mailbox.share());
    report.line = Some((cell, number));
    for bind in ports {
        bind(&mailbox.share());
    }
    let birth = Birth {
        name: Arc::clone(&name),
        restarts: number - 1,
        status: runtime.board().status(&name),
    };
    let factory = Arc::clone(factory);
    let seed = Seed {
        build: Box::new(move || factory(&birth)),
        mailbox,
        orders,
        probes,
        report,
    };
    let start = move || drop(tokio::task::spawn_local(Life::new(seed)));
    let started = runtime.lanes().run(lane, start);
    if let Err(error) = started {
        tracing::error!(%name, ?lane, %error, "cannot start the lane");
    }
}

impl<A: Actor<Context = Context<A>>> fmt::Debug for ActorSpec<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorSpec")
            .field("name", &self.name)
            .field("restart", &self.restart)
            .field("lane", &self.lane)
            .field("grace", &(self.grace)())
            .finish_non_exhaustive()
    }
}
