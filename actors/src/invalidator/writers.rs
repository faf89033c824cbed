//! Who changed the files of a batch, as far as can be known.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use hd_config::Service;
use hd_dag::TreePath;

use super::loops::{SOON, Writer};
use crate::mount_server::view::host_path;
use crate::shared::Shared;

/// Asks the witnesses of services, each once about a file: they forget what they have told.
#[derive(Debug)]
pub(super) struct Writers<'s> {
    services: &'s [Service],
    shared: Arc<Shared>,
    known: BTreeMap<(String, TreePath), Writer>,
}

impl<'s> Writers<'s> {
    /// Nobody has been asked yet.
    pub(super) fn new(services: &'s [Service], shared: Arc<Shared>) -> Self {
        Self {
            services,
            shared,
            known: BTreeMap::new(),
        }
    }

    /// Says whether a service, or another replica of it, changed a file: they are one program, and each
    /// would restart for what the others write.
    pub(super) fn of(&mut self, service: &Service, path: &TreePath, now: Instant) -> Writer {
        let key = (service.declared().to_owned(), path.clone());
        if let Some(writer) = self.known.get(&key) {
            return *writer;
        }
        let place = self.shared.settings.project_dir.join(host_path(path));
        let same = |one: &&Service| one.declared() == service.declared();
        let mut writer = Writer::Other;
        for one in self.services.iter().filter(same) {
            let witness = self.shared.witnesses.of(&one.name);
            let soon = |at: Instant| now.saturating_duration_since(at) < SOON;
            match witness.wrote(&place, now) {
                Some(true) => writer = Writer::Itself,
                None if writer == Writer::Other && witness.started().is_some_and(soon) => {
                    writer = Writer::Perhaps;
                }
                Some(false) | None => {}
            }
        }
        self.known.insert(key, writer);
        writer
    }
}
