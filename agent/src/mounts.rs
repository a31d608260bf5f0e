//! Mounts the file systems that every Linux has.

use crate::console::say;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use std::fs;
use std::os::unix::fs::symlink;

/// Kind, mount point, flags, options.
type Mount = (&'static str, &'static str, MsFlags, &'static str);

const SAFE: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);
const SAFER: MsFlags = SAFE.union(MsFlags::MS_NOEXEC);

const MOUNTS: [Mount; 9] = [
    ("proc", "/proc", SAFER, ""),
    ("sysfs", "/sys", SAFER, ""),
    ("devtmpfs", "/dev", MsFlags::MS_NOSUID, "mode=0755"),
    (
        "devpts",
        "/dev/pts",
        MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC),
        "gid=5,mode=620,ptmxmode=666",
    ),
    ("tmpfs", "/dev/shm", SAFE, "mode=1777"),
    ("tmpfs", "/run", SAFE, "mode=0755"),
    ("tmpfs", "/tmp", SAFE, "mode=1777"),
    // Every test enters a cgroup of its own. Without `favordynmods`, each entry waits for a grace
    // period of the kernel.
    ("cgroup2", "/sys/fs/cgroup", SAFER, "nsdelegate,favordynmods"),
    // Linux before 6.0 has no such option. Later ones have mounted it by now, and say so: `EBUSY`.
    ("cgroup2", "/sys/fs/cgroup", SAFER, "nsdelegate"),
];

/// The mount points that move to another root, with all that is mounted below them.
pub(crate) const TOPS: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/tmp"];

/// Mounts them all. If one cannot be mounted, a line on the console says so, and that is all.
pub(crate) fn early() {
    for (kind, target, flags, options) in MOUNTS {
        // In sysfs, the kernel makes the mount points.
        _ = fs::create_dir_all(target);
        match mount(Some(kind), target, Some(kind), flags, Some(options)) {
            Ok(()) | Err(Errno::EBUSY) => {}
            Err(Errno::EINVAL) if options.contains("favordynmods") => {}
            Err(e) => say(&format!("cannot mount `{target}`: {}", e.desc())),
        }
    }
    // Elsewhere, udev makes these links.
    for (link, target) in [("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")] {
        _ = symlink(format!("/proc/self/fd{target}"), format!("/dev/{link}"));
    }
    _ = fs::create_dir_all("/run/lock");
}

/// Makes the folder `path`, and those that it lies in, where they are missing.
///
/// # Errors
/// That it cannot be made, and why.
pub(crate) fn make_folder(path: &str) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|e| format!("cannot make `{path}`: {e}"))
}

/// Where the file system is mounted that this line of `/proc/self/mountinfo` is about.
pub(crate) fn mount_point(line: &str) -> Option<&str> {
    line.split(' ').nth(4)
}
