//! Checks on the files that a machine is made of, before QEMU sees them: what QEMU says about a bad kernel helps nobody.

use super::decompress::Format;
use super::format;
use crate::arch::Arch;
use crate::error::{Error, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const BUILD: &str = "build it with `scripts/build-image.sh`, or name another file";

/// Checks that `path` is a kernel for `arch` that QEMU can start.
///
/// # Errors
/// Missing, unreadable, empty, cut off, for another architecture, or no kernel at all.
pub fn check_kernel(path: &Path, arch: Arch) -> Result<()> {
    let head = head(path, 1024).map_err(|error| {
        let build =
            format!("build it with `scripts/build-image.sh --arch {arch}`, or name another");
        if arch.is_host() { error } else { error.hint(build) }
    })?;
    let at = |range: std::ops::Range<usize>| head.get(range).unwrap_or_default();
    let found = if at(0..4) == b"\x7fELF" {
        match at(18..20) {
            [62, 0] => Some(Arch::X86_64),
            [183, 0] => Some(Arch::Aarch64),
            _ => None,
        }
    } else if at(0x202..0x206) == b"HdrS" {
        Some(Arch::X86_64)
    } else if at(56..60) == b"ARMd" {
        Some(Arch::Aarch64)
    } else {
        None
    };
    match found {
        Some(found) if found == arch => {
            let (len, needed) = lengths(path)?;
            if len < needed { Err(cut_off(path, len, needed)) } else { Ok(()) }
        }
        Some(found) => {
            Err(Error::new(format!("`{}` is a kernel for {found}, not {arch}", path.display()))
                .hint("name the right one with --kernel, or the guest's architecture with --arch"))
        }
        None => Err(Error::new(format!("`{}` is no kernel that QEMU can start", path.display()))
            .hint("a vmlinux, a bzImage or an arm64 Image is needed")),
    }
}

/// Checks that `path` is an initramfs.
///
/// # Errors
/// Missing, unreadable, empty, or in no format that the kernel unpacks.
pub fn check_initrd(path: &Path) -> Result<()> {
    const MAGIC: [&[u8]; 8] = [
        b"070701",
        b"070702",
        b"\x1f\x8b",
        b"\xfd7zXZ",
        b"\x28\xb5\x2f\xfd",
        b"\x02\x21\x4c\x18",
        b"\x04\x22\x4d\x18",
        b"BZh",
    ];
    let head = head(path, 16)?;
    if MAGIC.iter().any(|magic| head.starts_with(magic)) {
        let breaks_off = File::open(path).and_then(|file| format::initrd_breaks_off(&file));
        if breaks_off.map_err(|e| unreadable(path, &e))? {
            return Err(Error::new(format!("`{}` is cut off", path.display())).hint(BUILD));
        }
        return Ok(());
    }
    Err(Error::new(format!("`{}` is no initramfs", path.display())).hint(BUILD))
}

/// Whether `path` is a tar archive, compressed or not.
pub fn is_archive(path: &Path) -> bool {
    let head = head(path, 512).unwrap_or_default();
    head.get(257..262) == Some(b"ustar") || Format::of(&head).is_some()
}

/// The format of a root disk: `raw` for an ext filesystem, `qcow2`.
///
/// # Errors
/// Missing, unreadable, empty, cut off, or neither.
pub fn rootfs_format(path: &Path) -> Result<&'static str> {
    let head = head(path, 2048)?;
    if head.starts_with(b"QFI\xfb") {
        return Ok("qcow2");
    }
    let word =
        |at: usize| head.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    if head.get(0x438..0x43a) != Some(&[0x53, 0xef]) {
        let what = "no ext4 or qcow2 image, no folder and no tar archive";
        return Err(Error::new(format!("`{}` is {what}", path.display())).hint(BUILD));
    }
    // The superblock's block count and block size against the file's own size.
    let blocks = u64::from(word(0x404).unwrap_or(0));
    let block_size = 1024u64 << word(0x418).unwrap_or(0).min(6);
    let len = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?.len();
    if len < blocks * block_size {
        return Err(cut_off(path, len, blocks * block_size));
    }
    Ok("raw")
}

/// How long a kernel is, and how long it must be.
fn lengths(path: &Path) -> Result<(u64, u64)> {
    let lengths =
        File::open(path).and_then(|file| Ok((file.metadata()?.len(), format::kernel_len(&file)?)));
    lengths.map_err(|e| unreadable(path, &e))
}

fn cut_off(path: &Path, len: u64, needed: u64) -> Error {
    Error::new(format!("`{}` is cut off: {len} bytes of {needed}", path.display())).hint(BUILD)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::io("read", path, error).hint(BUILD)
}

fn head(path: &Path, len: usize) -> Result<Vec<u8>> {
    let read = |path: &Path| {
        let file = File::open(path)?;
        let mut bytes = vec![0; len];
        let n = file.read_at(&mut bytes, 0)?;
        bytes.truncate(n);
        std::io::Result::Ok(bytes)
    };
    let bytes = read(path).map_err(|e| unreadable(path, &e))?;
    if bytes.is_empty() {
        return Err(Error::new(format!("`{}` is empty", path.display())).hint(BUILD));
    }
    Ok(bytes)
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
        assert_eq!(check_kernel(&bz.0, Arch::X86_64), Ok(()));
        let wrong = check_kernel(&bz.0, Arch::Aarch64).unwrap_err().to_string();
        assert!(wrong.ends_with("is a kernel for x86_64, not aarch64"), "{wrong}");
        let text = Temp::new("text", b"hello");
        assert!(
            check_kernel(&text.0, Arch::X86_64).unwrap_err().to_string().contains("is no kernel")
        );
        let empty = Temp::new("empty", b"");
        assert!(
            check_kernel(&empty.0, Arch::X86_64).unwrap_err().to_string().ends_with("is empty")
        );
        let missing =
            check_kernel(Path::new("/nonexistent"), Arch::X86_64).unwrap_err().to_string();
        assert_eq!(missing, "cannot read `/nonexistent`: no such file or directory");
    }

    #[test]
    fn a_root_disk_that_is_cut_off_is_seen() {
        let mut ext = with(0x438, &[0x53, 0xef], 4096);
        ext[0x404] = 4; // four blocks of 1 KiB
        let whole = Temp::new("ext", &ext);
        assert_eq!(rootfs_format(&whole.0), Ok("raw"));
        let cut = Temp::new("cut", &ext[..3000]);
        assert!(rootfs_format(&cut.0).unwrap_err().to_string().contains("is cut off"));
        let initrd = Temp::new("gz", b"\x1f\x8b...");
        assert_eq!(check_initrd(&initrd.0), Ok(()));
        let broken = Temp::new("cpio", b"070701...");
        assert!(check_initrd(&broken.0).unwrap_err().to_string().ends_with("is cut off"));
        assert!(rootfs_format(&initrd.0).is_err() && check_initrd(&whole.0).is_err());
    }
}
