//! An actor that does what it is told, and a log of what happened.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hd_supervision::actix::fut::wrap_future;
use hd_supervision::actix::{Actor, ActorContext, AsyncContext, Context, Handler, Running};
use hd_supervision::testkit::until;
use hd_supervision::{ActorSpec, Birth, ChildSpec, Port, Root, Runtime, WhenFull, message};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What happened, in order. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, line: &str) -> usize {
        self.lines().iter().filter(|other| *other == line).count()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    /// Waits until `line` has happened `times` times.
    pub(crate) async fn wait(&self, line: &str, times: usize) {
        until(&format!("{line} × {times} in {:?}", self.lines()), || {
            self.count(line) >= times
        })
        .await;
    }
}

/// Orders for a puppet; the answer is how many of them this incarnation has had.
#[derive(Debug)]
pub(crate) enum Do {
    Nothing,
    Panic,
    /// Panic in a future of its own, after the handler has returned.
    PanicLater,
    Stop,
    StopArbiter,
}
message!(Do => u32);

/// An actor that logs its life under its name.
pub(crate) struct Puppet {
    name: Arc<str>,
    log: Log,
    had: u32,
    pub(crate) on_start: fn(&Birth),
    birth: Birth,
    /// Panic in `stopped`.
    pub(crate) bad_end: bool,
    /// How long `stopping` asks for, when not zero.
    pub(crate) linger: Duration,
    lingered: bool,
    _guard: Guard,
}

/// Logs that the fields of an actor were dropped.
struct Guard(Arc<str>, Log);

impl Drop for Guard {
    fn drop(&mut self) {
        self.1.add(format!("{} dropped", self.0));
    }
}

impl Puppet {
    pub(crate) fn new(birth: &Birth, log: &Log) -> Self {
        Self {
            name: Arc::clone(&birth.name),
            log: log.clone(),
            had: 0,
            on_start: |_| (),
            birth: birth.clone(),
            bad_end: false,
            linger: Duration::ZERO,
            lingered: false,
            _guard: Guard(Arc::clone(&birth.name), log.clone()),
        }
    }
}

impl Actor for Puppet {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.log.add(format!("{} started", self.name));
        (self.on_start)(&self.birth);
    }

    fn stopping(&mut self, ctx: &mut Context<Self>) -> Running {
        if self.linger.is_zero() || self.lingered {
            return Running::Stop;
        }
        self.lingered = true;
        self.log.add(format!("{} lingers", self.name));
        ctx.run_later(self.linger, |_, ctx| ctx.stop());
        Running::Continue
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.log.add(format!("{} stopped", self.name));
        assert!(!self.bad_end, "a bad end");
    }
}

impl Handler<Do> for Puppet {
    type Result = u32;

    fn handle(&mut self, order: Do, ctx: &mut Context<Self>) -> u32 {
        self.had += 1;
        match order {
            Do::Nothing => {}
            Do::Panic => panic!("told to panic"),
            Do::PanicLater => {
                ctx.spawn(wrap_future::<_, Self>(async {
                    panic!("told to panic later")
                }));
            }
            Do::Stop => ctx.stop(),
            Do::StopArbiter => {
                hd_supervision::actix::Arbiter::current().stop();
            }
        }
        self.had
    }
}

/// Describes a puppet and the port that moves it.
pub(crate) fn puppet(name: &str, log: &Log) -> (ActorSpec<Puppet>, Port<Do>) {
    puppet_with(name, log, |_| ())
}

pub(crate) fn puppet_with(
    name: &str,
    log: &Log,
    change: impl Fn(&mut Puppet) + Send + Sync + 'static,
) -> (ActorSpec<Puppet>, Port<Do>) {
    let port = Port::new(&format!("{name}.do"), 16, WhenFull::Await);
    let log = log.clone();
    let spec = ChildSpec::actor(name, move |birth| {
        let mut puppet = Puppet::new(birth, &log);
        change(&mut puppet);
        puppet
    });
    (spec.serves(&port), port)
}

/// Orders and waits for the answer.
pub(crate) async fn tell(port: &Port<Do>, order: Do) -> Result<u32, hd_supervision::AskError> {
    port.ask(order, 5 * SECOND).await
}

/// Waits until the puppet answers again.
pub(crate) async fn answers_again(port: &Port<Do>) -> u32 {
    for _ in 0..10_000 {
        match tell(port, Do::Nothing).await {
            Ok(had) => return had,
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    panic!("{} never answered again", port.name());
}

/// Stops the root and everything with it.
pub(crate) async fn end(root: Root, runtime: &Runtime) {
    root.stopper().stop();
    assert_eq!(root.exit().await, hd_supervision::RootExit::Stopped);
    assert!(runtime.close(5 * SECOND).await.is_empty());
}
