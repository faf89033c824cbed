//! Answers that do not come whole: what is asked for again, and what need not be.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there")]

#[path = "common/fake.rs"]
mod fake;
#[path = "common/server.rs"]
mod server;
#[path = "common/tarball.rs"]
mod tarball;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use fake::{Bench, Fake};
use hd_oci::{Mirror, PullError, RegistryError, RegistrySettings, Rule};
use server::{Reply, Request, Server};

/// The image that is served; it takes a while to make.
fn model() -> &'static Fake {
    static MODEL: OnceLock<Fake> = OnceLock::new();
    MODEL.get_or_init(Fake::noisy)
}

/// Serves a small image, except where `fault` has another answer; it is told how many requests it has seen.
fn faulty(fault: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static) -> Server {
    let seen = AtomicUsize::new(0);
    Server::start(move |request| {
        let number = seen.fetch_add(1, Ordering::SeqCst);
        fault(request, number).unwrap_or_else(|| model().answer(request))
    })
}

#[tokio::test]
async fn a_blob_whose_bytes_all_came_is_not_asked_for_again() {
    let server = faulty(move |request, _| {
        let reply = model().answer(request);
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
        let mut reply = model().answer(request);
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

/// Where requests for the layer begin.
fn beginnings(server: &Server) -> Vec<usize> {
    let requests = server.requests();
    let layer = requests.iter().filter(|one| model().is_layer(one));
    layer.map(Request::from).collect()
}

/// Serves the first half of the layer, and then `after(n)` for the n-th further request for it.
fn breaking_off(after: impl Fn(usize) -> Option<Reply> + Send + Sync + 'static) -> Server {
    let seen = AtomicUsize::new(0);
    faulty(move |request, _| {
        if !model().is_layer(request) {
            return None;
        }
        match seen.fetch_add(1, Ordering::SeqCst) {
            0 => Some(half(model().answer(request))),
            number => after(number),
        }
    })
}

fn half(mut reply: Reply) -> Reply {
    reply.length = Some(reply.body.len());
    reply.body.truncate(reply.body.len() / 2);
    reply
}

#[tokio::test]
async fn a_registry_that_goes_away_amid_a_layer_is_waited_for() {
    let gone = Server::start(|_| Reply::none());
    let nowhere = gone.host();
    drop(gone);
    let outages: [Box<dyn Fn() -> Reply + Send + Sync>; 3] = [
        Box::new(Reply::none),
        Box::new(|| Reply::status(502)),
        // The registry has its blobs elsewhere, where nothing listens for the moment.
        Box::new(move || Reply::redirect(&format!("http://{nowhere}/"))),
    ];
    for outage in outages {
        // One request has three tries, unless the connection is refused.
        let server = breaking_off(move |number| (number < 3).then(&outage));
        Bench::new().pull(&server).await.expect("it is back");
    }
    let server = breaking_off(|number| (number < 4).then(Reply::none));
    Bench::new().pull(&server).await.expect("it is back");
    let middle = model().layers[0].len() / 2;
    assert_eq!(beginnings(&server), [0, middle, middle, middle, middle]);

    let server = breaking_off(|_| Some(Reply::none()));
    let error = Bench::new().pull(&server).await.expect_err("gone for good");
    assert!(error.to_string().contains("cannot go on"), "{error}");
    assert_eq!(beginnings(&server).len(), 1 + 3 * 3);
}

#[tokio::test]
async fn what_a_mirror_has_begun_the_registry_ends() {
    let mirror = breaking_off(|_| Some(Reply::status(404)));
    let server = faulty(|_, _| None);
    let rule = Rule {
        prefix: server.host(),
        blocked: false,
        insecure: false,
        location: None,
        mirrors: vec![Mirror {
            location: mirror.host(),
            insecure: false,
        }],
    };
    let settings = RegistrySettings {
        rules: vec![rule],
        certificates: Vec::new(),
    };
    let bench = Bench::with(|options| options.registries = settings);
    bench.pull(&server).await.expect("both together");
    let middle = model().layers[0].len() / 2;
    assert_eq!(beginnings(&mirror), [0, middle]);
    assert_eq!(beginnings(&server), [middle]);
}
