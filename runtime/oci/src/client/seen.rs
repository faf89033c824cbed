//! What archives held when they were looked into: a compressed one is unpacked as a whole only to learn that.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hd_dag::Rooted;
use hd_store::{Id, Store};
use serde::{Deserialize, Serialize};

use super::Client;
use crate::digest::Digest;
use crate::error::PullError;
use crate::known::{self, RecordError};
use crate::pull;
use crate::source::Source;

/// To be raised whenever the same archive would be called by another digest.
const SEEN: &str = "hd 2026 oci archive seen v1";
/// Age of the last change, in seconds, below which another one may not show in the times of a file.
const SETTLED: i64 = 2;

/// Is what is noted of an archive.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    digest: Digest,
}

impl Client {
    /// Says what a name stands for now, as [`Client::resolve_source`] does; an archive that has not changed since it was
    /// looked into is left alone.
    pub(super) async fn resolve_in(
        &self,
        source: &Source,
        store: &Store,
    ) -> Result<Digest, PullError> {
        let Some((key, meta)) = self.archive(source) else {
            return self.resolve_source(source, store.path()).await;
        };
        let (reading, name) = (store.clone(), source.to_string());
        let seen = pull::blocking(&name, move || known::find::<Seen>(&reading, &key)).await?;
        let seen = seen.map_err(|error| PullError::of_record(&name, error.into()))?;
        if let Some((_, seen)) = seen {
            return Ok(seen.digest);
        }
        let digest = self.resolve_source(source, store.path()).await?;
        let is_same = self.archive(source).is_some_and(|(now, _)| now == key);
        if is_same && is_settled(&meta, SystemTime::now()) {
            let (store, digest) = (store.clone(), digest.clone());
            let noted = pull::blocking(&name, move || note(&store, &key, digest)).await?;
            if let Err(error) = noted {
                // It costs time only: the archive is looked into again.
                tracing::debug!(image = name, %error, "what an archive holds is not noted");
            }
        }
        Ok(digest)
    }

    /// Names the record of an archive as it is now; none for what is no archive, or not there.
    fn archive(&self, source: &Source) -> Option<(Id, Metadata)> {
        let (Source::DockerArchive(place) | Source::LayoutArchive(place)) = source else {
            return None;
        };
        let meta = std::fs::metadata(&place.path).ok()?;
        let file = (meta.dev(), meta.ino(), meta.size());
        let changed = (
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec(),
        );
        let platform = &self.inner.options.platform;
        let text = format!("{source} {platform} {file:?} {changed:?}");
        Some((Id::derive(SEEN, text.as_bytes()), meta))
    }
}

fn note(store: &Store, key: &Id, digest: Digest) -> Result<(), RecordError> {
    let mut writer = store.writer()?;
    known::put(
        &mut writer,
        key,
        Rooted::empty(),
        &Seen { digest },
        Duration::ZERO,
    )?;
    Ok(writer.commit()?)
}

fn is_settled(meta: &Metadata, now: SystemTime) -> bool {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let changed = meta.ctime().max(meta.mtime()).saturating_add(SETTLED);
    u64::try_from(changed).is_ok_and(|settled| settled < now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ClientOptions;

    #[tokio::test]
    async fn an_archive_is_looked_into_once_as_long_as_it_stays_the_same() {
        let dir = tempfile::tempdir().expect("directory");
        let store = Store::open(&dir.path().join("cas")).expect("store");
        let client = Client::new(ClientOptions::default()).expect("client");
        let path = dir.path().join("a.tar");
        std::fs::write(&path, "no archive at all").expect("file");
        let source = format!("docker-archive:{}", path.display());
        let source: Source = source.parse().expect("source");
        let resolve = async || client.resolve_in(&source, &store).await.ok();
        assert_eq!(resolve().await, None);
        let digest = Digest::of(b"x");
        let (key, _) = client.archive(&source).expect("a file");
        note(&store, &key, digest.clone()).expect("noted");
        assert_eq!(resolve().await, Some(digest));
        std::fs::write(&path, "another one").expect("file");
        assert_eq!(resolve().await, None);
    }

    #[test]
    fn what_has_just_changed_may_change_again_unseen() {
        let file = tempfile::tempfile().expect("file");
        let meta = file.metadata().expect("stat");
        let changed = UNIX_EPOCH + Duration::from_secs(meta.ctime().unsigned_abs());
        assert!(!is_settled(&meta, changed));
        assert!(!is_settled(&meta, changed + Duration::from_secs(2)));
        assert!(is_settled(&meta, changed + Duration::from_secs(3)));
    }
}
