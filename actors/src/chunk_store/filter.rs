//! Which files of the project count, as the store's scan asks it.

use hd_config::{DirFilter, FileFilter, FilterStack};
use hd_dag::TreePath;
use hd_store::{Id, scan};

use crate::model::compiled;
use crate::mount_server::mount_points::MountPoints;

/// The project's file filter with what hd itself made.
#[derive(Debug)]
pub struct ProjectFilter {
    stack: FilterStack,
    names: Vec<String>,
    mount_points: MountPoints,
}

impl ProjectFilter {
    /// Builds the filter for one scan.
    pub fn new(files: FileFilter, mount_points: MountPoints) -> Self {
        let names = files.ignore_file_names().to_vec();
        Self {
            stack: FilterStack::new(files),
            names,
            mount_points,
        }
    }
}

impl scan::Filter for ProjectFilter {
    fn ignore_file_names(&self) -> &[String] {
        &self.names
    }

    fn enter(
        &self,
        dir: &[u8],
        ignore_files: &[(String, Vec<u8>)],
    ) -> Box<dyn scan::DirFilter + '_> {
        Box::new(OfDir {
            below: self,
            dir: dir.to_vec(),
            filter: self.stack.enter(dir, ignore_files),
        })
    }

    fn fingerprint(&self) -> Option<Id> {
        let mut rules = Vec::new();
        let mut add = |list: u8, rule: &[u8]| {
            rules.push(list);
            rules.extend_from_slice(&(rule.len() as u64).to_le_bytes());
            rules.extend_from_slice(rule);
        };
        // Another version of hd may understand the same rules otherwise.
        add(0, env!("CARGO_PKG_VERSION").as_bytes());
        add(1, compiled::DIRECTORY.as_bytes());
        self.stack
            .filter()
            .rules()
            .for_each(|rule| add(2, rule.as_bytes()));
        let points = self.mount_points.get();
        points.iter().for_each(|point| add(3, point.as_bytes()));
        let own = self.mount_points.own().iter();
        own.for_each(|path| add(4, path.as_bytes()));
        Some(Id::of(&rules))
    }
}

struct OfDir<'a> {
    below: &'a ProjectFilter,
    dir: Vec<u8>,
    filter: DirFilter,
}

impl OfDir<'_> {
    fn path(&self, name: &[u8]) -> Vec<u8> {
        if self.dir.is_empty() {
            name.to_vec()
        } else {
            [&self.dir, &b"/"[..], name].concat()
        }
    }
}

impl scan::DirFilter for OfDir<'_> {
    fn keep(&self, name: &[u8], is_dir: bool) -> bool {
        if name == b".git" || (is_dir && name == compiled::DIRECTORY.as_bytes()) {
            return false;
        }
        let path = self.path(name);
        let points = &self.below.mount_points;
        if TreePath::new(&path).is_ok_and(|path| points.is_ours(&path, is_dir)) {
            return false;
        }
        self.filter.keep(name, is_dir)
    }
}
