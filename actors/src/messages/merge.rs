//! How wishes for a service that has not taken the last one yet become one: pure.

use hd_supervision::Merge;

use super::{RestartCause, RestartFor};

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
            (RestartCause::Watched(mut paths), RestartCause::Watched(newer)) => {
                paths.append(newer);
                *newer = paths;
            }
            _ => {}
        }
        self.origin = older.origin;
    }
}
