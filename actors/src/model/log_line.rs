//! Lines of a service's log on disk: `2026-01-31T12:00:00.123456Z o text`.
//!
//! `o` is standard output, `e` standard error, `h` a remark of hd itself (started, exited, …).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// hd itself.
    Hd,
}

/// One line with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was read, microsecond precision.
    pub at: SystemTime,
    /// Where it came from.
    pub stream: Stream,
    /// The text without its end; not UTF-8 bytes are replaced.
    pub text: String,
}

impl LogLine {
    /// Formats the line as it stands in the file, with its end.
    pub fn encode(&self) -> String {
        let stream = match self.stream {
            Stream::Out => 'o',
            Stream::Err => 'e',
            Stream::Hd => 'h',
        };
        format!("{} {stream} {}\n", timestamp(self.at), self.text)
    }

    /// Reads a line of the file; `None` when it is not one (cut by a crash).
    pub fn decode(line: &str) -> Option<Self> {
        let (time, rest) = line.split_once(' ')?;
        let (stream, text) = rest.split_once(' ')?;
        let stream = match stream {
            "o" => Stream::Out,
            "e" => Stream::Err,
            "h" => Stream::Hd,
            _ => return None,
        };
        Some(Self {
            at: parse_timestamp(time)?,
            stream,
            text: text.to_owned(),
        })
    }
}

/// Formats a time as RFC 3339 in UTC with microseconds.
pub fn timestamp(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = since.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let of_day = seconds % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60,
        since.subsec_micros()
    )
}

/// Days since 1970-01-01 to a date of the proleptic Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last of its year; 400 such years
/// are 146,097 days (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// Reads a moment of RFC 3339 in UTC as a person writes it: the date alone, seconds, or fractions of
/// up to six digits.
pub fn parse_moment(text: &str) -> Option<SystemTime> {
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let time = time.strip_suffix(['Z', 'z']).unwrap_or(time);
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
    parse_timestamp(&format!("{date}T{seconds}.{fraction:0<6}Z"))
}

fn parse_timestamp(text: &str) -> Option<SystemTime> {
    let bytes = text.as_bytes();
    if bytes.len() != 27 || !text.is_ascii() || bytes[26] != b'Z' {
        return None;
    }
    let number = |range: std::ops::Range<usize>| text[range].parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (shifted_year, shifted_month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let era = shifted_year / 400;
    let year_of_era = shifted_year % 400;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    let seconds = days * 86_400 + number(11..13)? * 3600 + number(14..16)? * 60 + number(17..19)?;
    Some(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(number(20..26)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_known_moment_reads_as_its_date() {
        let at = UNIX_EPOCH + Duration::new(1_709_251_199, 5_000);
        assert_eq!(timestamp(at), "2024-02-29T23:59:59.000005Z");
    }

    #[test]
    fn a_person_may_leave_parts_of_a_moment_out() {
        let day = UNIX_EPOCH + Duration::from_secs(1_709_164_800);
        let cases = [
            ("2024-02-29", Some(0)),
            ("2024-02-29T00:00:07Z", Some(7_000_000)),
            ("2024-02-29 00:00:07", Some(7_000_000)),
            ("2024-02-29T00:00:07.5Z", Some(7_500_000)),
            ("yesterday", None),
            ("2024-02-29T7", None),
        ];
        for (text, micros) in cases {
            let expected = micros.map(|micros| day + Duration::from_micros(micros));
            assert_eq!(parse_moment(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in 0u64..200_000_000_000, micros in 0u32..1_000_000, text in "[^\n]{0,40}") {
            let at = UNIX_EPOCH + Duration::new(seconds, micros * 1000);
            let line = LogLine { at, stream: Stream::Err, text };
            prop_assert_eq!(LogLine::decode(line.encode().trim_end_matches('\n')), Some(line));
        }

        #[test]
        fn junk_is_no_line(text in ".{0,60}") {
            let _ = LogLine::decode(&text);
        }
    }
}
