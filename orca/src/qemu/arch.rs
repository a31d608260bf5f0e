//! One table target per guest architecture, with a reason beside each odd entry.

use crate::arch::{Accel, Arch};

/// What differs between architectures on QEMU's and the kernel's command line.
#[derive(Debug)]
pub struct Target {
    /// The emulator.
    pub program: &'static str,
    /// The Debian package that holds it.
    pub package: &'static str,
    /// `-machine` under emulation, without the accelerator.
    pub machine: &'static str,
    /// The same with hardware virtualisation.
    pub hardware_machine: &'static str,
    /// `-cpu` without hardware virtualisation, with a reason for what is taken away.
    pub tcg_cpu: &'static str,
    /// The serial console as the kernel names it.
    pub console: &'static str,
    /// Kernel files looked for in the image folder, best first.
    pub kernels: &'static [&'static str],
    /// Whether QEMU has the generation id device, which makes a copied guest reseed its random pool.
    pub vmgenid: bool,
}

/// No system management mode, no VMware port, no controllers for disks and keyboards that are not there, no timer beside the CPU's:
/// each costs emulation.
const Q35: &str = "q35,smm=off,vmport=off,sata=off,smbus=off,i8042=off,hpet=off";

const X86_64: Target = Target {
    program: "qemu-system-x86_64",
    package: "qemu-system-x86",
    machine: Q35,
    hardware_machine: Q35,
    // Emulated, `rep movsb` and `rep stosb` go byte by byte; a CPU that does not call them fast is given eight at a time. A
    // boot takes 2.0 s instead of 2.3 s.
    tcg_cpu: "max,-erms,-fsrm",
    console: "ttyS0",
    // The uncompressed kernel is entered through PVH: no BIOS, no decompression under emulation.
    kernels: &["vmlinux", "vmlinuz"],
    vmgenid: true,
};

const AARCH64: Target = Target {
    program: "qemu-system-aarch64",
    package: "qemu-system-arm",
    machine: "virt,gic-version=3",
    // The interrupt controller is then the host's own, which on smaller boards is a GICv2.
    hardware_machine: "virt,gic-version=max",
    // `max` turns on pointer authentication, which emulation pays for at every function call.
    tcg_cpu: "cortex-a72",
    console: "ttyAMA0",
    kernels: &["vmlinuz"],
    vmgenid: false,
};

/// The target of `arch`.
pub fn target(arch: Arch) -> &'static Target {
    match arch {
        Arch::X86_64 => &X86_64,
        Arch::Aarch64 => &AARCH64,
    }
}

/// `-machine` without the accelerator, and `-cpu`, for guests of `arch` under `accel`.
pub fn machine(accel: Accel, arch: Arch) -> (&'static str, &'static str) {
    let target = target(arch);
    if accel.is_hardware() {
        (target.hardware_machine, "host")
    } else {
        (target.machine, target.tcg_cpu)
    }
}
