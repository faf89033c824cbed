//! `sd_notify(3)`: a service says itself that it is ready.

use std::fs;
use std::io;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::control::socket::through_directory;

/// Longest message that is read, in bytes.
const MESSAGE_MAX: usize = 4096;

/// The socket of one run. Dropped, it is gone from the disk.
///
/// All that is sent is read for as long as the run lasts: who sends waits where nobody reads, and a service may go on
/// telling its state, or that it is alive.
#[derive(Debug)]
pub(crate) struct Announced {
    socket: Arc<UnixDatagram>,
    place: PathBuf,
    told: Arc<Told>,
}

#[derive(Debug, Default)]
struct Told {
    is_ready: AtomicBool,
    /// Nobody is to read any more.
    is_over: AtomicBool,
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
        let announced = Self {
            socket: Arc::new(UnixDatagram::bind(short)?),
            place,
            told: Arc::default(),
        };
        fs::set_permissions(&announced.place, fs::Permissions::from_mode(0o666))?;
        let (socket, told) = (announced.socket.clone(), announced.told.clone());
        thread::Builder::new()
            .name(format!("told by {service}"))
            .spawn(move || told.read_all(&socket))?;
        Ok(announced)
    }

    /// Gives where it is on the host.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// Tells whether `READY=1` was sent.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.told.is_ready.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err("it has not said that it is ready (READY=1 to NOTIFY_SOCKET)".to_owned())
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        self.told.is_over.store(true, Ordering::Release);
        // Who reads is woken by that.
        if let Err(error) = self.socket.shutdown(Shutdown::Both) {
            tracing::warn!(%error, "a socket for READY=1 is read until hd ends");
        }
        // The whole directory goes at the end.
        let _ = fs::remove_file(&self.place);
    }
}

impl Told {
    /// Reads what is sent until it is over; what comes with it, such as descriptors, is dropped.
    fn read_all(&self, socket: &UnixDatagram) {
        let mut message = [0; MESSAGE_MAX];
        loop {
            let length = match socket.recv(&mut message) {
                // So does a message without a byte.
                Ok(0) if self.is_over.load(Ordering::Acquire) => return,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Err(_) => return,
            };
            let lines = message.get(..length).unwrap_or_default();
            let mut lines = lines.split(|byte| *byte == b'\n');
            if lines.any(|line| line == b"READY=1") {
                self.is_ready.store(true, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits until all that was sent is read: then as much can be sent again without waiting.
    fn is_read(sender: &UnixDatagram, place: &Path) {
        sender.set_nonblocking(false).unwrap();
        for _ in 0..2000 {
            // More than any queue holds.
            sender.send_to(b"STATUS=up", place).unwrap();
        }
    }

    #[test]
    fn it_is_ready_once_it_has_said_so_stays_so_and_whoever_goes_on_talking_never_waits() {
        let dir = tempfile::tempdir().unwrap();
        let announced = Announced::listen(dir.path(), "web").unwrap();
        assert!(announced.check().unwrap_err().contains("NOTIFY_SOCKET"));
        let sender = UnixDatagram::unbound().unwrap();
        let place = announced.place().to_owned();
        sender.send_to(b"", &place).unwrap();
        sender.send_to(b"STATUS=READY=1 soon", &place).unwrap();
        is_read(&sender, &place);
        assert!(announced.check().is_err());
        sender.send_to(b"STATUS=up\nREADY=1\n", &place).unwrap();
        is_read(&sender, &place);
        assert_eq!(announced.check(), Ok(()));
        let told = Arc::downgrade(&announced.told);
        drop(announced);
        assert!(!place.exists());
        let start = std::time::Instant::now();
        while told.strong_count() > 0 {
            assert!(start.elapsed().as_secs() < 60, "it is read for ever");
            thread::yield_now();
        }
    }
}
