//! Whether an image file is all there: a copy that broke off leaves a file that begins well and then panics a kernel, or a QEMU.
//!
//! Only what a file says about its own length is looked at: a few reads, no unpacking. What does not tell is believed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Entries of a cpio archive that are looked at; an initramfs of a distribution has some thousands.
const ENTRIES_MAX: usize = 100_000;
const CPIO_HEADER: u64 = 110;
const TRAILER: &[u8] = b"TRAILER!!!\0";

/// How long a kernel file must at least be, by its ELF program headers or its bzImage setup header; 0 where it does not tell.
///
/// # Errors
/// Whatever reading it says.
pub fn kernel_len(file: &File) -> io::Result<u64> {
    let head = read_up_to(file, 0, 1024)?;
    if head.starts_with(b"\x7fELF\x02\x01") {
        return elf_len(file, &head);
    }
    if head.get(0x202..0x206) != Some(b"HdrS") {
        return Ok(0);
    }
    // The boot sector and `setup_sects` more, then `syssize` paragraphs of 16 bytes.
    let sectors = match head[0x1f1] {
        0 => 4, // as the boot protocol has it
        sectors => u64::from(sectors),
    };
    Ok((sectors + 1) * 512 + number(&head, 0x1f4, 4) * 16)
}

fn elf_len(file: &File, head: &[u8]) -> io::Result<u64> {
    let (start, size, count) = (number(head, 32, 8), number(head, 54, 2), number(head, 56, 2));
    let table = read_up_to(file, start, (size * count) as usize)?;
    let mut end = start.saturating_add(size * count);
    for row in table.chunks_exact((size as usize).max(56)) {
        end = end.max(number(row, 8, 8).saturating_add(number(row, 32, 8)));
    }
    Ok(end)
}

/// Whether an initramfs breaks off: an archive without its trailer, an xz stream without its footer.
///
/// # Errors
/// Whatever reading it says.
pub fn initrd_breaks_off(file: &File) -> io::Result<bool> {
    let len = file.metadata()?.len();
    let head = read_up_to(file, 0, 6)?;
    if head == b"\xfd7zXZ\0" {
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
        if !head.starts_with(b"070701") && !head.starts_with(b"070702") {
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

/// Little endian; what is not there is 0.
fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    let found = bytes.get(at..at + len).unwrap_or_default();
    found.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn read_up_to(file: &File, at: u64, len: usize) -> io::Result<Vec<u8>> {
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
    use crate::arch::Arch;
    use crate::qemu::probe;
    use std::io::Write;

    fn file(bytes: &[u8]) -> File {
        let dir = nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-whole-XXXXXX")).unwrap();
        let path = dir.join("file");
        File::create(&path).unwrap().write_all(bytes).unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_dir_all(dir).unwrap();
        file
    }

    #[test]
    fn an_elf_kernel_is_as_long_as_its_segments_reach() {
        let image = probe::image(Arch::X86_64);
        assert_eq!(kernel_len(&file(&image)).unwrap(), image.len() as u64);
        assert_eq!(kernel_len(&file(&image[..200])).unwrap(), image.len() as u64);
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
