//! What Python compiles in a live project: kept for the next start, and never that of an earlier edit.

use hd_integration::{Env, files, needs, skip_unless};

/// Answers a word that a module of its own has, compiled since it imports it.
const IMPORTING: &str = r#"
import http.server, word
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(word.WORD.encode())
    def log_message(self, *words):
        pass
http.server.HTTPServer(("127.0.0.1", 8000), Page).serve_forever()
"#;

/// Python takes what it compiled for current when size and second of change are those of the source.
#[test]
fn what_python_compiled_is_kept_and_never_stale() {
    skip_unless!(needs::fuse());
    let toml = "[environment]\nname = \"py\"\n[services.web]\ncommand = \"python3 web.py\"\nwatch = [\"*.py\"]\nport = 8000\n";
    let env = Env::project(&[
        ("hd.toml", toml),
        ("web.py", IMPORTING),
        ("word.py", "WORD = 'one'\n"),
        (".gitignore", "__pycache__/\n"),
    ]);
    let port = env.port(0);
    files::replace(&env.path("web.py"), "8000", &port.to_string());
    let mut up = env.up();
    up.wait_http(port, "/", "one");
    let compiled = || {
        let all = std::fs::read_dir(env.path("__pycache__"))
            .into_iter()
            .flatten();
        let names = all.map(|entry| entry.expect("an entry").file_name());
        names
            .filter(|name| name.to_string_lossy().ends_with(".pyc"))
            .count()
    };
    assert_eq!(compiled(), 1, "a start reads it, and compiles nothing");
    let time = files::mtime(&env.path("word.py"));
    for word in ["two", "six", "ten"] {
        // Of the same size and time as the one before.
        let new = env.mark().join("word.py");
        files::write(&new, &format!("WORD = '{word}'\n"));
        files::set_mtime(&new, time);
        std::fs::rename(&new, env.path("word.py")).expect("rename");
        up.wait_http(port, "/", word);
        assert_eq!(compiled(), 1, "{word}");
    }
    up.interrupt();
    assert_eq!(env.added(), [""; 0]);
}
