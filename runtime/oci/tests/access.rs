//! Ways in: tokens, passwords, redirects, and where credentials must not go.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there")]

#[path = "common/fake.rs"]
mod fake;
#[path = "common/server.rs"]
mod server;
#[path = "common/tarball.rs"]
mod tarball;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use fake::{Bench, Fake};
use hd_oci::{Credentials, PullError, RegistryError};
use server::{Reply, Server};

/// base64 of `me:hunter2`.
const BASIC: &str = "bWU6aHVudGVyMg==";

/// A registry that lets in who shows `token-1`, and its token server at `/token`.
fn guarded(fake: Fake, needs_password: bool) -> Server {
    let host: Arc<OnceLock<String>> = Arc::default();
    let own = Arc::clone(&host);
    let server = Server::start(move |request| {
        if request.path.starts_with("/token") {
            let basic = format!("Basic {BASIC}");
            let let_in = !needs_password || request.header("authorization") == Some(basic.as_str());
            return match let_in {
                true => Reply::new(
                    200,
                    "application/json",
                    r#"{"token":"token-1","expires_in":60}"#,
                ),
                false => Reply::status(401),
            };
        }
        if request.header("authorization") == Some("Bearer token-1") {
            return fake.answer(request);
        }
        let host = own.get().expect("host");
        let challenge = format!(
            r#"Bearer realm="http://{host}/token",service="s",scope="repository:a/b:pull""#
        );
        Reply::status(401).with("www-authenticate", &challenge)
    });
    host.set(server.host()).expect("set once");
    server
}

fn credentials(server: &Server) -> Credentials {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("config.json");
    let json = format!(
        r#"{{"auths":{{"{}":{{"auth":"{BASIC}"}}}}}}"#,
        server.host()
    );
    std::fs::write(&path, json).expect("file");
    let mut credentials = Credentials::none();
    credentials.add_file(&path).expect("credentials");
    credentials
}

#[tokio::test]
async fn an_anonymous_token_is_fetched_once() {
    let server = guarded(Fake::noisy(), false);
    Bench::new().pull(&server).await.expect("let in");
    assert_eq!(
        server.count("/token?service=s&scope=repository%3Aa%2Fb%3Apull"),
        1
    );
    let refused = server
        .requests()
        .iter()
        .filter(|r| r.header("authorization").is_none())
        .count();
    assert_eq!(
        refused, 2,
        "one request without a token, and the one for it"
    );
}

#[tokio::test]
async fn a_password_buys_a_token_and_a_missing_one_is_asked_for() {
    let server = guarded(Fake::noisy(), true);
    let bench = Bench::with(|options| options.credentials = credentials(&server));
    bench.pull(&server).await.expect("let in");
    let error = Bench::new().pull(&server).await.expect_err("no password");
    let text = error.to_string();
    assert!(
        text.contains(&format!("docker login {}", server.host())),
        "{text}"
    );
    assert!(!format!("{error:?}{bench:?}", bench = bench.client).contains("hunter2"));
}

#[tokio::test]
async fn a_token_for_nobody_is_no_credential() {
    let host: Arc<OnceLock<String>> = Arc::default();
    let own = Arc::clone(&host);
    // As Docker Hub does for an image that is not there: everybody gets a token, and it is good for nothing.
    let server = Server::start(move |request| {
        if request.path.starts_with("/token") {
            return Reply::new(200, "application/json", r#"{"token":"nobody"}"#);
        }
        let host = own.get().expect("host");
        let challenge = format!(r#"Bearer realm="http://{host}/token",service="s""#);
        Reply::status(401).with("www-authenticate", &challenge)
    });
    host.set(server.host()).expect("set once");
    let error = Bench::new().pull(&server).await.expect_err("misspelt");
    assert!(error.to_string().contains("may be misspelt"), "{error}");
    let bench = Bench::with(|options| options.credentials = credentials(&server));
    let error = bench.pull(&server).await.expect_err("refused");
    assert!(error.to_string().contains("not accepted"), "{error}");
}

#[tokio::test]
async fn a_password_is_shown_where_the_registry_wants_it_itself() {
    let fake = Fake::noisy();
    let server = Server::start(move |request| match request.header("authorization") {
        Some(value) if value == format!("Basic {BASIC}") => fake.answer(request),
        _ => Reply::status(401).with("www-authenticate", r#"Basic realm="x""#),
    });
    let bench = Bench::with(|options| options.credentials = credentials(&server));
    bench.pull(&server).await.expect("let in");
    assert_eq!(
        server
            .requests()
            .iter()
            .filter(|r| r.header("authorization").is_none())
            .count(),
        1
    );
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    let server = Server::start(|_| Reply::status(401).with("www-authenticate", "Basic realm=x"));
    let bench = Bench::with(|options| options.credentials = credentials(&server));
    let error = bench.pull(&server).await.expect_err("refused");
    assert!(error.to_string().contains("not accepted"), "{error}");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn credentials_do_not_follow_to_another_host() {
    let fake = Fake::noisy();
    let (store, guard) = (fake.clone(), fake.clone());
    let elsewhere = Server::start(move |request| store.answer(request));
    let target = elsewhere.host();
    let server = Server::start(move |request| {
        if request.header("authorization").is_none() {
            return Reply::status(401).with("www-authenticate", "Basic realm=x");
        }
        match guard.is_layer(request) {
            true => Reply::redirect(&format!("http://{target}{}", request.path)),
            false => guard.answer(request),
        }
    });
    let bench = Bench::with(|options| options.credentials = credentials(&server));
    bench.pull(&server).await.expect("followed");
    let there = elsewhere.requests();
    assert_eq!(there.len(), 1);
    assert!(
        there
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
    drop(fake);
}

#[tokio::test]
async fn a_host_redirected_to_does_not_say_where_the_password_goes() {
    let third = Server::start(|_| Reply::new(200, "application/json", r#"{"token":"t"}"#));
    let challenge = format!(r#"Bearer realm="http://{}/token""#, third.host());
    let elsewhere = Server::start(move |_| Reply::status(401).with("www-authenticate", &challenge));
    for guarded in [true, false] {
        let (fake, target) = (Fake::noisy(), elsewhere.host());
        let server = Server::start(move |request| {
            if guarded && request.header("authorization").is_none() {
                return Reply::status(401).with("www-authenticate", "Basic realm=x");
            }
            match fake.is_layer(request) {
                true => Reply::redirect(&format!("http://{target}{}", request.path)),
                false => fake.answer(request),
            }
        });
        let bench = Bench::with(|options| options.credentials = credentials(&server));
        let error = bench.pull(&server).await.expect_err("refused");
        let by = format!("401 by {}", elsewhere.host());
        assert!(error.to_string().contains(&by), "{error}");
        assert_eq!(third.requests().len(), 0, "guarded: {guarded}");
    }
    let shown = |request: &server::Request| request.header("authorization").is_some();
    assert!(!elsewhere.requests().iter().any(shown));
}

/// Port 80 is for the privileged on most machines; without it there is nothing to be seen.
#[tokio::test]
async fn a_port_that_goes_without_saying_is_the_registrys_own() {
    let fake = Fake::noisy();
    let handler = move |request: &server::Request| match request.header("authorization") {
        Some(value) if value == format!("Basic {BASIC}") => fake.answer(request),
        _ => Reply::status(401).with("www-authenticate", "Basic realm=x"),
    };
    let Some(server) = Server::start_at("127.83.19.80:80", handler) else {
        return;
    };
    let bench = Bench::with(|options| options.credentials = credentials(&server));
    bench.pull(&server).await.expect("let in");
}

#[tokio::test]
async fn a_redirect_within_the_host_keeps_them() {
    let fake = Fake::noisy();
    let server = Server::start(move |request| {
        if request.header("authorization").is_none() {
            return Reply::status(401).with("www-authenticate", "Basic realm=x");
        }
        match request.path.strip_prefix("/v2/") {
            Some(rest) if rest.contains("/blobs/") => Reply::redirect(&format!("/moved/{rest}")),
            _ => fake.answer(request),
        }
    });
    let bench = Bench::with(|options| options.credentials = credentials(&server));
    bench.pull(&server).await.expect("followed");
}

#[tokio::test]
async fn bad_redirects_are_refused() {
    let table: [(&str, &str); 4] = [
        ("/v2/a/b/manifests/1", "times"),
        ("http://registry.example/v2/", "plain HTTP"),
        ("ftp://127.0.0.1/x", "scheme"),
        ("http://[broken", "no valid address"),
    ];
    for (location, word) in table {
        let server = Server::start(move |_| Reply::redirect(location));
        let error = Bench::new().pull(&server).await.expect_err("refused");
        assert!(
            matches!(error, PullError::Registry(RegistryError::Redirect { .. })),
            "{error}"
        );
        assert!(error.to_string().contains(word), "{error}");
        assert!(server.requests().len() <= 10);
    }
}

/// Pulls where the token server answers its n-th request by `token(n)`; says how it went and how often it was asked.
async fn with_tokens(
    token: impl Fn(usize) -> Reply + Send + Sync + 'static,
) -> (Result<(), PullError>, usize) {
    let seen = AtomicUsize::new(0);
    let tokens = Server::start(move |_| token(seen.fetch_add(1, Ordering::SeqCst)));
    let challenge = format!(r#"Bearer realm="http://{}/token""#, tokens.host());
    let fake = Fake::noisy();
    let server = Server::start(move |request| match request.header("authorization") {
        Some("Bearer t") => fake.answer(request),
        _ => Reply::status(401).with("www-authenticate", &challenge),
    });
    let pulled = Bench::new().pull(&server).await.map(drop);
    (pulled, tokens.requests().len())
}

fn good_token() -> Reply {
    Reply::new(200, "application/json", r#"{"token":"t"}"#)
}

#[tokio::test]
async fn a_token_server_that_fails_for_the_moment_is_asked_again() {
    let half = || Reply {
        length: Some(1000),
        ..good_token()
    };
    let limit = || Reply::status(429).with("retry-after", "1");
    type Answer = fn() -> Reply;
    let faults: [(&str, Answer); 4] = [
        ("503", || Reply::status(503)),
        ("429", limit),
        ("hangs up", Reply::none),
        ("breaks off", half),
    ];
    for (name, fault) in faults {
        let (pulled, asked) = with_tokens(move |number| match number {
            0 => fault(),
            _ => good_token(),
        })
        .await;
        pulled.expect(name);
        assert_eq!(asked, 2, "{name}");
    }
}

#[tokio::test]
async fn a_token_server_is_not_asked_for_ever() {
    let table: [(u16, usize, &str); 4] = [
        (503, 3, "status 503, in 3 tries"),
        (429, 5, "429"),
        (404, 1, "status 404"),
        (401, 1, "401 by"),
    ];
    for (status, tries, words) in table {
        let (pulled, asked) = with_tokens(move |_| Reply::status(status)).await;
        let error = pulled.expect_err("refused").to_string();
        assert!(error.contains(words), "{error}");
        assert_eq!(asked, tries, "{error}");
    }
}

#[tokio::test]
async fn a_token_server_in_plain_text_elsewhere_is_refused() {
    let challenge = r#"Bearer realm="http://auth.example/token""#;
    let server = Server::start(move |_| Reply::status(401).with("www-authenticate", challenge));
    let bench = Bench::with(|options| options.credentials = credentials(&server));
    let error = bench.pull(&server).await.expect_err("refused");
    assert!(
        error.to_string().contains("plain HTTP on auth.example"),
        "{error}"
    );
}
