//! Images of a test's own, made of those of the registry.

use std::path::Path;

use serde_json::Value;

use crate::run::Run;

/// Copies an image with skopeo, in its words: `docker://…`, `dir:…`, `oci:…`.
#[track_caller]
pub fn copy(more: &[&str], from: &str, to: &str) {
    let always = [
        "--insecure-policy",
        "copy",
        "-q",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
    ];
    let run = Run::new(Path::new("skopeo")).args(always).args(more);
    run.args([from, to]).finish().ok();
}

/// Changes the configuration of an image in a directory (`dir:` of skopeo); answers its manifest.
#[track_caller]
pub fn change(place: &Path, change: impl FnOnce(&mut Value, &Value)) -> Value {
    let read = |name: &str| std::fs::read_to_string(place.join(name)).expect("read");
    let mut manifest: Value = serde_json::from_str(&read("manifest.json")).expect("JSON");
    let old = hex(&manifest["config"]);
    let mut config: Value = serde_json::from_str(&read(&old)).expect("JSON");
    change(&mut config, &manifest);
    std::fs::write(place.join("config"), config.to_string()).expect("write");
    let digest = output("sha256sum config | cut -d' ' -f1", place);
    std::fs::rename(place.join("config"), place.join(&digest)).expect("rename");
    manifest["config"]["digest"] = format!("sha256:{digest}").into();
    manifest["config"]["size"] = config.to_string().len().into();
    std::fs::write(place.join("manifest.json"), manifest.to_string()).expect("write");
    manifest
}

/// The digest of a descriptor without its algorithm: the name of the file.
pub fn hex(descriptor: &Value) -> String {
    descriptor["digest"].as_str().expect("a digest")[7..].to_owned()
}

/// What a script prints in a directory.
#[track_caller]
pub fn output(script: &str, place: &Path) -> String {
    let run = Run::new(Path::new("sh")).args(["-c", script]).dir(place);
    run.finish().ok().stdout.trim().to_owned()
}
