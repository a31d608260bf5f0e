//! What a kernel must have so that a machine can run on it, how each thing is called as a module and as an option, and how it shows.

use crate::error::Error;
use std::fmt;
use std::hash::Hash;

/// What of a machine does not work without a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// All of it.
    Machine,
    /// Its disks.
    Disk,
    /// Folders of the host: the project, a root.
    Files,
    /// Writing over what may not be written to.
    Overlay,
    /// Nothing: it is only welcome.
    Comfort,
}

/// One thing that a kernel has or lacks.
#[derive(Debug)]
pub struct Requirement {
    /// The module's name, whether or not it is built in.
    pub module: &'static str,
    /// The option that makes it.
    pub option: &'static str,
    /// A string that stands in every kernel that has it built in.
    sign: &'static str,
    /// What needs it.
    for_what: For,
}

const fn want(
    module: &'static str,
    option: &'static str,
    sign: &'static str,
    f: For,
) -> Requirement {
    Requirement { module, option, sign, for_what: f }
}

/// In the order of loading: first the way to the host, so that a later failure can be told.
pub const REQUIREMENTS: [Requirement; 10] = [
    want("virtio_pci", "CONFIG_VIRTIO_PCI", "virtio-pci\0", For::Machine),
    want("virtio_console", "CONFIG_VIRTIO_CONSOLE", "virtio_console\0", For::Machine),
    want("virtio_blk", "CONFIG_VIRTIO_BLK", "virtio_blk\0", For::Disk),
    want("ext4", "CONFIG_EXT4_FS", "ext4_inode_cache\0", For::Disk),
    want("overlay", "CONFIG_OVERLAY_FS", "ovl_inode\0", For::Overlay),
    want("9p", "CONFIG_9P_FS", "v9fs_inode_cache\0", For::Files),
    want("9pnet_virtio", "CONFIG_NET_9P_VIRTIO", "9pnet_virtio\0", For::Files),
    want("virtio_rng", "CONFIG_HW_RANDOM_VIRTIO", "virtio_rng\0", For::Comfort),
    want("vmgenid", "CONFIG_VMGENID", "vmgenid\0", For::Comfort),
    want("virtio_net", "CONFIG_VIRTIO_NET", "virtio_net\0", For::Comfort),
];

/// What no module can bring: these are built in or not there. Only a kernel's configuration tells.
pub const BUILT_IN: [&str; 6] = [
    "CONFIG_BLK_DEV_INITRD",
    "CONFIG_DEVTMPFS",
    "CONFIG_TMPFS",
    "CONFIG_PCI",
    "CONFIG_UNIX",
    "CONFIG_BINFMT_ELF",
];

/// What the machines of a run use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Needs {
    /// Disks with ext4.
    pub disk: bool,
    /// Folders of the host.
    pub files: bool,
    /// An overlay over them.
    pub overlay: bool,
}

impl Needs {
    /// Everything: what an image is built for.
    pub const ALL: Self = Self { disk: true, files: true, overlay: true };

    /// Whether a machine is of no use without `want`.
    pub fn includes(self, want: &Requirement) -> bool {
        match want.for_what {
            For::Machine => true,
            For::Disk => self.disk,
            For::Files => self.files,
            For::Overlay => self.overlay,
            For::Comfort => false,
        }
    }

    /// What `has` says no to, of what is needed.
    pub fn missing(self, has: impl Fn(&Requirement) -> bool) -> Vec<&'static Requirement> {
        REQUIREMENTS.iter().filter(|want| self.includes(want) && !has(want)).collect()
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

/// That the kernel called `kernel` lacks things, each named with its option.
pub fn lacking(kernel: &str, things: &[impl fmt::Display]) -> Error {
    let things: Vec<String> = things.iter().map(ToString::to_string).collect();
    Error::new(format!("the kernel {kernel} has no {}", things.join(", no "))).hint(
        "take a kernel with these options (Debian's `cloud` kernels lack 9p), built in or as modules",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_used_is_not_missed() {
        let names = |needs: Needs| -> Vec<&str> {
            needs.missing(|_| false).iter().map(|want| want.module).collect()
        };
        assert_eq!(names(Needs { disk: false, files: false, overlay: false }).len(), 2);
        let files = names(Needs { disk: false, files: true, overlay: false });
        assert_eq!(files, ["virtio_pci", "virtio_console", "9p", "9pnet_virtio"]);
        assert_eq!(names(Needs::ALL).len(), 7);
        assert!(Needs::ALL.missing(|_| true).is_empty());
    }

    #[test]
    fn every_missing_thing_is_named_with_its_option() {
        let error = lacking("`6.1`", &Needs::ALL.missing(|want| want.module != "9p"));
        assert_eq!(error.to_string(), "the kernel `6.1` has no `9p` (CONFIG_9P_FS)");
        assert!(
            REQUIREMENTS[5].shows_in(b"..v9fs_inode_cache\0..")
                && !REQUIREMENTS[5].shows_in(b"v9fs")
        );
    }
}
