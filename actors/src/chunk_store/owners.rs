//! What the store is kept for: projects, images, results of steps, caches.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hd_dag::node::Node;
use hd_dag::{StepResult, StoreLinks};
use hd_oci::{StoredImage, stored_images};
use hd_store::{HistoryEntry, Id, Link, Links, NodeKind, Owner, RefRecord, Store};

use crate::messages::BatchError;
use crate::model::instances::Instance;
use crate::session::links_of;
use crate::step_runner::kept::KeptStates;
use crate::step_runner::traces::StepTraces;

/// What sort of thing something is kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// The files of a project.
    Project,
    /// A base image.
    Image,
    /// Results of a step.
    Step,
    /// A kept directory or named cache.
    Cache,
}

impl Sort {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Image => "image",
            Self::Step => "step",
            Self::Cache => "cache",
        }
    }
}

/// What a part of the store is kept for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Purpose {
    /// What sort of thing.
    pub sort: Sort,
    /// Directory of the project; empty for images and for results that no project stands on.
    pub project: String,
    /// Reference or digest of an image, `step-1`, name of a cache; empty for a project.
    pub name: String,
}

/// Lists all purposes with what they lead to. Blocks.
///
/// # Errors
/// I/O errors of the store, and references that are damaged.
pub fn owners(store: &Store, home: &Path) -> Result<Vec<(Purpose, Owner)>, BatchError> {
    let failed = |e: hd_store::Error| BatchError::new("store", e);
    let mut found = Found::default();
    for (_, record) in store.refs().map_err(failed)? {
        found.project(store, &record);
    }
    let instances = Instance::all(home).map_err(|e| BatchError::new("io", e))?;
    for instance in &instances {
        let project = instance.project.display().to_string();
        for (name, content) in KeptStates::load(&instance.paths).named() {
            let cache = found.of(Sort::Cache, &project, name);
            cache.links.extend(links_of(content));
        }
    }
    let histories = store.histories().map_err(failed)?;
    let images = stored_images(store, &histories).map_err(failed)?;
    let steps = Steps::of(&instances, &histories);
    for (key, entry) in &histories {
        found.result(key, entry, &images, &steps);
    }
    Ok(found.owners.into_iter().collect())
}

/// Project and name of a step.
type Step = (String, String);

/// The steps of projects, by the keys of their histories.
pub(super) struct Steps {
    by_trace: BTreeMap<Id, Vec<Step>>,
    by_key: BTreeMap<Id, Vec<Step>>,
}

impl Steps {
    /// Finds each step by the trace it stands on; older results of it have other traces, but its key.
    pub(super) fn of(instances: &[Instance], histories: &[(Id, HistoryEntry)]) -> Self {
        let mut by_trace: BTreeMap<Id, Vec<Step>> = BTreeMap::new();
        for instance in instances {
            let project = instance.project.display().to_string();
            for (name, trace) in StepTraces::load(&instance.paths).traces {
                let steps = by_trace.entry(trace).or_default();
                steps.push((project.clone(), name));
            }
        }
        let mut by_key: BTreeMap<Id, Vec<Step>> = BTreeMap::new();
        for (key, entry) in histories {
            let result = StepResult::decode(&entry.payload).ok();
            let steps = result.and_then(|result| by_trace.get(&result.trace));
            let known = by_key.entry(*key).or_default();
            known.extend(steps.into_iter().flatten().cloned());
            known.sort();
            known.dedup();
        }
        Self { by_trace, by_key }
    }

    /// Project and name of the steps that stand on this history.
    pub(super) fn standing_on(&self, key: &Id) -> &[Step] {
        self.by_key.get(key).map_or(&[], Vec::as_slice)
    }

    /// The entries of histories that only these projects have: all with a key that no other one
    /// uses; of a key that others use too, those that a step of these stands on.
    pub(super) fn only_of(
        &self,
        projects: &[String],
        histories: &[(Id, HistoryEntry)],
    ) -> BTreeSet<(Id, u64)> {
        let only = |steps: &[Step]| {
            !steps.is_empty() && steps.iter().all(|(project, _)| projects.contains(project))
        };
        let is_theirs = |(key, entry): &&(Id, HistoryEntry)| {
            let result = StepResult::decode(&entry.payload).ok();
            let standing = result.and_then(|result| self.by_trace.get(&result.trace));
            only(self.standing_on(key)) || standing.is_some_and(|steps| only(steps))
        };
        let theirs = histories.iter().filter(is_theirs);
        theirs
            .map(|(key, entry)| (*key, entry.at_unix_ms))
            .collect()
    }
}

#[derive(Default)]
struct Found {
    owners: BTreeMap<Purpose, Owner>,
    /// Names that projects give to images, by digest.
    image_names: BTreeMap<String, String>,
}

impl Found {
    fn of(&mut self, sort: Sort, project: &str, name: &str) -> &mut Owner {
        let purpose = Purpose {
            sort,
            project: project.to_owned(),
            name: name.to_owned(),
        };
        self.owners.entry(purpose).or_default()
    }

    /// A project: its own files, and what its reference keeps besides.
    fn project(&mut self, store: &Store, record: &RefRecord) {
        if record.project.is_empty() && record.links.is_empty() {
            // Only there to be found: what images are known.
            return;
        }
        let (mut own, mut bases) = (Vec::new(), Vec::new());
        for node in asked_for(store, record) {
            match node {
                Node::Dir(dir) => own.push(Link::Node(NodeKind::Tree, dir.tree)),
                Node::Package(package) => {
                    if let Some(tree) = package.tree {
                        self.image_names
                            .insert(package.version.clone(), package.name.clone());
                        bases.push((package.name, Link::Node(NodeKind::Tree, tree)));
                    }
                }
                _ => {}
            }
        }
        own.retain(|link| link.id() != hd_dag::empty_tree());
        let project = self.of(Sort::Project, &record.project, "");
        project.links.extend(own);
        project.rest.extend(record.links.iter().copied());
        for (name, tree) in bases {
            self.of(Sort::Image, "", &name).links.push(tree);
        }
    }

    fn result(&mut self, key: &Id, entry: &HistoryEntry, images: &[StoredImage], steps: &Steps) {
        let Ok(links) = StoreLinks.history_links(&entry.payload) else {
            return;
        };
        let image = images.iter().find(|image| image.keys.contains(key));
        if let Some(image) = image {
            let digest = image.digest.to_string();
            let name = self.image_names.get(&digest).cloned();
            let owner = self.of(Sort::Image, "", &name.unwrap_or(digest));
            return owner.links.extend(links);
        }
        let standing = steps.standing_on(key);
        for (project, name) in standing {
            let owner = self.of(Sort::Step, project, name);
            owner.links.extend(links.iter().copied());
        }
        if standing.is_empty() {
            self.of(Sort::Step, "", "others").links.extend(links);
        }
    }
}

/// The nodes that a project's root consists of; fewer when some are lost.
fn asked_for(store: &Store, record: &RefRecord) -> Vec<Node> {
    let read = |id: &Id| {
        let bytes = store.read_node(NodeKind::Node, id).ok()?;
        Node::decode(&bytes).ok()
    };
    let roots = record.links.iter().filter_map(|link| match link {
        Link::Node(NodeKind::Node, id) => read(id),
        _ => None,
    });
    let children = roots.flat_map(|root| match root {
        Node::Env(env) => env.children,
        _ => Vec::new(),
    });
    children.filter_map(|id| read(&id)).collect()
}
