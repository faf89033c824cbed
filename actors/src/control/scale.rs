//! Another number of replicas: the `hd.toml` is read anew with it, on a thread since that may block.

use std::collections::BTreeMap;

use crate::messages::BatchError;
use crate::model::state::Failure;
use crate::shared::Shared;

/// Has the `hd.toml` read with so many replicas from now on.
pub(super) async fn read_anew(
    shared: &Shared,
    services: BTreeMap<String, u32>,
) -> Result<(), Failure> {
    let reader = shared.settings.reader.clone();
    let read = tokio::task::spawn_blocking(move || reader.scale(services)).await;
    let read = read.map_err(|e| Failure::from(&BatchError::new("internal", e)))?;
    read.map_err(|invalid| Failure {
        error: invalid.error,
        exit: 2,
    })
}
