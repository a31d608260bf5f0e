//! Unpacking kernels. A bzImage becomes the vmlinux that QEMU enters through PVH, without firmware
//! and without decompression in the guest. A packed aarch64 kernel, compressed by gzip or an EFI
//! program that unpacks itself, becomes its plain `Image`: QEMU 7.2 does not boot the second kind,
//! and later ones only with some compressions.
//!
//! The offsets are those of the kernel's Documentation/arch/x86/boot.rst and
//! drivers/firmware/efi/libstub/zboot-header.S.

use super::bytes::{slice, u16_at, u32_at, u64_at};
use super::decompress::{Format, decompress};
use super::format::{self, KernelFormat};
use crate::error::{Error, Result};

/// Where fields of a bzImage's setup header are.
const SETUP_VERSION_AT: usize = 0x206;
const RELEASE_AT: usize = 0x20e;
const PAYLOAD_OFFSET_AT: usize = 0x248;
const PAYLOAD_LENGTH_AT: usize = 0x24c;
/// The header version since which the payload's place is in it (Linux 2.6.26).
const PAYLOAD_VERSION: u16 = 0x0208;
/// A setup sector, in bytes.
const SECTOR: usize = 512;

/// Where fields of an aarch64 kernel that unpacks itself are.
const ZBOOT_OFFSET_AT: usize = 8;
const ZBOOT_LENGTH_AT: usize = 12;

const ELF_NOTE_SEGMENT: u32 = 4;
/// The note that says where QEMU enters: `XEN_ELFNOTE_PHYS32_ENTRY` of the Xen headers.
const PVH_NOTE: u32 = 18;

const WHERE_FROM: &str =
    "take the file from a kernel package's `/boot`, or `arch/x86/boot/bzImage` from a build";

/// The format of the kernel in `data`.
///
/// # Errors
/// It is empty, or no kernel that can be made into one that QEMU enters.
pub fn kind(data: &[u8]) -> Result<KernelFormat> {
    match KernelFormat::of(data) {
        Some(format @ KernelFormat::ElfAarch64) => {
            let (what, hint) = format.refusal().unwrap_or_default();
            return Err(Error::new(format!("the file is {what}")).hint(hint));
        }
        Some(format) => return Ok(format),
        None if data.is_empty() => {
            return Err(Error::new("the kernel file is empty").hint(WHERE_FROM));
        }
        None => {}
    }
    match format::elf_machine(data) {
        Some(other) => {
            return Err(Error::new(format!("the file is an ELF file for machine type {other}"))
                .hint("a kernel for x86_64 is needed here"));
        }
        None if data.starts_with(b"\x7fELF") => return Err(cut_off()),
        None => {}
    }
    let what = match Format::of(data) {
        Some(format) => format!("the file is {}-compressed and not a bzImage", format.name()),
        None => "the file is not a kernel image".to_owned(),
    };
    Err(Error::new(what).hint(WHERE_FROM))
}

fn cut_off() -> Error {
    Error::new("the kernel file is cut off").hint("copy or build it again")
}

/// The kernel in `data` as QEMU enters it: the vmlinux of a bzImage, the `Image` of a packed
/// aarch64 kernel, or `data` itself if it is one of these.
///
/// # Errors
/// It is empty, cut off, no kernel, or built without `CONFIG_PVH`; its decompressor is missing.
pub fn vmlinux(data: &[u8]) -> Result<Vec<u8>> {
    if Format::of(data) == Some(Format::Gzip) {
        return image(&decompress(Format::Gzip, data)?);
    }
    let elf = match kind(data)? {
        KernelFormat::ElfX86_64 | KernelFormat::ElfAarch64 => data.to_vec(),
        KernelFormat::BzImage => unpack(data)?,
        KernelFormat::ImageAarch64 => return Ok(data.to_vec()),
        KernelFormat::ZbootAarch64 => return image(&unpack_zboot(data)?),
    };
    if kind(&elf)? != KernelFormat::ElfX86_64 {
        return Err(Error::new("the bzImage does not hold an x86_64 kernel").hint(WHERE_FROM));
    }
    if !has_pvh_entry(&elf) {
        return Err(Error::new("the kernel has no PVH entry (CONFIG_PVH)")
            .hint("boot the bzImage itself, which takes longer"));
    }
    Ok(elf)
}

/// `data`, if it is an aarch64 kernel's `Image`.
fn image(data: &[u8]) -> Result<Vec<u8>> {
    if kind(data) == Ok(KernelFormat::ImageAarch64) {
        return Ok(data.to_vec());
    }
    Err(Error::new("the file does not hold an aarch64 kernel").hint(WHERE_FROM))
}

/// Unpacks a kernel that unpacks itself. Its header names the place of the payload, and the payload
/// begins with the magic number of its format.
fn unpack_zboot(data: &[u8]) -> Result<Vec<u8>> {
    let field = |at| usize::try_from(u32_at(data, at)?).ok();
    let place = field(ZBOOT_OFFSET_AT).zip(field(ZBOOT_LENGTH_AT));
    let payload = place.and_then(|(at, len)| slice(data, at, len)).ok_or_else(cut_off)?;
    match Format::of(payload) {
        Some(format) => decompress(format, payload),
        None => Err(Error::new("the kernel is compressed in an unknown format")),
    }
}

/// The release of a bzImage's kernel, as `uname -r` says it.
pub fn release(data: &[u8]) -> Option<String> {
    if kind(data) != Ok(KernelFormat::BzImage) {
        return None;
    }
    let at = usize::from(u16_at(data, RELEASE_AT)?).checked_add(SECTOR)?;
    let line = data.get(at..)?.split(|&b| b == 0).next()?;
    let line = std::str::from_utf8(line).ok()?;
    line.split_ascii_whitespace().next().map(str::to_owned)
}

/// Unpacks the kernel in a bzImage. Its header says where the payload is, and the last four bytes
/// of the payload are the size that must come out.
///
/// # Errors
/// It is cut off or packed in an unknown way; its decompressor is missing.
pub fn unpack(data: &[u8]) -> Result<Vec<u8>> {
    if u16_at(data, SETUP_VERSION_AT).ok_or_else(cut_off)? < PAYLOAD_VERSION {
        return Err(Error::new("the bzImage holds a kernel older than 2.6.26"));
    }
    let payload = payload(data).ok_or_else(cut_off)?;
    let Some(format) = Format::of(payload) else {
        return Err(Error::new("the bzImage is compressed in an unknown format"));
    };
    let body = payload.len().checked_sub(4).ok_or_else(cut_off)?;
    let size = u32_at(payload, body).ok_or_else(cut_off)?;
    // The four bytes are gzip's own end; behind the other formats the kernel build has put them.
    let packed = if format == Format::Gzip { payload } else { &payload[..body] };
    let elf = decompress(format, packed)?;
    if elf.len() as u64 == u64::from(size) { Ok(elf) } else { Err(cut_off()) }
}

fn payload(data: &[u8]) -> Option<&[u8]> {
    let sectors = format::setup_sectors(data)?;
    let offset = usize::try_from(u32_at(data, PAYLOAD_OFFSET_AT)?).ok()?;
    let length = usize::try_from(u32_at(data, PAYLOAD_LENGTH_AT)?).ok()?;
    slice(data, offset.checked_add(sectors * SECTOR)?, length)
}

/// Whether an x86_64 ELF file has the note that QEMU looks for.
pub fn has_pvh_entry(elf: &[u8]) -> bool {
    let Some((table, size, count)) = format::elf_segments(elf) else { return false };
    (0..count).any(|n| {
        let at = usize::try_from(table.saturating_add(n * size)).unwrap_or(usize::MAX);
        if u32_at(elf, at) != Some(ELF_NOTE_SEGMENT) {
            return false;
        }
        let field = |offset| usize::try_from(u64_at(elf, at.saturating_add(offset))?).ok();
        let notes = field(8).zip(field(32)).and_then(|(from, len)| slice(elf, from, len));
        notes.is_some_and(holds_pvh_note)
    })
}

/// Walks a note segment: name size, descriptor size, type, and both texts padded to four bytes.
fn holds_pvh_note(mut notes: &[u8]) -> bool {
    while let (Some(name), Some(desc), Some(kind)) =
        (u32_at(notes, 0), u32_at(notes, 4), u32_at(notes, 8))
    {
        if kind == PVH_NOTE && slice(notes, 12, name as usize) == Some(b"Xen\0") {
            return true;
        }
        let padded = |len: u32| u64::from(len).next_multiple_of(4);
        let next = usize::try_from(12 + padded(name) + padded(desc)).unwrap_or(usize::MAX);
        notes = notes.get(next..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    fn put(data: &mut [u8], at: usize, value: &[u8]) {
        data[at..at + value.len()].copy_from_slice(value);
    }

    /// An ELF file of one note segment with two notes, the second of type `note`.
    fn elf(note: u32) -> Vec<u8> {
        let mut out = vec![0; 64 + 56];
        put(&mut out, 0, b"\x7fELF\x02\x01\x01");
        put(&mut out, 18, &62_u16.to_le_bytes());
        put(&mut out, 32, &64u64.to_le_bytes());
        put(&mut out, 54, &56u16.to_le_bytes());
        put(&mut out, 56, &1u16.to_le_bytes());
        put(&mut out, 64, &ELF_NOTE_SEGMENT.to_le_bytes());
        let mut notes = Vec::new();
        for (kind, desc) in [(3, &b"12345\0\0\0"[..]), (note, b"\0\0\0\x01")] {
            let desc_len = if kind == 3 { 5u32 } else { 4 };
            notes.extend([4u32, desc_len, kind].iter().flat_map(|n| n.to_le_bytes()));
            notes.extend(b"Xen\0");
            notes.extend(desc);
        }
        put(&mut out, 64 + 8, &120u64.to_le_bytes());
        put(&mut out, 64 + 32, &(notes.len() as u64).to_le_bytes());
        out.extend(notes);
        out
    }

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut gzip = Command::new("gzip")
            .args(["-nc"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        gzip.stdin.take().unwrap().write_all(data).unwrap();
        let mut packed = Vec::new();
        gzip.stdout.take().unwrap().read_to_end(&mut packed).unwrap();
        assert!(gzip.wait().unwrap().success());
        packed
    }

    /// A bzImage with one setup sector around `elf`, compressed by gzip.
    fn bzimage(elf: &[u8]) -> Vec<u8> {
        let packed = gzip(elf);
        let mut out = vec![0; 2 * SECTOR + 16];
        out[0x1f1] = 1;
        put(&mut out, 0x202, b"HdrS");
        put(&mut out, SETUP_VERSION_AT, &0x020fu16.to_le_bytes());
        put(&mut out, RELEASE_AT, &0x100u16.to_le_bytes());
        put(&mut out, 0x300, b"6.1.0-56-amd64 (someone) #1 SMP\0");
        put(&mut out, PAYLOAD_OFFSET_AT, &16u32.to_le_bytes());
        put(&mut out, PAYLOAD_LENGTH_AT, &(packed.len() as u32).to_le_bytes());
        out.extend(packed);
        out
    }

    fn check_error(data: &[u8], expected: &str) {
        assert_eq!(vmlinux(data).unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_bzimage_gives_its_vmlinux_and_its_release() {
        let elf = elf(PVH_NOTE);
        let image = bzimage(&elf);
        assert_eq!(vmlinux(&image).unwrap(), elf);
        assert_eq!(vmlinux(&elf).unwrap(), elf);
        assert_eq!(release(&image).as_deref(), Some("6.1.0-56-amd64"));
        assert_eq!(release(&elf), None);
    }

    #[test]
    fn an_aarch64_kernel_is_unpacked_from_whatever_it_is_in() {
        let mut image = vec![7; 256];
        put(&mut image, 0x38, b"ARMd");
        let packed = gzip(&image);
        assert_eq!(vmlinux(&packed).unwrap(), image);
        let mut zboot = vec![0; 64];
        put(&mut zboot, 0, b"MZ\0\0zimg");
        put(&mut zboot, ZBOOT_OFFSET_AT, &64u32.to_le_bytes());
        put(&mut zboot, ZBOOT_LENGTH_AT, &(packed.len() as u32).to_le_bytes());
        zboot.extend(&packed);
        assert_eq!(kind(&zboot), Ok(KernelFormat::ZbootAarch64));
        assert_eq!(vmlinux(&zboot).unwrap(), image);
        for len in 0..zboot.len() {
            assert!(vmlinux(&zboot[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn a_kernel_without_the_note_is_told() {
        check_error(&bzimage(&elf(17)), "the kernel has no PVH entry (CONFIG_PVH)");
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error() {
        let image = bzimage(&elf(PVH_NOTE));
        for len in 0..image.len() {
            assert!(vmlinux(&image[..len]).is_err(), "{len}");
        }
        check_error(&image[..image.len() - 1], "the kernel file is cut off");
        check_error(b"", "the kernel file is empty");
        let mut wrong_size = image;
        let last = wrong_size.len() - 1;
        wrong_size[last] ^= 1;
        assert!(vmlinux(&wrong_size).is_err());
    }

    #[test]
    fn other_files_are_named_for_what_they_are() {
        let mut arm = vec![0; 64];
        put(&mut arm, 0x38, b"ARMd");
        assert_eq!(kind(&arm), Ok(KernelFormat::ImageAarch64));
        assert_eq!(vmlinux(&arm).unwrap(), arm);
        check_error(&gzip(b"no kernel"), "the file does not hold an aarch64 kernel");
        check_error(b"BZh91AY&SY", "the file is bzip2-compressed and not a bzImage");
        check_error(b"#!/bin/sh", "the file is not a kernel image");
        let mut other = elf(PVH_NOTE);
        put(&mut other, 18, &183_u16.to_le_bytes());
        check_error(&other, "the file is an aarch64 ELF file, which QEMU does not boot");
        check_error(&bzimage(b"no ELF"), "the file is not a kernel image");
    }
}
