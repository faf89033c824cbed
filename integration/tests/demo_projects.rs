//! `hd demo` measures projects of every kind: with a reloader of their own, with pages for answers, with profiles.

use hd_integration::demo::{DEMO, NO_ENGINE, expect_no_directories};
use hd_integration::{Env, needs, skip_unless};
use serde_json::Value;

/// Serves at every path what is in `answer`, an expression.
fn server(answer: &str) -> String {
    format!(
        r#"import http.server, os, re
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = ({answer}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#
    )
}

fn toml(service: &str) -> String {
    let command = "command = \"python3 -I serve.py\"\nport = 8000\nenv = { PORT = \"8000\" }\n";
    format!("[environment]\nname = \"kinds\"\n[services.web]\n{command}{service}")
}

fn demo(files: &[(&str, &str)], more: &[&str]) -> Value {
    let mut env = Env::project(files);
    let mark = env.mark().display().to_string();
    env.set(NO_ENGINE.0, NO_ENGINE.1).set("TMPDIR", &mark);
    let args = DEMO.into_iter().chain(more.iter().copied());
    let report = env.hd(args).finish().ok().json();
    expect_no_directories(&env);
    report
}

fn phases(report: &Value) -> Vec<&str> {
    let phases = report["sides"][0]["phases"].as_array().expect("phases");
    let names = phases.iter().map(|phase| phase["phase"].as_str());
    names.map(|name| name.expect("a name")).collect()
}

#[test]
fn a_service_that_follows_edits_by_itself_is_measured() {
    skip_unless!(needs::fuse());
    let serve = server("re.search('\"(.*)\"', open('config.py').read())[1]");
    let files = [
        ("hd.toml", &*toml("")),
        ("serve.py", &serve),
        ("config.py", "VERSION = \"1.0.0\"\n"),
    ];
    let report = demo(&files, &[]);
    assert_eq!(phases(&report), ["cold", "edit", "second", "no_change"]);
    let edit = report["edit"].as_str().expect("what an edit is");
    assert!(edit.contains("version in config.py"), "{edit}");
}

#[test]
fn a_page_that_holds_the_version_by_chance_is_not_its_answer() {
    skip_unless!(needs::fuse());
    let page = "<!doctype html>\n<meta content='width=device-width, initial-scale=1.0'>";
    let serve = server(&format!("{page:?}"));
    let files = [
        ("hd.toml", &*toml("watch = [\"*.py\"]\n")),
        ("serve.py", &serve),
        ("version.py", "version = \"1.0\"\n"),
    ];
    let report = demo(&files, &[]);
    assert_eq!(phases(&report), ["cold", "edit", "second", "no_change"]);
    let edit = report["edit"].as_str().expect("what an edit is");
    assert!(edit.contains("comment in"), "{edit}");
}

#[test]
fn the_profile_is_one_of_the_hd_that_is_measured_too() {
    skip_unless!(needs::fuse());
    let serve = server("'yes'");
    let files = [
        ("hd.toml", &*toml("profiles = [\"front\"]\n")),
        ("serve.py", &serve),
    ];
    let report = demo(&files, &["--profile", "front"]);
    assert_eq!(phases(&report), ["cold", "no_change"]);
}
