//! An image made of archives, and the answers of a faithful registry that has it.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hd_oci::{Client, ClientOptions, Digest, Image, OnProgress, PullError, Reference, Retry};
use hd_store::Store;

use crate::server::{Reply, Request, Server};
use crate::tarball::{Tarball, gzip};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Is an image with everything a registry serves of it.
#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: Vec<u8>,
    pub(crate) layers: Vec<Vec<u8>>,
}

impl Fake {
    /// Makes an image of archives, lowest first.
    pub(crate) fn new(archives: &[Vec<u8>]) -> Fake {
        let diff_ids: Vec<Digest> = archives.iter().map(|bytes| Digest::of(bytes)).collect();
        Fake::with_diff_ids(archives, &diff_ids)
    }

    pub(crate) fn with_diff_ids(archives: &[Vec<u8>], diff_ids: &[Digest]) -> Fake {
        let quoted: Vec<String> = diff_ids.iter().map(|id| format!("\"{id}\"")).collect();
        let config = format!(
            r#"{{"os":"linux","config":{{"Env":["A=1"]}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
            quoted.join(",")
        );
        let config = config.into_bytes();
        let layers: Vec<Vec<u8>> = archives.iter().map(|bytes| gzip(bytes)).collect();
        let pointer = |kind: &str, bytes: &[u8]| {
            let (digest, size) = (Digest::of(bytes), bytes.len());
            format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}"#)
        };
        let pointers: Vec<String> = layers.iter().map(|bytes| pointer(GZIP, bytes)).collect();
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{},"layers":[{}]}}"#,
            pointer("application/vnd.oci.image.config.v1+json", &config),
            pointers.join(",")
        );
        Fake {
            manifest: manifest.into_bytes(),
            config,
            layers,
        }
    }

    /// Makes an image of one layer that does not compress well.
    pub(crate) fn noisy() -> Fake {
        let noise: Vec<u8> = (0..20_000_u32)
            .flat_map(|n| Digest::of(&n.to_le_bytes()).hex().as_bytes()[..8].to_vec())
            .collect();
        Fake::new(&[Tarball::new().file("noise", &noise).end()])
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// Answers as a registry does, Range included.
    pub(crate) fn answer(&self, request: &Request) -> Reply {
        if request.path.contains("/manifests/") {
            return Reply::new(200, MANIFEST, self.manifest.clone())
                .with("docker-content-digest", &self.digest().to_string());
        }
        let wanted = request.path.rsplit('/').next().unwrap_or_default();
        let blobs = self.layers.iter().chain([&self.config]);
        let Some(blob) = blobs
            .into_iter()
            .find(|blob| Digest::of(blob).to_string() == wanted)
        else {
            return Reply::new(
                404,
                "application/json",
                r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"gone"}]}"#,
            );
        };
        match request.from() {
            0 => Reply::new(200, "application/octet-stream", blob.clone()),
            from => Reply::new(206, "application/octet-stream", &blob[from..]).with(
                "content-range",
                &format!("bytes {from}-{}/{}", blob.len() - 1, blob.len()),
            ),
        }
    }

    /// Says whether a request is for the first layer.
    pub(crate) fn is_layer(&self, request: &Request) -> bool {
        request
            .path
            .ends_with(&Digest::of(&self.layers[0]).to_string())
    }
}

/// Is a client with a store of its own; it waits a millisecond where others wait seconds.
pub(crate) struct Bench {
    pub(crate) client: Client,
    pub(crate) store: Store,
    _dir: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut ClientOptions)) -> Bench {
        let dir = tempfile::tempdir().expect("directory");
        let store = Store::open(dir.path()).expect("store");
        let mut options = ClientOptions {
            retry: Retry {
                base: Duration::from_millis(1),
                max_wait: Duration::from_millis(5),
                ..Retry::default()
            },
            ..ClientOptions::default()
        };
        change(&mut options);
        let client = Client::new(options).expect("client");
        Bench {
            client,
            store,
            _dir: dir,
        }
    }

    pub(crate) async fn pull(&self, server: &Server) -> Result<Image, PullError> {
        self.client
            .pull(&image(server).into(), &self.store, quiet())
            .await
    }

    /// Fails unless the store holds nothing at all.
    pub(crate) fn assert_empty(&self) {
        let stats = self.store.stats().expect("stats");
        assert_eq!(
            (stats.blobs, stats.nodes, stats.history),
            (0, 0, 0),
            "something was stored"
        );
    }
}

pub(crate) fn image(server: &Server) -> Reference {
    format!("{}/a/b:1", server.host())
        .parse()
        .expect("reference")
}

pub(crate) fn quiet() -> OnProgress {
    Arc::new(|_| {})
}

/// Collects what is reported.
pub(crate) fn noting() -> (OnProgress, Arc<Mutex<Vec<hd_oci::Progress>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    (
        Arc::new(move |progress| notes.lock().expect("notes").push(progress)),
        seen,
    )
}
