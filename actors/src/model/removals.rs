//! Directories that go while something else goes on.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

/// Removes directories beside other work: the write layer of a step may hold many thousands of files,
/// and nobody has to wait for them to be gone.
#[derive(Debug, Default)]
pub struct Removals(Mutex<Vec<JoinHandle<()>>>);

impl Removals {
    /// Begins to remove a directory; what fails is logged, and what is left goes at the next start.
    pub fn begin(&self, path: PathBuf) {
        let copy = path.clone();
        match Builder::new()
            .name("remove".to_owned())
            .spawn(move || remove(&copy))
        {
            Ok(thread) => {
                let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                running.retain(|one| !one.is_finished());
                running.push(thread);
            }
            Err(_) => remove(&path),
        }
    }

    /// Waits until all that was begun is done.
    pub fn finish(&self) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for one in running.drain(..) {
            // One that panicked has been reported.
            let _ = one.join();
        }
    }
}

impl Drop for Removals {
    fn drop(&mut self) {
        self.finish();
    }
}

fn remove(path: &std::path::Path) {
    if let Err(error) = std::fs::remove_dir_all(path) {
        tracing::warn!(path = %path.display(), %error, "a write layer could not be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_is_gone_once_it_is_finished() {
        let place = tempfile::tempdir().unwrap();
        let removals = Removals::default();
        let paths = ["a", "b", "c"].map(|name| place.path().join(name));
        for path in &paths {
            std::fs::create_dir_all(path.join("deep/er")).unwrap();
            std::fs::write(path.join("deep/file"), "x").unwrap();
            removals.begin(path.clone());
        }
        removals.begin(place.path().join("none"));
        removals.finish();
        assert!(paths.iter().all(|path| !path.exists()));
        removals.finish();
    }
}
