//! Supervisors under a tree whose processes are played.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hd_config::{Condition, DependsOn, Service};
use hd_store::Id;
use hd_supervision::actix::{Context, Handler};
use hd_supervision::{Port, Root, RootExit, Strategy, TreeSpec, WhenFull, block_on, message};

use super::actor::ServiceSupervisor;
use super::fake_tests::{Fakes, World};
use super::memory::Wish;
use super::ports;
use crate::messages::{Origin, RestartCause};

/// Longest wait for anything.
pub(super) const SOON: Duration = Duration::from_secs(20);

message!(Wish);

impl Handler<Wish> for ServiceSupervisor {
    type Result = ();

    fn handle(&mut self, wish: Wish, ctx: &mut Context<Self>) {
        self.wished(wish, ctx);
    }
}

/// Supervisors of fakes.
pub(super) struct Play {
    pub(super) world: World,
    pub(super) fakes: BTreeMap<String, Fakes>,
    wishes: BTreeMap<String, Port<Wish>>,
    root: Root,
}

impl Play {
    pub(super) fn new(mut services: Vec<Service>) -> Self {
        for service in &mut services {
            service.backoff.min_delay = Duration::from_millis(5);
            service.backoff.max_delay = Duration::from_millis(20);
            service.backoff.max = Some(3);
        }
        let world = World::new(services.clone());
        let (mut fakes, mut wishes) = (BTreeMap::new(), BTreeMap::new());
        let mut tree = TreeSpec::new("services", Strategy::OneForOne).stop_together();
        for service in &services {
            let parts = ports::parts(&world.context, &service.name).unwrap();
            let wish = Port::new("wish", 4, WhenFull::Await);
            tree = tree.child(ports::spec(parts, world.context.lane).serves(&wish));
            fakes.insert(service.name.clone(), Fakes::default());
            wishes.insert(service.name.clone(), wish);
        }
        let root = tree.start(&world.context.runtime).unwrap();
        Self {
            world,
            fakes,
            wishes,
            root,
        }
    }

    pub(super) fn ports(&self, service: &str) -> ports::ServicePorts {
        self.world.context.directory.ports(service).unwrap()
    }

    pub(super) fn fakes(&self, service: &str) -> Fakes {
        self.fakes[service].clone()
    }

    pub(super) async fn wish(&self, service: &str, cause: RestartCause, seen_at: Instant) {
        let spawner = std::sync::Arc::new(self.fakes(service));
        let wish = Wish {
            origin: Origin { batch: 1, seen_at },
            cause,
            view: Id::of(b"view"),
            spawner,
        };
        self.wishes[service].ask(wish, SOON).await.unwrap();
    }

    pub(super) async fn boot(&self, service: &str) {
        self.wish(service, RestartCause::Boot, Instant::now()).await;
    }

    pub(super) async fn edit(&self, service: &str) {
        self.wish(service, RestartCause::Watched(Vec::new()), Instant::now())
            .await;
    }

    pub(super) async fn end(self) {
        self.root.stopper().stop();
        assert_eq!(self.root.exit().await, RootExit::Stopped);
        assert!(self.world.context.runtime.close(SOON).await.is_empty());
        for fakes in self.fakes.values().filter(|fakes| fakes.count() > 0) {
            assert!(
                fakes.latest().ended().is_some(),
                "a process outlives the runtime"
            );
        }
    }
}

pub(super) fn play<F: Future<Output = ()>>(services: Vec<Service>, test: impl FnOnce(Play) -> F) {
    block_on(async { test(Play::new(services)).await }).unwrap();
}

pub(super) fn web() -> Service {
    Service::new("web", "serve")
}

pub(super) fn needs(mut service: Service, name: &str, condition: Condition) -> Service {
    service.depends_on.push(DependsOn {
        service: name.to_owned(),
        condition,
    });
    service
}
