//! Answers that do not come whole: what is asked for again, and what need not be.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there")]

#[path = "common/fake.rs"]
mod fake;
#[path = "common/server.rs"]
mod server;
#[path = "common/tarball.rs"]
mod tarball;

use std::sync::atomic::{AtomicUsize, Ordering};

use fake::{Bench, Fake};
use hd_oci::{PullError, RegistryError};
use server::{Reply, Request, Server};

/// Serves a small image, except where `fault` has another answer; it is told how many requests it has seen.
fn faulty(fault: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static) -> Server {
    let (model, seen) = (Fake::noisy(), AtomicUsize::new(0));
    Server::start(move |request| {
        let number = seen.fetch_add(1, Ordering::SeqCst);
        fault(request, number).unwrap_or_else(|| model.answer(request))
    })
}

#[tokio::test]
async fn a_blob_whose_bytes_all_came_is_not_asked_for_again() {
    let server = faulty(move |request, _| {
        let reply = Fake::noisy().answer(request);
        let endless = request.path.contains("/blobs/");
        Some(Reply { endless, ..reply })
    });
    Bench::new().pull(&server).await.expect("all is there");
    assert_eq!(
        server.count("/blobs/"),
        2,
        "the configuration and the layer"
    );
}

#[tokio::test]
async fn a_manifest_that_breaks_off_is_asked_for_again_and_not_for_ever() {
    let half = |request: &Request| {
        let mut reply = Fake::noisy().answer(request);
        reply.length = Some(reply.body.len());
        reply.body.truncate(100);
        (request.method == "GET" && request.path.contains("/manifests/")).then_some(reply)
    };
    // The first request is the HEAD for the digest.
    let server = faulty(move |request, number| half(request).filter(|_| number == 1));
    Bench::new().pull(&server).await.expect("asked again");
    let server = faulty(move |request, _| half(request));
    let bench = Bench::new();
    let error = bench.pull(&server).await.expect_err("the pull must fail");
    bench.assert_empty();
    assert!(
        matches!(
            error,
            PullError::Registry(RegistryError::Connection { tries: 3, .. })
        ),
        "{error}"
    );
    assert!(error.to_string().contains("manifest"), "{error}");
    assert_eq!(server.requests().len(), 4);
}
