//! The features that a kernel must have so that a machine can run on it: the module of each, its
//! configuration option, and the string that shows that it is built in.

use crate::error::Error;
use std::fmt;
use std::hash::Hash;

/// The part of a machine that needs a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// The whole machine.
    Machine,
    /// Its disks.
    Disk,
    /// Folders of the host that are shared with it: the project, a root.
    Share,
    /// The overlay over a read-only folder.
    Overlay,
    /// No part: the feature is welcome, and not needed.
    Comfort,
}

/// A feature that a kernel has or lacks.
#[derive(Debug)]
pub struct Requirement {
    /// The module's name, whether or not it is built in.
    pub module: &'static str,
    /// Its configuration option.
    pub option: &'static str,
    /// A string in every kernel that has it built in.
    sign: &'static str,
    /// The part of a machine that needs it.
    for_what: For,
}

const fn requirement(
    module: &'static str,
    option: &'static str,
    sign: &'static str,
    f: For,
) -> Requirement {
    Requirement { module, option, sign, for_what: f }
}

/// Every feature, in the order of loading. The connection to the host comes first, so that the
/// agent can report a later failure.
pub const REQUIREMENTS: [Requirement; 10] = [
    requirement("virtio_pci", "CONFIG_VIRTIO_PCI", "virtio-pci\0", For::Machine),
    requirement("virtio_console", "CONFIG_VIRTIO_CONSOLE", "virtio_console\0", For::Machine),
    requirement("virtio_blk", "CONFIG_VIRTIO_BLK", "virtio_blk\0", For::Disk),
    requirement("ext4", "CONFIG_EXT4_FS", "ext4_inode_cache\0", For::Disk),
    requirement("overlay", "CONFIG_OVERLAY_FS", "ovl_inode\0", For::Overlay),
    requirement("9p", "CONFIG_9P_FS", "v9fs_inode_cache\0", For::Share),
    requirement("9pnet_virtio", "CONFIG_NET_9P_VIRTIO", "9pnet_virtio\0", For::Share),
    requirement("virtio_rng", "CONFIG_HW_RANDOM_VIRTIO", "virtio_rng\0", For::Comfort),
    requirement("vmgenid", "CONFIG_VMGENID", "vmgenid\0", For::Comfort),
    requirement("virtio_net", "CONFIG_VIRTIO_NET", "virtio_net\0", For::Comfort),
];

/// Options of features that no module can bring. Only a kernel's configuration shows them.
pub const BUILT_IN: [&str; 6] = [
    "CONFIG_BLK_DEV_INITRD",
    "CONFIG_DEVTMPFS",
    "CONFIG_TMPFS",
    "CONFIG_PCI",
    "CONFIG_UNIX",
    "CONFIG_BINFMT_ELF",
];

/// The features that the machines of a run use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Needs {
    /// Disks with ext4.
    pub disk: bool,
    /// Shared folders of the host.
    pub shares: bool,
    /// An overlay over such folders.
    pub overlay: bool,
}

impl Needs {
    /// All of them: an image is built for these.
    pub const ALL: Self = Self { disk: true, shares: true, overlay: true };

    /// Whether a machine needs `requirement`.
    pub fn includes(self, requirement: &Requirement) -> bool {
        match requirement.for_what {
            For::Machine => true,
            For::Disk => self.disk,
            For::Share => self.shares,
            For::Overlay => self.overlay,
            For::Comfort => false,
        }
    }

    /// The features that are needed and that `has` denies.
    pub fn missing(self, has: impl Fn(&Requirement) -> bool) -> Vec<&'static Requirement> {
        REQUIREMENTS.iter().filter(|one| self.includes(one) && !has(one)).collect()
    }
}

impl Requirement {
    /// Whether a kernel's own bytes, not compressed, show that it has this built in.
    pub fn shows_in(&self, kernel: &[u8]) -> bool {
        memchr::memmem::find(kernel, self.sign.as_bytes()).is_some()
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.module, self.option)
    }
}

/// The error for a kernel called `kernel` that lacks `features`, each of which shows its option.
pub fn lacking(kernel: &str, features: &[impl fmt::Display]) -> Error {
    let features: Vec<String> = features.iter().map(ToString::to_string).collect();
    Error::new(format!("the kernel {kernel} has no {}", features.join(", no "))).hint(
        "take a kernel with these options, built in or as modules \
         (Debian's `cloud` kernels lack 9p)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_used_is_not_missed() {
        let names = |needs: Needs| -> Vec<&str> {
            needs.missing(|_| false).iter().map(|requirement| requirement.module).collect()
        };
        assert_eq!(names(Needs { disk: false, shares: false, overlay: false }).len(), 2);
        let shares = names(Needs { disk: false, shares: true, overlay: false });
        assert_eq!(shares, ["virtio_pci", "virtio_console", "9p", "9pnet_virtio"]);
        assert_eq!(names(Needs::ALL).len(), 7);
        assert!(Needs::ALL.missing(|_| true).is_empty());
    }

    #[test]
    fn every_missing_thing_is_named_with_its_option() {
        let error = lacking("`6.1`", &Needs::ALL.missing(|requirement| requirement.module != "9p"));
        assert_eq!(error.to_string(), "the kernel `6.1` has no `9p` (CONFIG_9P_FS)");
        assert!(
            REQUIREMENTS[5].shows_in(b"..v9fs_inode_cache\0..")
                && !REQUIREMENTS[5].shows_in(b"v9fs")
        );
    }
}
