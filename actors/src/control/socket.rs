//! The control socket's file: private, and free of the 108 bytes a socket path may have.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Binds a socket (0600) in a private directory, replacing a dead one.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    let (_dir, short) = through_directory(path)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(short)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// A socket that is bound already, for the one who takes it first; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Bound(Arc<Mutex<Option<UnixListener>>>);

impl Bound {
    /// Binds it.
    pub fn to(path: &Path) -> io::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(Some(bind(path)?)))))
    }

    /// Gives it to the first who asks.
    pub(crate) fn take(&self) -> Option<UnixListener> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Names a file through a descriptor of its directory, which must live as long as the name.
pub(crate) fn through_directory(path: &Path) -> io::Result<(File, PathBuf)> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let dir = File::open(parent)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
    Ok((dir, short))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn connect(path: &Path) -> io::Result<UnixStream> {
        let (_dir, short) = through_directory(path)?;
        UnixStream::connect(short)
    }

    #[test]
    fn a_path_of_any_length_works_and_a_dead_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(200));
        fs::create_dir(&deep).unwrap();
        let path = deep.join("control.sock");
        drop(bind(&path).unwrap());
        assert!(connect(&path).is_err(), "nobody listens");
        let listener = bind(&path).unwrap();
        let mut client = connect(&path).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"x").unwrap();
        let mut byte = [0];
        server.read_exact(&mut byte).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
