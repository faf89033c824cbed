//! Which images there are, by name: to be listed, and to be removed.
//!
//! Images themselves are records of the store's history ([`crate::known`]). A name is a reference of the store that
//! keeps nothing alive; what was removed is another one, which makes older records void until a collection takes
//! them away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use hd_store::{Id, RefRecord, Store};

use crate::client::Image;
use crate::digest::Digest;
use crate::known::{self, ImageNotes};
use crate::platform::Platform;

const NAMED: &str = "image ";
const REMOVED: &str = "image record removed ";

/// Is an image that lies in the store under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The name, with everything filled in.
    pub name: String,
    /// The platform it was pulled for.
    pub platform: Platform,
    /// When the name was first pulled, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// The image.
    pub image: Image,
}

/// Is a name to be noted.
pub(crate) struct Catalogued {
    reference: String,
}

impl Catalogued {
    pub(crate) fn of(name: &str, platform: &Platform) -> Catalogued {
        let reference = format!("{NAMED}{platform} {name}");
        Catalogued { reference }
    }

    /// Notes the name, unless it is.
    pub(crate) fn note(&self, store: &Store) -> Result<(), hd_store::Error> {
        match store.get_ref(&self.reference) {
            Ok(Some(_)) => Ok(()),
            // What is damaged is noted anew.
            Ok(None) | Err(hd_store::Error::DamagedRef { .. }) => {
                store.put_ref(&self.reference, &nothing_kept())
            }
            Err(error) => Err(error),
        }
    }
}

fn nothing_kept() -> RefRecord {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    RefRecord {
        links: Vec::new(),
        project: String::new(),
        at_unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
    }
}

/// Lists the images that are there, by name.
///
/// # Errors
/// Fails as the store does.
pub fn images(store: &Store) -> Result<Vec<Listed>, hd_store::Error> {
    let mut listed = Vec::new();
    for (reference, record) in store.sound_refs()? {
        let Some((platform, name)) = reference.strip_prefix(NAMED).and_then(split) else {
            continue;
        };
        let key = known::name_key(name, &platform);
        let Some((rooted, notes)) = known::find::<ImageNotes>(store, &key)? else {
            continue;
        };
        listed.extend(notes.image(rooted).map(|image| Listed {
            name: name.to_owned(),
            platform,
            at_unix_ms: record.at_unix_ms,
            image,
        }));
    }
    Ok(listed)
}

fn split(text: &str) -> Option<(Platform, &str)> {
    let (platform, name) = text.split_once(' ')?;
    Some((platform.parse().ok()?, name))
}

/// Forgets a name and, unless another name stands for it, the image with those of its layers that no other image
/// has. What they take on disk a collection gives back, except what an environment still uses.
///
/// Returns the digests of images nothing stands for any more.
///
/// # Errors
/// Fails as the store does.
pub fn remove(store: &Store, gone: &[Listed]) -> Result<Vec<Digest>, hd_store::Error> {
    let all = images(store)?;
    let stays = |one: &&Listed| !gone.iter().any(|gone| same_name(gone, one));
    let staying: Vec<&Listed> = all.iter().filter(stays).collect();
    let used: BTreeSet<&Digest> = staying.iter().flat_map(|one| digests(&one.image)).collect();
    let mut removed = Vec::new();
    for one in gone {
        store.drop_ref(&format!("{NAMED}{} {}", one.platform, one.name))?;
        void(store, &known::name_key(&one.name, &one.platform))?;
        if used.contains(&one.image.digest) {
            continue;
        }
        for digest in digests(&one.image).filter(|digest| !used.contains(digest)) {
            void(store, &known::image_key(digest, &one.platform))?;
            void(store, &known::engine_key(digest, &one.platform))?;
            void(store, &known::layer_key(digest))?;
        }
        if !removed.contains(&one.image.digest) {
            removed.push(one.image.digest.clone());
        }
    }
    Ok(removed)
}

fn same_name(a: &Listed, b: &Listed) -> bool {
    a.name == b.name && a.platform == b.platform
}

fn digests(image: &Image) -> impl Iterator<Item = &Digest> {
    [&image.digest, &image.manifest]
        .into_iter()
        .chain(&image.config.diff_ids)
}

fn void(store: &Store, key: &Id) -> Result<(), hd_store::Error> {
    store.put_ref(&format!("{REMOVED}{key}"), &nothing_kept())
}

/// Until when records of a key are void, in milliseconds since 1970.
pub(crate) fn void_until(store: &Store, key: &Id) -> Result<Option<u64>, hd_store::Error> {
    match store.get_ref(&format!("{REMOVED}{key}")) {
        // What is not known to be void is looked for, and used if it is whole.
        Err(hd_store::Error::DamagedRef { .. }) => Ok(None),
        found => Ok(found?.map(|record| record.at_unix_ms)),
    }
}

/// Lists the records that were removed, for a collection: key, and until when its records are void.
///
/// # Errors
/// Fails as the store does.
pub fn voided(store: &Store) -> Result<BTreeMap<Id, u64>, hd_store::Error> {
    let refs = store.sound_refs()?.into_iter();
    let voided = refs.filter_map(|(name, record)| {
        let key = name.strip_prefix(REMOVED)?.parse().ok()?;
        Some((key, record.at_unix_ms))
    });
    Ok(voided.collect())
}

/// Drops the notes of removal after a collection has taken the records away.
///
/// # Errors
/// Fails as the store does.
pub fn forget_voided(store: &Store, voided: &BTreeMap<Id, u64>) -> Result<(), hd_store::Error> {
    for key in voided.keys() {
        store.drop_ref(&format!("{REMOVED}{key}"))?;
    }
    Ok(())
}
