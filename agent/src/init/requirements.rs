//! Checks that the kernel has what a machine needs. The console gets the options that it lacks, and
//! the host names them to its user.

use crate::console::say;
use crate::wire::LACKS;
use std::fs;
use std::path::Path;

/// An option, and the sign that the kernel has it: a file system's name, or a folder of sysfs.
const SIGNS: [(&str, &str); 7] = [
    ("CONFIG_VIRTIO_PCI", "/sys/bus/pci/drivers/virtio-pci"),
    ("CONFIG_VIRTIO_CONSOLE", "/sys/class/virtio-ports"),
    ("CONFIG_VIRTIO_BLK", "/sys/bus/virtio/drivers/virtio_blk"),
    ("CONFIG_EXT4_FS", "ext4"),
    ("CONFIG_OVERLAY_FS", "overlay"),
    ("CONFIG_9P_FS", "9p"),
    ("CONFIG_NET_9P_VIRTIO", "/sys/bus/virtio/drivers/9pnet_virtio"),
];

/// Writes the options that the kernel lacks to the console.
///
/// # Errors
/// The agent cannot reach the host, so the machine is useless.
pub(super) fn check() -> Result<(), String> {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let has = |sign: &str| match sign.starts_with('/') {
        true => Path::new(sign).exists(),
        false => known.split_ascii_whitespace().any(|kind| kind == sign),
    };
    let lacking: Vec<&str> =
        SIGNS.iter().filter(|(_, sign)| !has(sign)).map(|(option, _)| *option).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    say(&format!("{LACKS}{}", lacking.join(" ")));
    match lacking
        .iter()
        .find(|option| ["CONFIG_VIRTIO_PCI", "CONFIG_VIRTIO_CONSOLE"].contains(option))
    {
        Some(_) => Err("there is no way to the host".into()),
        None => Ok(()),
    }
}
