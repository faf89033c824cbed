//! The views that services have at one time: that of the environment, and those on bases of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use hd_config::{Project, Service, Volume, VolumeSource};
use hd_sandbox::MountNamespace;

use super::mount_points::MountPoints;
use super::prepare;
use super::view::ServiceView;
use crate::base::ids::Ids;
use crate::base::{Base, Bases};
use crate::messages::{BatchError, PrepareView};
use crate::model::declared::Declared;
use crate::shared::Shared;

/// What each service sees.
#[derive(Clone, Debug)]
pub struct Views {
    /// That of the environment.
    pub main: Arc<ServiceView>,
    /// Those of services with a base of their own, by name; replicas have one.
    pub apart: BTreeMap<String, Arc<ServiceView>>,
}

impl Views {
    /// Makes those of a wish, the first ones of a runtime that serves nothing. Blocks.
    ///
    /// # Errors
    /// Those of the first that cannot be made.
    pub fn new(shared: &Shared, wish: &PrepareView) -> Result<Self, BatchError> {
        let workshop = Workshop {
            shared,
            points: &MountPoints::default(),
            number: 1,
        };
        workshop.views(None, None, wish).map(|(_, views)| views)
    }

    /// Gives the view of a service.
    pub fn of(&self, service: &str) -> &Arc<ServiceView> {
        self.apart.get(service).unwrap_or(&self.main)
    }

    /// Gives each once.
    pub fn all(&self) -> Vec<&Arc<ServiceView>> {
        let mut all = vec![&self.main];
        for view in self.apart.values() {
            if !all.iter().any(|known| Arc::ptr_eq(known, view)) {
                all.push(view);
            }
        }
        all
    }

    /// Gives those of services with a base of their own that are shown directories of the project.
    pub(super) fn binding(&self, project: &Project) -> Vec<Arc<ServiceView>> {
        let is_of_project = |volume: &Volume| matches!(&volume.source, VolumeSource::Bind(path) if !path.starts_with(['/', '~']));
        let services = project.services.iter();
        let bind = services.filter(|one| one.volumes.iter().any(is_of_project));
        bind.filter_map(|one| self.apart.get(&one.name).cloned())
            .collect()
    }

    /// Tells whether all of them still answer.
    pub fn are_served(&self) -> bool {
        self.all().into_iter().all(|view| view.is_served())
    }

    /// Tells whether each service with a base of its own has its view, and nobody else has one.
    pub fn has_all(&self, declared: &Declared, bases: &Bases) -> bool {
        let mut apart = of_their_own(declared);
        let all = apart.all(|service| {
            let view = self.apart.get(&service.name);
            view.is_some_and(|view| view.stands_on(bases.of(service), declared))
        });
        all && of_their_own(declared).count() == self.apart.len()
    }

    /// Gives those that are not among others, each once.
    pub(super) fn without(&self, others: Option<&Self>) -> Vec<Arc<ServiceView>> {
        let kept = others.map(Self::all).unwrap_or_default();
        let is_kept = |view: &Arc<ServiceView>| kept.iter().any(|kept| Arc::ptr_eq(kept, view));
        let all = self.all().into_iter();
        all.filter(|view| !is_kept(view)).cloned().collect()
    }
}

impl ServiceView {
    /// Tells whether a service that stands on this base now may go on in it.
    fn stands_on(&self, base: &Base, declared: &Declared) -> bool {
        let (was, now) = (&self.declared.project, &declared.project);
        let around = (&was.name, was.options.view) == (&now.name, now.options.view);
        self.is_on(base) && around && self.is_served()
    }

    /// Tells whether it stands on the same image as another.
    pub fn has_the_base_of(&self, other: &Self) -> bool {
        self.is_on(&other.base)
    }

    fn is_on(&self, base: &Base) -> bool {
        match (&self.base, base) {
            (Base::Image(was), Base::Image(now)) => was == now,
            _ => false,
        }
    }
}

fn of_their_own(declared: &Declared) -> impl Iterator<Item = &Service> {
    let services = declared.project.services.iter();
    services.filter(|service| service.base.is_some())
}

/// Where views are made.
pub(super) struct Workshop<'a> {
    pub(super) shared: &'a Shared,
    pub(super) points: &'a MountPoints,
    /// Which views these are: no two have the same number.
    pub(super) number: u64,
}

impl Workshop<'_> {
    /// Makes the views of a wish in a namespace of those before, if it has the ids; of those before, what still
    /// stands is taken over. Blocks.
    ///
    /// # Errors
    /// Those of the first that cannot be made, which leaves nothing that is new.
    pub(super) fn views(
        &self,
        namespace: Option<Arc<MountNamespace>>,
        before: Option<&Views>,
        wish: &PrepareView,
    ) -> Result<(Arc<MountNamespace>, Views), BatchError> {
        let namespace = self.namespace(namespace, &wish.base.environment)?;
        let main = match &wish.main {
            Some(main) => main.clone(),
            None => {
                let (shared, points) = (self.shared, self.points);
                let view = prepare::view(shared, namespace.clone(), points, wish, self.number)?;
                Arc::new(view)
            }
        };
        let mut views = Views {
            main,
            apart: BTreeMap::new(),
        };
        for service in of_their_own(&wish.declared) {
            match self.apart(&namespace, before, &views, (service, wish)) {
                Ok(view) => drop(views.apart.insert(service.name.clone(), view)),
                Err(error) => {
                    self.discard(views, before, wish.main.as_ref());
                    return Err(error);
                }
            }
        }
        Ok((namespace, views))
    }

    fn apart(
        &self,
        namespace: &Arc<MountNamespace>,
        before: Option<&Views>,
        now: &Views,
        (service, wish): (&Service, &PrepareView),
    ) -> Result<Arc<ServiceView>, BatchError> {
        let base = wish.base.of(service);
        let declared = &wish.declared;
        let of_replicas = |views: &Views| {
            let mut names = declared.project.named(service.declared());
            names.find_map(|one| views.apart.get(&one.name).cloned())
        };
        let known = of_replicas(now).or_else(|| before.and_then(of_replicas));
        if let Some(view) = known.filter(|view| view.stands_on(base, declared)) {
            return Ok(view);
        }
        let namespace = self.namespace(Some(namespace.clone()), base)?;
        let dir = format!("view-{}-{}", self.number, service.declared());
        let view = prepare::apart(self.shared, namespace, self.points, declared, (base, dir))?;
        Ok(Arc::new(view))
    }

    /// Gives a namespace that has the ids of a base.
    fn namespace(
        &self,
        known: Option<Arc<MountNamespace>>,
        base: &Base,
    ) -> Result<Arc<MountNamespace>, BatchError> {
        let ids = Ids::of(base);
        match known.filter(|made| prepare::suits(made, &ids)) {
            Some(namespace) => Ok(namespace),
            None => prepare::namespace(self.shared, &ids).map(Arc::new),
        }
    }

    /// Takes away what was made for a wish that comes to nothing.
    fn discard(&self, views: Views, before: Option<&Views>, main: Option<&Arc<ServiceView>>) {
        let mut made = views.without(before);
        drop(views);
        made.retain(|view| main.is_none_or(|main| !Arc::ptr_eq(main, view)));
        for view in made.into_iter().filter_map(Arc::into_inner) {
            prepare::retire_unused(self.shared, view);
        }
    }
}
