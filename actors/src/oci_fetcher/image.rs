//! Brings base images into the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hd_config::{Healthcheck, ImageDefaults, Signal};
use hd_oci::{Client, ClientOptions, Image, ImageConfig, Source};

use crate::base::{Base, Bases, ImageBase, Images};
use crate::events::Event;
use crate::messages::BatchError;
use crate::model::settings::Settings;
use crate::shared::Shared;
use crate::step_runner::prepare;

/// Time between two probes of an image, and time one may take, where it does not say.
const DOCKER_PROBE: Duration = Duration::from_secs(30);

/// Gives an image that is known, or pulls it.
///
/// A name that was pulled before means what it meant then, as with other container tools; a
/// reference by digest never changes its meaning.
pub async fn fetch(shared: &Shared, text: &str) -> Result<ImageBase, BatchError> {
    let (client, source) = client(&shared.settings, text)?;
    let known = client
        .last_pulled(&source, &shared.store, |note| {
            shared.events.tell(Event::Note(note));
        })
        .await
        .map_err(|e| failed(text, e))?;
    let image = match known {
        Some(image) => image,
        None => pull(shared, &client, &source, text).await?,
    };
    Ok(base(text, image))
}

/// Gives an image that was pulled before; asks no registry.
pub async fn known(shared: &Shared, text: &str) -> Result<Option<ImageBase>, BatchError> {
    let (client, source) = client(&shared.settings, text)?;
    let known = client.last_pulled(&source, &shared.store, drop).await;
    Ok(known
        .map_err(|e| failed(text, e))?
        .map(|image| base(text, image)))
}

/// Gives all bases, each image as `fetch` gives it, each once.
pub async fn all(
    shared: &Shared,
    images: &Images,
    mut fetch: impl AsyncFnMut(String) -> Result<ImageBase, BatchError>,
) -> Result<Bases, BatchError> {
    let mut fetched = BTreeMap::new();
    for reference in images.references() {
        if !fetched.contains_key(reference) {
            fetched.insert(reference, fetch(reference.clone()).await?);
        }
    }
    let missing = || BatchError::new("internal", "an image was not fetched");
    assemble(&shared.settings, images, &fetched).ok_or_else(missing)
}

/// Gives all bases if each image is a registry's and was pulled before: sets nothing up for it. Blocks.
pub fn remembered(shared: &Shared, images: &Images) -> Result<Option<Bases>, BatchError> {
    let mut found = BTreeMap::new();
    for reference in images.references() {
        let source: Option<Source> = reference.parse().ok();
        let Some(named) = source.as_ref().and_then(Source::reference) else {
            return Ok(None);
        };
        let known = hd_oci::remembered(named, &shared.store);
        match known.map_err(|e| failed(reference, e))? {
            Some(image) => found.insert(reference, base(reference, image)),
            None => return Ok(None),
        };
    }
    Ok(assemble(&shared.settings, images, &found))
}

fn assemble(
    settings: &Settings,
    images: &Images,
    found: &BTreeMap<&String, ImageBase>,
) -> Option<Bases> {
    let image = |reference: &String| found.get(reference).cloned().map(Base::Image);
    let environment = match &images.environment {
        None => Base::Host(prepare::host_base(settings)),
        Some(reference) => image(reference)?,
    };
    let by_name = |references: &BTreeMap<String, String>| {
        let each = references.iter();
        each.map(|(name, reference)| Some((name.clone(), image(reference)?)))
            .collect::<Option<_>>()
    };
    Some(Bases {
        environment,
        stages: by_name(&images.stages)?,
        services: by_name(&images.services)?,
    })
}

/// Gives what fetches images, and the image that a text means; paths in it begin at the project.
pub fn client(settings: &Settings, text: &str) -> Result<(Client, Source), BatchError> {
    let source: Source = text
        .parse()
        .map_err(|e| BatchError::new("config", e).at(text))?;
    let options = ClientOptions::discover().map_err(|e| BatchError::new("image", e))?;
    let client = Client::new(options).map_err(|e| BatchError::new("image", e))?;
    Ok((client, source.below(&settings.project_dir)))
}

async fn pull(
    shared: &Shared,
    client: &Client,
    source: &Source,
    text: &str,
) -> Result<Image, BatchError> {
    let (events, name) = (shared.events.clone(), text.to_owned());
    let report: hd_oci::OnProgress = Arc::new(move |progress| {
        events.tell(Event::Pulling {
            image: name.clone(),
            received: progress.bytes,
            total: progress.total_bytes,
        });
    });
    let image = client
        .pull(source, &shared.store, report)
        .await
        .map_err(|e| failed(text, e))?;
    shared.events.tell(Event::Pulled {
        image: text.to_owned(),
        digest: image.digest.to_string(),
    });
    Ok(image)
}

fn failed(text: &str, error: impl std::fmt::Display) -> BatchError {
    BatchError::new("image", error)
        .at(text)
        .hint("check the name, that the registry runs, and `docker login` if it asks")
}

/// Gives an image as a base.
pub fn base(text: &str, image: Image) -> ImageBase {
    let defaults = Box::new(defaults(&image.config));
    ImageBase {
        reference: text.to_owned(),
        digest: image.digest.to_string(),
        rooted: image.rooted,
        env: image.config.env.into_iter().collect(),
        workdir: image.config.workdir,
        user: image.config.user.unwrap_or_default(),
        defaults,
    }
}

/// Gives what the configuration of an image says of the program it runs, in the words of `hd.toml`.
pub fn defaults(config: &ImageConfig) -> ImageDefaults {
    let words = config.entrypoint.iter().chain(&config.cmd);
    let signal = config.stop_signal.as_deref();
    ImageDefaults {
        command: words.cloned().collect(),
        user: config.user.clone().unwrap_or_default(),
        workdir: config.workdir.clone(),
        stop_signal: signal.and_then(Signal::parse),
        healthcheck: config.healthcheck.as_ref().and_then(healthcheck),
        exposed: config.exposed.clone(),
        volumes: config.volumes.clone(),
    }
}

/// What is zero is Docker's default ("HEALTHCHECK" of the Dockerfile reference).
fn healthcheck(check: &hd_oci::Healthcheck) -> Option<Healthcheck> {
    let or = |given: Duration| {
        if given.is_zero() { DOCKER_PROBE } else { given }
    };
    Some(Healthcheck {
        test: ImageDefaults::probe(&check.test)?,
        interval: or(check.interval),
        timeout: or(check.timeout),
        retries: match check.retries {
            0 => Healthcheck::RETRIES,
            given => given,
        },
        start_period: check.start_period,
    })
}
