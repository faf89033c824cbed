//! What each step of an instance stands on: the stored trace that `hd why --json` shows.

use std::collections::BTreeMap;

use hd_store::Id;
use serde::{Deserialize, Serialize};

use crate::messages::BatchError;
use crate::model::instance::InstancePaths;

/// The traces of an instance's steps, as of its latest chain; of a step that failed in it, or that it
/// did not come to, as of the chain before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTraces {
    /// Working directory of the steps, from the root of the view: paths below it are shown relative.
    pub workdir: String,
    /// Id of the stored trace by name of step.
    pub traces: BTreeMap<String, Id>,
}

impl StepTraces {
    /// Reads them; none when there are none or the file is damaged: they only ever explain.
    pub fn load(paths: &InstancePaths) -> Self {
        std::fs::read(paths.traces())
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Begins a chain of these steps: each stands on what it stood on before, until it is made true.
    pub(super) fn begin<'a>(self, workdir: String, steps: impl Iterator<Item = &'a str>) -> Self {
        let mut before = self.traces;
        let known = steps.filter_map(|name| before.remove_entry(name));
        Self {
            workdir,
            traces: known.collect(),
        }
    }

    /// Writes them, unless the file says the same already.
    pub fn save(&self, paths: &InstancePaths) -> Result<(), BatchError> {
        if *self == Self::load(paths) {
            return Ok(());
        }
        let place = paths.traces();
        let bytes = serde_json::to_vec(self).map_err(|e| BatchError::new("io", e))?;
        crate::model::files::replace(&place, &bytes)
            .map_err(|e| BatchError::new("io", e).at(place.display().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_begins_with_what_its_steps_stood_on_and_forgets_other_steps() {
        let trace = |name: &str| (name.to_owned(), Id::of(name.as_bytes()));
        let before = StepTraces {
            workdir: "old".to_owned(),
            traces: BTreeMap::from([trace("step-1"), trace("step-2")]),
        };
        let now = before.begin("new".to_owned(), ["step-2", "step-3"].into_iter());
        assert_eq!(now.workdir, "new");
        assert_eq!(now.traces, BTreeMap::from([trace("step-2")]));
    }

    #[test]
    fn what_was_saved_is_read_back_and_damage_reads_as_nothing() {
        let place = tempfile::tempdir().unwrap();
        let paths = InstancePaths::new(place.path(), std::path::Path::new("/p"));
        assert_eq!(StepTraces::load(&paths), StepTraces::default());
        let traces = StepTraces {
            workdir: "workspace".to_owned(),
            traces: BTreeMap::from([("step-1".to_owned(), Id::of(b"a"))]),
        };
        traces.save(&paths).unwrap();
        assert_eq!(StepTraces::load(&paths), traces);
        std::fs::write(paths.traces(), "{").unwrap();
        assert_eq!(StepTraces::load(&paths), StepTraces::default());
    }
}
