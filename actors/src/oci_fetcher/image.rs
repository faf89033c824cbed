//! Brings the base image into the store.

use std::sync::Arc;

use hd_oci::{Client, ClientOptions, Credentials, Image, Reference};

use crate::base::ImageBase;
use crate::events::Event;
use crate::messages::BatchError;
use crate::shared::Shared;

/// Gives an image that is known, or pulls it.
///
/// A name that was pulled before means what it meant then, as with other container tools; a
/// reference by digest never changes its meaning.
pub async fn fetch(shared: &Shared, text: &str) -> Result<ImageBase, BatchError> {
    let (client, reference) = client(text)?;
    let known = client
        .last_pulled(&reference, &shared.store)
        .await
        .map_err(|e| failed(text, e))?;
    let image = match known {
        Some(image) => image,
        None => pull(shared, &client, &reference, text).await?,
    };
    Ok(base(text, image))
}

/// Gives an image that was pulled before; asks no registry.
pub async fn known(shared: &Shared, text: &str) -> Result<Option<ImageBase>, BatchError> {
    let (client, reference) = client(text)?;
    let known = client.last_pulled(&reference, &shared.store).await;
    Ok(known
        .map_err(|e| failed(text, e))?
        .map(|image| base(text, image)))
}

fn client(text: &str) -> Result<(Client, Reference), BatchError> {
    let reference = text
        .parse()
        .map_err(|e| BatchError::new("config", e).at(text))?;
    let credentials = Credentials::discover().map_err(|e| BatchError::new("image", e))?;
    let options = ClientOptions {
        credentials,
        ..ClientOptions::default()
    };
    let client = Client::new(options).map_err(|e| BatchError::new("image", e))?;
    Ok((client, reference))
}

async fn pull(
    shared: &Shared,
    client: &Client,
    reference: &Reference,
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
        .pull(reference, &shared.store, report)
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

fn base(text: &str, image: Image) -> ImageBase {
    let command = image
        .config
        .entrypoint
        .iter()
        .chain(&image.config.cmd)
        .cloned()
        .collect();
    ImageBase {
        reference: text.to_owned(),
        digest: image.digest.to_string(),
        rooted: image.rooted,
        env: image.config.env.into_iter().collect(),
        workdir: image.config.workdir,
        command,
        user: image.config.user.unwrap_or_default(),
    }
}
