//! Layers with sparse files, in every way that GNU tar stores them.

use std::os::unix::fs::FileExt;
use std::path::Path;

use hd_integration::{Env, images, needs, skip_unless};
use serde_json::json;

/// A length, where data is in it, and how GNU tar stores the rest.
type Sparse = (&'static str, u64, &'static [u64], &'static str);

/// What is between the data is a hole: at the front, the end, in the middle, or all of it.
const SPARSE: [Sparse; 5] = [
    (
        "gnu",
        40 << 20,
        &[0, 20 << 20, (40 << 20) - 8],
        "--format=gnu",
    ),
    (
        "pax-0.1",
        12_345_678,
        &[5_000_000],
        "--format=pax --sparse-version=0.1",
    ),
    (
        "pax-1.0",
        8 << 20,
        &[4096, 65_536, 1 << 20],
        "--format=pax --sparse-version=1.0",
    ),
    ("holes", 30 << 20, &[], "--format=gnu"),
    ("whole", 16, &[0, 8], "--format=pax"),
];

/// A layer, and the sum of the file before it was packed.
struct Layer {
    diff_id: String,
    digest: String,
    size: u64,
    content: String,
}

/// The SHA-256 of a file.
fn sum(name: &str, place: &Path) -> String {
    images::output(&format!("sha256sum < {name} | cut -d' ' -f1"), place)
}

/// Packs one sparse file as a layer into a directory of skopeo's.
fn sparse_layer(place: &Path, (name, size, data, format): Sparse) -> Layer {
    let file = std::fs::File::create(place.join(name)).expect("create");
    file.set_len(size).expect("length");
    for at in data {
        file.write_all_at(b"sparsely", *at).expect("write");
    }
    let content = sum(name, place);
    let tar = format!("tar --sparse {format} --remove-files -cf layer {name}");
    images::output(&tar, place);
    let packed = place.join("layer").metadata().expect("a layer").len();
    assert!(
        packed < 1 << 20,
        "{name}: {packed} bytes: no hole was left out"
    );
    let diff_id = format!("sha256:{}", sum("layer", place));
    images::output("gzip -n layer", place);
    let digest = sum("layer.gz", place);
    let size = place.join("layer.gz").metadata().expect("a layer").len();
    std::fs::rename(place.join("layer.gz"), place.join(&digest)).expect("rename");
    Layer {
        diff_id,
        digest: format!("sha256:{digest}"),
        size,
        content,
    }
}

#[test]
fn sparse_files_are_what_they_were_and_their_holes_cost_nothing() {
    skip_unless!(needs::fuse(), needs::registry(), needs::program("skopeo"));
    let registry = needs::registry().expect("checked by skip_unless");
    let env = Env::project(&[("hd.toml", "[environment]\nname = \"x\"\n")]);
    let place = env.mark().join("image");
    let dir = format!("dir:{}", place.display());
    images::copy(&[], &format!("docker://{registry}/busybox:1"), &dir);
    let layers = SPARSE.map(|one| sparse_layer(&place, one));
    let mut manifest = images::change(&place, |config, _| {
        let known = config["rootfs"]["diff_ids"].as_array_mut().expect("layers");
        known.extend(layers.iter().map(|layer| json!(layer.diff_id)));
        config["history"] = json!([]);
    });
    let known = manifest["layers"].as_array_mut().expect("layers");
    let media_type = known[0]["mediaType"].clone();
    for layer in &layers {
        let (digest, size) = (&layer.digest, layer.size);
        known.push(json!({ "mediaType": media_type, "digest": digest, "size": size }));
    }
    std::fs::write(place.join("manifest.json"), manifest.to_string()).expect("write");
    let image = format!("{registry}/hd-sparse/{}:1", std::process::id());
    images::copy(&[], &dir, &format!("docker://{image}"));

    let names = SPARSE.map(|(name, ..)| format!("/{name}"));
    let sum = ["run", "--base", &image, "/bin/busybox", "sha256sum"];
    let args = sum.into_iter().chain(names.iter().map(String::as_str));
    let found = env.hd(args).finish().ok().stdout;
    let found: Vec<&str> = found.lines().collect();
    let wanted = layers.iter().zip(&names);
    let wanted: Vec<String> = wanted
        .map(|(layer, name)| format!("{}  {name}", layer.content))
        .collect();
    assert_eq!(found, wanted);
    let stored = images::output("du -sk . | cut -f1", env.home());
    let stored: u64 = stored.parse().expect("a number");
    assert!(stored < 8_000, "{stored} KiB, of 90 MiB that are holes");
}
