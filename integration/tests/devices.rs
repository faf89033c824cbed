//! Device nodes and FIFOs of an image: shown as they are, and never a way to a device.

use hd_integration::{Env, images, needs, skip_unless};
use serde_json::json;

/// Makes the nodes and packs them as the only content of `layer`; `null` is the device 1:3, `disk` a block device.
const LAYER: &str = "mkdir nodes && mknod -m 666 nodes/null c 1 3 && mknod -m 660 nodes/disk b 7 0 \
    && mkfifo -m 640 nodes/fifo && chown 5:6 nodes/disk && tar -cf layer nodes && rm -r nodes";

/// What a command says of the nodes; to open a device there is refused whoever asks.
const LOOK: &str = "cd /nodes && stat -c '%n %F %a %u:%g %t:%T' disk fifo null; \
    cat null 2>/dev/null && echo opened; cat disk 2>/dev/null && echo opened; cat < /dev/null && echo own";
const SEEN: &str = "disk block special file 660 5:6 7:0\nfifo fifo 640 0:0 0:0\nnull character special file 666 0:0 1:3\nown\n";

/// An image with device nodes in a layer of their own; answers its name.
fn image(env: &Env, registry: &str) -> String {
    let place = env.mark().join("image");
    let dir = format!("dir:{}", place.display());
    images::copy(&[], &format!("docker://{registry}/debian:12-slim"), &dir);
    images::output(LAYER, &place);
    let sum = |name: &str| images::output(&format!("sha256sum < {name} | cut -d' ' -f1"), &place);
    let diff_id = format!("sha256:{}", sum("layer"));
    images::output("gzip -n layer", &place);
    let digest = sum("layer.gz");
    std::fs::rename(place.join("layer.gz"), place.join(&digest)).expect("rename");
    let size = place.join(&digest).metadata().expect("a layer").len();
    let mut manifest = images::change(&place, |config, _| {
        let known = config["rootfs"]["diff_ids"].as_array_mut().expect("layers");
        known.push(json!(diff_id));
        config["history"] = json!([]);
    });
    let known = manifest["layers"].as_array_mut().expect("layers");
    let media_type = known[0]["mediaType"].clone();
    known.push(
        json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size }),
    );
    std::fs::write(place.join("manifest.json"), manifest.to_string()).expect("write");
    let image = format!("{registry}/hd-devices/{}:1", std::process::id());
    images::copy(&[], &dir, &format!("docker://{image}"));
    image
}

#[test]
fn device_nodes_of_an_image_are_seen_by_steps_and_services_and_open_nothing() {
    let skopeo = needs::program("skopeo");
    skip_unless!(needs::fuse(), needs::root(), needs::registry(), skopeo);
    let registry = needs::registry().expect("checked by skip_unless");
    let toml = |base: &str| {
        format!(
            "[environment]\nname = \"nodes\"\nbase = \"{base}\"\n\n[build]\nsteps = [\"\"\"mkdir out && {{ {LOOK}; }} > out/seen\"\"\"]\n"
        )
    };
    let env = Env::project(&[("hd.toml", "[environment]\nname = \"nodes\"\n")]);
    let image = image(&env, &registry);
    hd_integration::files::write(&env.path("hd.toml"), &toml(&image));
    let step = env.hd(["run", "cat", "out/seen"]).finish().ok();
    assert_eq!(step.stdout, SEEN, "what the step saw");
    let view = env.hd(["run", "sh", "-c", LOOK]).finish().ok();
    assert_eq!(view.stdout, SEEN, "what a service would see");
}
