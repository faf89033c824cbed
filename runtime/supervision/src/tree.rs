//! Trees of children: what they consist of, and how they change while they run.

mod supervise;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::child::{ChildSpec, Start};
use crate::exit::{ChildDown, Exit};
use crate::lane::Lane;
use crate::life::Report;
use crate::lock;
use crate::observe::Board;
use crate::policy::{Backoff, Intensity, Restart, Strategy};
use crate::root::Root;
use crate::runtime::Runtime;
use supervise::Supervisor;
pub(crate) use supervise::Verdict;

/// What the supervising task of a tree is told. Bounded by the number of children and of callers.
#[derive(Debug)]
pub(crate) enum Event {
    Down(ChildDown),
    /// The roster changed: start what is new, stop what is gone, then say so.
    Reconcile(oneshot::Sender<()>),
    Stop,
}

/// Two children would have the same name, by which status and reports tell them apart.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("child name {name} is taken")]
pub struct NameTaken {
    /// The name that is there twice.
    pub name: Arc<str>,
}

/// The children as they are wanted; outlives restarts of the tree.
#[derive(Default)]
struct Roster {
    children: Vec<ChildSpec>,
    /// The last incarnation of the tree, and what it runs in.
    tree: Option<(mpsc::UnboundedSender<Event>, Runtime)>,
}

/// A tree: children started in order and stopped in reverse, a strategy, and a budget of restarts.
///
/// A tree that spends its budget stops its children and ends as [`Exit::Escalated`], an ordinary end
/// of a child for the tree around it. Clones mean the same tree.
#[derive(Clone)]
pub struct TreeSpec {
    name: Arc<str>,
    strategy: Strategy,
    intensity: Intensity,
    backoff: Backoff,
    restart: Restart,
    stop_together: bool,
    roster: Arc<Mutex<Roster>>,
}

impl TreeSpec {
    /// Creates a tree without children, permanent within the tree around it.
    #[must_use]
    pub fn new(name: &str, strategy: Strategy) -> Self {
        Self {
            name: name.into(),
            strategy,
            intensity: Intensity::default(),
            backoff: Backoff::default(),
            restart: Restart::Permanent,
            stop_together: false,
            roster: Arc::default(),
        }
    }

    /// Adds an actor or a tree after those added before; it may rely on them.
    #[must_use]
    pub fn child(self, child: impl Into<ChildSpec>) -> Self {
        lock(&self.roster).children.push(child.into());
        self
    }

    /// Sets how many restarts are allowed; three in five seconds by default.
    #[must_use]
    pub fn intensity(mut self, intensity: Intensity) -> Self {
        self.intensity = intensity;
        self
    }

    /// Sets the pauses before restarts.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets when the whole tree is rebuilt by the tree around it.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// Lets all children stop at the same time instead of one after the other.
    #[must_use]
    pub fn stop_together(mut self) -> Self {
        self.stop_together = true;
        self
    }

    /// Returns a handle that adds and removes children while the tree runs, and over its restarts.
    #[must_use]
    pub fn branch(&self) -> Branch {
        Branch {
            name: Arc::clone(&self.name),
            roster: Arc::clone(&self.roster),
        }
    }

    /// Starts the tree as the root; call it inside [`block_on`](crate::block_on).
    ///
    /// All children are bound to their ports when this returns.
    ///
    /// # Errors
    /// When a name occurs twice anywhere in the tree.
    pub fn start(&self, runtime: &Runtime) -> Result<Root, NameTaken> {
        self.check_names(&mut BTreeSet::new())?;
        let supervisor = Supervisor::start(self, runtime);
        let events = supervisor.events();
        let (ended, exit) = oneshot::channel();
        tokio::task::spawn_local(async move {
            // Whoever started the root may not wait for it.
            let _ = ended.send(supervisor.run().await);
        });
        Ok(Root::new(events, runtime.clone(), exit))
    }

    pub(crate) fn start_nested(
        &self,
        report: Report,
        runtime: &Runtime,
    ) -> mpsc::UnboundedSender<Event> {
        let supervisor = Supervisor::start(self, runtime);
        let events = supervisor.events();
        tokio::task::spawn_local(async move {
            // Cut short, the task drops the report as it is: `Vanished`.
            report.end(match supervisor.run().await {
                Verdict::Stopped => Exit::Normal,
                Verdict::GaveUp(cause) => Exit::Escalated(cause),
            });
        });
        events
    }

    pub(crate) fn forget(&self, board: &Board) {
        let children = lock(&self.roster).children.clone();
        children.iter().for_each(|child| child.forget(board));
    }

    fn check_names(&self, seen: &mut BTreeSet<Arc<str>>) -> Result<(), NameTaken> {
        let children = lock(&self.roster).children.clone();
        for child in children {
            if !seen.insert(Arc::clone(&child.name)) {
                return Err(NameTaken { name: child.name });
            }
            if let Start::Tree(tree) = &child.start {
                tree.check_names(seen)?;
            }
        }
        Ok(())
    }
}

impl From<TreeSpec> for ChildSpec {
    fn from(tree: TreeSpec) -> Self {
        // A tree bounds its own stop by the graces of its children.
        let grace = std::time::Duration::MAX;
        Self::new(
            Arc::clone(&tree.name),
            tree.restart,
            Lane::Main,
            Arc::new(move || grace),
            Start::Tree(tree),
        )
    }
}

impl fmt::Debug for TreeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeSpec")
            .field("name", &self.name)
            .field("strategy", &self.strategy)
            .field("children", &lock(&self.roster).children)
            .finish_non_exhaustive()
    }
}

/// Adds and removes children of a tree at run time. Clones mean the same tree.
#[derive(Clone)]
pub struct Branch {
    name: Arc<str>,
    roster: Arc<Mutex<Roster>>,
}

impl Branch {
    /// Adds a child at the end and returns once it is bound to its ports.
    ///
    /// While the tree is down the child is only noted, and started with the tree.
    ///
    /// # Errors
    /// When the tree has a child, or the whole system an actor, of that name.
    pub async fn add(&self, child: impl Into<ChildSpec>) -> Result<(), NameTaken> {
        let child = child.into();
        {
            let mut roster = lock(&self.roster);
            let here = roster.children.iter().any(|other| other.name == child.name);
            let elsewhere = |(_, runtime): &(_, Runtime)| runtime.board().contains(&child.name);
            if here || roster.tree.as_ref().is_some_and(elsewhere) {
                return Err(NameTaken { name: child.name });
            }
            roster.children.push(child);
        }
        self.reconcile().await;
        Ok(())
    }

    /// Removes a child and returns once it has stopped; tells whether there was one of that name.
    pub async fn remove(&self, name: &str) -> bool {
        {
            let children = &mut lock(&self.roster).children;
            let before = children.len();
            children.retain(|child| &*child.name != name);
            if children.len() == before {
                return false;
            }
        }
        self.reconcile().await;
        true
    }

    /// Returns the names of the children, in start order.
    #[must_use]
    pub fn names(&self) -> Vec<Arc<str>> {
        let roster = lock(&self.roster);
        roster
            .children
            .iter()
            .map(|child| Arc::clone(&child.name))
            .collect()
    }

    async fn reconcile(&self) {
        let tree = lock(&self.roster).tree.clone();
        let (done, reconciled) = oneshot::channel();
        if tree.is_some_and(|(tree, _)| tree.send(Event::Reconcile(done)).is_ok()) {
            // A tree that ends instead has stopped its children, and reads the roster when it is back.
            let _ = reconciled.await;
        }
    }
}

impl fmt::Debug for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Branch")
            .field("tree", &self.name)
            .finish_non_exhaustive()
    }
}
