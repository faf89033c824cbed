//! A registry at fault: `hd image pull` says what is wrong, ends with an error, and stores nothing.

use hd_integration::faulty::{Fault, Faulty};
use hd_integration::{Env, Finished, needs, skip_unless};

/// Pulls busybox through a registry with this rule; the pull must fail.
struct Failed {
    env: Env,
    server: Faulty,
    text: String,
}

fn env() -> Env {
    let mut env = Env::project(&[("hd.toml", "[environment]\nname = \"x\"\n")]);
    // A second of silence is a failed transfer; each is tried three times.
    env.set("HD_REGISTRY_TIMEOUT", "1");
    let nowhere = env.mark().join("no-config").display().to_string();
    env.set("DOCKER_CONFIG", &nowhere);
    env
}

fn pull(env: &Env, host: &str) -> Finished {
    let image = format!("{host}/busybox:1");
    env.hd(["image", "pull", image.as_str()]).finish()
}

#[track_caller]
fn fails(rule: impl Fn(&str, &str) -> Fault + Send + Sync + 'static) -> Failed {
    let upstream = needs::registry().expect("checked by skip_unless");
    let server = Faulty::before(&upstream, rule);
    let env = env();
    let done = pull(&env, &server.host());
    assert_eq!(done.code(), 2, "{}", done.said());
    let listed = env.hd(["image", "ls", "--json"]).finish().ok().json();
    assert_eq!(listed["images"], serde_json::json!([]));
    let stats = env.hd(["cas", "stats", "--json"]).finish().ok().json();
    for kind in ["blobs", "nodes", "history", "refs"] {
        assert_eq!(stats[kind], 0, "something was stored: {stats}");
    }
    Failed {
        env,
        server,
        text: done.stderr,
    }
}

impl Failed {
    #[track_caller]
    fn says(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.text.contains(part), "no `{part}` in: {}", self.text);
        }
        self
    }
}

fn blob(path: &str) -> bool {
    path.contains("/blobs/")
}

macro_rules! faults {
    ($($name:ident: $rule:expr => $check:expr;)+) => {
        $(
            #[test]
            fn $name() {
                skip_unless!(needs::registry());
                let failed = fails($rule);
                let check: fn(&Failed) = $check;
                check(&failed);
                let host = failed.server.host();
                failed.says(&[host.as_str(), "hint: "]);
            }
        )+
    };
}

faults! {
    wanting_credentials_401: |_, _| Fault::Status(401, "\r\nwww-authenticate: Basic realm=\"x\"") => |failed| {
        failed.says(&["wants credentials", "401", "docker login"]);
    };
    forbidden_403: |_, _| Fault::Status(403, "") => |failed| {
        failed.says(&["refuses access", "403"]);
        assert_eq!(failed.server.requests().len(), 1, "it is not asked again");
    };
    not_found_404: |_, _| Fault::Status(404, "") => |failed| {
        failed.says(&["has no", "404"]);
    };
    limited_429: |_, _| Fault::Status(429, "\r\nretry-after: 0") => |failed| {
        failed.says(&["limits requests", "429", "5 tries"]);
        assert_eq!(failed.server.requests().len(), 5);
    };
    unavailable_503: |_, _| Fault::Status(503, "") => |failed| {
        failed.says(&["503", "3 tries"]);
        assert_eq!(failed.server.requests().len(), 3);
    };
    another_digest: |method, path| match method == "GET" && blob(path) {
        true => Fault::Bit,
        false => Fault::None,
    } => |failed| {
        failed.says(&["has digest", "wanted was", "nothing was stored"]);
    };
    another_manifest: |method, path| match method == "GET" && path.contains("/manifests/") {
        true => Fault::Bit,
        false => Fault::None,
    } => |failed| {
        failed.says(&["manifest", "has digest", "wanted was"]);
    };
    another_length: |_, path| if blob(path) { Fault::Longer } else { Fault::None } => |failed| {
        failed.says(&["bytes, wanted were", "nothing was stored"]);
    };
    cut_short: |_, path| if blob(path) { Fault::Truncated } else { Fault::None } => |failed| {
        failed.says(&["bytes came"]);
    };
    reset: |_, path| if blob(path) { Fault::Reset } else { Fault::None } => |failed| {
        failed.says(&["bytes came"]);
    };
    silent: |_, path| if blob(path) { Fault::Silent } else { Fault::None } => |failed| {
        failed.says(&["bytes came"]);
    };
    a_login_page: |_, _| Fault::Html => |failed| {
        failed.says(&["text/html", "no registry"]);
    };
}

#[test]
fn a_redirect_to_another_host_is_followed_without_what_lets_in() {
    skip_unless!(needs::registry());
    let upstream = needs::registry().expect("checked");
    let there = Faulty::before(&upstream, |_, _| Fault::None);
    let other = format!(
        "http://localhost:{}",
        there.host().rsplit_once(':').expect("a port").1
    );
    let first = Faulty::before(&upstream, move |_, path| match blob(path) {
        true => Fault::Redirect(other.clone()),
        false => Fault::None,
    });
    let env = env();
    pull(&env, &first.host()).ok();
    assert!(there.count("/blobs/") >= 2, "{:?}", there.requests());
    // To plain HTTP on a host that is not this machine it is not followed.
    let away = fails(|_, path| match blob(path) {
        true => Fault::Redirect("http://registry.invalid".to_owned()),
        false => Fault::None,
    });
    away.says(&["plain HTTP on registry.invalid"]);
}

#[test]
fn a_transfer_that_breaks_once_goes_on_where_it_broke() {
    skip_unless!(needs::registry());
    let upstream = needs::registry().expect("checked");
    let broken = std::sync::atomic::AtomicBool::new(false);
    let server = Faulty::before(&upstream, move |method, path| {
        let first = method == "GET" && blob(path);
        match first && !broken.swap(true, std::sync::atomic::Ordering::SeqCst) {
            true => Fault::Truncated,
            false => Fault::None,
        }
    });
    let env = env();
    pull(&env, &server.host()).ok();
    env.hd(["cas", "verify"]).finish().ok();
}

#[test]
fn after_a_failure_the_next_pull_needs_no_repair() {
    skip_unless!(needs::registry());
    let failed = fails(|_, path| {
        if blob(path) {
            Fault::Truncated
        } else {
            Fault::None
        }
    });
    let registry = needs::registry().expect("checked");
    pull(&failed.env, &registry).ok();
    failed
        .env
        .hd(["cas", "verify", "--read-data"])
        .finish()
        .ok();
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_when_it_fails() {
    skip_unless!(needs::registry());
    let upstream = needs::registry().expect("checked");
    let mirror = Faulty::before(&upstream, |_, path| match path.contains("/manifests/") {
        true => Fault::None,
        false => Fault::Status(404, ""),
    });
    let mut env = env();
    let conf = env.mark().join("registries.conf");
    let text = format!(
        "[[registry]]\nlocation = \"{upstream}\"\n[[registry.mirror]]\nlocation = \"{}\"\n",
        mirror.host()
    );
    std::fs::write(&conf, text).expect("write registries.conf");
    env.set("CONTAINERS_REGISTRIES_CONF", &conf.display().to_string());
    pull(&env, &upstream).ok();
    assert!(
        mirror.count("/manifests/") > 0 && mirror.count("/blobs/") > 0,
        "{:?}",
        mirror.requests()
    );
    std::fs::write(
        &conf,
        format!("[[registry]]\nlocation = \"{upstream}\"\nblocked = true\n"),
    )
    .expect("write");
    env.second_home();
    let refused = pull(&env, &upstream);
    assert!(
        refused.code() == 2 && refused.stderr.contains("blocked"),
        "{}",
        refused.said()
    );
}
