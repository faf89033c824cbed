//! Layers, manifests and references as strangers may write them: read or refused, never a panic.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there")]

#[path = "common/mutate.rs"]
mod mutate;
#[path = "common/tarball.rs"]
mod tarball;

use std::io::Read;
use std::os::unix::fs::FileExt;

use hd_dag::{MemoryTrees, build};
use hd_oci::{
    Digest, Document, Draft, ImageConfig, Limits, Platform, Reference, Source, TarReader, Target,
};
use hd_store::Id;
use mutate::{Dice, fuzz};
use tarball::{Tarball, record};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A mutated header is read only if its sum is right: most of them are mended.
fn mend(dice: &mut Dice, archive: &mut [u8]) {
    for block in archive.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" && dice.below(8) > 0 {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

fn unpack(archive: &[u8]) -> Option<()> {
    let limits = Limits {
        entries: 10_000,
        bytes: 16 << 20,
        ratio: 400,
    };
    let (mut reader, mut draft) = (TarReader::new(archive, limits), Draft::default());
    while let Some(entry) = reader.next_entry().ok()? {
        let mut bytes = Vec::new();
        let content = match Draft::wants_content(&entry) {
            true => {
                reader
                    .content()
                    .take(1 << 20)
                    .read_to_end(&mut bytes)
                    .ok()?;
                Some((Id::of(&bytes), bytes.len() as u64))
            }
            false => None,
        };
        draft.add(entry, content).ok()?;
    }
    reader.drain().ok()?;
    let layer = draft.finish(b"fuzz").ok()?;
    // What was taken for a layer is a tree: sorted, each entry below directories.
    build(&MemoryTrees::new(), layer.entries).expect("a layer is a tree");
    Some(())
}

/// Sparse files in the four forms that GNU tar writes; none where there is no tar.
fn sparse_archives() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().expect("a directory");
    let file = std::fs::File::create(dir.path().join("s")).expect("create");
    file.set_len(1 << 20).expect("length");
    for block in [3, 4, 90] {
        file.write_all_at(&[7; 4096], block * 4096).expect("write");
    }
    let forms: [&[&str]; 4] = [
        &["--format=gnu"],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ];
    let archive = |form: &&[&str]| {
        let mut tar = std::process::Command::new("tar");
        tar.arg("-C").arg(dir.path()).args(*form);
        let made = tar.args(["--sparse", "-cf", "-", "s"]).output().ok()?;
        made.status.success().then_some(made.stdout)
    };
    forms.iter().filter_map(archive).collect()
}

#[test]
fn layers() {
    let mut corpus = vec![
        Tarball::new()
            .dir("a")
            .file("a/b", b"content")
            .link("a/c", "a/b")
            .symlink("l", "../x")
            .end(),
        Tarball::new()
            .file("a/.wh.gone", b"")
            .file("b/.wh..wh..opq", b"")
            .file("b/new", &[7; 3000])
            .end(),
        Tarball::new()
            .pax(&[
                ("path", b"long/\xc3\xa9"),
                ("SCHILY.xattr.user.a", b"v\n1"),
                ("mtime", b"-1.5"),
                ("size", b"3"),
            ])
            .file("short", b"abc")
            .end(),
        Tarball::new()
            .long_name(&"d/".repeat(300))
            .file("x", b"1")
            .end(),
        [record("path", b"x"), record("uid", b"4294967295")].concat(),
    ];
    corpus.extend(sparse_archives());
    fuzz("layer", &corpus, |dice, mut bytes| {
        mend(dice, &mut bytes);
        unpack(&bytes);
    });
}

#[test]
fn manifests() {
    let digest = Digest::of(b"");
    let pointer = |kind: &str| {
        format!(
            r#"{{"mediaType":"{kind}","digest":"{digest}","size":0,"platform":{{"os":"linux","architecture":"arm","variant":"v7"}}}}"#
        )
    };
    let layer = pointer("application/vnd.oci.image.layer.v1.tar+gzip");
    let config = pointer("application/vnd.oci.image.config.v1+json");
    let corpus = [
        format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[{layer},{layer}]}}"#),
        format!(r#"{{"schemaVersion":2,"manifests":[{},{}]}}"#, pointer(MANIFEST), pointer(INDEX)),
        format!(r#"{{"os":"linux","architecture":"amd64","config":{{"User":"1:2","Env":["A=1"],"Entrypoint":["a"],"ExposedPorts":{{"1/tcp":{{}}}},"Healthcheck":{{"Test":["CMD","x"],"Interval":1000}}}},"rootfs":{{"type":"layers","diff_ids":["{digest}"]}}}}"#),
    ]
    .map(String::into_bytes);
    let host = Platform::host();
    fuzz("manifest", &corpus, |_, bytes| {
        for kind in [MANIFEST, INDEX, "text/html"] {
            if let Ok(Document::Index(index)) = Document::parse(&bytes, kind) {
                let _ = (index.choose(&host), index.platforms());
            }
        }
        let _ = ImageConfig::parse(&bytes);
    });
}

#[test]
fn references() {
    let digest = Digest::of(b"");
    let corpus = [
        "python:3.11-slim".to_owned(),
        format!("127.0.0.1:5055/a/b:1@{digest}"),
        "[::1]:5000/o/r__s/t-u.v:V_1.2-3".to_owned(),
        "oci:/a/b:tag".to_owned(),
        "docker-archive:x.tar:a/b:1".to_owned(),
        "docker-daemon:busybox:1".to_owned(),
        "linux/arm64/v8".to_owned(),
    ]
    .map(String::into_bytes);
    fuzz("reference", &corpus, |_, bytes| {
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(reference) = text.parse::<Reference>() {
            let again: Reference = reference
                .to_string()
                .parse()
                .expect("what is written is read");
            assert_eq!(again, reference);
        }
        if let Ok(source) = text.parse::<Source>() {
            let _ = source.below("/x".as_ref()).to_string();
        }
        let _ = text.parse::<Target>().map(|target| target.to_string());
        let _ = (text.parse::<Digest>(), text.parse::<Platform>());
    });
}
