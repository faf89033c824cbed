//! A hundred thousand tiny files, the same in every run: median about 0.4 KB.

use std::fmt::Write as _;
use std::path::Path;

use super::place::{make_dir, write};
use crate::bench::project::Noise;
use crate::shell::Failure;

const FILES_PER_DIRECTORY: usize = 50;
/// The shortest and the longest file in bytes; lengths between are spread evenly by magnitude.
const SHORTEST: f64 = 40.0;
const LONGEST: f64 = 4000.0;

/// Writes the files below `dir`, fifty in each directory.
pub(in crate::bench) fn make(dir: &Path, files: usize) -> Result<(), Failure> {
    let mut noise = Noise::new();
    for number in 0..files {
        let parent = dir.join(format!("d{:05}", number / FILES_PER_DIRECTORY));
        if number % FILES_PER_DIRECTORY == 0 {
            make_dir(&parent)?;
        }
        let text = text(&mut noise, number);
        write(&parent.join(format!("f{number:06}.json")), text.as_bytes())?;
    }
    Ok(())
}

fn text(noise: &mut Noise, number: usize) -> String {
    let fraction = (noise.next() % 10_000) as f64 / 10_000.0;
    let len = (SHORTEST * (LONGEST / SHORTEST).powf(fraction)) as usize;
    let mut text = format!("{{\"id\": {number}");
    while text.len() < len {
        let (key, value) = (noise.next() % 512, noise.next() % 1_000_000);
        // Writing to a String cannot fail.
        let _ = write!(text, ", \"field_{key}\": {value}");
    }
    text.push_str("}\n");
    text
}
