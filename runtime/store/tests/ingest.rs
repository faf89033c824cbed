//! Many files at once.
#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};

use common::{noise, text};
use hd_store::{Id, Ingested, Source, Store, VerifyOptions, ingest_files};

fn ingest(store: &Store, files: Vec<std::path::PathBuf>) -> HashMap<usize, io::Result<Ingested>> {
    let mut writer = store.writer().unwrap();
    let mut done = HashMap::new();
    let files = files.into_iter().enumerate().map(|(token, path)| Source {
        token,
        open: move || fs::File::open(path).map(OwnedFd::from),
        dir: 0,
    });
    ingest_files(store, &mut writer, files, &mut |number, result| {
        assert!(
            done.insert(number, result).is_none(),
            "an answer was given twice"
        );
    })
    .unwrap();
    writer.commit().unwrap();
    done
}

#[test]
fn every_file_is_answered_and_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut contents: Vec<Vec<u8>> = (0..400).map(|seed| text(seed % 300, 3000)).collect();
    // Around the limit of a small file, and several windows of a large one, twice.
    contents.extend([0, 1, 65_535, 65_536, 65_537, 9_000_000, 9_000_000].map(|len| noise(7, len)));
    contents.push(vec![0; 3_000_000]);
    let mut paths = Vec::new();
    for (number, content) in contents.iter().enumerate() {
        paths.push(dir.path().join(format!("{number}")));
        fs::write(&paths[number], content).unwrap();
    }
    paths.push(dir.path().join("missing"));
    paths.push(dir.path().to_owned());
    let store = Store::open(&dir.path().join("cas")).unwrap();
    let done = ingest(&store, paths.clone());
    assert_eq!(done.len(), contents.len() + 2);
    for (number, content) in contents.iter().enumerate() {
        let file = done[&number].as_ref().unwrap();
        assert_eq!(
            (file.id, file.size),
            (Id::of(content), content.len() as u64),
            "file {number}"
        );
        assert!(file.stable && file.stat.size == file.size);
        assert!(
            &store.read_blob(&file.id).unwrap() == content,
            "file {number}"
        );
    }
    assert_eq!(
        done[&contents.len()].as_ref().unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
    assert_eq!(
        done[&(contents.len() + 1)].as_ref().unwrap_err().kind(),
        io::ErrorKind::InvalidInput
    );
    let stats = store.stats().unwrap();
    // 300 texts, of noise 1, 65,535 and 65,536 bytes as chunks; three more as lists: 65,537 bytes,
    // 9,000,000 of noise and 3,000,000 zeros. No bytes at all are never stored.
    assert_eq!(stats.blobs, 306);
    let before = stats.file_bytes;
    ingest(&store, paths);
    assert_eq!(store.stats().unwrap().file_bytes, before);
    let report = store
        .verify(&VerifyOptions {
            read_data: true,
            links: None,
        })
        .unwrap();
    assert_eq!(report.damages, vec![]);
}

/// What the file before left in a window is no part of the next one.
#[test]
fn large_files_that_take_turns_with_windows_stay_apart() {
    const WINDOW: usize = 2 << 20;
    let dir = tempfile::tempdir().unwrap();
    let lens = [
        9_000_000,
        70_000,
        WINDOW,
        WINDOW + 1,
        65_537,
        5_000_000,
        131_073,
    ];
    let mut contents: Vec<Vec<u8>> = Vec::new();
    for (seed, len) in lens.into_iter().enumerate() {
        contents.push(noise(seed as u64, len));
        // Chunks of zeros are as long as any, and so is what is left of a window.
        contents.push(vec![0; len]);
    }
    let mut paths = Vec::new();
    for (number, content) in contents.iter().enumerate() {
        paths.push(dir.path().join(format!("{number}")));
        fs::write(&paths[number], content).unwrap();
    }
    let store = Store::open(&dir.path().join("cas")).unwrap();
    let done = ingest(&store, paths);
    for (number, content) in contents.iter().enumerate() {
        let file = done[&number].as_ref().unwrap();
        assert_eq!(file.id, Id::of(content), "file {number}");
        let read = store.read_blob(&file.id).unwrap();
        assert!(&read == content, "file {number}");
    }
}

#[test]
fn what_the_writer_holds_already_is_not_stored_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("cas")).unwrap();
    let small = text(1, 500);
    let large = noise(2, 300_000);
    fs::write(dir.path().join("small"), &small).unwrap();
    fs::write(dir.path().join("large"), &large).unwrap();
    let mut writer = store.writer().unwrap();
    writer.put_blob(&small).unwrap();
    writer.put_blob(&large).unwrap();
    let files = ["small", "large"]
        .map(|name| dir.path().join(name))
        .map(|path| Source {
            token: (),
            open: move || fs::File::open(path).map(OwnedFd::from),
            dir: 0,
        });
    ingest_files(&store, &mut writer, files.into_iter(), &mut |(), done| {
        done.unwrap();
    })
    .unwrap();
    assert_eq!(writer.put_blob(&small).unwrap(), Id::of(&small));
    writer.commit().unwrap();
    let stats = store.stats().unwrap();
    assert_eq!(stats.blobs, 2);
    assert_eq!(stats.raw_bytes, 300_500 + list_bytes(stats.chunks - 1));
    assert!(store.read_blob(&Id::of(&large)).unwrap() == large);
}

/// Bytes of a chunk list with so many entries.
fn list_bytes(chunks: u64) -> u64 {
    16 + 40 * chunks + 32
}

/// A file of holes costs what its data does, and is the file that it reads as.
#[test]
fn holes_are_not_read_and_change_nothing() {
    const MIB: usize = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    // Where data begins and ends within a window, at its borders, and in the last one.
    let mut bytes = vec![0; 24 * MIB + 5];
    for at in [0, 5 * MIB - 3, 6 * MIB, 16 * MIB, 24 * MIB] {
        bytes[at..at + 5].copy_from_slice(b"bytes");
    }
    let paths = ["holes", "written"].map(|name| dir.path().join(name));
    let holes = fs::File::create(&paths[0]).unwrap();
    holes.set_len(bytes.len() as u64).unwrap();
    for (number, block) in bytes.chunks(4096).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            holes.write_all_at(block, number as u64 * 4096).unwrap();
        }
    }
    fs::write(&paths[1], &bytes).unwrap();
    assert!(holes.metadata().unwrap().blocks() * 512 < MIB as u64);
    let store = Store::open(&dir.path().join("cas")).unwrap();
    let done = ingest(&store, vec![paths[0].clone()]);
    let once = store.stats().unwrap().file_bytes;
    let file = done[&0].as_ref().unwrap();
    assert_eq!(
        (file.id, file.size),
        (Id::of(&bytes), bytes.len() as u64),
        "{file:?}"
    );
    assert!(store.read_blob(&file.id).unwrap() == bytes);
    ingest(&store, vec![paths[1].clone()]);
    assert_eq!(store.stats().unwrap().file_bytes, once);

    let large = dir.path().join("large");
    fs::File::create(&large)
        .unwrap()
        .set_len(512 * MIB as u64)
        .unwrap();
    let before = bytes_read();
    let done = ingest(&store, vec![large]);
    assert_eq!(done[&0].as_ref().unwrap().size, 512 * MIB as u64);
    let read = bytes_read() - before;
    assert!(read < 128 * MIB as u64, "{read} bytes were read");
}

/// What this process has asked the kernel to read.
fn bytes_read() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap();
    let chars = io.lines().find_map(|line| line.strip_prefix("rchar: "));
    chars.unwrap().parse().unwrap()
}
