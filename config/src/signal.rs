//! Signals by name.

use std::fmt;

/// A signal that a person may send to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Hang-up: by custom, read the configuration again.
    Hup,
    /// Interrupt, as by Ctrl-C.
    Int,
    /// Quit; by custom a graceful end (nginx).
    Quit,
    /// Abort.
    Abrt,
    /// Kill at once; cannot be caught.
    Kill,
    /// For the program to define.
    Usr1,
    /// For the program to define.
    Usr2,
    /// Alarm.
    Alrm,
    /// Terminate politely: the default.
    Term,
    /// Go on after a stop.
    Cont,
    /// Stop; cannot be caught.
    Stop,
    /// The terminal has another size; by custom a graceful end (httpd).
    Winch,
}

impl Signal {
    /// All of them with their names and numbers: those of `signal(7)` on x86, Arm and RISC-V.
    pub const ALL: [(Self, &'static str, i32); 12] = [
        (Self::Hup, "HUP", 1),
        (Self::Int, "INT", 2),
        (Self::Quit, "QUIT", 3),
        (Self::Abrt, "ABRT", 6),
        (Self::Kill, "KILL", 9),
        (Self::Usr1, "USR1", 10),
        (Self::Usr2, "USR2", 12),
        (Self::Alrm, "ALRM", 14),
        (Self::Term, "TERM", 15),
        (Self::Cont, "CONT", 18),
        (Self::Stop, "STOP", 19),
        (Self::Winch, "WINCH", 28),
    ];

    /// Finds a signal by name, with or without `SIG`, in any case, or by number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let upper = text.trim().to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let mut all = Self::ALL.into_iter();
        let found = all.find(|(_, known, number)| *known == name || number.to_string() == name);
        found.map(|(signal, ..)| signal)
    }

    /// Its number on Linux.
    #[must_use]
    pub fn number(self) -> i32 {
        self.entry().1
    }

    /// Its name without `SIG`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.entry().0
    }

    fn entry(self) -> (&'static str, i32) {
        let found = Self::ALL.into_iter().find(|(signal, ..)| *signal == self);
        // Every signal is in the table: a test sees to it.
        found.map_or(("TERM", 15), |(_, name, number)| (name, number))
    }

    /// The names, for messages.
    #[must_use]
    pub fn names() -> String {
        Self::ALL.map(|(_, name, _)| name).join(", ")
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::Signal;

    #[test]
    fn every_form_of_a_name_is_understood() {
        for (signal, name, number) in Signal::ALL {
            let forms = [
                name.to_owned(),
                format!("SIG{name}"),
                name.to_lowercase(),
                number.to_string(),
            ];
            for form in forms {
                assert_eq!(Signal::parse(&form), Some(signal), "{form}");
            }
            assert_eq!((signal.name(), signal.number()), (name, number));
        }
        for text in ["", "SIG", "HANGUP", "0", "99"] {
            assert_eq!(Signal::parse(text), None, "{text}");
        }
    }
}
