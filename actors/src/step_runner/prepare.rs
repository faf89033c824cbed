//! Makes the plan of a chain from settings and base: who, where, with what surroundings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use hd_config::Project;
use hd_config::step::lineage;
use hd_dag::{Entry, Rooted, Target, TreePath};
use hd_projection::{Composite, Lower};

use super::plan::{Plan, directory, downloads, real};
use super::provider::{Facts, steps};
use super::wanted::{Options, Wanted, number};
use crate::base::account::{Account, resolve};
use crate::base::host::HostBase;
use crate::base::ids::Ids;
use crate::base::{Base, Bases, pass_through, tree_path};
use crate::messages::BatchError;
use crate::model::declared::Declared;
use crate::model::settings::Settings;
use crate::shared::Shared;
use crate::step_runner::environment;

/// Largest account file that is read, in bytes.
const ACCOUNT_FILE_MAX: usize = 1 << 20;

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
        Base::Image(image) => account_in(shared, base, image.rooted, &image.user)?,
        Base::Host(_) => step_account(shared, declared, base)?,
    };
    let environment = environment::of_step(base, &account, &BTreeMap::new());
    let place = (account, base.workdir(workdir));
    common(shared, &declared.project, base, place, environment)
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

fn step_account(shared: &Shared, declared: &Declared, base: &Base) -> Result<Account, BatchError> {
    match base {
        Base::Host(host) => {
            let (uid, gid) = Ids::of(base).inside(runner(shared));
            let name = host_name(uid);
            Ok(Account {
                uid,
                gid,
                name,
                home: host.home.to_string_lossy().into_owned(),
            })
        }
        Base::Image(image) => {
            let user = declared.project.user.as_deref();
            let account = account_in(shared, base, image.rooted, user.unwrap_or(&image.user));
            match account {
                // A step may make the user: those after it look again.
                Err(_) if user.is_some() => account_in(shared, base, image.rooted, &image.user),
                account => account,
            }
        }
    }
}

/// Gives who services run as: the declared user, else the owner of the project directory.
///
/// A name is looked up in `lower`, the base with what the steps made of it.
pub fn service_account(
    shared: &Shared,
    declared: &Declared,
    (base, lower): (&Base, Rooted),
    plan: &Plan,
) -> Result<Account, BatchError> {
    match (base, declared.project.user.as_deref()) {
        (Base::Image(_), Some(user)) => account_in(shared, base, lower, user),
        (Base::Image(_), None) => {
            let (uid, gid) = runner(shared);
            if uid == plan.account.uid {
                return Ok(plan.account.clone());
            }
            let account = account_in(shared, base, lower, &format!("{uid}:{gid}"))?;
            let home = if account.home == "/" {
                "/tmp".to_owned()
            } else {
                account.home
            };
            Ok(Account { home, ..account })
        }
        (Base::Host(_), _) => Ok(plan.account.clone()),
    }
}

/// Gives the account of a service's own `user`: of the tree it sees, or of this machine.
pub fn named_account(
    shared: &Shared,
    base: &Base,
    lower: Rooted,
    user: &str,
) -> Result<Account, BatchError> {
    if base.is_image() {
        return account_in(shared, base, lower, user);
    }
    account_of_host(base, user)
}

/// Gives the account of a user of this machine.
pub fn account_of_host(base: &Base, user: &str) -> Result<Account, BatchError> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let account = resolve(user, &read("/etc/passwd"), &read("/etc/group")).map_err(|e| {
        BatchError::new("config", e.replace("the image", "this machine"))
            .hint("name a user of this machine, or a number")
    })?;
    if Ids::of(base).inside((account.uid, account.gid)).0 != account.uid {
        let message = format!("only root may run something as user `{user}` of this machine");
        return Err(BatchError::new("config", message)
            .hint("leave `user` out, or give the project a base: its users are of the image"));
    }
    // The home that the view has belongs to who runs the project.
    let home = "/tmp".to_owned();
    Ok(Account { home, ..account })
}

/// The owner of the project directory when hd is root, else the one who runs hd.
fn runner(shared: &Shared) -> (u32, u32) {
    if rustix::process::geteuid().is_root() {
        shared.project_owner()
    } else {
        (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        )
    }
}

fn host_name(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    resolve(&uid.to_string(), &passwd, "").map_or_else(|_| uid.to_string(), |account| account.name)
}

/// Gives an account by the files of a tree upon a base.
pub(super) fn account_in(
    shared: &Shared,
    base: &Base,
    tree: Rooted,
    user: &str,
) -> Result<Account, BatchError> {
    let view = shared.composite(tree, Vec::new(), Vec::new());
    let passwd = text(&view, "/etc/passwd");
    let group = text(&view, "/etc/group");
    let account = resolve(user, &passwd, &group).map_err(|e| {
        BatchError::new("config", e)
            .hint("name a user of the image, one that a step before makes (by user = \"root\"), or a number")
    })?;
    let (uid, gid) = Ids::of_images().inside((account.uid, account.gid));
    Ok(Account {
        uid,
        gid,
        home: base.home().map_or(account.home, str::to_owned),
        ..account
    })
}

fn text(view: &Composite, path: &str) -> String {
    let Some(path) = tree_path(path) else {
        return String::new();
    };
    let node = view.resolve(&path).ok().flatten();
    let content = node
        .filter(is_file)
        .and_then(|node| view.read(&node, 0, ACCOUNT_FILE_MAX).ok());
    String::from_utf8_lossy(&content.unwrap_or_default().bytes).into_owned()
}

fn is_file(node: &hd_projection::Node) -> bool {
    matches!(
        &node.source,
        hd_projection::Source::Tree {
            entry: Entry {
                target: Target::Regular { .. },
                ..
            },
            ..
        }
    )
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
