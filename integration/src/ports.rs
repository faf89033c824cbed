//! Free TCP ports that parallel tests, in other processes too, do not get twice.

use std::fs::File;
use std::net::TcpListener;

/// A port of 127.0.0.1 that is this value's until it is dropped.
#[derive(Debug)]
pub struct Port {
    /// The number.
    pub number: u16,
    /// Locked as long as the port is ours; the kernel unlocks it when the test dies.
    _lock: File,
}

/// Below the range that the kernel gives to outgoing connections (32768 and up).
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

impl Port {
    /// Takes a port that is free now and that no other test holds.
    pub fn free() -> Self {
        let locks = std::env::temp_dir().join("hd-test-ports");
        std::fs::create_dir_all(&locks).expect("make the directory of port locks");
        let start = (std::process::id() % u32::from(COUNT)) as u16;
        for offset in 0..COUNT {
            let number = FIRST + (start + offset) % COUNT;
            let path = locks.join(number.to_string());
            // Another user's lock file cannot be opened: then the port counts as taken.
            let Ok(lock) = File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
            else {
                continue;
            };
            if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self {
                    number,
                    _lock: lock,
                };
            }
        }
        panic!("no free port from {FIRST} to {}", FIRST + COUNT);
    }
}
