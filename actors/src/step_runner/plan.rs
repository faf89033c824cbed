//! What a step is in the environment at hand: everything declared about it, made concrete.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hd_config::NamedCache;
use hd_dag::{Rooted, TreePath, Trees};
use hd_projection::{Graft, Owner};
use hd_store::Id;

use super::key::{KEPT_FORMAT, StepKey, TRACE_FORMAT};
use super::standing::tree_error;
use super::wanted::Wanted;
use crate::base::account::Account;
use crate::base::ids::Ids;
use crate::base::skeleton::{self, Needed};
use crate::base::{Base, tree_path};
use crate::messages::BatchError;

/// Directories below home that hold downloads: private to the instance, never part of it.
const DOWNLOADS: [&str; 4] = [".cache", ".npm", ".cargo/registry", ".cargo/git"];

/// Facts that all steps of a chain have in common.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who steps run as.
    pub account: Account,
    /// Which ids there are.
    pub ids: Ids,
    /// Whose the files of project and home are where a tree says nobody's: user and group.
    pub keeper: (u32, u32),
    /// Working directory inside, absolute.
    pub workdir: String,
    /// The same as a tree path, links of the base followed.
    pub workdir_path: TreePath,
    /// Home directory inside as a tree path, links of the base followed.
    pub home_path: TreePath,
    /// Where downloads are kept, links of the base followed, and a file name for each.
    pub downloads: Vec<(TreePath, String)>,
    /// Environment of every step.
    pub environment: BTreeMap<String, String>,
    /// Settings passed through outside the key.
    pub passed: BTreeMap<String, String>,
    /// The host's certificate bundle.
    pub ca: Option<PathBuf>,
    /// Whether an image is the base.
    pub based: bool,
    /// Places of the host that show through, as absolute paths.
    pub shown: Vec<String>,
    /// Directories of `[build] cache`, relative to the working directory.
    pub cache: Vec<TreePath>,
    /// `[build.caches]`.
    pub caches: Vec<NamedCache>,
    /// How many steps may run at a time.
    pub jobs: usize,
}

impl Plan {
    /// Gives what the tree must have before mounts can be made in it.
    pub fn needed(&self) -> Needed {
        Needed {
            workdir: self.workdir_path.clone(),
            home: self.home_path.clone(),
            caches: self.downloads.iter().map(|(at, _)| at.clone()).collect(),
        }
    }

    /// Gives whose the unowned files are for the one who runs a step: the project is always his.
    pub fn owners(&self) -> Vec<Owner> {
        let Account { uid, gid, .. } = self.account;
        self.owned_by((uid, gid))
    }

    /// Gives whose files count as nobody's in what a step leaves.
    pub fn unowned(&self) -> Vec<Owner> {
        self.owned_by(self.keeper)
    }

    fn owned_by(&self, (uid, gid): (u32, u32)) -> Vec<Owner> {
        let owner = |at: &TreePath, (uid, gid)| Owner {
            at: at.clone(),
            uid,
            gid,
        };
        let home = owner(&self.home_path, self.keeper);
        vec![owner(&self.workdir_path, (uid, gid)), home]
    }

    /// Gives the key of a step; `upstream` are the kept directories as the steps below left them.
    pub fn key(&self, step: &Wanted, upstream: &BTreeMap<TreePath, Id>) -> StepKey {
        let cache = self
            .cache
            .iter()
            .map(|dir| (dir.to_string(), upstream.get(dir).copied()))
            .collect();
        StepKey {
            command: step.command.clone(),
            environment: self.declared(step),
            user: format!("{}:{}", self.account.uid, self.account.gid),
            groups: self.account.groups.clone(),
            id_map: self.ids.kind().to_owned(),
            workdir: self.workdir_of(step),
            network: step.options.network.as_str().to_owned(),
            limits: String::new(),
            based: self.based,
            shown: self.shown.clone(),
            architecture: std::env::consts::ARCH.to_owned(),
            trace_format: TRACE_FORMAT,
            outputs: step
                .options
                .outputs
                .iter()
                .map(TreePath::to_string)
                .collect(),
            secrets: step.options.secrets.clone(),
            caches: self.cache_paths(step),
            keeper: Some(self.keeper)
                .filter(|keeper| *keeper != (self.account.uid, self.account.gid)),
            kept_format: (!self.cache.is_empty()).then_some(KEPT_FORMAT),
            cache,
        }
    }

    /// Gives where the named caches of a step show, sorted: below home or the working directory, or absolute.
    fn cache_paths(&self, step: &Wanted) -> Vec<String> {
        let is_its = |cache: &&NamedCache| step.options.caches.contains(&cache.name);
        let mut paths: Vec<String> = self
            .caches
            .iter()
            .filter(is_its)
            .map(|cache| match cache.path.strip_prefix('~') {
                Some(below) => format!("/{}{below}", self.home_path),
                None => cache.path.clone(),
            })
            .collect();
        paths.sort();
        paths
    }

    /// Gives the declared environment of a step: its own beats that of all steps.
    fn declared(&self, step: &Wanted) -> BTreeMap<String, String> {
        let mut env = self.environment.clone();
        env.extend(step.options.env.clone());
        env
    }

    /// Gives the whole environment of a step.
    pub fn full_environment(&self, step: &Wanted) -> BTreeMap<String, String> {
        let mut env = self.passed.clone();
        env.extend(self.declared(step));
        env
    }

    /// Gives the directory a step starts in, absolute.
    pub fn workdir_of(&self, step: &Wanted) -> String {
        match &step.options.workdir {
            Some(below) => format!("{}/{below}", self.workdir),
            None => self.workdir.clone(),
        }
    }

    /// Gives where a named cache shows, from the root of the view.
    pub fn cache_place(
        &self,
        trees: &dyn Trees,
        base: &Base,
        path: &str,
    ) -> Result<TreePath, BatchError> {
        let (top, rest) = if let Some(rest) = path.strip_prefix("~/") {
            (&self.home_path, rest)
        } else if let Some(rest) = path.strip_prefix('/') {
            (&TreePath::root(), rest)
        } else {
            (&self.workdir_path, path)
        };
        let rest = TreePath::new(rest.as_bytes()).map_err(|e| BatchError::new("config", e))?;
        real(trees, base, top.join_path(&rest))
    }
}

/// Gives where downloads are kept below a home, and a file name for each.
pub(super) fn downloads(
    trees: &dyn Trees,
    base: &Base,
    home: &TreePath,
) -> Result<Vec<(TreePath, String)>, BatchError> {
    let all = DOWNLOADS.into_iter();
    let all = all.filter_map(|name| Some((TreePath::new(name.as_bytes()).ok()?, name)));
    let place = |(below, name): (TreePath, &str)| {
        let at = real(trees, base, home.join_path(&below))?;
        Ok((at, name.trim_start_matches('.').replace('/', "-")))
    };
    all.map(place).collect()
}

/// Gives where a directory really is in a base: what is put there must not stand in place of a link.
pub(super) fn real(trees: &dyn Trees, base: &Base, path: TreePath) -> Result<TreePath, BatchError> {
    let root = base.tree().unwrap_or_else(Rooted::empty);
    skeleton::real(trees, &root, path).map_err(tree_error)
}

/// Turns a directory inside into a tree path or says that it is none.
pub fn directory(absolute: &str) -> Result<TreePath, BatchError> {
    tree_path(absolute)
        .filter(|path| !path.is_root())
        .ok_or_else(|| {
            BatchError::new(
                "config",
                format!("`{absolute}` cannot be a working directory"),
            )
        })
}

/// Gives the host directories below a base's tree.
pub fn grafts(base: &Base) -> Vec<Graft> {
    base.grafts()
}
