//! What a pull leaves in the store: enough to need no second one, and nothing broken.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there")]

#[path = "common/fake.rs"]
mod fake;
#[path = "common/server.rs"]
mod server;
#[path = "common/tarball.rs"]
mod tarball;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fake::{Bench, Fake, image, noting, quiet};
use hd_dag::{StoreLinks, StoreTrees, Target, walk};
use hd_store::{GcOptions, VerifyOptions};
use server::{Request, Server};
use tarball::Tarball;

#[tokio::test]
async fn what_is_known_is_not_fetched_again() {
    let base = Tarball::new().file("base", b"1").end();
    let one = Fake::new(&[base.clone(), Tarball::new().file("one", b"1").end()]);
    let two = Fake::new(&[base, Tarball::new().file("two", b"2").end()]);
    let (first, second) = (one.clone(), two.clone());
    let server = Server::start(
        move |request: &Request| match request.path.contains("/c/") {
            true => second.answer(request),
            false => first.answer(request),
        },
    );
    let bench = Bench::new();
    let (report, seen) = noting();
    let pulled = bench
        .client
        .pull(&image(&server).into(), &bench.store, report)
        .await
        .expect("pulled");
    let last = *seen.lock().expect("notes").last().expect("progress");
    let bytes: usize = one.layers.iter().map(Vec::len).sum();
    assert_eq!((last.bytes, last.total_bytes), (bytes as u64, bytes as u64));
    assert_eq!((last.layers, last.total_layers), (2, 2));

    server.forget();
    assert_eq!(bench.pull(&server).await.expect("known"), pulled);
    let methods: Vec<String> = server
        .requests()
        .into_iter()
        .map(|request| request.method)
        .collect();
    assert_eq!(methods, ["HEAD"]);

    server.forget();
    let pinned = image(&server).with_digest(one.digest());
    let again = bench
        .client
        .pull(&pinned.clone().into(), &bench.store, quiet())
        .await
        .expect("known");
    assert_eq!((again, server.requests().len()), (pulled.clone(), 0));
    let offline = bench
        .client
        .last_pulled(&image(&server).into(), &bench.store, drop)
        .await
        .expect("store");
    assert_eq!((offline, server.requests().len()), (Some(pulled), 0));

    let other: hd_oci::Reference = format!("{}/c/d:1", server.host())
        .parse()
        .expect("reference");
    let other = bench
        .client
        .pull(&other.clone().into(), &bench.store, quiet())
        .await
        .expect("pulled");
    assert_eq!(other.digest, two.digest());
    assert_eq!(server.count("/blobs/"), 2, "its config and its own layer");
}

#[tokio::test]
async fn a_tag_that_moves_and_comes_back_is_remembered_right() {
    let fakes = [1, 2].map(|n: u8| Fake::new(&[Tarball::new().file("version", &[n]).end()]));
    let [one, two] = fakes.clone();
    let moved = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&moved);
    let server = Server::start(move |request| match now.load(Ordering::SeqCst) {
        true => two.answer(request),
        false => one.answer(request),
    });
    let bench = Bench::new();
    for (step, version) in [(0, 0), (1, 1), (2, 0)] {
        moved.store(version == 1, Ordering::SeqCst);
        let pulled = bench.pull(&server).await.expect("pulled");
        assert_eq!(pulled.digest, fakes[version].digest(), "step {step}");
        let last = bench
            .client
            .last_pulled(&image(&server).into(), &bench.store, drop)
            .await
            .expect("store");
        assert_eq!(last, Some(pulled), "step {step}");
    }
}

#[tokio::test]
async fn an_image_outlives_a_collection_and_verifies() {
    let lower = Tarball::new()
        .file("d/gone", b"x")
        .file("d/kept", &[7; 300_000])
        .link("l", "d/kept");
    let upper = Tarball::new()
        .file("d/.wh.gone", b"")
        .file("new", b"")
        .symlink("s", "new");
    let fake = Fake::new(&[lower.end(), upper.end()]);
    let server = Server::start(move |request| fake.answer(request));
    let bench = Bench::new();
    let pulled = bench.pull(&server).await.expect("pulled");
    bench
        .store
        .gc(&StoreLinks, &GcOptions::new(0))
        .expect("collection");
    let options = VerifyOptions {
        read_data: true,
        links: Some(&StoreLinks),
    };
    let report = bench.store.verify(&options).expect("verify");
    assert!(report.damages.is_empty(), "{:?}", report.damages);
    let trees = StoreTrees::read_only(bench.store.clone(), 1 << 20);
    let mut paths = Vec::new();
    for item in walk(&trees, &pulled.rooted).expect("walk") {
        let item = item.expect("item");
        if let Target::Regular { blob, size, .. } = item.entry.target {
            assert_eq!(
                bench.store.read_blob(&blob).expect("content").len() as u64,
                size
            );
        }
        paths.push(item.path.to_string());
    }
    assert_eq!(paths, ["d", "d/kept", "l", "new", "s"]);
    server.forget();
    bench.pull(&server).await.expect("known");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_dropped_pull_leaves_nothing_half_done() {
    let fake = Fake::noisy();
    let (model, healthy) = (fake.clone(), Arc::new(AtomicBool::new(false)));
    let (asked, mut waiting) = tokio::sync::mpsc::unbounded_channel();
    let is_healthy = Arc::clone(&healthy);
    let server = Server::start(move |request| {
        let mut reply = model.answer(request);
        if model.is_layer(request) && !is_healthy.load(Ordering::SeqCst) {
            asked.send(()).expect("the test listens");
            reply.length = Some(reply.body.len());
            reply.body.truncate(50_000);
            reply.stall = true;
        }
        reply
    });
    let bench = Bench::new();
    tokio::select! {
        _ = bench.pull(&server) => panic!("the layer never ends"),
        stalled = waiting.recv() => assert_eq!(stalled, Some(())),
    }
    healthy.store(true, Ordering::SeqCst);
    bench.assert_empty();
    bench.pull(&server).await.expect("pulled");
}
