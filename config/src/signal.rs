//! Signals by name.

use std::fmt;

/// A signal that may be sent to a service: any of Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signal(i32);

/// Names and numbers: those of `signal(7)` on x86, Arm and RISC-V.
const NAMES: [(&str, i32); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];
/// Other names of some.
const ALIASES: [(&str, i32); 4] = [("IOT", 6), ("CLD", 17), ("POLL", 29), ("UNUSED", 31)];
/// The real-time signals as C libraries and container engines count them: two before them are the libraries' own.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

impl Signal {
    /// Hang-up: by custom, read the configuration again.
    pub const HUP: Self = Self(1);
    /// Interrupt, as by Ctrl-C.
    pub const INT: Self = Self(2);
    /// Quit; by custom a graceful end (nginx).
    pub const QUIT: Self = Self(3);
    /// Kill at once; cannot be caught.
    pub const KILL: Self = Self(9);
    /// Terminate politely: the default.
    pub const TERM: Self = Self(15);

    /// Finds a signal by name, with or without `SIG`, in any case, or by number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let upper = text.trim().to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let number = match digits(&upper) {
            None => named(name).or_else(|| real_time(name)),
            number => number,
        };
        number
            .filter(|number| *number <= 31 || *number >= RTMIN)
            .filter(|number| (1..=RTMAX).contains(number))
            .map(Self)
    }

    /// Its number on Linux.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }

    /// What may be written, for messages.
    #[must_use]
    pub fn names() -> &'static str {
        "TERM, INT, QUIT, HUP, USR1, WINCH, KILL or another of signal(7), RTMIN+3 or a number"
    }
}

fn digits(text: &str) -> Option<i32> {
    let all = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| all)
}

fn named(name: &str) -> Option<i32> {
    let mut all = NAMES.iter().chain(&ALIASES);
    all.find(|(known, _)| *known == name)
        .map(|(_, number)| *number)
}

/// Reads `RTMIN`, `RTMIN+3` and `RTMAX-1`.
fn real_time(name: &str) -> Option<i32> {
    let (first, rest, sign) = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => (RTMIN, rest, '+'),
        (_, Some(rest)) => (RTMAX, rest, '-'),
        _ => return None,
    };
    if rest.is_empty() {
        return Some(first);
    }
    let by = digits(rest.strip_prefix(sign)?)?;
    let number = match sign {
        '+' => first.checked_add(by)?,
        _ => first.checked_sub(by)?,
    };
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = NAMES.iter().find(|(_, number)| *number == self.0);
        match (found, self.0) {
            (Some((name, _)), _) => f.write_str(name),
            (None, RTMIN) => f.write_str("RTMIN"),
            (None, number) => write!(f, "RTMIN+{}", number - RTMIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NAMES, Signal};

    #[test]
    fn every_form_of_a_name_is_understood() {
        for (name, number) in NAMES {
            let forms = [
                name.to_owned(),
                format!("SIG{name}"),
                name.to_lowercase(),
                number.to_string(),
            ];
            for form in forms {
                let signal = Signal::parse(&form).expect("a signal");
                assert_eq!(
                    (signal.to_string().as_str(), signal.number()),
                    (name, number),
                    "{form}"
                );
            }
        }
        for text in [
            "", "SIG", "HANGUP", "0", "-1", "32", "33", "65", "99", "SIG9", "RTMIN-1", "RTMAX+1",
            "RTMIN+31", "RTMAX-31", "RTMIN+-1", "RTMIN++1", "RTMIN3", "+9",
        ] {
            assert_eq!(Signal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn real_time_signals_count_from_either_end() {
        for (text, number, name) in [
            ("SIGRTMIN", 34, "RTMIN"),
            ("SIGRTMIN+3", 37, "RTMIN+3"),
            ("rtmax-27", 37, "RTMIN+3"),
            ("RTMAX", 64, "RTMIN+30"),
            ("37", 37, "RTMIN+3"),
        ] {
            let signal = Signal::parse(text).expect("a signal");
            assert_eq!(
                (signal.number(), signal.to_string().as_str()),
                (number, name),
                "{text}"
            );
            assert_eq!(Signal::parse(&signal.to_string()), Some(signal));
        }
    }
}
