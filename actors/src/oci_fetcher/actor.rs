//! The OciFetcher actor.
//!
//! - **Owns** the transfer of the base image.
//! - **Receives** `FetchImage`.
//! - **Sends** nothing; it answers with the base.
//! - **When full** the asker waits (*Await*).
//! - **After restart** it fetches again; layers that are stored are not transferred twice.

use std::sync::Arc;

use hd_supervision::Status;
use hd_supervision::actix::{Actor, Context, Handler, ResponseFuture};

use super::image;
use crate::base::Base;
use crate::messages::{BatchError, FetchImage};
use crate::shared::Shared;
use crate::step_runner::prepare;

/// Fetches the base image, or looks at the host.
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
    type Result = ResponseFuture<Result<Base, BatchError>>;

    fn handle(&mut self, wish: FetchImage, _: &mut Self::Context) -> Self::Result {
        let Some(reference) = wish.reference else {
            let base = Base::Host(prepare::host_base(&self.shared.settings));
            self.status.idle("the host is the base");
            return Box::pin(async move { Ok(base) });
        };
        self.status.idle(format!("fetching {reference}"));
        let shared = self.shared.clone();
        Box::pin(async move { image::fetch(&shared, &reference).await.map(Base::Image) })
    }
}
