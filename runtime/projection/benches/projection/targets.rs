//! The file systems that are compared.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use crate::Failure;
use crate::environment::Environment;
use crate::image::ImageView;
use crate::server::Server;

/// A kind of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Ext4,
    Overlay,
    FuseOverlayfs,
    Lower,
    View,
    Image,
    /// In a mount of its own, as for the first step that runs.
    Traced,
    /// Beside earlier ones in one mount, as for a step that runs once more.
    Again,
}

impl Target {
    pub(crate) const ALL: [Self; 8] = [
        Self::Ext4,
        Self::Overlay,
        Self::FuseOverlayfs,
        Self::Lower,
        Self::View,
        Self::Image,
        Self::Traced,
        Self::Again,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Overlay => "overlayfs on ext4",
            Self::FuseOverlayfs => "fuse-overlayfs",
            Self::Lower => "hd lower",
            Self::View => "hd view",
            Self::Image => "hd image, all copies",
            Self::Traced => "hd traced, fresh",
            Self::Again => "hd traced, again",
        }
    }

    /// What it is held against.
    pub(crate) fn peer(self) -> Self {
        match self {
            Self::Ext4 | Self::Overlay | Self::Lower => Self::Ext4,
            Self::FuseOverlayfs | Self::View | Self::Image | Self::Traced | Self::Again => {
                Self::Overlay
            }
        }
    }
}

/// Leaves the mounts of the machine alone.
pub(crate) fn private_namespace() -> Result<(), Failure> {
    #[expect(unsafe_code, reason = "unshare asks for it")]
    // SAFETY: no thread runs yet, and no descriptor table is shared.
    unsafe {
        rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS)?;
    }
    let flags = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    rustix::mount::mount_change("/", flags)?;
    Ok(())
}

/// All targets mounted; the traced one anew for each use.
#[derive(Debug)]
pub(crate) struct Set {
    scratch: PathBuf,
    directory: PathBuf,
    pub(crate) server: RefCell<Server>,
    has_fuse_overlayfs: bool,
    traced: RefCell<Option<Overlay>>,
    again: RefCell<Option<Overlay>>,
    image: ImageView,
    _mounts: Vec<Overlay>,
}

impl Set {
    pub(crate) fn mount(environment: &Environment, scratch: &Path) -> Result<Self, Failure> {
        let mut server = Server::start(environment)?;
        let lower = made(&scratch.join("lower"))?;
        server.mount("plain", &lower)?;
        let mut mounts = vec![Overlay::over(&lower, &scratch.join("view"))?];
        mounts.push(Overlay::over(
            &environment.directory,
            &scratch.join("overlay"),
        )?);
        let image = scratch.join("image.erofs");
        server.ask(&format!("image {}", image.display()))?;
        server.ask("fill")?;
        let image = ImageView::mount(&mut server, &image, &scratch.join("image"))?;
        let has_fuse_overlayfs =
            fuse_overlayfs(&environment.directory, &scratch.join("fuse-overlayfs"))?;
        if !has_fuse_overlayfs {
            eprintln!("projection bench: fuse-overlayfs is not installed and left out");
        }
        Ok(Self {
            scratch: scratch.to_path_buf(),
            directory: environment.directory.clone(),
            server: RefCell::new(server),
            has_fuse_overlayfs,
            traced: RefCell::default(),
            again: RefCell::default(),
            image,
            _mounts: mounts,
        })
    }

    /// Gives the targets that can be had, of those asked for by a part of their name.
    pub(crate) fn targets(&self, asked: &[String]) -> Vec<Target> {
        let all = Target::ALL.into_iter();
        all.filter(|target| self.has_fuse_overlayfs || *target != Target::FuseOverlayfs)
            .filter(|target| {
                asked.is_empty()
                    || asked
                        .iter()
                        .any(|asked| target.name().contains(asked.as_str()))
            })
            .collect()
    }

    /// Where a target shows; a traced one is mounted anew.
    pub(crate) fn path(&self, target: Target) -> Result<PathBuf, Failure> {
        Ok(match target {
            Target::Ext4 => self.directory.clone(),
            Target::Overlay => self.scratch.join("overlay/merged"),
            Target::FuseOverlayfs => self.scratch.join("fuse-overlayfs/merged"),
            Target::Lower => self.scratch.join("lower"),
            Target::Image => self.image.merged.clone(),
            Target::View => self.scratch.join("view/merged"),
            Target::Traced => {
                *self.traced.borrow_mut() = None;
                let lower = made(&self.scratch.join("traced-lower"))?;
                self.server.borrow_mut().mount("traced", &lower)?;
                let overlay = Overlay::over(&lower, &self.scratch.join("traced"))?.owning(lower);
                let path = overlay.merged.clone();
                *self.traced.borrow_mut() = Some(overlay);
                path
            }
            Target::Again => {
                *self.again.borrow_mut() = None;
                let lower = made(&self.scratch.join("again-lower"))?;
                let ask = format!("again {}", lower.display());
                let lower = lower.join(self.server.borrow_mut().ask(&ask)?);
                let overlay = Overlay::over(&lower, &self.scratch.join("again"))?;
                let path = overlay.merged.clone();
                *self.again.borrow_mut() = Some(overlay);
                path
            }
        })
    }
}

/// A mounted overlay, detached when dropped.
#[derive(Debug)]
pub(crate) struct Overlay {
    pub(crate) merged: PathBuf,
    lower: Option<PathBuf>,
}

impl Overlay {
    /// Mounts with a new write layer below `at`, with the options of `hd`.
    pub(crate) fn over(lower: &Path, at: &Path) -> Result<Self, Failure> {
        let [upper, work, merged] = layers(at)?;
        let options = format!(
            "lowerdir={},upperdir={},workdir={},redirect_dir=nofollow,metacopy=off,index=off,xino=off,volatile",
            lower.display(),
            upper.display(),
            work.display()
        );
        let options = std::ffi::CString::new(options)?;
        rustix::mount::mount("hd", &merged, "overlay", MountFlags::empty(), &*options)?;
        Ok(Self {
            merged,
            lower: None,
        })
    }

    /// Lets the lower go with the overlay.
    pub(crate) fn owning(mut self, lower: PathBuf) -> Self {
        self.lower = Some(lower);
        self
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        for path in [Some(&self.merged), self.lower.as_ref()]
            .into_iter()
            .flatten()
        {
            let _ = rustix::mount::unmount(path, UnmountFlags::DETACH);
        }
    }
}

/// Makes the directories of a write layer below `at`, in place of those that were there.
pub(crate) fn layers(at: &Path) -> Result<[PathBuf; 3], Failure> {
    cleared(at)?;
    Ok([
        made(&at.join("upper"))?,
        made(&at.join("work"))?,
        made(&at.join("merged"))?,
    ])
}

/// Removes what a write layer before has left below `at`: no part of what a mount costs.
pub(crate) fn cleared(at: &Path) -> Result<(), Failure> {
    for old in ["upper", "work"] {
        match fs::remove_dir_all(at.join(old)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// Makes a directory unless it is there.
pub(crate) fn made(path: &Path) -> Result<PathBuf, Failure> {
    fs::create_dir_all(path)?;
    Ok(path.to_path_buf())
}

/// Says whether it could be mounted: false when it is not installed.
fn fuse_overlayfs(lower: &Path, at: &Path) -> Result<bool, Failure> {
    let [upper, work, merged] = layers(at)?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    let status = Command::new("fuse-overlayfs")
        .args(["-o", &options])
        .arg(merged)
        .stdout(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(true),
        Ok(status) => Err(format!("fuse-overlayfs: {status}").into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}
