//! What the last outcome followed from, as it is written down.

use hd_dag::Rooted;
use hd_store::Id;
use serde::{Deserialize, Serialize};

use crate::model::files::replace_unsynced;
use crate::model::instance::InstancePaths;
use crate::step_runner::basis::Basis;
use crate::step_runner::chain::ChainOutcome;

/// To be raised whenever the same inputs would compose to other trees.
const FORMAT: u32 = 1;

/// An outcome and what it follows from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    format: u32,
    /// Another version of hd may compose otherwise.
    version: String,
    /// The root of the Env node, which is stored.
    pub(super) root: Id,
    /// What it follows from.
    pub(super) basis: Basis,
    /// As in [`ChainOutcome`].
    pub(super) view: Rooted,
    /// As in [`ChainOutcome`].
    pub(super) lower: Rooted,
}

impl Record {
    /// Notes an outcome and its root, which are pinned; `None` when it does not follow from what is
    /// stored.
    pub fn of(root: Id, outcome: &ChainOutcome) -> Option<Self> {
        Some(Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            root,
            basis: outcome.basis.clone()?,
            view: outcome.view,
            lower: outcome.lower,
        })
    }

    /// Reads the record of an instance; `None` when there is none, it is damaged, or another version
    /// of hd wrote it.
    pub fn load(paths: &InstancePaths) -> Option<Self> {
        let bytes = std::fs::read(paths.outcome()).ok()?;
        let record: Self = serde_json::from_slice(&bytes).ok()?;
        let ours = record.format == FORMAT && record.version == env!("CARGO_PKG_VERSION");
        ours.then_some(record)
    }

    /// Writes it, unless the file says the same already. A power cut may take it: it only saves work.
    pub fn save(&self, paths: &InstancePaths) -> std::io::Result<()> {
        if Self::load(paths).as_ref() == Some(self) {
            return Ok(());
        }
        replace_unsynced(&paths.outcome(), &serde_json::to_vec(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            root: Id::of(b"root"),
            basis: Basis {
                epoch: 3,
                inputs: Id::of(b"inputs"),
                chosen: Vec::new(),
            },
            view: Rooted::empty(),
            lower: Rooted::empty(),
        }
    }

    #[test]
    fn what_was_saved_is_read_back_and_anything_else_is_nothing() {
        let place = tempfile::tempdir().unwrap();
        let paths = InstancePaths::new(place.path(), std::path::Path::new("/p"));
        std::fs::create_dir_all(paths.dir()).unwrap();
        assert_eq!(Record::load(&paths), None);
        record().save(&paths).unwrap();
        assert_eq!(Record::load(&paths), Some(record()));
        for other in [
            Record {
                format: FORMAT + 1,
                ..record()
            },
            Record {
                version: "0".to_owned(),
                ..record()
            },
        ] {
            other.save(&paths).unwrap();
            assert_eq!(Record::load(&paths), None);
        }
        std::fs::write(paths.outcome(), "{").unwrap();
        assert_eq!(Record::load(&paths), None);
    }
}
