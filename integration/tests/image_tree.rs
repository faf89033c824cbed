//! The tree of every image of the registry, in a real view, is the one that skopeo and umoci unpack.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use hd_integration::{Env, LONG, Run, needs, skip_unless, until};

/// What hd itself puts into a view, or mounts over it.
const OURS: [&str; 13] = [
    "proc",
    "sys",
    "dev",
    "run",
    "tmp",
    "var/tmp",
    "workspace",
    "etc/resolv.conf",
    "etc/hosts",
    "etc/hostname",
    "root/.cache",
    "root/.npm",
    "etc/ssl/certs/ca-certificates.crt",
];
/// Names of directories that hd adds, where an image has none, to mount caches on.
const ADDED: [&str; 6] = ["var", "etc", "root", ".cache", ".cargo", ".npm"];

/// One path: kind, mode, owner, link target or device or content, extended attributes, first name of its inode.
type Row = (char, u32, u32, u32, String, String, String);

fn rows(root: &Path) -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    let mut groups: BTreeMap<(u64, u64), Vec<String>> = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        let entries = std::fs::read_dir(root.join(&directory)).expect("list a directory");
        let mut names: Vec<PathBuf> = entries
            .map(|entry| directory.join(entry.expect("an entry").file_name()))
            .collect();
        names.sort();
        for path in names {
            let shown = path.as_os_str().as_bytes().escape_ascii().to_string();
            if OURS.contains(&shown.as_str()) {
                continue;
            }
            let meta = std::fs::symlink_metadata(root.join(&path)).expect("stat");
            if meta.is_dir() {
                open.push(path.clone());
            }
            let (kind, what) = content(&root.join(&path), &meta);
            let leader = match meta.is_dir() {
                true => String::new(),
                false => {
                    let group = groups.entry((meta.dev(), meta.ino())).or_default();
                    group.push(shown.clone());
                    group[0].clone()
                }
            };
            let row = (
                kind,
                meta.mode() & 0o7777,
                meta.uid(),
                meta.gid(),
                what,
                xattrs(&root.join(&path)),
                leader,
            );
            rows.insert(shown, row);
        }
    }
    // A name alone is no link, whatever the count says.
    for alone in groups.values().filter(|group| group.len() == 1) {
        if let Some(row) = rows.get_mut(&alone[0]) {
            row.6.clear();
        }
    }
    rows
}

fn content(path: &Path, meta: &std::fs::Metadata) -> (char, String) {
    let kind = meta.file_type();
    if kind.is_dir() {
        ('d', String::new())
    } else if kind.is_symlink() {
        let target = std::fs::read_link(path).expect("read a link");
        (
            'l',
            target.as_os_str().as_bytes().escape_ascii().to_string(),
        )
    } else if kind.is_fifo() {
        ('p', String::new())
    } else if kind.is_char_device() {
        ('c', meta.rdev().to_string())
    } else if kind.is_block_device() {
        ('b', meta.rdev().to_string())
    } else {
        // The whole content of small files; of large ones a sum, which is enough to tell two apart.
        let bytes = std::fs::read(path).expect("read a file");
        let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        ('f', format!("{} {sum:016x}", bytes.len()))
    }
}

fn xattrs(path: &Path) -> String {
    let mut names = vec![0; 64 << 10];
    let Ok(length) = rustix::fs::llistxattr(path, names.as_mut_slice()) else {
        return String::new();
    };
    let mut found: Vec<String> = names[..length]
        .split(|byte| *byte == 0)
        // An overlay's own are none of the image.
        .filter(|name| !name.is_empty() && !name.starts_with(b"trusted.overlay."))
        .map(|name| {
            let mut value = vec![0; 64 << 10];
            let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), value.as_mut_slice());
            let length = length.expect("read an attribute");
            format!("{}={}", name.escape_ascii(), value[..length].escape_ascii())
        })
        .collect();
    found.sort();
    found.join(";")
}

/// Unpacks with other tools.
fn umoci(env: &Env, image: &str) -> PathBuf {
    let (layout, bundle) = (env.mark().join("layout"), env.mark().join("bundle"));
    let registry = needs::registry().expect("checked by skip_unless");
    // Neither tool of Debian's release unpacks zstd: it is packed again, which leaves the archives as they are.
    let (from, to) = (
        format!("docker://{registry}/{image}"),
        format!("oci:{}:x", layout.display()),
    );
    let dir = format!("dir:{}", env.mark().join("plain").display());
    let quiet = ["--insecure-policy", "copy", "-q"];
    let first = [
        "--src-tls-verify=false",
        "--dest-decompress",
        from.as_str(),
        dir.as_str(),
    ];
    Run::new(Path::new("skopeo"))
        .args(quiet.iter().chain(&first))
        .finish()
        .ok();
    Run::new(Path::new("skopeo"))
        .args(
            quiet
                .iter()
                .chain(&["-f", "oci", dir.as_str(), to.as_str()]),
        )
        .finish()
        .ok();
    let (image, bundle_text) = (
        format!("{}:x", layout.display()),
        bundle.display().to_string(),
    );
    let unpack = ["unpack", "--image", image.as_str(), bundle_text.as_str()];
    Run::new(Path::new("umoci"))
        .args(unpack)
        .deadline(LONG)
        .finish()
        .ok();
    bundle.join("rootfs")
}

/// The root directory of a process in the view, seen from outside.
fn view(nap: &str) -> Option<PathBuf> {
    let wanted = format!("sleep\0{nap}\0");
    std::fs::read_dir("/proc")
        .expect("list /proc")
        .find_map(|entry| {
            let process = entry.ok()?.path();
            let line = std::fs::read(process.join("cmdline")).ok()?;
            (line == wanted.as_bytes()).then(|| process.join("root"))
        })
}

fn compare(image: &str) {
    let env = Env::project(&[(
        "hd.toml",
        "[environment]\nname = \"x\"\nworkdir = \"/workspace\"\n",
    )]);
    let theirs = rows(&umoci(&env, image));
    let registry = needs::registry().expect("checked by skip_unless");
    // A number nobody else sleeps for.
    let nap = format!(
        "{}.{}",
        86_400 + std::process::id(),
        image.bytes().map(u32::from).sum::<u32>()
    );
    let base = format!("{registry}/{image}");
    let args = ["run", "--base", &base, "sleep", nap.as_str()];
    let mut running = env.hd(args).into_command().spawn().expect("start hd");
    let root = until("a process in the view", LONG, || view(&nap));
    let ours = rows(&root);
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&running),
        rustix::process::Signal::TERM,
    )
    .expect("end hd");
    running.wait().expect("wait for hd");
    let mut wrong = Vec::new();
    for (path, row) in &theirs {
        match ours.get(path) {
            None => wrong.push(format!("lost: {path} {row:?}")),
            Some(own) if own != row => wrong.push(format!("{path}: {own:?}, not {row:?}")),
            Some(_) => {}
        }
    }
    let added = ours.keys().filter(|path| !theirs.contains_key(*path));
    wrong.extend(
        added
            .filter(|path| !path.split('/').any(|part| ADDED.contains(&part)))
            .map(|path| format!("added: {path}")),
    );
    assert!(
        wrong.is_empty(),
        "{image}: {} of {}:\n{}",
        wrong.len(),
        theirs.len(),
        wrong.join("\n")
    );
    assert!(theirs.len() > 10, "{image} has nothing in it");
}

macro_rules! images {
    ($($name:ident: $image:expr;)+) => {
        $(
            #[test]
            fn $name() {
                skip_unless!(
                    needs::fuse(),
                    needs::root(),
                    needs::registry(),
                    needs::program("skopeo"),
                    needs::program("umoci")
                );
                compare($image);
            }
        )+
    };
}

images! {
    busybox: "busybox:1";
    debian: "debian:12-slim";
    python: "python:3.11-slim";
    node: "node:20-slim";
    fixtures_gzip: "fixtures/layers:1";
    fixtures_zstd: "fixtures/layers:zstd";
    fixtures_docker: "fixtures/layers:v2s2";
    fixtures_index: "fixtures/multi:1";
}
