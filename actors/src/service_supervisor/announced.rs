//! `sd_notify(3)`: a service says itself that it is ready.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::control::socket::through_directory;

/// Longest message that is read, in bytes.
const MESSAGE_MAX: usize = 4096;

/// The socket of one run. Dropped, it is gone from the disk.
#[derive(Debug)]
pub(crate) struct Announced {
    socket: UnixDatagram,
    place: PathBuf,
    is_ready: AtomicBool,
}

impl Announced {
    /// Makes a socket for a service in a private directory. Whoever sees it may send: it is shown in the
    /// sandbox of the service only.
    pub(crate) fn listen(directory: &Path, service: &str) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        fs::create_dir_all(directory)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let place = directory.join(format!("{service}.{number}.ready"));
        let (_directory, short) = through_directory(&place)?;
        let socket = UnixDatagram::bind(short)?;
        socket.set_nonblocking(true)?;
        fs::set_permissions(&place, fs::Permissions::from_mode(0o666))?;
        Ok(Self {
            socket,
            place,
            is_ready: AtomicBool::new(false),
        })
    }

    /// Gives where it is on the host.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// Tells whether `READY=1` was sent.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut message = [0; MESSAGE_MAX];
        while let Ok(length) = self.socket.recv(&mut message) {
            let lines = message.get(..length).unwrap_or_default();
            if lines
                .split(|byte| *byte == b'\n')
                .any(|line| line == b"READY=1")
            {
                self.is_ready.store(true, Ordering::Relaxed);
            }
        }
        if self.is_ready.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err("it has not said that it is ready (READY=1 to NOTIFY_SOCKET)".to_owned())
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // The whole directory goes at the end.
        let _ = fs::remove_file(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_once_it_has_said_so_and_stays_so() {
        let dir = tempfile::tempdir().unwrap();
        let announced = Announced::listen(dir.path(), "web").unwrap();
        assert!(announced.check().unwrap_err().contains("NOTIFY_SOCKET"));
        let sender = UnixDatagram::unbound().unwrap();
        let place = announced.place().to_owned();
        sender.send_to(b"STATUS=READY=1 soon", &place).unwrap();
        assert!(announced.check().is_err());
        sender.send_to(b"STATUS=up\nREADY=1\n", &place).unwrap();
        assert_eq!(announced.check(), Ok(()));
        assert_eq!(announced.check(), Ok(()));
        drop(announced);
        assert!(!place.exists());
    }
}
