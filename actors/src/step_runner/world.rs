//! Where steps run: the environment, and each stage with an image of its own.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hd_config::step::lineage;
use hd_dag::Rooted;
use hd_projection::HostMemo;

use super::above::with_project;
use super::accounts;
use super::environment;
use super::kept::KeptStates;
use super::plan::Plan;
use super::prepare;
use super::standing::{Stand, tree_error};
use super::step::Job;
use super::wanted::Wanted;
use crate::base::{Base, Bases, skeleton};
use crate::messages::BatchError;
use crate::model::declared::Declared;
use crate::shared::Shared;

/// A base, and the facts that the steps on it have in common.
#[derive(Debug)]
pub struct World<'a> {
    /// What is below.
    pub base: &'a Base,
    /// The facts.
    pub plan: Plan,
    declared: BTreeMap<String, String>,
    /// `[environment] user`, which each step looks up in the tree it sees.
    user: Option<String>,
}

/// All worlds of a project.
#[derive(Debug)]
pub struct Worlds<'a> {
    /// That of services, and of steps that name no stage.
    pub environment: World<'a>,
    /// What the host was just found to hold.
    pub(super) host: HostMemo,
    stages: BTreeMap<&'a str, World<'a>>,
}

impl<'a> Worlds<'a> {
    /// Makes the plan of each.
    pub fn of(shared: &Shared, declared: &Declared, bases: &'a Bases) -> Result<Self, BatchError> {
        let mut stages = BTreeMap::new();
        for (name, base) in &bases.stages {
            let line = lineage(&declared.project.stages, name);
            let workdir = line.iter().find_map(|stage| stage.workdir.as_deref());
            let world = World {
                base,
                plan: prepare::stage_plan(shared, declared, base, workdir)?,
                // `[environment] env` is the environment's.
                declared: BTreeMap::new(),
                user: None,
            };
            stages.insert(name.as_str(), world);
        }
        let environment = World {
            base: &bases.environment,
            plan: prepare::plan(shared, declared, &bases.environment)?,
            declared: declared.env.clone(),
            user: declared.project.user.clone(),
        };
        Ok(Self {
            environment,
            host: HostMemo::default(),
            stages,
        })
    }

    /// Gives the world of a step.
    pub fn world(&self, step: &Wanted) -> &World<'a> {
        let stage = step.options.stage.as_deref();
        let stage = stage.and_then(|name| self.stages.get(name));
        stage.unwrap_or(&self.environment)
    }

    /// Gives all of them, that of services with no name.
    pub(super) fn all(&self) -> impl Iterator<Item = (Option<&str>, &World<'a>)> {
        let stages = self.stages.iter().map(|(name, world)| (Some(*name), world));
        stages.chain([(None, &self.environment)])
    }

    /// Gives what steps stand on before any has run, by stage.
    pub(super) fn starts(
        &self,
        shared: &Shared,
        project: Rooted,
    ) -> Result<BTreeMap<Option<String>, Stand>, BatchError> {
        self.all()
            .map(|(name, world)| Ok((name.map(str::to_owned), world.start(shared, project)?)))
            .collect()
    }
}

impl World<'_> {
    /// Gives the user that each step looks up in the tree it stands on.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Base and project before any step.
    fn start(&self, shared: &Shared, project: Rooted) -> Result<Stand, BatchError> {
        let (trees, plan) = (&*shared.trees, &self.plan);
        let image = self.base.tree().unwrap_or_else(Rooted::empty);
        let below =
            skeleton::ensure(trees, self.base, image, &plan.needed()).map_err(tree_error)?;
        let placed = (&project, &plan.workdir_path);
        let view = with_project(trees, &below, placed, plan.keeper).map_err(tree_error)?;
        Ok(Stand { view, lower: below })
    }

    /// Gives the plan of a step: that of all, or the one of its own user.
    ///
    /// Its user is looked up in the tree it stands on, so one that a step before it made is found.
    pub(super) fn plan_of(
        &self,
        shared: &Shared,
        step: &Wanted,
        stand: Stand,
    ) -> Result<Cow<'_, Plan>, BatchError> {
        let of_all = self.user.as_ref().filter(|_| self.base.is_image());
        let Some(user) = step.options.user.as_ref().or(of_all) else {
            return Ok(Cow::Borrowed(&self.plan));
        };
        let account = match self.base {
            Base::Image(image) => accounts::account_in(shared, image, stand.view, user),
            Base::Host(_) => accounts::account_of_host(self.base, user),
        };
        let account = account.map_err(|error| error.at(step.slug.clone()))?;
        if account == self.plan.account {
            return Ok(Cow::Borrowed(&self.plan));
        }
        Ok(Cow::Owned(Plan {
            environment: environment::of_step(self.base, &account, &self.declared),
            account,
            ..self.plan.clone()
        }))
    }
}

impl<'a> Job<'a> {
    /// Gets a step ready on what it stands on.
    pub(super) fn new(
        shared: &'a Shared,
        worlds: &'a Worlds<'_>,
        step: &'a Wanted,
        project: Rooted,
        stand: Stand,
        kept: KeptStates,
    ) -> Result<Self, BatchError> {
        let world = worlds.world(step);
        Ok(Self {
            shared,
            base: world.base,
            plan: world.plan_of(shared, step, stand)?,
            work: shared.session.work()?,
            step,
            project,
            stand,
            host: &worlds.host,
            kept,
        })
    }
}
