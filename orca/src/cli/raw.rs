//! What the user asked for, as typed: nothing is looked up, nothing is acted on, every field may be absent.

use crate::qemu::accel::Accel;
use crate::qemu::arch::Arch;
use agent::wire::Share;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The values of all flags, and the words between them. Each field is the flag of its name in `cli/flags.rs`, documented there.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    /// The words that begin the command that runs one test again; behind them comes its path.
    pub again: Vec<OsString>,
    pub accel: Option<Accel>,
    pub append: Option<String>,
    pub arch: Option<Arch>,
    pub boot_timeout: Option<Duration>,
    pub cold: bool,
    pub color: Option<Color>,
    pub console: bool,
    pub cpus: Option<u32>,
    pub debug: bool,
    pub env: Vec<(String, OsString)>,
    pub fail_fast: Option<usize>,
    pub format: Option<Format>,
    pub initrd: Option<PathBuf>,
    pub jobs: Option<usize>,
    pub json: Option<PathBuf>,
    pub junit: Option<PathBuf>,
    pub kernel: Option<PathBuf>,
    pub local: Option<bool>,
    pub log_dir: Option<PathBuf>,
    pub memory_mib: Option<u32>,
    pub net: Option<bool>,
    pub print_command: bool,
    pub project_root: Option<PathBuf>,
    pub qemu: Option<PathBuf>,
    pub quiet: bool,
    pub retries: Option<u32>,
    pub reuse: bool,
    pub rootfs: Option<PathBuf>,
    pub share: Option<Share>,
    pub silence: Option<Duration>,
    pub socket: Option<String>,
    pub timeout: Option<Duration>,
    pub timeout_factor: Option<f64>,
    pub verbose: u8,
    /// Paths, or whatever the command takes.
    pub words: Vec<OsString>,
    /// What stood behind `--`.
    pub rest: Option<Vec<OsString>>,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The form of the report on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// JSON lines.
    Json,
    /// One TAP 14 document.
    Tap,
}
