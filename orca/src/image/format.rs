//! What an image file is, by its magic numbers, and whether it is all there: a copy that was cut
//! off begins well and then panics a kernel, or QEMU.
//!
//! Only what a file says of its own length is looked at: a few reads, no unpacking. A file without
//! a length field is accepted as complete. Specifications: the kernel's
//! Documentation/arch/x86/boot.rst, Documentation/arch/arm64/booting.rst and
//! drivers/firmware/efi/libstub/zboot-header.S, the ELF-64 object file format, and the kernel's
//! early-userspace buffer-format document for cpio.

use super::bytes::{slice, u16_at, u32_at, u64_at};
use super::decompress::Format;
use crate::arch::Arch;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The first bytes of a file that tell what it is: all magic numbers and the setup header are in
/// them.
pub const HEAD_BYTES: usize = 4096;

/// What a kernel file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelFormat {
    /// An x86 bzImage.
    BzImage,
    /// An uncompressed x86_64 kernel: `vmlinux`.
    ElfX86_64,
    /// An uncompressed aarch64 kernel as its linker left it.
    ElfAarch64,
    /// An uncompressed aarch64 kernel as it is booted: `Image`.
    ImageAarch64,
    /// An aarch64 kernel that unpacks itself: `vmlinuz.efi`.
    ZbootAarch64,
}

/// A row of the table of kernels.
struct Row {
    format: KernelFormat,
    arch: Arch,
    /// The magic numbers: where each is, and its bytes.
    magic: &'static [(usize, &'static [u8])],
    /// Why QEMU cannot start it, and what to do; `None` if it can.
    refusal: Option<(&'static str, &'static str)>,
}

const ELF_64: (usize, &[u8]) = (0, b"\x7fELF\x02");
const ELF_MACHINE_AT: usize = 18;

const KERNELS: [Row; 5] = [
    Row {
        format: KernelFormat::BzImage,
        arch: Arch::X86_64,
        magic: &[(0x202, b"HdrS")],
        refusal: None,
    },
    Row {
        format: KernelFormat::ElfX86_64,
        arch: Arch::X86_64,
        magic: &[ELF_64, (ELF_MACHINE_AT, &[62, 0])],
        refusal: None,
    },
    Row {
        format: KernelFormat::ElfAarch64,
        arch: Arch::Aarch64,
        magic: &[ELF_64, (ELF_MACHINE_AT, &[183, 0])],
        refusal: Some((
            "an aarch64 ELF file, which QEMU does not boot",
            "take `arch/arm64/boot/Image` of the same build",
        )),
    },
    Row {
        format: KernelFormat::ImageAarch64,
        arch: Arch::Aarch64,
        magic: &[(0x38, b"ARMd")],
        refusal: None,
    },
    Row {
        format: KernelFormat::ZbootAarch64,
        arch: Arch::Aarch64,
        magic: &[(0, b"MZ\0\0zimg")],
        refusal: Some((
            "an aarch64 kernel that unpacks itself, which not every QEMU boots",
            "unpack it with `orca image vmlinux KERNEL --out Image`",
        )),
    },
];

impl KernelFormat {
    /// The format of the kernel that begins with `head`; `None` for anything else.
    pub fn of(head: &[u8]) -> Option<Self> {
        let stands = |(at, bytes): &(usize, &[u8])| slice(head, *at, bytes.len()) == Some(*bytes);
        let row = KERNELS.iter().find(|row| row.magic.iter().all(stands));
        row.map(|row| row.format)
    }

    /// The architecture that it runs on.
    pub fn arch(self) -> Arch {
        self.row().arch
    }

    /// What it is, and what to do, if QEMU cannot start it.
    pub fn refusal(self) -> Option<(&'static str, &'static str)> {
        self.row().refusal
    }

    fn row(self) -> &'static Row {
        // Every format has its row: a test says so.
        KERNELS.iter().find(|row| row.format == self).unwrap_or(&KERNELS[0])
    }
}

/// The machine type of an ELF file.
pub fn elf_machine(head: &[u8]) -> Option<u16> {
    head.starts_with(b"\x7fELF").then(|| u16_at(head, ELF_MACHINE_AT))?
}

/// Whether a file that begins with `head` is an initramfs: a cpio archive, or one that is
/// compressed.
pub fn is_initrd(head: &[u8]) -> bool {
    is_cpio(head) || Format::of(head).is_some()
}

fn is_cpio(head: &[u8]) -> bool {
    head.starts_with(b"070701") || head.starts_with(b"070702")
}

/// Whether a file that begins with `head` is a tar archive (POSIX `ustar`), or a compressed file.
pub fn is_archive(head: &[u8]) -> bool {
    slice(head, 257, 5) == Some(b"ustar") || Format::of(head).is_some()
}

/// What a root disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFormat {
    /// A file system of the ext family, with the length in bytes that its superblock gives.
    Ext(u64),
    /// QEMU's own.
    Qcow2,
}

impl DiskFormat {
    /// The format of the disk that begins with `head`; `None` for anything else.
    pub fn of(head: &[u8]) -> Option<Self> {
        if head.starts_with(b"QFI\xfb") {
            return Some(Self::Qcow2);
        }
        if slice(head, 0x438, 2) != Some(&[0x53, 0xef]) {
            return None;
        }
        let blocks = u64::from(u32_at(head, 0x404).unwrap_or(0));
        let block_size = 1024_u64 << u32_at(head, 0x418).unwrap_or(0).min(6);
        Some(Self::Ext(blocks * block_size))
    }

    /// As QEMU calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext(_) => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// Entries of a cpio archive that are looked at; an initramfs of a distribution has some thousands.
const ENTRIES_MAX: usize = 100_000;
const CPIO_HEADER: u64 = 110;
const TRAILER: &[u8] = b"TRAILER!!!\0";

/// The length of an ELF-64 file's header, in bytes.
const ELF_HEADER: u64 = 64;

/// How long a kernel file must at least be, by its ELF program headers or its bzImage setup header;
/// 0 if the file does not say.
///
/// # Errors
/// It cannot be read.
pub fn kernel_len(file: &File) -> io::Result<u64> {
    let head = read_up_to(file, 0, HEAD_BYTES)?;
    match KernelFormat::of(&head) {
        Some(KernelFormat::ElfX86_64 | KernelFormat::ElfAarch64) => elf_len(file, &head),
        Some(KernelFormat::BzImage) => Ok(bzimage_len(&head)),
        _ => Ok(0),
    }
}

/// The sectors of a bzImage's real-mode code, its boot sector included.
pub fn setup_sectors(head: &[u8]) -> Option<usize> {
    // No setup sectors means four, as it did for the first Linux.
    let sectors = usize::from(*head.get(0x1f1)?);
    Some(if sectors == 0 { 5 } else { sectors + 1 })
}

/// The setup sectors, then `syssize` paragraphs of 16 bytes.
fn bzimage_len(head: &[u8]) -> u64 {
    let sectors = setup_sectors(head).unwrap_or(0) as u64;
    sectors * 512 + u64::from(u32_at(head, 0x1f4).unwrap_or(0)) * 16
}

/// Where an ELF file's table of segments is, the size of a row, and how many rows there are.
pub fn elf_segments(head: &[u8]) -> Option<(u64, u64, u64)> {
    Some((u64_at(head, 32)?, u64::from(u16_at(head, 54)?), u64::from(u16_at(head, 56)?)))
}

fn elf_len(file: &File, head: &[u8]) -> io::Result<u64> {
    let Some((start, size, count)) = elf_segments(head) else { return Ok(ELF_HEADER) };
    let table = read_up_to(file, start, (size * count) as usize)?;
    let mut end = start.saturating_add(size * count);
    for row in table.chunks_exact((size as usize).max(56)) {
        let (from, len) = (u64_at(row, 8).unwrap_or(0), u64_at(row, 32).unwrap_or(0));
        end = end.max(from.saturating_add(len));
    }
    Ok(end)
}

/// Whether an initramfs is cut off: an archive without its trailer, an xz stream without its
/// footer.
///
/// # Errors
/// It cannot be read.
pub fn initrd_breaks_off(file: &File) -> io::Result<bool> {
    let len = file.metadata()?.len();
    let head = read_up_to(file, 0, 6)?;
    if Format::of(&head) == Some(Format::Xz) {
        let end = read_up_to(file, len.saturating_sub(512), 512)?;
        let end = end.iter().rposition(|byte| *byte != 0).map_or(&[][..], |at| &end[..=at]);
        return Ok(!end.ends_with(b"YZ")); // behind it only padding of zeros
    }
    let mut at = 0;
    for _ in 0..ENTRIES_MAX {
        let head = read_up_to(file, at, CPIO_HEADER as usize)?;
        if at > 0 && head.is_empty() {
            return Ok(true);
        }
        if !is_cpio(&head) {
            return Ok(false); // no archive, or another one behind it
        }
        if head.len() < CPIO_HEADER as usize {
            return Ok(true);
        }
        let field = |at: usize| {
            let text = std::str::from_utf8(&head[at..at + 8]).unwrap_or_default();
            u64::from_str_radix(text, 16).unwrap_or(0)
        };
        let (size, name) = (field(54), field(94));
        if name == TRAILER.len() as u64
            && read_up_to(file, at + CPIO_HEADER, TRAILER.len())? == TRAILER
        {
            return Ok(false);
        }
        at = (at + CPIO_HEADER + name).next_multiple_of(4) + size;
        if at > len {
            return Ok(true);
        }
        at = at.next_multiple_of(4);
    }
    Ok(false)
}

/// Up to `len` bytes from `at`, at most 1 MiB; fewer if the file ends before.
///
/// # Errors
/// It cannot be read.
pub fn read_up_to(file: &File, at: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len.min(1 << 20)];
    let mut got = 0;
    while got < bytes.len() {
        match file.read_at(&mut bytes[got..], at + got as u64)? {
            0 => break,
            n => got += n,
        }
    }
    bytes.truncate(got);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> File {
        let dir = nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-format-XXXXXX")).unwrap();
        let path = dir.join("file");
        File::create(&path).unwrap().write_all(bytes).unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_dir_all(dir).unwrap();
        file
    }

    /// An x86_64 ELF file with one segment of 300 bytes behind its tables.
    fn elf() -> Vec<u8> {
        let mut out = vec![0; 64 + 56 + 300];
        let fields: [(usize, &[u8]); 6] = [
            (0, b"\x7fELF\x02\x01\x01"),
            (18, &[62, 0]),
            (32, &64_u64.to_le_bytes()),
            (54, &[56, 0, 1, 0]),
            (64 + 8, &120_u64.to_le_bytes()),
            (64 + 32, &300_u64.to_le_bytes()),
        ];
        for (at, bytes) in fields {
            out[at..at + bytes.len()].copy_from_slice(bytes);
        }
        out
    }

    #[test]
    fn every_kernel_format_has_one_row() {
        use KernelFormat::{BzImage, ElfAarch64, ElfX86_64, ImageAarch64, ZbootAarch64};
        for format in [BzImage, ElfX86_64, ElfAarch64, ImageAarch64, ZbootAarch64] {
            let rows = KERNELS.iter().filter(|row| row.format == format);
            let [row] = &rows.collect::<Vec<_>>()[..] else { panic!("{format:?}") };
            let mut head = vec![0; HEAD_BYTES];
            for (at, bytes) in row.magic {
                head[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            assert_eq!(KernelFormat::of(&head), Some(format));
        }
        assert_eq!(KernelFormat::of(b"\x7fELF\x02\x01"), None);
        assert_eq!(KernelFormat::of(b""), None);
    }

    #[test]
    fn an_elf_kernel_is_as_long_as_its_segments_reach() {
        let image = elf();
        assert_eq!(kernel_len(&file(&image)).unwrap(), image.len() as u64);
        assert_eq!(kernel_len(&file(&image[..200])).unwrap(), image.len() as u64);
        for cut in [20, 40, 57] {
            assert!(kernel_len(&file(&image[..cut])).unwrap() >= 64, "{cut}");
        }
        assert_eq!(kernel_len(&file(b"text")).unwrap(), 0);
    }

    #[test]
    fn a_bzimage_is_as_long_as_its_setup_header_says() {
        let mut head = vec![0; 1024];
        head[0x202..0x206].copy_from_slice(b"HdrS");
        (head[0x1f1], head[0x1f4]) = (7, 3);
        assert_eq!(kernel_len(&file(&head)).unwrap(), 8 * 512 + 3 * 16);
    }

    fn entry(name: &str, data: &[u8]) -> Vec<u8> {
        let mut out = format!("070701{}{:08x}", "00000000".repeat(6), data.len()).into_bytes();
        out.extend(format!("{}{:08x}00000000", "00000000".repeat(4), name.len() + 1).bytes());
        out.extend(name.bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(data);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    #[test]
    fn an_archive_breaks_off_wherever_it_is_cut() {
        let whole = [entry("init", &[7; 1000]), entry("etc", b"")].concat();
        let trailer = entry("TRAILER!!!", b"");
        let all = [&whole[..], &trailer].concat();
        assert!(!initrd_breaks_off(&file(&all)).unwrap());
        assert!(
            !initrd_breaks_off(&file(&[&all[..], &[0; 400], b"\x1f\x8bmore"].concat())).unwrap()
        );
        for cut in [50, 115, 119, 700, whole.len() - 10, whole.len(), whole.len() + 50] {
            assert!(initrd_breaks_off(&file(&all[..cut])).unwrap(), "{cut}");
        }
        let mut damaged = all.clone();
        damaged[94..102].copy_from_slice(b"ffffffff");
        assert!(initrd_breaks_off(&file(&damaged)).unwrap());
        damaged[54..62].copy_from_slice(b"zzzzzzzz");
        assert!(initrd_breaks_off(&file(&damaged)).unwrap());
    }

    #[test]
    fn an_xz_stream_ends_in_its_footer() {
        assert!(!initrd_breaks_off(&file(b"\xfd7zXZ\0....YZ\0\0\0\0")).unwrap());
        assert!(initrd_breaks_off(&file(b"\xfd7zXZ\0....")).unwrap());
        assert!(!initrd_breaks_off(&file(b"\x1f\x8b....")).unwrap());
    }
}
