//! What must not run for a while: services that are held start for nobody until that is over.

use std::collections::BTreeSet;
use std::sync::Arc;

use hd_config::{Service, VolumeSource};
use tokio::sync::watch;

/// Which services are held, and what for.
#[derive(Clone, Debug)]
pub struct Held {
    /// Services by their names.
    pub services: BTreeSet<String>,
    /// Named volumes: all services that use one of them are held too, also those that are declared only now.
    pub volumes: BTreeSet<String>,
    /// What they wait for, in words.
    pub by: &'static str,
}

impl Held {
    /// Tells whether a service is among those.
    pub(crate) fn is_of(&self, service: &Service) -> bool {
        let is_held = |source: &VolumeSource| match source {
            VolumeSource::Named(name) => self.volumes.contains(name),
            _ => false,
        };
        self.services.contains(&service.name)
            || service.volumes.iter().any(|one| is_held(&one.source))
    }
}

/// What is held now, if anything is; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Holds(Arc<watch::Sender<Option<Held>>>);

impl Default for Holds {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Holds {
    /// Begins to hold; one at a time does.
    pub(crate) fn begin(&self, held: Held) -> Hold {
        self.0.send_replace(Some(held));
        Hold(self.clone())
    }

    /// Says what a service is held by, if it is.
    pub(crate) fn by(&self, service: &Service) -> Option<&'static str> {
        let held = self.0.borrow();
        held.as_ref()
            .filter(|held| held.is_of(service))
            .map(|held| held.by)
    }

    /// Waits for the next change of what is held, as of this call.
    pub(crate) fn changed(&self) -> impl Future<Output = ()> + use<> {
        let mut changes = self.0.subscribe();
        async move {
            // It fails when nobody can hold anything any more.
            let _ = changes.changed().await;
        }
    }
}

/// Keeps services from being started until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Hold(Holds);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.0.send_replace(None);
    }
}

#[cfg(test)]
mod tests {
    use hd_config::Volume;

    use super::*;

    #[test]
    fn who_is_named_or_uses_the_volume_is_held_until_it_is_dropped() {
        let [db, mut web, other] = ["db", "web", "other"].map(|name| Service::new(name, "run"));
        web.volumes.push(Volume {
            source: VolumeSource::Named("data".to_owned()),
            target: "/data".to_owned(),
            read_only: true,
        });
        let holds = Holds::default();
        let hold = holds.begin(Held {
            services: BTreeSet::from(["db".to_owned()]),
            volumes: BTreeSet::from(["data".to_owned()]),
            by: "a test",
        });
        let by = [&db, &web, &other].map(|service| holds.by(service));
        assert_eq!(by, [Some("a test"), Some("a test"), None]);
        drop(hold);
        assert_eq!(holds.by(&db), None);
    }
}
