//! Mounts the host's project, and unmounts it.

use crate::cmdline::CommandLine;
use crate::mounts::make_folder;
use crate::wire::{SHARE_DIR, SHARE_TAG, Share};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// The project, under the overlay.
const LOWER: &str = "/run/orca/share/lower";
/// The file system that takes the writes.
const UPPER: &str = "/run/orca/share/upper";
/// The size of a 9p message, in bytes: half of the 512 KiB that virtio can carry is nearly as fast,
/// for half the memory.
const MSIZE: usize = 256 * 1024;
/// The cache mode for files that do not change: cached for ever.
const LOOSE: &str = "loose";

/// How this process has mounted the project.
#[derive(Debug)]
pub(crate) struct Mounted {
    share: Share,
    /// Whether the file system that takes an overlay's writes is mounted already.
    upper: bool,
}

impl Mounted {
    /// Not mounted.
    pub(crate) const NOTHING: Self = Self { share: Share::None, upper: false };

    /// Prepares an overlay as far as possible before the project is there.
    ///
    /// # Errors
    /// As [`Mounted::change`].
    pub(crate) fn prepare(&mut self) -> Result<(), String> {
        if self.share == Share::None && !self.upper {
            mount_upper()?;
            self.upper = true;
            make_folder(LOWER)?;
            make_folder(SHARE_DIR)?;
        }
        Ok(())
    }

    /// Mounts the project as `to` says, and undoes how it was mounted before.
    ///
    /// # Errors
    /// What could not be mounted and why, fit to follow `ERR share: `.
    pub(crate) fn change(&mut self, to: Share) -> Result<(), String> {
        let from = std::mem::replace(&mut self.share, Share::None);
        change(from, to, std::mem::take(&mut self.upper))?;
        self.share = to;
        Ok(())
    }
}

fn change(from: Share, to: Share, upper: bool) -> Result<(), String> {
    if from == to {
        return Ok(());
    }
    if from != Share::None {
        unmount(SHARE_DIR)?;
    }
    if from == Share::Overlay {
        unmount(UPPER)?;
        unmount(LOWER)?;
    }
    match to {
        Share::None => Ok(()),
        // The host's files do not change during a test.
        Share::Ro => mount_9p(SHARE_DIR, MsFlags::MS_RDONLY, LOOSE),
        // `mmap` is nearly no cache, but lets files be mapped writable.
        Share::Rw => mount_9p(SHARE_DIR, MsFlags::empty(), "mmap"),
        Share::Disk => mount_disk(),
        Share::Overlay => mount_overlay(upper).inspect_err(|_| {
            // Undoes the part that was mounted. The error that counts is the first one.
            _ = umount2(UPPER, MntFlags::MNT_DETACH);
            _ = umount2(LOWER, MntFlags::MNT_DETACH);
        }),
    }
}

fn mount_upper() -> Result<(), String> {
    mount_at("tmpfs", UPPER, "tmpfs", MsFlags::empty(), "mode=0755")?;
    for folder in ["upper", "work"] {
        make_folder(&format!("{UPPER}/{folder}"))?;
    }
    Ok(())
}

fn mount_overlay(upper: bool) -> Result<(), String> {
    mount_9p(LOWER, MsFlags::MS_RDONLY, LOOSE)?;
    if !upper {
        mount_upper()?;
    }
    let layers = format!("lowerdir={LOWER},upperdir={UPPER}/upper,workdir={UPPER}/work");
    mount_at("project", SHARE_DIR, "overlay", MsFlags::empty(), &layers)
}

/// Mounts the disk with the project. Times that are only noted in memory spare a copy the code that
/// writes them.
fn mount_disk() -> Result<(), String> {
    let line = CommandLine::of_this_boot();
    let device = line.value("orca.project").ok_or("the host offers no disk with the project")?;
    mount_at(device, SHARE_DIR, "ext4", MsFlags::MS_LAZYTIME, "")
}

fn mount_9p(target: &str, flags: MsFlags, cache: &str) -> Result<(), String> {
    mount_at(SHARE_TAG, target, "9p", flags, &options(cache))
}

/// The options for mounting a folder of the host, with this cache mode.
pub(crate) fn options(cache: &str) -> String {
    format!("trans=virtio,version=9p2000.L,msize={MSIZE},cache={cache}")
}

fn mount_at(
    source: &str,
    target: &str,
    kind: &str,
    flags: MsFlags,
    options: &str,
) -> Result<(), String> {
    let attempt = || mount(Some(source), target, Some(kind), flags, Some(options));
    let mounted = match attempt() {
        Err(Errno::ENOENT) => {
            make_folder(target)?;
            attempt()
        }
        first => first,
    };
    mounted.map_err(|e| match e {
        Errno::ENODEV => format!("the kernel has no `{kind}` (is its module in the image?)"),
        Errno::ENOENT if kind == "9p" => format!("the host offers nothing as `{source}`"),
        _ => format!("cannot mount {kind} at `{target}`: {}", e.desc()),
    })
}

/// Unmounts `target`. Where files are still open, it only disappears, and they stay open.
fn unmount(target: &str) -> Result<(), String> {
    umount2(target, MntFlags::empty())
        .or_else(|_| umount2(target, MntFlags::MNT_DETACH))
        .map_err(|e| format!("cannot unmount `{target}`: {}", e.desc()))
}
