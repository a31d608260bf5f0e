//! QEMU: its command line, its processes, its monitor, its files. Nothing here knows a test, an
//! event or TAP.

pub mod accel;
pub mod arch;
pub mod argv;
pub mod checksum;
pub mod console;
pub mod ethernet_hub;
pub mod overlay;
pub mod probe;
pub mod process;
pub mod qmp;
pub mod template;
pub mod version;
