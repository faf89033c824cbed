//! `hd demo` on machines with engines of a test's own.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::{Env, files};

/// An engine that is nowhere: the half of the demo that needs one is missing for sure.
pub const NO_ENGINE: (&str, &str) = ("DOCKER_HOST", "unix:///nonexistent/docker.sock");

/// Only the engine that is nowhere.
pub const DEMO: [&str; 6] = ["demo", "--json", "--runs", "1", "--engine", "docker"];

/// One service of a base.
pub const SERVED: &str = r#"
[environment]
name = "shares"
base = "BASE"
[services.web]
command = "python3 -I -m http.server --bind 127.0.0.1 5000"
port = 5000
"#;

/// A project on a machine with this docker, and the file that it writes down what it was asked in. Another in
/// `PATH` that cannot even start is no reason to measure nothing.
#[must_use]
pub fn with_docker(project: &[(&str, &str)], script: &str) -> (Env, PathBuf) {
    let mut env = Env::project(project);
    let log = env.mark().join("asked");
    let [broken, programs] = ["broken", "bin"].map(|name| env.mark().join(name));
    for (place, script) in [
        (&broken, "#!/nonexistent/interpreter\n"),
        (&programs, script),
    ] {
        let docker = place.join("docker");
        files::write(&docker, script);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&docker, mode).expect("chmod");
    }
    let path = std::env::var("PATH").expect("a PATH");
    let mark = env.mark().display().to_string();
    let path = format!("{}:{}:{path}", broken.display(), programs.display());
    env.set("PATH", &path)
        .set("FAKE_LOG", &log.display().to_string())
        .set(NO_ENGINE.0, NO_ENGINE.1)
        .set("TMPDIR", &mark);
    (env, log)
}

/// Why the report says that a side is missing.
#[must_use]
#[track_caller]
pub fn reason(report: &Value, side: &str) -> String {
    let missing = report["missing"].as_array().expect("missing sides");
    let found = missing.iter().find(|one| one["side"] == side);
    found.expect("it is missing")["reason"].to_string()
}

/// What demos have left beside a test's project.
#[must_use]
pub fn leftover_directories(env: &Env) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(env.mark()).expect("list the test's directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy();
        name.starts_with("hd-demo-")
    };
    paths.filter(is_ours).collect()
}

/// Fails when a demo has left a directory.
#[track_caller]
pub fn expect_no_directories(env: &Env) {
    let left = leftover_directories(env);
    assert!(left.is_empty(), "{left:?}");
}
