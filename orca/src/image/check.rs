//! Checks on the files that a machine is made of, before QEMU sees them: what QEMU says about a bad
//! kernel helps nobody.

use super::format::{self, DiskFormat, HEAD_BYTES, KernelFormat};
use crate::arch::Arch;
use crate::error::{Error, Result};
use std::fs::File;
use std::io;
use std::path::Path;

/// Where the path of a file comes from. The hint about a fault depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The user named it.
    Named,
    /// It is the file of the image, which a script builds.
    Image,
}

/// What a file is for.
#[derive(Clone, Copy)]
enum Role {
    Kernel(Arch),
    Initrd,
    Root,
}

/// A file that is checked.
#[derive(Clone, Copy)]
struct Subject<'a> {
    path: &'a Path,
    role: Role,
    origin: Origin,
}

impl Subject<'_> {
    /// The next step if the file is missing or is something else.
    fn hint(self) -> String {
        match (self.origin, self.role) {
            (Origin::Named, Role::Kernel(Arch::X86_64)) => {
                "--kernel takes a bzImage, a vmlinux or the folder that a kernel was built in"
                    .to_owned()
            }
            (Origin::Named, Role::Kernel(Arch::Aarch64)) => {
                "--kernel takes an arm64 Image or the folder that a kernel was built in".to_owned()
            }
            (Origin::Named, Role::Initrd) => {
                "--initrd takes a cpio archive, compressed or not".to_owned()
            }
            (Origin::Named, Role::Root) => {
                "--rootfs takes an ext4 or qcow2 image, a folder, a tar archive, host or none"
                    .to_owned()
            }
            (Origin::Image, Role::Kernel(arch)) if !arch.is_host() => {
                format!("build it with `scripts/build-image.sh --arch {arch}`, or name another")
            }
            (Origin::Image, _) => {
                "build it with `scripts/build-image.sh`, or name another file".to_owned()
            }
        }
    }

    /// The fault, followed by the hint.
    fn fault(self, what: &str) -> Error {
        Error::new(format!("`{}` {what}", self.path.display())).hint(self.hint())
    }

    /// The file ends too early. A kind that is right needs no hint about kinds.
    fn cut_off(self, how: &str) -> Error {
        let fault = self.fault(&format!("is cut off{how}"));
        match self.origin {
            Origin::Named => fault.hint("copy or build it again"),
            Origin::Image => fault,
        }
    }

    fn unreadable(self, error: &io::Error) -> Error {
        Error::io("read", self.path, error).hint(self.hint())
    }

    fn head(self) -> Result<Vec<u8>> {
        let head = File::open(self.path).and_then(|file| format::read_up_to(&file, 0, HEAD_BYTES));
        let head = head.map_err(|e| self.unreadable(&e))?;
        if head.is_empty() { Err(self.fault("is empty")) } else { Ok(head) }
    }
}

/// Checks that `path` is a kernel for `arch` that QEMU can start, and returns its format.
///
/// # Errors
/// Missing, unreadable, empty, cut off, for another architecture, or no kernel that QEMU can start.
pub fn kernel(path: &Path, arch: Arch, origin: Origin) -> Result<KernelFormat> {
    let subject = Subject { path, role: Role::Kernel(arch), origin };
    let head = subject.head()?;
    let shown = path.display();
    let Some(format) = KernelFormat::of(&head) else {
        return Err(Error::new(format!("`{shown}` is not a kernel that QEMU can start"))
            .hint("name a vmlinux, a bzImage or an arm64 Image"));
    };
    if format.arch() != arch {
        let error = format!("`{shown}` is a kernel for {}, not {arch}", format.arch());
        return Err(Error::new(error)
            .hint("name the right one with --kernel, or the guest's architecture with --arch"));
    }
    if let Some((what, hint)) = format.refusal() {
        return Err(Error::new(format!("`{shown}` is {what}")).hint(hint));
    }
    let lengths =
        File::open(path).and_then(|file| Ok((file.metadata()?.len(), format::kernel_len(&file)?)));
    let (len, needed) = lengths.map_err(|e| subject.unreadable(&e))?;
    if len < needed {
        return Err(subject.cut_off(&format!(": {len} bytes of {needed}")));
    }
    Ok(format)
}

/// Checks that `path` is an initramfs.
///
/// # Errors
/// Missing, unreadable, empty, cut off, or in no format that the kernel unpacks.
pub fn initrd(path: &Path, origin: Origin) -> Result<()> {
    let subject = Subject { path, role: Role::Initrd, origin };
    if !format::is_initrd(&subject.head()?) {
        return Err(subject.fault("is not an initramfs"));
    }
    let breaks_off = File::open(path).and_then(|file| format::initrd_breaks_off(&file));
    match breaks_off.map_err(|e| subject.unreadable(&e))? {
        true => Err(subject.cut_off("")),
        false => Ok(()),
    }
}

/// Whether `path` is a tar archive, compressed or not.
pub fn is_archive(path: &Path) -> bool {
    let head = File::open(path).and_then(|file| format::read_up_to(&file, 0, HEAD_BYTES));
    head.is_ok_and(|head| format::is_archive(&head))
}

/// The format of the root disk at `path`.
///
/// # Errors
/// Missing, unreadable, empty, cut off, or no disk that QEMU and the guest can use.
pub fn disk(path: &Path, origin: Origin) -> Result<DiskFormat> {
    let subject = Subject { path, role: Role::Root, origin };
    let Some(format) = DiskFormat::of(&subject.head()?) else {
        return Err(subject.fault("is no ext4 or qcow2 image, no folder and no tar archive"));
    };
    if let DiskFormat::Ext(needed) = format {
        let len = std::fs::metadata(path).map_err(|e| subject.unreadable(&e))?.len();
        if len < needed {
            return Err(subject.cut_off(&format!(": {len} bytes of {needed}")));
        }
    }
    Ok(format)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    struct Temp(PathBuf);

    impl Temp {
        fn new(name: &str, bytes: &[u8]) -> Self {
            let path =
                std::env::temp_dir().join(format!("orca-files-{}-{name}", std::process::id()));
            std::fs::write(&path, bytes).unwrap();
            Self(path)
        }
    }

    impl Drop for Temp {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0).unwrap();
        }
    }

    fn with(at: usize, magic: &[u8], len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        bytes[at..at + magic.len()].copy_from_slice(magic);
        bytes
    }

    #[test]
    fn kernels_are_told_apart() {
        let bz = Temp::new("bz", &with(0x202, b"HdrS", 4096));
        assert_eq!(kernel(&bz.0, Arch::X86_64, Origin::Named), Ok(KernelFormat::BzImage));
        let wrong = kernel(&bz.0, Arch::Aarch64, Origin::Named).unwrap_err().to_string();
        assert!(wrong.ends_with("is a kernel for x86_64, not aarch64"), "{wrong}");
        let text = Temp::new("text", b"hello");
        assert!(
            kernel(&text.0, Arch::X86_64, Origin::Named)
                .unwrap_err()
                .to_string()
                .contains("is not a kernel")
        );
        let empty = Temp::new("empty", b"");
        assert!(
            kernel(&empty.0, Arch::X86_64, Origin::Named)
                .unwrap_err()
                .to_string()
                .ends_with("is empty")
        );
        let missing = kernel(Path::new("/proc/nowhere"), Arch::X86_64, Origin::Named)
            .unwrap_err()
            .to_string();
        assert_eq!(missing, "cannot read `/proc/nowhere`: no such file or directory");
    }

    #[test]
    fn a_kernel_that_qemu_cannot_start_is_named_with_the_way_to_one_that_it_can() {
        let mut elf = with(0, b"\x7fELF\x02\x01\x01", 4096);
        elf[18] = 183;
        let elf = Temp::new("elf", &elf);
        let error = kernel(&elf.0, Arch::Aarch64, Origin::Named).unwrap_err();
        assert!(error.to_string().contains("aarch64 ELF file"), "{error}");
        assert!(error.next_step().is_some_and(|hint| hint.contains("arch/arm64/boot/Image")));
        let zboot = Temp::new("zboot", &with(0, b"MZ\0\0zimg", 4096));
        let error = kernel(&zboot.0, Arch::Aarch64, Origin::Named).unwrap_err();
        assert!(error.to_string().contains("unpacks itself"), "{error}");
        assert!(error.next_step().is_some_and(|hint| hint.contains("orca image vmlinux")));
    }

    #[test]
    fn a_root_disk_that_is_cut_off_is_seen() {
        let mut ext = with(0x438, &[0x53, 0xef], 4096);
        ext[0x404] = 4; // four blocks of 1 KiB
        let whole = Temp::new("ext", &ext);
        assert_eq!(disk(&whole.0, Origin::Named), Ok(DiskFormat::Ext(4096)));
        let cut = Temp::new("cut", &ext[..3000]);
        assert!(disk(&cut.0, Origin::Named).unwrap_err().to_string().contains("is cut off"));
        let packed = Temp::new("gz", b"\x1f\x8b...");
        assert_eq!(initrd(&packed.0, Origin::Named), Ok(()));
        let broken = Temp::new("cpio", b"070701...");
        assert!(initrd(&broken.0, Origin::Named).unwrap_err().to_string().ends_with("is cut off"));
        assert!(
            disk(&packed.0, Origin::Named).is_err() && initrd(&whole.0, Origin::Named).is_err()
        );
    }

    #[test]
    fn the_hint_depends_on_who_named_the_file() {
        let missing = Path::new("/proc/nowhere");
        let hint = |fault: Error| fault.next_step().unwrap().to_owned();
        let hints = |origin| {
            [
                hint(kernel(missing, Arch::X86_64, origin).unwrap_err()),
                hint(initrd(missing, origin).unwrap_err()),
                hint(disk(missing, origin).unwrap_err()),
            ]
        };
        assert!(hints(Origin::Image).iter().all(|hint| hint.starts_with("build it with")));
        for (hint, option) in hints(Origin::Named).iter().zip(["--kernel", "--initrd", "--rootfs"])
        {
            assert!(hint.starts_with(&format!("{option} takes a")), "{hint}");
        }
        let arm = hint(kernel(missing, Arch::Aarch64, Origin::Named).unwrap_err());
        assert!(arm.contains("arm64 Image"), "{arm}");
    }
}
