//! What is known of images without asking anybody.

use hd_store::Store;

use super::{Client, Image};
use crate::catalogue::Catalogued;
use crate::digest::Digest;
use crate::error::PullError;
use crate::known::{self, ImageNotes};
use crate::platform::Platform;
use crate::pull;
use crate::reference::Reference;
use crate::source::Source;

/// Returns the image that the name of a registry's image last stood for when it was pulled: as
/// [`Client::last_pulled`] does for this machine's platform, with nothing set up. Blocks.
///
/// # Errors
/// Fails as the store does.
pub fn remembered(image: &Reference, store: &Store) -> Result<Option<Image>, hd_store::Error> {
    let source = Source::Registry(image.clone());
    let key = known::name_key(&source.to_string(), &Platform::host());
    look_up(store, &key)
}

fn look_up(store: &Store, key: &hd_store::Id) -> Result<Option<Image>, hd_store::Error> {
    let found = known::find::<ImageNotes>(store, key)?;
    Ok(found.and_then(|(rooted, notes)| notes.image(rooted)))
}

impl Client {
    /// Returns the image a name last stood for when it was pulled, without asking the registry: for work without a
    /// network, at the price that a tag may have moved since. A local archive is looked at; when it is gone, `remark`
    /// is told so, if there is an image of it.
    ///
    /// # Errors
    /// Fails as the store does, and when an archive is there that cannot be used.
    pub async fn last_pulled(
        &self,
        source: &Source,
        store: &Store,
        remark: impl FnOnce(String) + Send,
    ) -> Result<Option<Image>, PullError> {
        let gone = match source.reference() {
            Some(_) => None,
            None => match self.resolve_in(source, store).await {
                Ok(digest) => return self.known(source, &digest, store).await,
                Err(PullError::Local(error)) if error.is_gone() => Some(error),
                Err(error) => return Err(error),
            },
        };
        let key = known::name_key(&source.to_string(), &self.inner.options.platform);
        let found = self.find(source, key, store).await?;
        if let (Some(error), Some(_)) = (gone, &found) {
            remark(format!(
                "{error}; its image is the one that was pulled before"
            ));
        }
        Ok(found)
    }

    /// Notes that a name stands for a known image, if it stood for another one before.
    pub(super) async fn remember_name(
        &self,
        source: &Source,
        found: &Image,
        store: &Store,
    ) -> Result<(), PullError> {
        let (store, found, name) = (store.clone(), found.clone(), source.to_string());
        let platform = self.inner.options.platform.clone();
        let from = known::source_key(source, &found.digest, &platform);
        let image = name.clone();
        let noted = pull::blocking(&image, move || {
            let key = known::name_key(&name, &platform);
            let last = known::find::<ImageNotes>(&store, &key)?;
            if last.is_none_or(|(_, notes)| notes.digest != found.digest) {
                known::copy(&store, &from, &key, found.rooted)?;
            }
            Ok(Catalogued::of(&name, &platform).note(&store)?)
        })
        .await?;
        noted.map_err(|error| PullError::of_record(&image, error))
    }

    pub(super) async fn known(
        &self,
        source: &Source,
        digest: &Digest,
        store: &Store,
    ) -> Result<Option<Image>, PullError> {
        let key = known::source_key(source, digest, &self.inner.options.platform);
        self.find(source, key, store).await
    }

    async fn find(
        &self,
        source: &Source,
        key: hd_store::Id,
        store: &Store,
    ) -> Result<Option<Image>, PullError> {
        let (store, image) = (store.clone(), source.to_string());
        let found = pull::blocking(&image, move || look_up(&store, &key)).await?;
        found.map_err(|source| PullError::Store { image, source })
    }
}
