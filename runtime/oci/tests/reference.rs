//! Tables and a fuzz of image references.

use hd_oci::{Digest, Reference};
use proptest::prelude::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn references_read_as_docker_reads_them() {
    let pinned = format!("python@sha256:{HEX}");
    let both = format!("127.0.0.1:5055/a/b:1@sha256:{HEX}");
    // Text, registry, host to talk to, repository, tag, pinned.
    type Row<'a> = (&'a str, &'a str, &'a str, &'a str, Option<&'a str>, bool);
    #[rustfmt::skip]
    let table: &[Row<'_>] = &[
        ("python", "docker.io", "registry-1.docker.io", "library/python", Some("latest"), false),
        ("python:3.11-slim", "docker.io", "registry-1.docker.io", "library/python", Some("3.11-slim"), false),
        ("bitnami/redis", "docker.io", "registry-1.docker.io", "bitnami/redis", Some("latest"), false),
        ("docker.io/python", "docker.io", "registry-1.docker.io", "library/python", Some("latest"), false),
        ("index.docker.io/library/python", "docker.io", "registry-1.docker.io", "library/python", Some("latest"), false),
        ("localhost/a", "localhost", "localhost", "a", Some("latest"), false),
        ("localhost:5000/a/b/c:x", "localhost:5000", "localhost:5000", "a/b/c", Some("x"), false),
        ("[::1]:5000/a", "[::1]:5000", "[::1]:5000", "a", Some("latest"), false),
        ("ghcr.io/o/r__s/t-u.v:V_1.2-3", "ghcr.io", "ghcr.io", "o/r__s/t-u.v", Some("V_1.2-3"), false),
        ("GHCR.io/a", "ghcr.io", "ghcr.io", "a", Some("latest"), false),
        (&pinned, "docker.io", "registry-1.docker.io", "library/python", None, true),
        (&both, "127.0.0.1:5055", "127.0.0.1:5055", "a/b", Some("1"), true),
    ];
    for (text, registry, api, repository, tag, digest) in table {
        let reference: Reference = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(reference.registry(), *registry, "{text}");
        assert_eq!(reference.api_host(), *api, "{text}");
        assert_eq!(reference.repository(), *repository, "{text}");
        assert_eq!(reference.tag(), *tag, "{text}");
        assert_eq!(reference.digest().is_some(), *digest, "{text}");
        let again: Reference = reference.to_string().parse().expect("canonical form");
        assert_eq!(again, reference, "{text}");
    }
}

#[test]
fn faults_name_their_place() {
    let table: &[(&str, usize, &str)] = &[
        ("", 0, "empty"),
        ("https://ghcr.io/a", 5, "scheme"),
        ("Python", 0, "lowercase"),
        ("Registry/a", 0, "lowercase"),
        ("pyThon:3", 2, "lowercase"),
        ("a//b", 2, "empty"),
        ("ghcr.io/", 8, "empty"),
        ("a/b:", 4, "tag"),
        ("a:b c", 3, "tag"),
        ("a:-x", 2, "tag"),
        ("a b", 1, "repository"),
        ("a..b", 0, "joined"),
        ("../a", 0, "host name"),
        ("a/../b", 2, "joined"),
        ("-a", 0, "joined"),
        ("localhost:0/a", 10, "port"),
        ("localhost:99999/a", 10, "port"),
        ("[::1/a", 0, "]"),
        ("a@sha256:12", 2, "hex"),
        ("a@12", 2, "algorithm"),
        ("naïve", 2, "character"),
        ("b:ü", 2, "tag"),
    ];
    for (text, at, word) in table {
        let error = text.parse::<Reference>().expect_err(text);
        assert_eq!(error.at, *at, "{text}: {error}");
        assert!(error.to_string().contains(word), "{text}: {error}");
    }
    let long = "a".repeat(300);
    assert!(long.parse::<Reference>().is_err());
    assert!(
        format!("a:{}", "t".repeat(129))
            .parse::<Reference>()
            .is_err()
    );
}

#[test]
fn pinning_keeps_the_tag() {
    let reference: Reference = "busybox:1".parse().expect("reference");
    let pinned = reference.with_digest(Digest::of(b""));
    assert_eq!(
        pinned.to_string(),
        format!("docker.io/library/busybox:1@sha256:{HEX}")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,80}") {
        let _ = text.parse::<Reference>();
    }

    #[test]
    fn near_references_round_trip(text in "[a-zA-Z0-9.:/@_\\[\\]-]{1,60}") {
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
        }
    }
}
