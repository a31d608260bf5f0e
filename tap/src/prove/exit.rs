//! The exit statuses of `prove`.

/// Everything passed, or there was nothing to run.
pub(super) const PASS: u8 = 0;
/// A test failed.
pub(super) const FAIL: u8 = 1;
/// The command line or this machine was at fault.
pub(super) const USAGE: u8 = 2;
/// A test bailed out, and exited with 0 itself.
pub(super) const BAIL: u8 = 255;
