//! Registries that refuse, fail or lie: the right message, bounded tries, nothing stored.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there")]

#[path = "common/fake.rs"]
mod fake;
#[path = "common/server.rs"]
mod server;
#[path = "common/tarball.rs"]
mod tarball;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fake::{Bench, Fake, image, quiet};
use hd_oci::{Digest, LayerError, PullError, RegistryError};
use server::{Reply, Request, Server};
use tarball::Tarball;

/// Serves a small image, except where `fault` has another answer; it is told how many requests it has seen.
fn faulty(
    fault: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static,
) -> (Fake, Server) {
    let fake = Fake::noisy();
    let (model, seen) = (fake.clone(), AtomicUsize::new(0));
    let server = Server::start(move |request| {
        let number = seen.fetch_add(1, Ordering::SeqCst);
        fault(request, number).unwrap_or_else(|| model.answer(request))
    });
    (fake, server)
}

async fn fails(bench: &Bench, server: &Server) -> PullError {
    let error = bench.pull(server).await.expect_err("the pull must fail");
    let text = error.to_string();
    assert!(
        text.contains(&server.host()) || text.contains("a/b"),
        "no place in: {text}"
    );
    bench.assert_empty();
    error
}

#[tokio::test]
async fn refusals_are_told_apart_and_not_repeated() {
    for (status, word) in [(401, "credentials"), (403, "refuses"), (404, "has no")] {
        let (_, server) = faulty(move |_, _| Some(Reply::status(status)));
        let error = fails(&Bench::new(), &server).await;
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(server.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn what_the_registry_says_is_passed_on() {
    let body = r#"{"errors":[{"code":"DENIED","message":"quota is used up"}]}"#;
    let (_, server) = faulty(move |request, _| {
        let reply = Reply::new(403, "application/json", body);
        (request.method == "GET").then_some(reply)
    });
    let error = fails(&Bench::new(), &server).await;
    assert!(error.to_string().contains("quota is used up"), "{error}");
}

#[tokio::test]
async fn a_server_error_is_tried_again_and_not_for_ever() {
    let (_, server) = faulty(|_, number| (number == 0).then(|| Reply::status(503)));
    Bench::new()
        .pull(&server)
        .await
        .expect("the second try succeeds");
    let (_, server) = faulty(|_, _| Some(Reply::status(503)));
    let error = fails(&Bench::new(), &server).await;
    let wanted = matches!(
        error,
        PullError::Registry(RegistryError::Status {
            status: 503,
            tries: 3,
            ..
        })
    );
    assert!(wanted, "{error}");
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_rate_limit_is_waited_for_and_not_for_ever() {
    let limit = || Reply::status(429).with("retry-after", "1");
    let (_, server) = faulty(move |_, number| (number < 3).then(limit));
    Bench::new().pull(&server).await.expect("let in at last");
    let (_, server) = faulty(move |_, _| Some(limit()));
    let error = fails(&Bench::new(), &server).await;
    assert!(
        matches!(
            error,
            PullError::Registry(RegistryError::RateLimited { tries: 5, .. })
        ),
        "{error}"
    );
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn a_login_page_is_no_registry() {
    let (_, everywhere) = faulty(|_, _| Some(Reply::html()));
    let (_, blobs) = faulty(|request, _| request.path.contains("/blobs/").then(Reply::html));
    for server in [everywhere, blobs] {
        let error = fails(&Bench::new(), &server).await;
        assert!(
            matches!(
                error,
                PullError::Registry(RegistryError::NotARegistry { .. })
            ),
            "{error}"
        );
    }
    let bare = |_: &Request, _| {
        Some(Reply {
            headers: Vec::new(),
            ..Reply::html()
        })
    };
    let (_, server) = faulty(bare);
    let error = fails(&Bench::new(), &server).await;
    assert!(
        matches!(
            error,
            PullError::Registry(RegistryError::NotARegistry { .. })
        ),
        "{error}"
    );
}

#[tokio::test]
async fn nobody_listening_is_said_at_once() {
    let server = Server::start(|_| Reply::status(200));
    let (host, reference) = (server.host(), image(&server));
    drop(server);
    let bench = Bench::new();
    let error = bench
        .client
        .pull(&reference.clone().into(), &bench.store, quiet())
        .await
        .expect_err("refused");
    assert!(
        matches!(error, PullError::Registry(RegistryError::Refused { .. })),
        "{error}"
    );
    assert!(error.to_string().contains(&host), "{error}");
}

#[tokio::test]
async fn a_broken_transfer_is_resumed_where_it_broke() {
    let fake = Fake::noisy();
    let (model, broken) = (fake.clone(), AtomicUsize::new(0));
    let server = Server::start(move |request| {
        let mut reply = model.answer(request);
        if model.is_layer(request) && broken.fetch_add(1, Ordering::SeqCst) < 2 {
            reply.length = Some(reply.body.len());
            reply.body.truncate(reply.body.len() / 2);
        }
        reply
    });
    Bench::new().pull(&server).await.expect("resumed");
    let layer: Vec<usize> = server
        .requests()
        .iter()
        .filter(|request| fake.is_layer(request))
        .map(Request::from)
        .collect();
    let size = fake.layers[0].len();
    assert_eq!(layer, [0, size / 2, size - (size - size / 2).div_ceil(2)]);
}

#[tokio::test]
async fn a_server_that_knows_no_ranges_is_resumed_too() {
    let fake = Fake::noisy();
    let (model, broken) = (fake.clone(), AtomicUsize::new(0));
    let server = Server::start(move |request| {
        if !model.is_layer(request) {
            return model.answer(request);
        }
        let mut reply = Reply::new(200, "application/octet-stream", model.layers[0].clone());
        if broken.fetch_add(1, Ordering::SeqCst) == 0 {
            reply.length = Some(reply.body.len());
            reply.body.truncate(1000);
        }
        reply
    });
    Bench::new().pull(&server).await.expect("read again");
}

#[tokio::test]
async fn a_transfer_that_always_breaks_is_given_up() {
    let fake = Fake::noisy();
    let model = fake.clone();
    let server = Server::start(move |request| {
        let mut reply = model.answer(request);
        if model.is_layer(request) {
            reply = Reply::new(200, "application/octet-stream", &model.layers[0][..500]);
            reply.length = Some(model.layers[0].len());
        }
        reply
    });
    let error = fails(&Bench::new(), &server).await;
    assert!(
        matches!(
            error,
            PullError::Registry(RegistryError::Incomplete { got: 500, .. })
        ),
        "{error}"
    );
    assert_eq!(
        server
            .requests()
            .iter()
            .filter(|request| fake.is_layer(request))
            .count(),
        3
    );
}

#[tokio::test]
async fn a_stalled_transfer_is_given_up() {
    let fake = Fake::noisy();
    let model = fake.clone();
    let server = Server::start(move |request| {
        let mut reply = model.answer(request);
        if model.is_layer(request) {
            reply.length = Some(reply.body.len());
            reply.body.truncate(10);
            reply.stall = true;
        }
        reply
    });
    let bench = Bench::with(|options| options.retry.silence = Duration::from_millis(50));
    let error = fails(&bench, &server).await;
    assert!(
        matches!(error, PullError::Registry(RegistryError::Incomplete { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn wrong_lengths_are_refused() {
    for extra in [-1_isize, 1] {
        let fake = Fake::noisy();
        let server = Server::start(move |request| {
            let mut reply = fake.answer(request);
            if fake.is_layer(request) {
                reply
                    .body
                    .resize(reply.body.len().saturating_add_signed(extra), 0);
            }
            reply
        });
        let error = fails(&Bench::new(), &server).await;
        assert!(
            matches!(error, PullError::Registry(RegistryError::WrongSize { .. })),
            "{error}"
        );
    }
}

#[tokio::test]
async fn altered_bytes_are_named_by_both_digests() {
    for at in [0, 2000] {
        let fake = Fake::noisy();
        let wanted = Digest::of(&fake.layers[0]);
        let mut altered = fake.layers[0].clone();
        altered[at] ^= 1;
        let found = Digest::of(&altered);
        let server = Server::start(move |request| match fake.is_layer(request) {
            true => Reply::new(200, "application/octet-stream", altered.clone()),
            false => fake.answer(request),
        });
        let error = fails(&Bench::new(), &server).await.to_string();
        assert!(
            error.contains(&wanted.to_string()) && error.contains(&found.to_string()),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_altered_manifest_or_config_is_refused() {
    for part in ["/manifests/", "/blobs/"] {
        let (_, server) = faulty(move |request, _| {
            let hit = request.method == "GET" && request.path.contains(part);
            let mut reply = Fake::noisy().answer(request);
            if let Some(byte) = reply.body.last_mut() {
                *byte = b' ';
            }
            hit.then_some(reply)
        });
        let error = fails(&Bench::new(), &server).await;
        assert!(
            matches!(
                error,
                PullError::Registry(RegistryError::WrongDigest { .. })
            ),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_layer_that_unpacks_to_something_else_is_refused() {
    let fake = Fake::with_diff_ids(&[Tarball::new().dir("a").end()], &[Digest::of(b"other")]);
    let server = Server::start(move |request| fake.answer(request));
    let error = fails(&Bench::new(), &server).await;
    assert!(matches!(error, PullError::WrongDiffId { .. }), "{error}");
}

#[tokio::test]
async fn evil_layers_are_refused_by_name() {
    let table = [
        (
            Tarball::new().file("../../etc/cron.d/evil", b"x").end(),
            "../../etc/cron.d/evil",
        ),
        (
            Tarball::new()
                .symlink("a", "/etc")
                .file("a/evil", b"x")
                .end(),
            "a/evil",
        ),
        (
            Tarball::new().file("twice", b"1").file("twice", b"2").end(),
            "twice",
        ),
        (
            Tarball::new().link("a", "../../../etc/shadow").end(),
            "../../../etc/shadow",
        ),
    ];
    for (archive, named) in table {
        let fake = Fake::new(&[archive]);
        let server = Server::start(move |request| fake.answer(request));
        let error = fails(&Bench::new(), &server).await;
        assert!(matches!(error, PullError::Layer { .. }), "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[tokio::test]
async fn an_image_whose_proc_is_a_link_is_refused() {
    let fake = Fake::new(&[
        Tarball::new().dir("proc").end(),
        Tarball::new().symlink("proc", "/tmp").end(),
    ]);
    let server = Server::start(move |request| fake.answer(request));
    let error = Bench::new().pull(&server).await.expect_err("refused");
    let wanted = matches!(&error, PullError::Image { source: LayerError::NotADirectory { path }, .. } if path == "proc");
    assert!(wanted, "{error}");
}

#[tokio::test]
async fn a_failing_layer_leaves_the_others_and_no_image() {
    let good = Tarball::new().file("good", b"kept").end();
    let bad = Tarball::new().file("../bad", b"x").end();
    let fake = Fake::new(&[good, bad]);
    let model = Arc::new(fake);
    let served = Arc::clone(&model);
    let server = Server::start(move |request| served.answer(request));
    let bench = Bench::with(|options| options.parallel = 1);
    for _ in 0..2 {
        bench.pull(&server).await.expect_err("one layer is bad");
    }
    let tries = |layer: usize| server.count(&Digest::of(&model.layers[layer]).to_string());
    assert!(tries(0) <= 2 && tries(1) == 2);
    assert!(
        bench
            .client
            .last_pulled(&image(&server).into(), &bench.store, drop)
            .await
            .expect("store")
            .is_none()
    );
}
