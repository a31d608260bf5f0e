//! The file systems that every Linux has.

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
    // Every test enters a cgroup of its own; without this, each entry waits for a grace period of the kernel.
    ("cgroup2", "/sys/fs/cgroup", SAFER, "nsdelegate,favordynmods"),
    // Before Linux 6.0, which has no such option. After it, this one is busy already.
    ("cgroup2", "/sys/fs/cgroup", SAFER, "nsdelegate"),
];

/// The mount points that go along into another root, with all that is mounted below them.
pub(super) const TOPS: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/tmp"];

/// Mounts them all. One that cannot be mounted is said and done without.
pub(super) fn early() {
    for (kind, target, flags, options) in MOUNTS {
        // In sysfs the mount points are the kernel's to make.
        _ = fs::create_dir_all(target);
        match mount(Some(kind), target, Some(kind), flags, Some(options)) {
            Ok(()) | Err(Errno::EBUSY) => {}
            Err(Errno::EINVAL) if options.contains("favordynmods") => {}
            Err(e) => say(&format!("cannot mount `{target}`: {}", e.desc())),
        }
    }
    // What udev would make.
    for (link, target) in [("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")] {
        _ = symlink(format!("/proc/self/fd{target}"), format!("/dev/{link}"));
    }
    _ = fs::create_dir_all("/run/lock");
}
