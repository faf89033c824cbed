//! A program on a terminal of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::poll::{SHORT, until, within};

/// A running program whose three streams are a terminal of 24 lines and 80 columns.
#[derive(Debug)]
pub struct Pty {
    child: Child,
    keys: File,
    screen: Arc<Mutex<String>>,
}

impl Pty {
    /// Starts it.
    pub fn start(mut command: Command) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&terminal)
            .and_then(|()| unlockpt(&terminal))
            .expect("unlock the terminal");
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&terminal, size).expect("set the size of the terminal");
        let name = ptsname(&terminal, Vec::new()).expect("name of the terminal");
        let open = || {
            let path = name.to_str().expect("a plain name");
            let file = File::options().read(true).write(true).open(path);
            file.expect("open the terminal")
        };
        command.stdin(open()).stdout(open()).stderr(open());
        let child = command
            .spawn()
            .unwrap_or_else(|e| panic!("start {command:?}: {e}"));
        let keys = File::from(terminal);
        let mut output = keys.try_clone().expect("read the terminal");
        let screen = Arc::new(Mutex::new(String::new()));
        let shared = screen.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It ends with an error once nobody holds the other side.
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                shared
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&text);
            }
        });
        Self {
            child,
            keys,
            screen,
        }
    }

    /// All that was written to the terminal so far.
    pub fn written(&self) -> String {
        let screen = self.screen.lock();
        screen.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until something was written.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        let found = within(SHORT, || self.written().contains(text).then_some(()));
        let written = || {
            panic!(
                "{text:?} is not written to the terminal: {:?}",
                self.written()
            )
        };
        found.unwrap_or_else(written);
    }

    /// Types.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("type");
    }

    /// Waits for the end.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        until("the program on the terminal ends", SHORT, || {
            self.child.try_wait().expect("look at the program")
        })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // One that has ended cannot be killed, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
