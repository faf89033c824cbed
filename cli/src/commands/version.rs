//! `hd version`.

use serde_json::json;

use crate::error::Outcome;
use crate::output::Output;

/// Prints the version.
pub(crate) fn run(output: Output) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    if output.json {
        let system = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
        output.value(&json!({"schema": 1, "version": version, "system": system}))?;
    } else {
        output.data(&format!("hd {version}\n"))?;
    }
    Ok(0)
}
