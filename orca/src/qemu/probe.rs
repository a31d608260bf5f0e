//! Guests of 200 bytes that answer one question: can this accelerator run a 64-bit kernel at all?
//!
//! Opening `/dev/kvm`, and even `KVM_CREATE_VM`, proves nothing: there are hosts where both work
//! and no kernel ever runs. The image for x86_64 is entered through PVH in 32-bit protected mode,
//! builds page tables, enters long mode, spins a little and writes 0x10 to the debug-exit port;
//! QEMU then exits with status 33. The image for aarch64 is entered as a kernel's `Image` is, turns
//! on address translation, spins and asks the firmware (PSCI) to end the machine; QEMU then exits
//! with 0. Nothing else makes it exit with 0 there, as a machine that goes astray hangs.

use crate::arch::Arch;

/// QEMU's exit status when the probe has run to its end; on x86_64 `(0x10 << 1) | 1`.
pub fn success(arch: Arch) -> i32 {
    match arch {
        Arch::X86_64 => 33,
        Arch::Aarch64 => 0,
    }
}

/// The arguments for the device that the probe reports to.
pub fn device(arch: Arch) -> &'static [&'static str] {
    match arch {
        Arch::X86_64 => &["-device", "isa-debug-exit,iobase=0xf4,iosize=4"],
        Arch::Aarch64 => &[],
    }
}

/// The image, for `-kernel`.
pub fn image(arch: Arch) -> Vec<u8> {
    match arch {
        Arch::X86_64 => elf(),
        Arch::Aarch64 => CODE_AARCH64.iter().flat_map(|word| word.to_le_bytes()).collect(),
    }
}

/// Where the image is loaded and entered, a guest physical address.
const BASE: u32 = 0x10_0000;

/// The code, assembled for [`BASE`].
#[rustfmt::skip]
const CODE: [u8; 182] = [
    // 32-bit, paging off: clear three pages of tables at 2 MiB
    0xbf, 0x00, 0x00, 0x20, 0x00,                   // mov  $0x200000, %edi
    0x31, 0xc0,                                     // xor  %eax, %eax
    0xb9, 0x00, 0x0c, 0x00, 0x00,                   // mov  $0xc00, %ecx
    0xf3, 0xab,                                     // rep  stosl
    // PML4 -> PDPT -> PD, then 16 identity-mapped pages of 2 MiB
    0xc7, 0x05, 0x00, 0x00, 0x20, 0x00, 0x03, 0x10, 0x20, 0x00, // movl $0x201003, 0x200000
    0xc7, 0x05, 0x00, 0x10, 0x20, 0x00, 0x03, 0x20, 0x20, 0x00, // movl $0x202003, 0x201000
    0xbf, 0x00, 0x20, 0x20, 0x00,                   // mov  $0x202000, %edi
    0xb8, 0x83, 0x00, 0x00, 0x00,                   // mov  $0x83, %eax
    0xb9, 0x10, 0x00, 0x00, 0x00,                   // mov  $16, %ecx
    0x89, 0x07,                                     // 1: mov %eax, (%edi)
    0x05, 0x00, 0x00, 0x20, 0x00,                   // add  $0x200000, %eax
    0x83, 0xc7, 0x08,                               // add  $8, %edi
    0xe2, 0xf4,                                     // loop 1b
    // long mode: CR3, CR4.PAE, EFER.LME, CR0.PG
    0xb8, 0x00, 0x00, 0x20, 0x00,                   // mov  $0x200000, %eax
    0x0f, 0x22, 0xd8,                               // mov  %eax, %cr3
    0x0f, 0x20, 0xe0,                               // mov  %cr4, %eax
    0x83, 0xc8, 0x20,                               // or   $0x20, %eax
    0x0f, 0x22, 0xe0,                               // mov  %eax, %cr4
    0xb9, 0x80, 0x00, 0x00, 0xc0,                   // mov  $0xc0000080, %ecx
    0x0f, 0x32,                                     // rdmsr
    0x0d, 0x00, 0x01, 0x00, 0x00,                   // or   $0x100, %eax
    0x0f, 0x30,                                     // wrmsr
    0x0f, 0x20, 0xc0,                               // mov  %cr0, %eax
    0x0d, 0x01, 0x00, 0x00, 0x80,                   // or   $0x80000001, %eax
    0x0f, 0x22, 0xc0,                               // mov  %eax, %cr0
    0x0f, 0x01, 0x15, 0xb0, 0x00, 0x10, 0x00,       // lgdt 0x1000b0
    0xea, 0x75, 0x00, 0x10, 0x00, 0x08, 0x00,       // ljmp $8, $0x100075
    // 64-bit: use the tables once more, spin, report
    0xb8, 0x10, 0x00, 0x00, 0x00,                   // mov  $0x10, %eax
    0x8e, 0xd8,                                     // mov  %eax, %ds
    0x0f, 0x20, 0xd8,                               // mov  %cr3, %rax
    0x0f, 0x22, 0xd8,                               // mov  %rax, %cr3
    0xb9, 0x40, 0x42, 0x0f, 0x00,                   // mov  $1000000, %ecx
    0xff, 0xc9,                                     // 2: dec %ecx
    0x75, 0xfc,                                     // jnz  2b
    0xb0, 0x10,                                     // mov  $0x10, %al
    0xe6, 0xf4,                                     // outb %al, $0xf4
    0xf4,                                           // 3: hlt
    0xeb, 0xfd,                                     // jmp  3b
    0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00,             // padding to 8
    // GDT at 0x98: null, 64-bit code, data; its descriptor at 0xb0
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0xff, 0xff, 0x00, 0x00, 0x00, 0x9a, 0xaf, 0x00,
    0xff, 0xff, 0x00, 0x00, 0x00, 0x92, 0xcf, 0x00,
    0x17, 0x00, 0x98, 0x00, 0x10, 0x00,
];

/// The code for aarch64, at any address in the first GiB of `virt`'s memory: header, code, and the
/// translation table at 0xc0.
#[rustfmt::skip]
const CODE_AARCH64: [u32; 56] = [
    // Documentation/arch/arm64/booting.rst: code, load offset, size, flags, three reserved, magic
    0x1400_0010, 0,                                 // b    0x40
    0x0008_0000, 0, 0x1000, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0x644d_5241, 0,               // "ARMd"
    // the table below; memory is cached;
    // 32-bit addresses, 4 KiB pages, cached walks, no second table
    0x1000_0400, 0xd518_2000,                       // adr  x0, 0xc0;     msr ttbr0_el1, x0
    0xd280_1fe1, 0xd518_a201,                       // mov  x1, #0xff;    msr mair_el1, x1
    0xd286_a401, 0xf2a0_1001, 0xd518_2041,          // mov  x1, #0x803520; msr tcr_el1, x1
    0xd503_3fdf,                                    // isb
    0xd508_871f, 0xd503_379f, 0xd503_3fdf,          // tlbi vmalle1; dsb nsh; isb
    // SCTLR_EL1: translation, data cache, instruction cache
    0xd538_1001,                                    // mrs  x1, sctlr_el1
    0xd282_00a2, 0xaa02_0021,                       // mov  x2, #0x1005;   orr x1, x1, x2
    0xd518_1001, 0xd503_3fdf,                       // msr  sctlr_el1, x1; isb
    // spin, report
    0x5288_4803, 0x72a0_01e3,                       // mov  w3, #1000000
    0x7100_0463, 0x54ff_ffe1,                       // 1: subs w3, w3, #1; b.ne 1b
    0x5280_0100, 0x72b0_8000, 0xd400_0002,          // mov  w0, #0x84000008 (SYSTEM_OFF); hvc #0
    0x1400_0000,                                    // 2: b 2b
    0xd503_201f, 0xd503_201f, 0xd503_201f, 0xd503_201f, // padding to 64
    0xd503_201f, 0xd503_201f, 0xd503_201f, 0xd503_201f,
    // four entries of 1 GiB: the second, where memory is, maps to itself
    0, 0, 0x4000_0701, 0, 0, 0, 0, 0,
];

/// An ELF file with one loaded segment and the note that names the 32-bit entry point.
fn elf() -> Vec<u8> {
    const HEADERS: u32 = 64 + 2 * 56;
    let code = u32::try_from(CODE.len()).unwrap_or(u32::MAX);
    let mut out = Vec::new();
    out.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"); // 64-bit, little endian
    words16(&mut out, &[2, 62]); // executable, x86-64
    // version, entry, program headers, no sections, flags
    words32(&mut out, &[1, BASE, 0, 64, 0, 0, 0, 0]);
    words16(&mut out, &[64, 56, 2, 0, 0, 0]);
    segment(&mut out, 1, 5, HEADERS, BASE, code, 8); // PT_LOAD, readable and executable
    // PT_NOTE. QEMU pads the parts of a note to the segment's alignment; it does not find this note
    // if that is 8.
    segment(&mut out, 4, 4, HEADERS + code, BASE + code, 20, 4);
    out.extend(CODE);
    words32(&mut out, &[4, 4, 18]); // name size, descriptor size, XEN_ELFNOTE_PHYS32_ENTRY
    out.extend(b"Xen\0");
    words32(&mut out, &[BASE]);
    out
}

fn segment(
    out: &mut Vec<u8>,
    kind: u32,
    flags: u32,
    offset: u32,
    address: u32,
    size: u32,
    align: u32,
) {
    words32(out, &[kind, flags, offset, 0, address, 0, address, 0, size, 0, size, 0, align, 0]);
}

fn words32(out: &mut Vec<u8>, words: &[u32]) {
    out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

fn words16(out: &mut Vec<u8>, words: &[u16]) {
    out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_laid_out_as_its_headers_say() {
        let image = image(Arch::X86_64);
        let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!(&image[..4], b"\x7fELF");
        let (load, note) = (word(64 + 8), word(64 + 56 + 8));
        assert_eq!(&image[load..load + 5], &CODE[..5]);
        assert_eq!(&image[note + 12..note + 16], b"Xen\0");
        assert_eq!(word(note + 16), BASE as usize);
        assert_eq!(image.len(), note + 20);
        assert_eq!(word(64 + 56 + 48), 4, "QEMU finds no note that is aligned otherwise");
        let image = super::image(Arch::Aarch64);
        assert_eq!(&image[0x38..0x3c], b"ARMd");
        assert_eq!(image[0xc8..0xcc], 0x4000_0701_u32.to_le_bytes());
    }
}
