//! Whether the base can be had from its registry: asked as `up` asks, past the same mirrors and proxies.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use hd_oci::{Client, ClientOptions, Platform, Reference, Retry, Source};
use hd_store::Store;

use super::{Finding, Grade, finding};

/// How long a registry, or a mirror of it, may take to answer.
const WITHIN: Duration = Duration::from_secs(5);
const FIX: &str = "check the name, the network, HTTPS_PROXY, and `docker login` if it asks";

/// Asks for the base, unless it is in no registry. `home` is `HD_HOME`.
pub(super) fn look(base: &str, home: &Path) -> Option<Finding> {
    let (reference, grade) = match base.parse::<Source>() {
        Ok(Source::Registry(reference)) => {
            // `up` asks for no name that was pulled before.
            let grade = match is_pulled(&reference, home) {
                true => Grade::Poor,
                false => Grade::Bad,
            };
            (Ok(reference), grade)
        }
        Ok(_) => return None,
        Err(error) => (Err(error.to_string()), Grade::Bad),
    };
    let found = reference.and_then(|reference| ask(&reference, home));
    let fix = match grade {
        Grade::Poor => format!("{FIX}; this base was pulled before, and is not asked for"),
        Grade::Good | Grade::Bad => FIX.to_owned(),
    };
    Some(finding("registry", grade, found, fix))
}

/// Tells whether an image was pulled by this name, or as what its digest names.
fn is_pulled(reference: &Reference, home: &Path) -> bool {
    let cas = home.join("cas");
    // Opening makes a store where there is none.
    let store = cas.join("FORMAT").exists().then(|| Store::open(&cas));
    let images = store.map(|store| store.and_then(|store| hd_oci::images(&store)));
    let Some(Ok(images)) = images else {
        return false;
    };
    let (name, platform) = (reference.to_string(), Platform::host());
    images.iter().any(|one| {
        let is_named = one.name == name || reference.digest() == Some(&one.image.digest);
        is_named && one.platform == platform
    })
}

/// Asks once; a person who waits can ask again.
fn ask(reference: &Reference, home: &Path) -> Result<String, String> {
    fn said(error: impl Display) -> String {
        error.to_string()
    }
    let mut options = ClientOptions::discover().map_err(said)?;
    options.retry = Retry {
        tries: 1,
        rate_limited_tries: 1,
        silence: options.retry.silence.min(WITHIN),
        ..options.retry
    };
    let client = Client::new(options).map_err(said)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(said)?;
    match reference.digest() {
        // Of what a digest stands for nobody is asked.
        Some(_) => {
            let source = Source::from(reference.clone());
            let asked = client.inspect(&source, home);
            runtime.block_on(asked).map(drop).map_err(said)?;
        }
        None => {
            let asked = client.resolve(reference);
            runtime.block_on(asked).map(drop).map_err(said)?;
        }
    }
    Ok(format!("{} answers", reference.registry()))
}
