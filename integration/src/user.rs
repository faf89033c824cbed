//! `hd` run by an ordinary user of the machine, with no right of root's.
//!
//! It runs in a mount namespace of its own, where `/dev/fuse` is open to all, as udev makes it on most machines, and
//! where the user is known, with more ids in `/etc/subuid` or without.

use std::path::{Path, PathBuf};

use crate::run::Run;

/// Makes the device, shows the account files and becomes the user: `sh -c SCRIPT sh DIR UID PROGRAM…`.
///
/// A tmpfs takes the device, for `/tmp` may allow none; the files stay the same ones from run to run, as steps look
/// at them.
const SCRIPT: &str = r#"set -e
dir=$1; uid=$2; shift 2
mount -t tmpfs none "$dir/dev"
mknod -m 666 "$dir/dev/fuse" c 10 229
mount --bind "$dir/dev/fuse" /dev/fuse
for file in passwd subuid subgid; do
    if [ -e /etc/$file ]; then mount --bind "$dir/$file" /etc/$file; fi
done
exec setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@"
"#;

/// An ordinary user.
#[derive(Debug, Clone)]
pub struct User {
    /// His id, and that of his group.
    pub uid: u32,
    /// What is mounted for him: account files, and a place for the device.
    dir: PathBuf,
    /// A copy of `hd` where he can get at it.
    program: PathBuf,
}

impl User {
    /// Makes a user who can run the binary under test from `place`, and gives him all below it; `has_ranges` gives him
    /// 65,536 ids more.
    pub(crate) fn new(place: &Path, has_ranges: bool) -> Self {
        const UID: u32 = 4242;
        let (dir, program) = (place.join("etc"), place.join("hd-of-user"));
        std::fs::create_dir_all(dir.join("dev")).expect("make a directory");
        let passwd = std::fs::read_to_string("/etc/passwd").expect("read the accounts");
        let line = format!("hd-test:x:{UID}:{UID}::/home/hd-test:/bin/sh\n");
        let ranges = if has_ranges {
            "hd-test:300000:65536\n".to_owned()
        } else {
            String::new()
        };
        let texts = [
            ("passwd", passwd + &line),
            ("subuid", ranges.clone()),
            ("subgid", ranges),
        ];
        for (name, text) in texts {
            std::fs::write(dir.join(name), text).expect("write an account file");
        }
        let binary = crate::env::binary();
        if std::fs::hard_link(&binary, &program).is_err() {
            std::fs::copy(&binary, &program).expect("copy hd");
        }
        let user = Self {
            uid: UID,
            dir,
            program,
        };
        user.own(place);
        user
    }

    /// Gives him a directory and what is below it.
    pub fn own(&self, place: &Path) {
        let owner = format!("{0}:{0}", self.uid);
        let chown = Run::new(Path::new("chown")).args(["--recursive", "--no-dereference", &owner]);
        // The binary is everybody's, and may have other names.
        let all = std::fs::read_dir(place).expect("list a directory of the test");
        let all = all.map(|entry| entry.expect("an entry").path());
        let all = all.filter(|path| *path != self.program);
        chown.args(all).finish().ok();
        let top = Some(self.uid);
        std::os::unix::fs::chown(place, top, top).expect("give the test's directory away");
    }

    /// Prepares `hd` for him, without arguments.
    pub(crate) fn hd(&self) -> Run {
        Run::new(Path::new("unshare"))
            .args(["--mount", "sh", "-c", SCRIPT, "sh"])
            .args([self.dir.as_os_str()])
            .args([self.uid.to_string()])
            .args([self.program.as_os_str()])
            .env("HOME", "/home/hd-test")
            .env("USER", "hd-test")
    }
}
