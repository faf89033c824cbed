//! Dockerfiles and Compose files as strangers may write them: translated or refused, never a panic.

mod importing;
#[path = "../../runtime/oci/tests/common/mutate.rs"]
mod mutate;

use hd_config::{dockerfile, parse};
use importing::{COMPOSE, FILES, composed, options};
use mutate::fuzz;

const DOCKERFILES: [&str; 6] = [
    include_str!("../../integration/ingest/heredocs/Dockerfile"),
    include_str!("../../integration/ingest/build-args/Dockerfile"),
    include_str!("../../integration/ingest/cache-mounts/Dockerfile"),
    include_str!("../../integration/ingest/busybox-files/Dockerfile"),
    include_str!("../../integration/ingest/node-stages/Dockerfile"),
    include_str!("../../integration/ingest/server-entrypoint/Dockerfile"),
];

#[test]
fn dockerfiles() {
    let corpus = DOCKERFILES.map(|text| text.as_bytes().to_vec());
    fuzz("dockerfile", &corpus, |_, bytes| {
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(imported) = dockerfile::translate(&text, &options(), &FILES) {
            assert!(
                parse(&imported.toml, "hd.toml").is_ok(),
                "{}",
                imported.toml
            );
        }
    });
}

#[test]
fn compose_files() {
    let corpus = [COMPOSE.as_bytes().to_vec()];
    fuzz("compose", &corpus, |_, bytes| {
        let _ = composed(&String::from_utf8_lossy(&bytes));
    });
}
