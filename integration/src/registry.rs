//! A real registry of a test's own: with TLS, with a password, or with both.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::poll::{SHORT, until};
use crate::ports::Port;
use crate::run::Run;

/// A user of [`Registry::with_password`], with the password [`PASSWORD`].
pub const USER: &str = "me";
/// The password of [`USER`].
pub const PASSWORD: &str = "hunter2";
/// The two as HTTP shows them (RFC 7617): base64 of `me:hunter2`.
pub const BASIC: &str = "bWU6aHVudGVyMg==";
/// `me:hunter2` as htpasswd(1) stores it, with bcrypt.
const HTPASSWD: &str = "me:$2b$04$R4pRfS2p7kPQSFDfI.o34OZAULVCznDpTYdDYxcwhCtVLFJjQlZhW\n";

/// Docker's registry on loopback, empty at first; ends when dropped.
#[derive(Debug)]
pub struct Registry {
    port: Port,
    child: Child,
    place: tempfile::TempDir,
}

impl Registry {
    /// One that lets in who knows [`PASSWORD`].
    pub fn with_password() -> Self {
        Self::start(|place| {
            std::fs::write(place.join("htpasswd"), HTPASSWD).expect("write htpasswd");
            let file = place.join("htpasswd");
            format!(
                "auth:\n  htpasswd: {{realm: test, path: {}}}\n",
                file.display()
            )
        })
    }

    /// One with TLS, whose certificate is for `name` and signed by [`Registry::authority`].
    pub fn with_tls(name: &str) -> Self {
        Self::start(|place| {
            certificates(place, name);
            let file = |name: &str| place.join(name).display().to_string();
            format!(
                "  tls: {{certificate: {}, key: {}}}\n",
                file("own.crt"),
                file("own.key")
            )
        })
    }

    fn start(more: impl FnOnce(&Path) -> String) -> Self {
        let place = tempfile::Builder::new().prefix("hd-t-").tempdir();
        let place = place.expect("a directory for the registry");
        let port = Port::free();
        let file = place.path().join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: warn, accesslog: {{disabled: true}}}}\nstorage:\n  \
             filesystem: {{rootdirectory: {}}}\nhttp:\n  addr: 127.0.0.1:{}\n{}",
            place.path().join("data").display(),
            port.number,
            more(place.path())
        );
        std::fs::write(&file, text).expect("write registry.yml");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let registry = Self {
            child: child.expect("start docker-registry"),
            port,
            place,
        };
        until("the registry listens", SHORT, || {
            std::net::TcpStream::connect(registry.host()).ok()
        });
        registry
    }

    /// Where it listens: `host:port`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port.number)
    }

    /// The certificate, as PEM, of who signed its own.
    pub fn authority(&self) -> String {
        let file = self.place.path().join("ca.crt");
        std::fs::read_to_string(file).expect("read the certificate of the authority")
    }

    /// Copies an image into it.
    pub fn copy_from(&self, image: &str, name: &str) {
        let args = [
            "--insecure-policy",
            "copy",
            "-q",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            "--dest-creds",
        ];
        let (from, to) = (format!("docker://{image}"), self.host());
        Run::new(Path::new("skopeo"))
            .args(args)
            .args([
                &format!("{USER}:{PASSWORD}"),
                &from,
                &format!("docker://{to}/{name}"),
            ])
            .finish()
            .ok();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes an authority (`ca.crt`) and a certificate of its for a name (`own.crt`, `own.key`).
fn certificates(place: &Path, name: &str) {
    let openssl = |args: &[&str]| {
        let run = Run::new(Path::new("openssl")).args(args).dir(place);
        run.finish().ok();
    };
    let new = [
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ];
    let with = |more: &[&str]| openssl(&[&new, more].concat());
    #[rustfmt::skip]
    with(&["-x509", "-days", "2", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.crt"]);
    with(&["-subj", "/CN=test", "-keyout", "own.key", "-out", "own.csr"]);
    let names = format!("subjectAltName=DNS:{name}\nbasicConstraints=CA:FALSE\n");
    std::fs::write(place.join("names"), names).expect("write the names");
    #[rustfmt::skip]
    openssl(&["x509", "-req", "-in", "own.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
        "-days", "2", "-extfile", "names", "-out", "own.crt"]);
}
