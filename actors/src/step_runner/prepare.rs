//! Makes the plan of a chain from settings and base: who, where, with what surroundings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use hd_config::Project;
use hd_config::step::lineage;
use hd_dag::TreePath;

use super::accounts::{account_in, step_account};
use super::plan::{Plan, directory, downloads, real};
use super::provider::{Facts, steps};
use super::wanted::{Options, Wanted, number};
use crate::base::account::Account;
use crate::base::host::HostBase;
use crate::base::ids::Ids;
use crate::base::{Base, Bases, pass_through};
use crate::messages::BatchError;
use crate::model::declared::Declared;
use crate::model::settings::Settings;
use crate::shared::Shared;
use crate::step_runner::environment;

/// Gives the steps: dependencies first, then `[build]`, numbered in order.
pub fn wanted(
    settings: &Settings,
    project: &Project,
    based: bool,
) -> Result<Vec<Wanted>, BatchError> {
    let mut all = steps(&project.dependencies, &HostFacts { settings, based })?;
    let dependencies = all.len();
    for step in &project.steps {
        all.push(Wanted {
            slug: step.slug.clone(),
            is_named: step.is_named,
            command: step.run.clone(),
            options: Options::of(step)?,
            ..Wanted::default()
        });
    }
    number(&mut all, dependencies, &project.stages);
    Ok(all)
}

struct HostFacts<'a> {
    settings: &'a Settings,
    based: bool,
}

impl Facts for HostFacts<'_> {
    fn based(&self) -> bool {
        self.based
    }

    fn has_file(&self, path: &str) -> bool {
        self.settings.project_dir.join(path).is_file()
    }

    fn missing_packages(&self, packages: &[String]) -> Vec<String> {
        let installed = |package: &String| {
            let name = package.split(['=', '/']).next().unwrap_or(package);
            let query = Command::new("dpkg-query")
                .args(["-W", "-f", "${Status}", "--", name])
                .output();
            query.is_ok_and(|out| out.status.success() && out.stdout.ends_with(b" installed"))
        };
        packages
            .iter()
            .filter(|package| !installed(package))
            .cloned()
            .collect()
    }
}

/// Gives every directory at which a step may see the project, each once.
pub fn workdirs(
    shared: &Shared,
    declared: &Declared,
    bases: &Bases,
) -> Result<BTreeSet<TreePath>, BatchError> {
    let project = &declared.project;
    let place = |base: &Base, declared| {
        let dir = directory(&base.workdir(declared))?;
        real(&*shared.trees, base, dir)
    };
    let stage = |(name, base): (&String, &Base)| {
        let line = lineage(&project.stages, name);
        place(base, line.iter().find_map(|stage| stage.workdir.as_deref()))
    };
    let own = place(&bases.environment, project.workdir.as_deref());
    bases.stages.iter().map(stage).chain([own]).collect()
}

/// Makes the plan.
pub fn plan(shared: &Shared, declared: &Declared, base: &Base) -> Result<Plan, BatchError> {
    let project = &declared.project;
    let workdir = base.workdir(project.workdir.as_deref());
    let account = step_account(shared, declared, base)?;
    let environment = environment::of_step(base, &account, &declared.env);
    let place = (account, workdir);
    Ok(Plan {
        cache: cache(project)?,
        ..common(shared, project, base, place, environment)?
    })
}

/// Makes the plan of a stage: nothing of `[environment]` holds there.
pub fn stage_plan(
    shared: &Shared,
    declared: &Declared,
    base: &Base,
    workdir: Option<&str>,
) -> Result<Plan, BatchError> {
    let account = match base {
        Base::Image(image) => account_in(shared, image, image.rooted, &image.user)?,
        Base::Host(_) => step_account(shared, declared, base)?,
    };
    let environment = environment::of_step(base, &account, &BTreeMap::new());
    let place = (account, base.workdir(workdir));
    common(shared, &declared.project, base, place, environment)
}

/// Makes the plan of a service that stands on a base of its own: of `[environment]` and the project nothing is there.
pub fn apart_plan(shared: &Shared, declared: &Declared, base: &Base) -> Result<Plan, BatchError> {
    let workdir = match base {
        Base::Image(image) => image.workdir.as_deref(),
        Base::Host(_) => None,
    };
    let workdir = workdir.filter(|dir| directory(dir).is_ok());
    Ok(Plan {
        // What it downloads is kept in its write layer, or in a volume, as everywhere for an image.
        downloads: Vec::new(),
        // A directory that every view has.
        ..stage_plan(shared, declared, base, Some(workdir.unwrap_or("/tmp")))?
    })
}

fn common(
    shared: &Shared,
    project: &Project,
    base: &Base,
    (account, workdir): (Account, String),
    environment: BTreeMap<String, String>,
) -> Result<Plan, BatchError> {
    let (settings, trees) = (&shared.settings, &*shared.trees);
    let ca = pass_through::ca_bundle(&settings.host_env);
    let home = directory(&account.home).or_else(|_| directory("/root"))?;
    let home_path = real(trees, base, home)?;
    Ok(Plan {
        workdir_path: real(trees, base, directory(&workdir)?)?,
        downloads: downloads(trees, base, &home_path)?,
        home_path,
        environment,
        passed: pass_through::variables(&settings.host_env, ca.is_some()),
        ca,
        based: base.is_image(),
        shown: shown(base),
        cache: Vec::new(),
        caches: project.caches.clone(),
        jobs: jobs(settings, project),
        ids: Ids::of(base),
        keeper: (account.uid, account.gid),
        account,
        workdir,
    })
}

/// The places of the host that steps may look at.
fn shown(base: &Base) -> Vec<String> {
    let observed = base.grafts().into_iter().filter(|graft| graft.observed);
    observed.map(|graft| format!("/{}", graft.at)).collect()
}

/// How many steps may run at a time: as asked for, else as many as there are processors.
fn jobs(settings: &Settings, project: &Project) -> usize {
    let asked = settings.jobs.or(project.options.jobs);
    asked
        .or_else(|| std::thread::available_parallelism().ok())
        .map_or(1, usize::from)
}

fn cache(project: &Project) -> Result<Vec<TreePath>, BatchError> {
    let parse = |dir: &String| {
        TreePath::new(dir.trim_matches('/').as_bytes()).map_err(|e| BatchError::new("config", e))
    };
    project.cache.iter().map(parse).collect()
}

/// Gives the host as the base.
pub fn host_base(settings: &Settings) -> HostBase {
    let path = settings.host_env.get("PATH").map_or("", String::as_str);
    HostBase::detect(path, home(settings))
}

fn home(settings: &Settings) -> &Path {
    settings
        .host_env
        .get("HOME")
        .map_or(Path::new(crate::base::ROOT_HOME), Path::new)
}
