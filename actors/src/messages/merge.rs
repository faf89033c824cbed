//! How wishes that were not taken yet become one: pure.

use hd_supervision::Merge;

use super::{RestartCause, RestartFor, RunSteps};

impl Merge for RunSteps {
    fn merge(&mut self, newer: Self) {
        let mut changed = std::mem::take(&mut self.changed);
        let mut rerun = std::mem::take(&mut self.rerun);
        changed.extend(newer.changed.iter().cloned());
        rerun.extend(newer.rerun.iter().cloned());
        *self = Self {
            changed,
            rerun,
            ..newer
        };
    }
}

impl Merge for RestartFor {
    fn merge(&mut self, newer: Self) {
        let older = std::mem::replace(self, newer);
        match (older.cause, &mut self.cause) {
            (RestartCause::Boot, cause) => *cause = RestartCause::Boot,
            (
                RestartCause::Acted { paths, actions },
                RestartCause::Acted {
                    paths: newer_paths,
                    actions: newer_actions,
                },
            ) => {
                newer_paths.splice(0..0, paths);
                let fresh = actions
                    .into_iter()
                    .filter(|one| !newer_actions.contains(one));
                newer_actions.splice(0..0, fresh.collect::<Vec<_>>());
            }
            // A restart reads all anew: nothing gentler is left to do.
            (cause, RestartCause::Acted { .. }) => self.cause = cause,
            // What it is now starts it though a person stopped it; an edit does not.
            (
                cause @ RestartCause::Changed(_),
                RestartCause::Watched(_) | RestartCause::View(_),
            ) => self.cause = cause,
            (RestartCause::Watched(mut paths), RestartCause::Watched(newer)) => {
                paths.append(newer);
                *newer = paths;
            }
            _ => {}
        }
        self.origin = older.origin;
    }
}
