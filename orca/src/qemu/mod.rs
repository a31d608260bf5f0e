//! QEMU: its command line, its processes, its monitor, its files. Knows no test, no event and no TAP.

pub mod accel;
pub mod arch;
pub mod argv;
pub mod census;
pub mod console;
pub mod cpio;
pub mod decompress;
pub mod files;
pub mod filesystem;
pub mod foreign;
pub mod initramfs;
pub mod kept;
pub mod kernel;
pub mod overlay;
pub mod probe;
pub mod process;
pub mod qmp;
pub mod sum;
pub mod template;
pub mod version;
pub mod wants;
pub mod whole;
pub mod wire;
