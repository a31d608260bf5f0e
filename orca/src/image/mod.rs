//! What a machine boots: kernels, initramfs, modules and roots. They are checked, unpacked, made
//! and cached here; no machine is started.

pub mod artifacts;
pub mod bytes;
pub mod cache;
pub mod check;
pub mod cpio;
pub mod custom_kernel;
pub mod decompress;
pub mod ext4;
pub mod fingerprint;
pub mod format;
pub mod initramfs;
pub mod kernel;
pub mod leaving;
pub mod project;
pub mod requirements;
