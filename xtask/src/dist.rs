//! The release recipe: one static binary, checked to be one and to need nothing around it.

use std::path::Path;
use std::process::Command;

use crate::images;
use crate::shell::{Doing, Failure, cargo, output, run as run_command, target_dir};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A word only the fault hook of tests contains; it must not be in a release.
const FAULT_MARK: &[u8] = b"HD_FAULT";

pub(crate) fn run() -> Result<(), Failure> {
    // Naming the target keeps build scripts and macros out of RUSTFLAGS.
    run_command(
        cargo()
            .args([
                "build",
                "--profile",
                "dist",
                "--target",
                TARGET,
                "--package",
                "hd-cli",
            ])
            .env("RUSTFLAGS", "-C target-feature=+crt-static"),
    )?;
    let binary = target_dir()?.join(TARGET).join("dist/hd");
    let bytes = std::fs::read(&binary).doing(|| format!("reading {}", binary.display()))?;
    // ldd exits with 1 for a static binary and says so; what it says is what counts.
    let ldd = Command::new("ldd")
        .arg(&binary)
        .env("LC_ALL", "C")
        .output()
        .doing(|| "ldd".to_owned())?;
    let said = String::from_utf8_lossy(&ldd.stdout) + String::from_utf8_lossy(&ldd.stderr);
    if !said.contains("statically linked") && !said.contains("not a dynamic executable") {
        return Err(Failure::new(format!(
            "{} is not static:\n{said}",
            binary.display()
        )));
    }
    if bytes
        .windows(FAULT_MARK.len())
        .any(|window| window == FAULT_MARK)
    {
        return Err(Failure::new(format!(
            "{} contains the fault hook of tests",
            binary.display()
        )));
    }
    in_a_bare_root(&binary)?;
    let version = output(Command::new(&binary).arg("version"))?;
    println!(
        "{} {} bytes, static, {}",
        binary.display(),
        bytes.len(),
        version.trim()
    );
    Ok(())
}

/// What the bare root is entered with: device nodes and /proc, nothing else of this machine.
const ENTER: &str =
    "mount --bind /dev dev && mount -t proc proc proc && exec chroot . /hd -C /p up --once --json";

/// Lets the binary resolve a name and pull an image where there is nothing but itself, /dev, /proc,
/// resolv.conf and hosts: no shared library, no name service switch, no certificates.
fn in_a_bare_root(binary: &Path) -> Result<(), Failure> {
    if let Some(why) = images::cannot() {
        eprintln!("xtask: not tried in a bare root: {why}");
        return Ok(());
    }
    let served = images::up()?;
    let (_, port) = served.registry.rsplit_once(':').unwrap_or_default();
    let root = target_dir()?.join("bare");
    // What an earlier run left would be found by this one.
    let _ = std::fs::remove_dir_all(&root);
    let place = |name: &str| root.join(name);
    let base = format!("localhost:{port}/busybox:1");
    let hd_toml = format!("[environment]\nname = \"bare\"\nbase = \"{base}\"\n");
    for directory in ["dev", "proc", "etc", "tmp", "p"] {
        std::fs::create_dir_all(place(directory)).doing(|| directory.to_owned())?;
    }
    std::fs::write(place("p/hd.toml"), hd_toml).doing(|| "hd.toml".to_owned())?;
    for (from, to) in [
        (binary, "hd"),
        (Path::new("/etc/resolv.conf"), "etc/resolv.conf"),
        (Path::new("/etc/hosts"), "etc/hosts"),
    ] {
        std::fs::copy(from, place(to)).doing(|| from.display().to_string())?;
    }
    let pulled = output(
        Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "sh", "-c", ENTER])
            .current_dir(&root)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HD_HOME", "/tmp/hd"),
    );
    if served.started {
        images::stop()?;
    }
    let report: serde_json::Value =
        serde_json::from_str(&pulled?).doing(|| "what hd printed in a bare root".to_owned())?;
    if report["view"].is_null() {
        return Err(Failure::new(format!("no view in a bare root: {report}")));
    }
    println!("in a bare root: pulled {base}, view {}", report["view"]);
    Ok(())
}
