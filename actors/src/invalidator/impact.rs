//! Which services a change concerns: pure.

use std::collections::BTreeMap;

use hd_config::WatchSet;
use hd_dag::TreePath;

/// Services whose watch patterns match something that changed, each with what matched, in the
/// order of their names.
pub fn concerned<'a>(
    watches: impl IntoIterator<Item = (&'a str, &'a WatchSet)>,
    changed: &[TreePath],
) -> BTreeMap<String, Vec<TreePath>> {
    let mut concerned = BTreeMap::new();
    for (service, watch) in watches {
        let matched: Vec<TreePath> = changed
            .iter()
            .filter(|path| watch.matches(path.as_bytes()))
            .cloned()
            .collect();
        if !matched.is_empty() {
            concerned.insert(service.to_owned(), matched);
        }
    }
    concerned
}
