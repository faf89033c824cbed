//! What strangers write, mutated for as long as asked: `HD_FUZZ_SECONDS` (2 when not set), from `HD_FUZZ_SEED` on.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails there, and says how far it came"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// Numbers that are no secret (G. Marsaglia, "Xorshift RNGs", with a multiplication after S. Vigna).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `end`; 0 when that is.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        match end {
            0 => 0,
            _ => (self.roll() % end as u64) as usize,
        }
    }
}

/// Bytes at which readers stumble.
const STUMBLES: &[&[u8]] = &[
    b"\0",
    b"\xff",
    b"/",
    b"..",
    b"../",
    b":",
    b"@",
    b"=",
    b"\n",
    b"\\\n",
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b"$",
    b"${",
    b"-1",
    b"9223372036854775807",
    b"18446744073709551616",
    b"1e999",
    b"null",
    b"<<EOF\n",
    b"\xe2\x80\xae",
    b" ",
];

fn mutate(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[dice.below(corpus.len())].clone();
    for _ in 0..=dice.below(6) {
        let at = dice.below(bytes.len() + 1);
        let end = (at + dice.below(32)).min(bytes.len());
        match dice.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            1 if at < bytes.len() => bytes[at] = dice.roll() as u8,
            2 => drop(bytes.drain(at..end)),
            3 => {
                let copied = bytes[at..end].to_vec();
                bytes.splice(at..at, copied);
            }
            4 => {
                let other = &corpus[dice.below(corpus.len())];
                let from = dice.below(other.len());
                let to = (from + dice.below(600)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            5 => bytes.truncate(at.max(1)),
            6 => {
                let long = STUMBLES[dice.below(STUMBLES.len())].repeat(1 + dice.below(40));
                bytes.splice(at..end, long);
            }
            _ => {
                let word = STUMBLES[dice.below(STUMBLES.len())];
                bytes.splice(at..end, word.iter().copied());
            }
        }
        bytes.truncate(1 << 18);
    }
    bytes
}

/// Gives mutations to `target` until the time is over. One that panics is kept in a file and named.
pub(crate) fn fuzz(name: &str, corpus: &[Vec<u8>], target: impl Fn(&mut Dice, Vec<u8>)) {
    let variable = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let time = Duration::from_secs(variable("HD_FUZZ_SECONDS").unwrap_or(2));
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("a clock");
    let seed = variable("HD_FUZZ_SEED").unwrap_or(now.as_nanos() as u64) | 1;
    let (mut dice, end, mut count) = (Dice(seed), Instant::now() + time, 0_u64);
    while Instant::now() < end {
        let input = mutate(&mut dice, corpus);
        let kept = input.clone();
        if catch_unwind(AssertUnwindSafe(|| target(&mut dice, input))).is_err() {
            let place =
                Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}-{seed}-{count}"));
            std::fs::write(&place, kept).expect("keep the input");
            panic!(
                "{name}: seed {seed}, input {count} panics: {}",
                place.display()
            );
        }
        count += 1;
    }
    println!(
        "{name}: {count} mutations in {} s from seed {seed}, no panic",
        time.as_secs()
    );
}
