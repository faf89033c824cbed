//! Small file systems of a test's own: full ones, cut off from power, read-only.

use std::path::{Path, PathBuf};

use crate::run::Run;

/// A mounted file system; unmounted when dropped.
#[derive(Debug)]
pub struct Disk {
    at: PathBuf,
    image: Option<PathBuf>,
}

fn sh(script: &str) {
    Run::new(Path::new("sh"))
        .args(["-ec", script])
        .finish()
        .ok();
}

impl Disk {
    /// A tmpfs with these options, as `size=8m` or `nr_inodes=100`.
    pub fn tmpfs(at: &Path, options: &str) -> Self {
        let shown = at.display();
        sh(&format!(
            "mkdir -p {shown}; mount -t tmpfs -o {options} hd-test {shown}"
        ));
        Self {
            at: at.to_owned(),
            image: None,
        }
    }

    /// An ext4 in a file beside the mount point.
    pub fn ext4(at: &Path, size: &str) -> Self {
        let image = at.with_extension("ext4");
        let (shown, file) = (at.display(), image.display());
        sh(&format!(
            "truncate -s {size} {file}; mkfs.ext4 -q -F {file}; mkdir -p {shown}"
        ));
        let disk = Self {
            at: at.to_owned(),
            image: Some(image),
        };
        disk.mount();
        disk
    }

    fn mount(&self) {
        if let Some(image) = &self.image {
            let (at, image) = (self.at.display(), image.display());
            sh(&format!("mount -o loop {image} {at}"));
        }
    }

    /// Cuts the power: what was not synced is gone, then the disk is there again.
    ///
    /// The ioctl is ext4's own way to test that (`EXT4_IOC_SHUTDOWN`, flag `NOLOGFLUSH`; linux,
    /// fs/ext4/ext4.h).
    pub fn cut_power(&self) {
        let script = "import fcntl, os, struct, sys\n\
            fd = os.open(sys.argv[1], os.O_RDONLY)\n\
            fcntl.ioctl(fd, 0x8004587d, struct.pack('I', 2))\n";
        let cut = Run::new(Path::new("python3")).args(["-c", script]);
        cut.args([&self.at]).finish().ok();
        // Mount namespaces of other tests may hold the old one; what lies on the disk is copied.
        let Some(image) = &self.image else { return };
        let (at, old) = (self.at.display(), image.display());
        sh(&format!(
            "cp --sparse=always {old} {old}.next; umount -l {at}; mv {old}.next {old}"
        ));
        self.mount();
    }

    /// Mounts it again with other options, as `ro`.
    pub fn remount(&self, options: &str) {
        sh(&format!("mount -o remount,{options} {}", self.at.display()));
    }

    /// Fills it to the last block with a file of this name.
    pub fn fill(&self, name: &str) {
        let file = self.at.join(name);
        let file = file.display();
        // The end of dd is the end of the disk, an error.
        sh(&format!(
            "dd if=/dev/zero of={file} bs=64k 2>/dev/null || true; \
             dd if=/dev/zero of={file} bs=1k oflag=append conv=notrunc 2>/dev/null || true"
        ));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let at = self.at.display().to_string();
        let _ = std::process::Command::new("umount")
            .args(["-l", &at])
            .status();
        if let Some(image) = &self.image {
            let _ = std::fs::remove_file(image);
        }
    }
}
