//! The OciFetcher actor.
//!
//! - **Owns** the transfer of the base images, of the environment, of stages and of services.
//! - **Receives** `FetchImage`.
//! - **Sends** nothing; it answers with the bases.
//! - **When full** the asker waits (*Await*).
//! - **After restart** it fetches again; layers that are stored are not transferred twice.

use std::sync::Arc;

use hd_supervision::Status;
use hd_supervision::actix::{Actor, Context, Handler, ResponseFuture};

use super::image;
use crate::base::Bases;
use crate::messages::{BatchError, FetchImage};
use crate::shared::Shared;

/// Fetches the base images, or looks at the host.
#[derive(Debug)]
pub struct OciFetcher {
    /// Shared handles.
    pub shared: Arc<Shared>,
    /// Where it says what it does.
    pub status: Status,
}

impl Actor for OciFetcher {
    type Context = Context<Self>;
}

impl Handler<FetchImage> for OciFetcher {
    type Result = ResponseFuture<Result<Bases, BatchError>>;

    fn handle(&mut self, wish: FetchImage, _: &mut Self::Context) -> Self::Result {
        let doing = match &wish.images.environment {
            Some(reference) => format!("fetching {reference}"),
            None => "the host is the base".to_owned(),
        };
        self.status.idle(doing);
        let shared = self.shared.clone();
        Box::pin(async move {
            let fetch = async |reference: String| image::fetch(&shared, &reference).await;
            image::all(&shared, &wish.images, fetch).await
        })
    }
}
