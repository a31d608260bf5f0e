//! The QEMU target of each guest architecture: one table per architecture, with a reason beside
//! each odd entry.

use crate::arch::{Accel, Arch};

/// What differs between guest architectures on QEMU's and the kernel's command line.
#[derive(Debug)]
pub struct Target {
    /// The emulator.
    pub program: &'static str,
    /// The Debian package that holds it.
    pub package: &'static str,
    /// `-machine` under emulation, without the accelerator.
    pub machine: &'static str,
    /// `-machine` with hardware virtualisation, without the accelerator.
    pub hardware_machine: &'static str,
    /// `-cpu` under emulation.
    pub tcg_cpu: &'static str,
    /// The serial console as the kernel names it.
    pub console: &'static str,
    /// The names of kernel files in the image folder, best first.
    pub kernels: &'static [&'static str],
    /// Whether QEMU has the generation id device, which makes a copied guest reseed its random
    /// pool.
    pub vmgenid: bool,
}

/// Without system management mode, VMware port, controllers for disks and keyboards that are not
/// there, and timers beside the CPU's own: each costs emulation.
const Q35: &str = "q35,smm=off,vmport=off,sata=off,smbus=off,i8042=off,hpet=off";

const X86_64: Target = Target {
    program: "qemu-system-x86_64",
    package: "qemu-system-x86",
    machine: Q35,
    hardware_machine: Q35,
    // Under emulation, `rep movsb` and `rep stosb` copy one byte at a time; a kernel whose CPU does
    // not call them fast copies eight at a time instead. A boot takes 2.0 s instead of 2.3 s.
    tcg_cpu: "max,-erms,-fsrm",
    console: "ttyS0",
    // The uncompressed kernel is entered through PVH: no BIOS, and no decompression under
    // emulation.
    kernels: &["vmlinux", "vmlinuz"],
    vmgenid: true,
};

const AARCH64: Target = Target {
    program: "qemu-system-aarch64",
    package: "qemu-system-arm",
    machine: "virt,gic-version=3",
    // `max` takes the host's own interrupt controller, which on smaller boards is a GICv2.
    hardware_machine: "virt,gic-version=max",
    // The CPU `max` turns on pointer authentication, which costs emulation at every function call.
    tcg_cpu: "cortex-a72",
    console: "ttyAMA0",
    kernels: &["vmlinuz"],
    vmgenid: false,
};

/// The target for guests of `arch`.
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
