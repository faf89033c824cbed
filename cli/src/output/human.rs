//! Numbers as people read them.

use std::time::{Duration, SystemTime};

/// Formats a duration with about three digits: `0.8 ms`, `165 ms`, `12.3 s`, `2 min 5 s`.
pub(crate) fn duration(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    let seconds = time.as_secs();
    match ms {
        ..9.95 => format!("{ms:.1} ms"),
        ..999.5 => format!("{ms:.0} ms"),
        ..59_950.0 => format!("{:.1} s", ms / 1000.0),
        ..3_600_000.0 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Formats milliseconds.
pub(crate) fn ms(ms: f64) -> String {
    duration(Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default())
}

/// Formats a size in powers of 1000: `12 B`, `34.1 kB`, `256 MB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(value < 99.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// Says how long ago something was.
pub(crate) fn ago(at_unix_ms: u64) -> String {
    let then = SystemTime::UNIX_EPOCH + Duration::from_millis(at_unix_ms);
    match SystemTime::now().duration_since(then) {
        Ok(age) => format!("{} ago", duration(age)),
        Err(_) => "just now".to_owned(),
    }
}

/// Formats a count with thousands apart: `1,234,567`.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Formats a number with its noun: `1 file`, `2 files`.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    format!(
        "{} {noun}{}",
        count(number),
        if number == 1 { "" } else { "s" }
    )
}

/// Says which names there are, of at least one: `there is only web`, `there are web, db`.
pub(crate) fn there_are(names: &[&str]) -> String {
    match names {
        [one] => format!("there is only {one}"),
        several => format!("there are {}", several.join(", ")),
    }
}

/// Shortens an id in hex: `3f9a…`.
pub(crate) fn short(id: &str) -> String {
    match id.char_indices().nth(4) {
        Some((at, _)) => format!("{}…", &id[..at]),
        None => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_is_no_several() {
        assert_eq!(there_are(&["web"]), "there is only web");
        assert_eq!(there_are(&["web", "db"]), "there are web, db");
    }

    #[test]
    fn durations() {
        let cases = [
            (0, "0.0 ms"),
            (800, "0.8 ms"),
            (9_960, "10 ms"),
            (165_400, "165 ms"),
            (999_600, "1.0 s"),
            (12_340_000, "12.3 s"),
            (125_000_000, "2 min 5 s"),
            (7_380_000_000, "2 h 3 min"),
        ];
        for (us, expected) in cases {
            assert_eq!(duration(Duration::from_micros(us)), expected, "{us} µs");
        }
        assert_eq!(
            (ms(f64::NAN), ms(-1.0), ms(2.5)),
            ("0.0 ms".into(), "0.0 ms".into(), "2.5 ms".into())
        );
    }

    #[test]
    fn sizes_and_counts() {
        let cases = [
            (999, "999 B"),
            (34_100, "34.1 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (256_000_000, "256 MB"),
            (u64::MAX, "18.4 EB"),
        ];
        for (size, expected) in cases {
            assert_eq!(bytes(size), expected);
        }
        let counts = [1, 999, 1000, 1_234_567].map(count);
        assert_eq!(counts, ["1", "999", "1,000", "1,234,567"]);
        assert_eq!(
            (plural(1, "file"), plural(0, "file")),
            ("1 file".into(), "0 files".into())
        );
    }

    #[test]
    fn ids() {
        assert_eq!(
            (short("3f9a12"), short("3f9a"), short("")),
            ("3f9a…".into(), "3f9a".into(), String::new())
        );
    }
}
