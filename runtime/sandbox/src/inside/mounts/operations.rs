//! The operations one by one.

use super::beat::Beat;
use super::fill::Heir;
use super::{SAFE, Stage, kernel, target};
use crate::event::Stage as Phase;
use crate::inside::{Outcome, Tried};
use crate::mount_op::{Create, MountOp, Place};
use crate::wire::{Channel, Order, Report};
use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, ResolveFlags, Uid, chmodat, chownat, openat, readlinkat,
    symlinkat,
};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, UnmountFlags};
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// The parts of an overlay.
struct Layers<'a> {
    lower: &'a [Place],
    data: &'a [Place],
    upper: &'a Place,
    work: &'a Place,
    volatile: bool,
    report: Option<&'a str>,
}

impl Stage {
    /// Runs one operation; what hd needs to know of it goes through the channel.
    pub(in crate::inside) fn execute(&self, op: &MountOp, channel: &Channel) -> Outcome<()> {
        match op {
            MountOp::Tmpfs { at, size, mode } => self.attach(&kernel::tmpfs(*size, *mode)?, at),
            MountOp::Mkdir { at, mode, owner } => self.mkdir(at, *mode, *owner),
            MountOp::Symlink { at, target } => self.symlink(at, target),
            MountOp::WriteFile { at, bytes, mode } => self.write(at, bytes, *mode),
            MountOp::Copy {
                source,
                at,
                mode,
                owner,
            } => self.copy(source, at, *mode, *owner, &Beat::new(channel)),
            MountOp::Remove { at } => self.remove(at),
            MountOp::Fill {
                from,
                to,
                owner,
                is_new,
            } => {
                let beat = &Beat::new(channel);
                let heir = Heir {
                    owner: *owner,
                    beat,
                };
                self.fill(from, to, &heir, *is_new)
            }
            MountOp::Fuse {
                at,
                name,
                read_only,
            } => self.fuse(at, name, *read_only, channel),
            MountOp::Image { at, image } => self.image(image, at),
            MountOp::Overlay {
                at,
                lower,
                data,
                upper,
                work,
                volatile,
                report,
            } => {
                let report = report.as_deref();
                self.overlay(
                    at,
                    &Layers {
                        lower,
                        data,
                        upper,
                        work,
                        volatile: *volatile,
                        report,
                    },
                    channel,
                )
            }
            MountOp::Layer { at, name } => {
                self.hand_upper(&self.directory(at, false)?, name, channel)
            }
            MountOp::Bind {
                source,
                at,
                recursive,
                read_only,
                create,
            } => self.bind(source, at, *recursive, *read_only, *create),
            MountOp::Unmount { at } => {
                let mount = self.existing(at)?;
                rustix::mount::unmount(own_path(mount.as_fd()), UnmountFlags::DETACH)
                    .tried(Phase::Mount, format_args!("detach {}", at.display()))
            }
            MountOp::ReadOnly { at } => {
                kernel::restrict(&self.existing(at)?, MountAttrFlags::MOUNT_ATTR_RDONLY).tried(
                    Phase::Mount,
                    format_args!("make {} read-only", at.display()),
                )
            }
            MountOp::Report { at, name } => {
                let mount = self.existing(at)?;
                let what = "hand a mount to hd";
                channel
                    .send(&Report::Mount(name.clone()), &[mount.as_fd()])
                    .tried(Phase::Mount, what)?;
                drop(mount);
                match channel.receive::<Order>().tried(Phase::Mount, what)? {
                    Some((Order::Go, _)) => Ok(()),
                    _ => Err(io::Error::from(io::ErrorKind::BrokenPipe)).tried(Phase::Mount, what),
                }
            }
            MountOp::Proc { at } => self.proc(at),
            MountOp::Dev { at } => self.dev(at),
            MountOp::Sys { at } => self.sys(at),
        }
    }

    /// Mounts on a staged directory, which is made when missing.
    fn attach(&self, mount: &OwnedFd, at: &Path) -> Outcome<()> {
        let target = self.directory(at, false)?;
        refuse_kernel_files(target.as_fd())
            .and_then(|()| kernel::attach(mount, &target))
            .tried(Phase::Mount, format_args!("mount on {}", at.display()))
    }

    fn mkdir(&self, at: &Path, mode: u32, owner: Option<(u32, u32)>) -> Outcome<()> {
        let what = || format!("make the directory {}", at.display());
        let directory = self.directory(at, false)?;
        if let Some((user, group)) = owner {
            let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
            chownat(&directory, "", user, group, AtFlags::EMPTY_PATH)
                .tried(Phase::Mount, what())?;
        }
        let mode = Mode::from_bits_truncate(mode);
        chmodat(CWD, own_path(directory.as_fd()), mode, AtFlags::empty())
            .tried(Phase::Mount, what())
    }

    fn symlink(&self, at: &Path, link: &Path) -> Outcome<()> {
        let what = || format!("make the link {}", at.display());
        let target = self.locate(at, false)?;
        let (parent, name) = target.ensure_parent().tried(Phase::Mount, what())?;
        let is_equal = || {
            readlinkat(&parent, name, Vec::new())
                .is_ok_and(|found| found.as_bytes() == link.as_os_str().as_bytes())
        };
        match symlinkat(link, &parent, name) {
            Err(Errno::EXIST) if is_equal() => Ok(()),
            other => other.tried(Phase::Mount, what()),
        }
    }

    fn write(&self, at: &Path, bytes: &[u8], mode: u32) -> Outcome<()> {
        let what = || format!("write {}", at.display());
        let target = self.locate(at, false)?;
        target
            .ensure_file(Mode::from_bits_truncate(mode))
            .tried(Phase::Mount, what())?;
        let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let file = target.open(flags).tried(Phase::Mount, what())?;
        File::from(file)
            .write_all(bytes)
            .tried(Phase::Mount, what())
    }

    fn fuse(&self, at: &Path, name: &str, read_only: bool, channel: &Channel) -> Outcome<()> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let device = rustix::fs::open("/dev/fuse", flags, Mode::empty())
            .tried(Phase::Mount, "open /dev/fuse")?;
        let number = device.as_raw_fd().to_string();
        // Its own ids exist in any namespace; 0 need not.
        let user = rustix::process::geteuid().as_raw().to_string();
        let group = rustix::process::getegid().as_raw().to_string();
        let mut options = vec![
            ("source", Some(name)),
            ("subtype", Some("hd")),
            ("fd", Some(number.as_str())),
            ("rootmode", Some("40000")),
            ("user_id", Some(user.as_str())),
            ("group_id", Some(group.as_str())),
            ("allow_other", None),
            ("default_permissions", None),
        ];
        let mut attributes = SAFE;
        if read_only {
            options.push(("ro", None));
            attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
        }
        let mount = kernel::file_system("fuse", &options, attributes)?;
        channel
            .send(&Report::Fuse(name.to_owned()), &[device.as_fd()])
            .tried(Phase::Mount, "hand the mount to hd")?;
        // From here on hd alone holds the connection: when it dies, nobody waits for an answer for ever.
        drop(device);
        self.attach(&mount, at)
    }

    fn image(&self, image: &Place, at: &Path) -> Outcome<()> {
        let file = self.open_place(image)?;
        let source = own_path(file.as_fd());
        let options = [("source", Some(source.as_str()))];
        let attributes = SAFE | MountAttrFlags::MOUNT_ATTR_RDONLY;
        self.attach(&kernel::file_system("erofs", &options, attributes)?, at)
    }

    fn overlay(&self, at: &Path, layers: &Layers<'_>, channel: &Channel) -> Outcome<()> {
        let upper = self.ensure_layer(layers.upper)?;
        let work = self.ensure_layer(layers.work)?;
        if let Some(name) = layers.report {
            self.hand_upper(&upper, name, channel)?;
        }
        let open = |places: &[Place]| -> Outcome<Vec<OwnedFd>> {
            places.iter().map(|place| self.open_place(place)).collect()
        };
        let (lower, data) = (open(layers.lower)?, open(layers.data)?);
        // By descriptor, so that no character of a path is taken for a separator.
        let paths = |opened: &[OwnedFd]| -> Vec<String> {
            opened.iter().map(|fd| own_path(fd.as_fd())).collect()
        };
        let (lower_paths, data_paths) = (paths(&lower), paths(&data));
        let joined = lower_paths.join(":");
        let (upper_path, work_path) = (own_path(upper.as_fd()), own_path(work.as_fd()));
        let mut options = vec![("source", Some("hd"))];
        if data.is_empty() {
            options.push(("lowerdir", Some(joined.as_str())));
        } else {
            // One by one, which older kernels do not know.
            options.extend(
                lower_paths
                    .iter()
                    .map(|path| ("lowerdir+", Some(path.as_str()))),
            );
            options.extend(
                data_paths
                    .iter()
                    .map(|path| ("datadir+", Some(path.as_str()))),
            );
        }
        options.extend([
            ("upperdir", Some(upper_path.as_str())),
            ("workdir", Some(work_path.as_str())),
            // Neither made nor followed. By the kernel's default "off" still follows, which userxattr refuses.
            ("redirect_dir", Some("nofollow")),
            ("metacopy", Some("off")),
            ("index", Some("off")),
            ("xino", Some("off")),
        ]);
        if self.user {
            options.push(("userxattr", None));
        }
        if layers.volatile {
            options.push(("volatile", None));
        }
        let mount = kernel::file_system("overlay", &options, SAFE)?;
        self.attach(&mount, at)
    }

    fn hand_upper(&self, upper: &OwnedFd, name: &str, channel: &Channel) -> Outcome<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened =
            openat(upper, ".", flags, Mode::empty()).tried(Phase::Mount, "open the upper")?;
        channel
            .send(&Report::Upper(name.to_owned()), &[opened.as_fd()])
            .tried(Phase::Mount, "hand the upper to hd")
    }

    fn bind(
        &self,
        source: &Place,
        at: &Path,
        recursive: bool,
        read_only: bool,
        create: Create,
    ) -> Outcome<()> {
        let what = || format!("bind {source} at {}", at.display());
        let copy = |recursive| {
            Ok(match source {
                Place::Host(path) => kernel::clone_host_tree(path, recursive),
                other => {
                    kernel::clone_tree(self.open_place(other)?.as_fd(), Path::new(""), recursive)
                }
            })
        };
        let copy = match copy(recursive)? {
            // What the host mounted below cannot be left out by whoever has no right to unmount it.
            Err(Errno::INVAL) if self.user && !recursive => copy(true)?,
            other => other,
        };
        let copy = copy.tried(Phase::Mount, what())?;
        let attributes = if read_only {
            SAFE | MountAttrFlags::MOUNT_ATTR_RDONLY
        } else {
            SAFE
        };
        kernel::restrict(&copy, attributes).tried(Phase::Mount, what())?;
        let target = self.locate(at, false)?;
        let target = match create {
            Create::Dir => target.ensure_directory(),
            Create::File => target.ensure_file(Mode::from_bits_truncate(0o644)),
            Create::Nothing => target.open(OFlags::PATH),
        };
        let target = target.tried(Phase::Mount, what())?;
        refuse_kernel_files(target.as_fd()).tried(Phase::Mount, what())?;
        kernel::attach(&copy, &target).tried(Phase::Mount, what())
    }

    pub(super) fn open_place(&self, place: &Place) -> Outcome<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let opened = match place {
            Place::Host(path) => rustix::fs::open(path, flags, Mode::empty()),
            Place::Stage(path) => return self.existing(path),
            Place::Beneath { directory, path } => {
                rustix::fs::open(directory, flags | OFlags::DIRECTORY, Mode::empty()).and_then(
                    |base| {
                        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
                        rustix::fs::openat2(&base, path, flags, Mode::empty(), resolve)
                    },
                )
            }
        };
        opened.tried(Phase::Mount, format_args!("open {place}"))
    }

    /// Opens a directory of an overlay that takes writes, making it when missing.
    fn ensure_layer(&self, place: &Place) -> Outcome<OwnedFd> {
        match place {
            Place::Stage(path) => self.directory(path, false),
            Place::Host(path) => {
                let made = DirBuilder::new().recursive(true).mode(0o755).create(path);
                made.tried(
                    Phase::Mount,
                    format_args!("make the directory {}", path.display()),
                )?;
                self.open_place(place)
            }
            Place::Beneath { directory, path } => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let open = || -> io::Result<OwnedFd> {
                    let base = rustix::fs::open(directory, flags, Mode::empty())?;
                    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
                    Ok(target::open_directory(base.as_fd(), path, resolve)?)
                };
                open().tried(Phase::Mount, format_args!("open {place}"))
            }
        }
    }
}

/// Nothing may be shown in the place of /proc or /sys, where programs believe what they read: a link of an image
/// could lead a mount there.
fn refuse_kernel_files(target: BorrowedFd<'_>) -> Result<(), Errno> {
    let kind = rustix::fs::fstatfs(target)?.f_type;
    let is = |magic: i64| i128::from(kind) == i128::from(magic);
    if is(libc::PROC_SUPER_MAGIC) || is(libc::SYSFS_MAGIC) {
        return Err(Errno::PERM);
    }
    Ok(())
}

/// A path that means an open descriptor of this process.
pub(super) fn own_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}
