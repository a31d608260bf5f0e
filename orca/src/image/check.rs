//! Checks on the files that a machine is made of, before QEMU sees them: what QEMU says about a bad
//! kernel helps nobody.

use super::format::{self, DiskFormat, HEAD_BYTES, KernelFormat};
use crate::arch::Arch;
use crate::error::{Error, Result};
use std::fs::File;
use std::io;
use std::path::Path;

const BUILD: &str = "build it with `scripts/build-image.sh`, or name another file";

/// Checks that `path` is a kernel for `arch` that QEMU can start, and returns its format.
///
/// # Errors
/// Missing, unreadable, empty, cut off, for another architecture, or no kernel that QEMU can start.
pub fn kernel(path: &Path, arch: Arch) -> Result<KernelFormat> {
    let head = head(path).map_err(|error| {
        let build =
            format!("build it with `scripts/build-image.sh --arch {arch}`, or name another");
        if arch.is_host() { error } else { error.hint(build) }
    })?;
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
    let (len, needed) = lengths.map_err(|e| unreadable(path, &e))?;
    if len < needed { Err(cut_off(path, len, needed)) } else { Ok(format) }
}

/// Checks that `path` is an initramfs.
///
/// # Errors
/// Missing, unreadable, empty, cut off, or in no format that the kernel unpacks.
pub fn initrd(path: &Path) -> Result<()> {
    if !format::is_initrd(&head(path)?) {
        return Err(Error::new(format!("`{}` is not an initramfs", path.display())).hint(BUILD));
    }
    let breaks_off = File::open(path).and_then(|file| format::initrd_breaks_off(&file));
    if breaks_off.map_err(|e| unreadable(path, &e))? {
        return Err(Error::new(format!("`{}` is cut off", path.display())).hint(BUILD));
    }
    Ok(())
}

/// Whether `path` is a tar archive, compressed or not.
pub fn is_archive(path: &Path) -> bool {
    head(path).is_ok_and(|head| format::is_archive(&head))
}

/// The format of the root disk at `path`.
///
/// # Errors
/// Missing, unreadable, empty, cut off, or no disk that QEMU and the guest can use.
pub fn disk(path: &Path) -> Result<DiskFormat> {
    let Some(format) = DiskFormat::of(&head(path)?) else {
        let what = "no ext4 or qcow2 image, no folder and no tar archive";
        return Err(Error::new(format!("`{}` is {what}", path.display())).hint(BUILD));
    };
    if let DiskFormat::Ext(needed) = format {
        let len = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?.len();
        if len < needed {
            return Err(cut_off(path, len, needed));
        }
    }
    Ok(format)
}

fn cut_off(path: &Path, len: u64, needed: u64) -> Error {
    Error::new(format!("`{}` is cut off: {len} bytes of {needed}", path.display())).hint(BUILD)
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::io("read", path, error).hint(BUILD)
}

fn head(path: &Path) -> Result<Vec<u8>> {
    let head = File::open(path).and_then(|file| format::read_up_to(&file, 0, HEAD_BYTES));
    let head = head.map_err(|e| unreadable(path, &e))?;
    if head.is_empty() {
        return Err(Error::new(format!("`{}` is empty", path.display())).hint(BUILD));
    }
    Ok(head)
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
        assert_eq!(kernel(&bz.0, Arch::X86_64), Ok(KernelFormat::BzImage));
        let wrong = kernel(&bz.0, Arch::Aarch64).unwrap_err().to_string();
        assert!(wrong.ends_with("is a kernel for x86_64, not aarch64"), "{wrong}");
        let text = Temp::new("text", b"hello");
        assert!(kernel(&text.0, Arch::X86_64).unwrap_err().to_string().contains("is not a kernel"));
        let empty = Temp::new("empty", b"");
        assert!(kernel(&empty.0, Arch::X86_64).unwrap_err().to_string().ends_with("is empty"));
        let missing = kernel(Path::new("/nonexistent"), Arch::X86_64).unwrap_err().to_string();
        assert_eq!(missing, "cannot read `/nonexistent`: no such file or directory");
    }

    #[test]
    fn a_kernel_that_qemu_cannot_start_is_named_with_the_way_to_one_that_it_can() {
        let mut elf = with(0, b"\x7fELF\x02\x01\x01", 4096);
        elf[18] = 183;
        let elf = Temp::new("elf", &elf);
        let error = kernel(&elf.0, Arch::Aarch64).unwrap_err();
        assert!(error.to_string().contains("aarch64 ELF file"), "{error}");
        assert!(error.next_step().is_some_and(|hint| hint.contains("arch/arm64/boot/Image")));
        let zboot = Temp::new("zboot", &with(0, b"MZ\0\0zimg", 4096));
        let error = kernel(&zboot.0, Arch::Aarch64).unwrap_err();
        assert!(error.to_string().contains("unpacks itself"), "{error}");
        assert!(error.next_step().is_some_and(|hint| hint.contains("orca image vmlinux")));
    }

    #[test]
    fn a_root_disk_that_is_cut_off_is_seen() {
        let mut ext = with(0x438, &[0x53, 0xef], 4096);
        ext[0x404] = 4; // four blocks of 1 KiB
        let whole = Temp::new("ext", &ext);
        assert_eq!(disk(&whole.0), Ok(DiskFormat::Ext(4096)));
        let cut = Temp::new("cut", &ext[..3000]);
        assert!(disk(&cut.0).unwrap_err().to_string().contains("is cut off"));
        let packed = Temp::new("gz", b"\x1f\x8b...");
        assert_eq!(initrd(&packed.0), Ok(()));
        let broken = Temp::new("cpio", b"070701...");
        assert!(initrd(&broken.0).unwrap_err().to_string().ends_with("is cut off"));
        assert!(disk(&packed.0).is_err() && initrd(&whole.0).is_err());
    }
}
