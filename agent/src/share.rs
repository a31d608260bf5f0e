//! Mounts the host's project, and unmounts it.

use crate::cmdline::CommandLine;
use crate::mounts::make_folder;
use crate::wire::{SHARE_DIR, SHARE_TAG, Share};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;
use std::os::unix::fs::MetadataExt;

/// The project, under the overlay.
const LOWER: &str = "/run/orca/share/lower";
/// What takes the writes: a folder on the root's disk, or else a file system in memory.
const UPPER: &str = "/run/orca/share/upper";
/// The folder on the root's disk. No test comes across it: its /run lies under the one of this
/// machine.
const UPPER_ON_DISK: &str = "run/orca/share/upper";
/// The size of a 9p message, in bytes: half of the 512 KiB that virtio can carry is nearly as fast,
/// for half the memory.
const MSIZE: usize = 256 * 1024;
/// Lets a folder be renamed whose content is still in the lower layer.
const REDIRECT: &str = "redirect_dir=on";
/// The cache mode for files that do not change: cached for ever.
const LOOSE: &str = "loose";

/// How this process has mounted the project.
#[derive(Debug)]
pub(crate) struct Mounted {
    share: Share,
    /// Whether what takes an overlay's writes is there and empty.
    upper: bool,
}

impl Mounted {
    /// Not mounted.
    pub(crate) const NOTHING: Self = Self { share: Share::None, upper: false };

    /// How it is mounted.
    pub(crate) fn kind(&self) -> Share {
        self.share
    }

    /// Prepares an overlay as far as possible before the project is there.
    ///
    /// # Errors
    /// As [`Mounted::change`].
    pub(crate) fn prepare(&mut self) -> Result<(), String> {
        if self.share == Share::None && !self.upper {
            prepare_upper()?;
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
        if !is_upper_on_disk() {
            unmount(UPPER)?;
        }
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
            if !is_upper_on_disk() {
                _ = umount2(UPPER, MntFlags::MNT_DETACH);
            }
            _ = umount2(LOWER, MntFlags::MNT_DETACH);
        }),
    }
}

/// Lets the writes to the project go to the disk that is mounted at `root` and becomes the root.
///
/// # Errors
/// Why they cannot go there. They then go to memory.
pub(crate) fn put_upper_on(root: &str) -> Result<(), String> {
    let folder = format!("{root}/{UPPER_ON_DISK}");
    make_folder(&folder)?;
    mount_at(&folder, UPPER, "none", MsFlags::MS_BIND, "")
}

/// Whether the writes to the project go to the root's disk.
pub(crate) fn is_upper_on_disk() -> bool {
    let device = |path| fs::metadata(path).map(|meta| meta.dev()).ok();
    device(UPPER).is_some_and(|upper| Some(upper) == device("/"))
}

/// Makes what takes an overlay's writes, without those of an overlay before.
fn prepare_upper() -> Result<(), String> {
    let on_disk = is_upper_on_disk();
    if !on_disk {
        mount_at("tmpfs", UPPER, "tmpfs", MsFlags::empty(), "mode=0755")?;
    }
    for folder in ["upper", "work"].map(|name| format!("{UPPER}/{name}")) {
        if on_disk {
            // What cannot be removed is seen again.
            _ = fs::remove_dir_all(&folder);
        }
        make_folder(&folder)?;
    }
    Ok(())
}

fn mount_overlay(upper: bool) -> Result<(), String> {
    mount_9p(LOWER, MsFlags::MS_RDONLY, LOOSE)?;
    if !upper {
        prepare_upper()?;
    }
    let attempt = || mount_layers("project", SHARE_DIR, LOWER, UPPER);
    match attempt() {
        // Not every file system can take the writes of an overlay.
        Err(_) if is_upper_on_disk() => {
            unmount(UPPER)?;
            prepare_upper()?;
            attempt()
        }
        done => done,
    }
}

/// Mounts at `target` the folder `lower`, under an overlay whose writes go to `upper`.
///
/// # Errors
/// Why it could not be mounted.
pub(crate) fn mount_layers(
    name: &str,
    target: &str,
    lower: &str,
    upper: &str,
) -> Result<(), String> {
    let layers = format!("lowerdir={lower},upperdir={upper}/upper,workdir={upper}/work");
    let attempt = |options: &str| mount_at(name, target, "overlay", MsFlags::empty(), options);
    // A kernel that does not know the option does without.
    attempt(&format!("{layers},{REDIRECT}")).or_else(|_| attempt(&layers))
}

/// What the kernel would otherwise prepare of a file system after mounting it, in every copy anew.
pub(crate) const NO_BACKGROUND_WORK: &str = "noinit_itable,no_prefetch_block_bitmaps";

/// Mounts the disk with the project. Times that are only noted in memory spare a copy the code that
/// writes them.
fn mount_disk() -> Result<(), String> {
    let line = CommandLine::of_this_boot();
    let device = line.value("orca.project").ok_or("the host offers no disk with the project")?;
    let attempt = |options| mount_at(device, SHARE_DIR, "ext4", MsFlags::MS_LAZYTIME, options);
    attempt(NO_BACKGROUND_WORK).or_else(|_| attempt("")) // Linux before 5.9
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

/// Unmounts `target`. Where files are still open, it only disappears, and they stay open. What
/// somebody else has unmounted is fine.
fn unmount(target: &str) -> Result<(), String> {
    umount2(target, MntFlags::empty())
        .or_else(|_| umount2(target, MntFlags::MNT_DETACH))
        .or_else(|e| if e == Errno::EINVAL { Ok(()) } else { Err(e) })
        .map_err(|e| format!("cannot unmount `{target}`: {}", e.desc()))
}
