//! Switches from the initramfs to the machine's own root.

use crate::cmdline::CommandLine;
use crate::console::say;
use crate::mounts::make_folder;
use crate::wire::ROOT_TAG;
use crate::{amend, mounts, share};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use nix::sys::statfs::{Statfs, statfs};
use nix::unistd::{chdir, chroot};
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// Where the root is mounted before it is the root.
const NEW: &str = "/newroot";
/// The folder for temporary files.
const TMP: &str = "/tmp";
/// A root that must not be written, under an overlay.
const LOWER: &str = "/run/orca/root/lower";
/// What takes the writes of that overlay.
const UPPER: &str = "/run/orca/root/upper";
/// How long the disk may take to appear.
const DISK_WAIT: Duration = Duration::from_secs(30);

/// Switches to the root that the command line names; stays in the initramfs if it names none.
///
/// # Errors
/// Why there is no root, for the console.
pub(crate) fn enter(line: &CommandLine) -> Result<(), String> {
    match line.value("orca.root") {
        Some("host") if is_entered_at_resume(line) => return prepare_upper(),
        Some("host") => {
            prepare_upper()?;
            return enter_host(line);
        }
        _ => {}
    }
    let Some(device) = line.value("root").filter(|root| *root != "none") else { return Ok(()) };
    if line.value("orca.root") == Some("tmpfs") {
        return Ok(());
    }
    wait_for(Path::new(device), Instant::now() + DISK_WAIT)?;
    let kind = line.value("rootfstype").unwrap_or("ext4");
    let options = line.value("rootflags").unwrap_or_default();
    if line.has("ro") && !line.has("rw") {
        prepare_upper()?;
        mount_over(device, kind, options)?;
    } else {
        // Times that are only noted in memory take a tenth of the code, which every copy runs cold.
        let attempt = |options| mount_at(device, NEW, kind, MsFlags::MS_LAZYTIME, options);
        match (kind, options) {
            // Linux before 5.9 does not know them.
            ("ext4", "") => attempt(share::NO_BACKGROUND_WORK).or_else(|_| attempt(""))?,
            _ => attempt(options)?,
        }
        // A project on a disk of its own takes its writes itself.
        let put_upper = || match line.value("orca.project") {
            None => share::put_upper_on(NEW),
            Some(_) => Ok(()),
        };
        if has_more_room_than_memory()
            && let Err(why) = put_upper().and_then(|()| use_tmp_on_disk())
        {
            // There is less room then, and enough for most tests.
            say(&why);
        }
        amended(amend::trust_project(NEW, None));
    }
    switch(line)
}

/// Whether the root is the host's own and is entered only at `RESUME`: a machine that has mounted
/// it cannot be frozen.
pub(crate) fn is_entered_at_resume(line: &CommandLine) -> bool {
    line.value("orca.root") == Some("host") && line.value("orca.share") == Some("later")
}

/// Switches to the host's own root, which is never written to. QEMU reads what its user may read.
/// /proc, /sys, /dev, /run and /tmp are the guest's own, so the host's /tmp is not seen.
///
/// # Errors
/// As [`enter`].
pub(crate) fn enter_host(line: &CommandLine) -> Result<(), String> {
    mount_over(ROOT_TAG, "9p", &share::options("loose"))?;
    switch(line)
}

/// Mounts as the root a source that must not be written, under an overlay that takes the writes.
fn mount_over(source: &str, kind: &str, options: &str) -> Result<(), String> {
    mount_at(source, LOWER, kind, MsFlags::MS_RDONLY, options)?;
    let denied = amend::add_passwords(LOWER, &format!("{UPPER}/upper"));
    share::mount_layers("root", NEW, LOWER, UPPER)?;
    amended(denied.and_then(|denied| if denied { amend::add_home(NEW) } else { Ok(()) }));
    Ok(())
}

/// Makes what takes the writes of that overlay.
fn prepare_upper() -> Result<(), String> {
    mount_at("tmpfs", UPPER, "tmpfs", MsFlags::empty(), "mode=0755")?;
    for folder in ["upper", "work"] {
        make_folder(&format!("{UPPER}/{folder}"))?;
    }
    amended(amend::trust_project(&format!("{UPPER}/upper"), Some(LOWER)));
    Ok(())
}

/// A root that lacks something is still fit for most tests.
fn amended(done: io::Result<()>) {
    if let Err(e) = done {
        say(&format!("cannot complete the root: {e}"));
    }
}

/// Whether the disk at [`NEW`] has more room than a tmpfs, which holds half of the memory.
fn has_more_room_than_memory() -> bool {
    let bytes = |blocks: u64, stat: &Statfs| blocks.saturating_mul(stat.block_size() as u64);
    let disk = statfs(NEW).map(|stat| bytes(stat.blocks_available(), &stat));
    let memory = statfs(TMP).map(|stat| bytes(stat.blocks(), &stat));
    disk.unwrap_or(0) > memory.unwrap_or(0)
}

/// Lets /tmp be the folder of the disk at [`NEW`]. What the image has in there stays.
fn use_tmp_on_disk() -> Result<(), String> {
    let folder = format!("{NEW}{TMP}");
    match fs::symlink_metadata(&folder) {
        Ok(meta) if !meta.is_dir() => return Ok(()), // it may lead anywhere
        Ok(_) => {}
        Err(_) => make_folder(&folder)?,
    }
    fs::set_permissions(&folder, Permissions::from_mode(0o1777))
        .map_err(|e| format!("cannot open `{TMP}` to all: {e}"))?;
    umount2(TMP, MntFlags::MNT_DETACH).map_err(|e| format!("cannot unmount `{TMP}`: {}", e.desc()))
}

/// Makes the file system at [`NEW`] the root, and mounts the kernel's modules there.
fn switch(line: &CommandLine) -> Result<(), String> {
    move_root().map_err(|e| format!("cannot switch to the root: {}", e.desc()))?;
    if let Err(why) = mount_modules(line) {
        // A machine without modules is still fit for many tests.
        say(&why);
    }
    Ok(())
}

/// Mounts the disk with the kernel's modules where `modprobe` looks for them.
fn mount_modules(line: &CommandLine) -> Result<(), String> {
    let Some(device) = line.value("orca.modules") else { return Ok(()) };
    wait_for(Path::new(device), Instant::now() + DISK_WAIT)?;
    let kernel = nix::sys::utsname::uname().map_err(|e| e.desc().to_owned())?;
    let target = format!("/lib/modules/{}", kernel.release().to_string_lossy());
    mount_at(device, &target, "ext4", MsFlags::MS_RDONLY, "")
}

fn wait_for(device: &Path, deadline: Instant) -> Result<(), String> {
    let what = |why: &str| format!("no disk at `{}`: {why}", device.display());
    // Listens before it looks: a device that appears in between is then announced.
    let events = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::NetlinkKObjectUEvent,
    )
    .map_err(|e| what(e.desc()))?;
    bind(std::os::fd::AsRawFd::as_raw_fd(&events), &NetlinkAddr::new(0, 1))
        .map_err(|e| what(e.desc()))?;
    while !device.exists() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(what(&format!("it did not appear in {} s", DISK_WAIT.as_secs())));
        }
        let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLIN)];
        _ = poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
        let raw = std::os::fd::AsRawFd::as_raw_fd(&events);
        while recv(raw, &mut [0; 4096], MsgFlags::empty()).is_ok() {}
    }
    Ok(())
}

fn mount_at(
    source: &str,
    target: &str,
    kind: &str,
    flags: MsFlags,
    options: &str,
) -> Result<(), String> {
    make_folder(target)?;
    mount(Some(source), target, Some(kind), flags, Some(options))
        .map_err(|e| format!("cannot mount `{source}` as {kind}: {}", e.desc()))
}

fn move_root() -> nix::Result<()> {
    let none = None::<&str>;
    for top in mounts::TOPS {
        let target = format!("{NEW}{top}");
        // A root that cannot be written must have the folders already.
        _ = fs::create_dir(&target);
        match mount(Some(top), target.as_str(), none, MsFlags::MS_MOVE, none) {
            Err(Errno::EINVAL) if top == TMP => {} // unmounted: the root has its own
            moved => moved?,
        }
    }
    if let Ok(here) = fs::metadata("/") {
        empty(Path::new("/"), here.dev());
    }
    chdir(NEW)?;
    mount(Some("."), "/", none, MsFlags::MS_MOVE, none)?;
    chroot(".")?;
    chdir("/")
}

/// Frees the memory of the initramfs: removes everything below `folder` on the file system
/// `device`.
fn empty(folder: &Path, device: u64) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.dev() != device => {}
            Ok(meta) if meta.is_dir() => {
                empty(&path, device);
                // A folder with another file system below it stays.
                _ = fs::remove_dir(&path);
            }
            _ => _ = fs::remove_file(&path),
        }
    }
}
