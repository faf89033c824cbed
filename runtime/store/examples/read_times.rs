//! Times verified random reads: `read_times STORE DIR` stores what is in DIR and prints JSON.
//!
//! Reads go through the public interface, with the store in the page cache. A frame is *cold* when
//! it is not among the decoded ones: so each cold sample comes from a handle that has read nothing
//! of that frame before. What the directory has none of is `null`.
#![expect(clippy::print_stdout, reason = "a measuring program")]

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use fastcdc::v2020::{FastCDC, Normalization};
use hd_store::scan::{DirFilter, Filter, ScannedKind, scan};
use hd_store::{Id, Store};

type Outcome<T> = Result<T, Box<dyn Error>>;

const SAMPLES: usize = 4000;
/// Lengths of a chunk that count as "16 KiB".
const CHUNK: std::ops::Range<usize> = 12 << 10..20 << 10;
/// Lengths of a small file.
const SMALL: std::ops::Range<u64> = 200..16 << 10;

struct Everything;

impl Filter for Everything {
    fn ignore_file_names(&self) -> &[String] {
        &[]
    }

    fn enter(&self, _: &[u8], _: &[(String, Vec<u8>)]) -> Box<dyn DirFilter + '_> {
        Box::new(Everything)
    }
}

impl DirFilter for Everything {
    fn keep(&self, _: &[u8], _: bool) -> bool {
        true
    }
}

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, cas, dir] = &args[..] else {
        return Err("usage: read_times STORE DIR".into());
    };
    let (cas, dir) = (Path::new(cas), Path::new(dir));
    let files = store_all(cas, dir)?;
    let chunks = chunks(cas, &files)?;
    let small: Vec<Id> = files
        .iter()
        .filter(|(_, size)| SMALL.contains(size))
        .map(|(id, _)| *id)
        .collect();
    let cold = read_cold(cas, &small)?;
    let cached = read_cached(cas, &small)?;
    let chunk = read_cold(cas, &chunks)?;
    println!(
        "{{\"chunk\": {}, \"small_cold\": {}, \"small_cached\": {}}}",
        summary(chunk),
        summary(cold),
        summary(cached)
    );
    Ok(())
}

fn store_all(cas: &Path, dir: &Path) -> Outcome<Vec<(Id, u64)>> {
    let store = Store::open(cas)?;
    let mut writer = store.writer()?;
    let report = scan(&store, &mut writer, dir, &Everything, None)?;
    writer.commit()?;
    let mut files = BTreeSet::new();
    for entry in report.entries {
        if let ScannedKind::Regular { blob, size } = entry.kind {
            files.insert((blob, size));
        }
    }
    Ok(files.into_iter().collect())
}

/// Cuts the larger files as the store does; answers the chunks of about 16 KiB.
fn chunks(cas: &Path, files: &[(Id, u64)]) -> Outcome<Vec<Id>> {
    let store = Store::open(cas)?;
    let mut chunks = Vec::new();
    for (id, _) in files.iter().filter(|(_, size)| *size > 256 << 10) {
        let bytes = store.read_blob(id)?;
        let cut = FastCDC::with_level(&bytes, 8 << 10, 32 << 10, 128 << 10, Normalization::Level2);
        let piece = |start: usize, len: usize| &bytes[start..start + len];
        let wanted = cut.filter(|chunk| CHUNK.contains(&chunk.length));
        chunks.extend(wanted.map(|chunk| Id::of(piece(chunk.offset, chunk.length))));
        if chunks.len() >= SAMPLES {
            break;
        }
    }
    Ok(chunks)
}

/// Reads in random order; a new handle after every few reads keeps frames from being shared.
fn read_cold(cas: &Path, ids: &[Id]) -> Outcome<Vec<Duration>> {
    let mut times = Vec::new();
    if ids.is_empty() {
        return Ok(times);
    }
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    while times.len() < SAMPLES {
        let store = Store::open(cas)?;
        // Opening maps the index; the first look at its pages is not the read that is measured.
        ids.first().map(|id| store.blob_len(id)).transpose()?;
        for _ in 0..50 {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            let id = &ids[(noise % ids.len() as u64) as usize];
            let start = Instant::now();
            let bytes = store.read_blob(id)?;
            times.push(start.elapsed());
            std::hint::black_box(bytes);
        }
    }
    Ok(times)
}

/// Reads each of a few files again and again.
fn read_cached(cas: &Path, ids: &[Id]) -> Outcome<Vec<Duration>> {
    let store = Store::open(cas)?;
    let ids = &ids[..ids.len().min(100)];
    let mut times = Vec::new();
    for id in ids {
        store.read_blob(id)?;
    }
    while !ids.is_empty() && times.len() < SAMPLES {
        for id in ids {
            let start = Instant::now();
            let bytes = store.read_blob(id)?;
            times.push(start.elapsed());
            std::hint::black_box(bytes);
        }
    }
    Ok(times)
}

fn summary(mut times: Vec<Duration>) -> String {
    if times.is_empty() {
        return "null".to_owned();
    }
    times.sort();
    let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e6;
    format!(
        "{{\"samples\": {}, \"p50_us\": {:.2}, \"p90_us\": {:.2}}}",
        times.len(),
        at(50),
        at(90)
    )
}
