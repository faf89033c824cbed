//! Manifests and indexes: what is read, what is refused, and mutations of both.

use hd_oci::{Document, ManifestError};
use proptest::prelude::*;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const HEX: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn descriptor(kind: &str) -> String {
    format!(r#"{{"mediaType":"{kind}","digest":"{HEX}","size":7}}"#)
}

fn manifest(extra: &str) -> String {
    let config = descriptor("application/vnd.oci.image.config.v1+json");
    let layer = descriptor("application/vnd.oci.image.layer.v1.tar+gzip");
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI}","config":{config},"layers":[{layer}]{extra}}}"#
    )
}

fn index() -> String {
    let entry = |os: &str, arch: &str| {
        format!(
            r#"{{"mediaType":"{OCI}","digest":"{HEX}","size":{},"platform":{{"os":"{os}","architecture":"{arch}"}}}}"#,
            arch.len()
        )
    };
    let entries = [
        entry("linux", "arm64"),
        entry("linux", "amd64"),
        entry("unknown", "unknown"),
    ]
    .join(",");
    format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entries}]}}"#)
}

#[test]
fn a_manifest_and_an_index_are_read() {
    let Document::Manifest(read) = Document::parse(manifest("").as_bytes(), OCI).expect("manifest")
    else {
        panic!("not a manifest");
    };
    assert_eq!((read.config.size, read.layers.len()), (7, 1));
    let Document::Index(read) = Document::parse(index().as_bytes(), INDEX).expect("index") else {
        panic!("not an index");
    };
    let platform = "linux/amd64".parse().expect("platform");
    assert_eq!(read.choose(&platform).map(|d| d.size), Some(5));
    let absent = "linux/s390x".parse().expect("platform");
    assert!(read.choose(&absent).is_none());
    let offers: Vec<String> = read.platforms().iter().map(ToString::to_string).collect();
    assert_eq!(offers, ["linux/arm64", "linux/amd64"]);
}

#[test]
fn ambiguous_and_foreign_documents_are_refused() {
    let both = manifest(r#","manifests":[]"#);
    let foreign = manifest("").replace(
        "image.layer.v1.tar+gzip",
        "image.layer.v1.tar+gzip+encrypted",
    );
    let artefact = manifest("").replace("image.config", "wasm.config");
    let negative = manifest("").replace(r#""size":7"#, r#""size":-1"#);
    let traversal = manifest("").replace(HEX, "sha256:../../../etc/passwd");
    type Check = fn(&ManifestError) -> bool;
    let table: &[(&str, &str, Check)] = &[
        (&both, OCI, |e| matches!(e, ManifestError::Ambiguous)),
        (&manifest(r#","fsLayers":[]"#), OCI, |e| {
            matches!(e, ManifestError::Ambiguous)
        }),
        (&manifest(""), INDEX, |e| {
            matches!(e, ManifestError::MediaTypeMismatch { .. })
        }),
        (&manifest(""), "text/html", |e| {
            matches!(e, ManifestError::MediaType { .. })
        }),
        (
            &manifest(""),
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            |e| e.to_string().contains("schema 1"),
        ),
        (&foreign, OCI, |e| {
            matches!(e, ManifestError::LayerType { .. })
        }),
        (&artefact, OCI, |e| {
            matches!(e, ManifestError::ConfigType { .. })
        }),
        (&negative, OCI, |e| matches!(e, ManifestError::Json { .. })),
        (&traversal, OCI, |e| matches!(e, ManifestError::Json { .. })),
        (r#"{"schemaVersion":1}"#, OCI, |e| {
            matches!(e, ManifestError::SchemaVersion { version: 1 })
        }),
        (r#"{"schemaVersion":2}"#, OCI, |e| {
            matches!(e, ManifestError::Missing { field: "config" })
        }),
        (r#"{"schemaVersion":2}"#, INDEX, |e| {
            matches!(e, ManifestError::Missing { field: "manifests" })
        }),
        ("<html>", OCI, |e| matches!(e, ManifestError::Json { .. })),
    ];
    for (text, media_type, wanted) in table {
        let error = Document::parse(text.as_bytes(), media_type).expect_err(text);
        assert!(wanted(&error), "{text}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_documents_never_panic(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        keep in any::<prop::sample::Index>(),
        as_index in any::<bool>(),
    ) {
        let mut bytes = if as_index { index().into_bytes() } else { manifest("").into_bytes() };
        for (at, byte) in cuts {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(keep.index(bytes.len()) + 1);
        let _ = Document::parse(&bytes, if as_index { INDEX } else { OCI });
        let _ = hd_oci::ImageConfig::parse(&bytes);
    }
}
