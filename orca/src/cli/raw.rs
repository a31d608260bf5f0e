//! The options as the user gave them: nothing is looked up and nothing is acted on.

use crate::arch::{Accel, Arch};
use crate::shape::Shape;
use crate::text::filter::Filter;
use crate::text::shard::Shard;
use agent::wire::Share;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

/// The values of all flags, and the words between them. Each field is the flag of its name in
/// `cli/flags.rs`, documented there. A field is an `Option` if the table has no fixed default.
///
/// `Raw::default()` is blank; `flags::defaults` has the defaults.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    /// The options of the command that runs one test again.
    pub again: Vec<OsString>,
    /// `None` for `auto`.
    pub accel: Option<Accel>,
    pub agent: Option<PathBuf>,
    pub append: Option<String>,
    pub arch: Option<Arch>,
    pub artifacts: Artifacts,
    /// Whether a `Bail out!` ends the run, not the test alone.
    pub bail: bool,
    pub boot_timeout: Duration,
    pub changed: Option<String>,
    pub cold: bool,
    pub color: Color,
    pub console: bool,
    pub debug: bool,
    pub env: Vec<(String, OsString)>,
    pub fail_fast: Option<usize>,
    pub fail_on_warn: bool,
    pub failed: bool,
    pub filter: Vec<Filter>,
    pub format: Format,
    pub gdb: bool,
    pub history: Option<PathBuf>,
    /// Whether the root's own init is process 1.
    pub init: bool,
    pub initrd: Option<PathBuf>,
    pub jobs: Option<usize>,
    pub json: Option<PathBuf>,
    pub junit: Option<PathBuf>,
    pub keep: Option<usize>,
    pub kernels: Vec<PathBuf>,
    /// Whether tests run on this host itself.
    pub local: bool,
    pub log_dir: Option<PathBuf>,
    pub modules: Option<PathBuf>,
    pub not: Vec<Filter>,
    pub out: Option<PathBuf>,
    pub print_command: bool,
    pub project_root: Option<PathBuf>,
    pub qemu: Option<PathBuf>,
    pub quiet: bool,
    pub repeat: Option<u32>,
    pub retries: u32,
    pub reuse: bool,
    pub rootfs: Option<PathBuf>,
    pub shard: Option<Shard>,
    /// `--memory`, `--cpus` and `--net`.
    pub shape: Shape,
    /// `None`: a disk, or an overlay where that does not fit.
    pub share: Option<Share>,
    pub shell_on_fail: bool,
    /// The seed; `Some(None)` if orca makes one up.
    pub shuffle: Option<Option<u64>>,
    pub silence: Option<Duration>,
    pub socket: Option<String>,
    pub tag: Vec<String>,
    pub test: Option<PathBuf>,
    pub timeout: Duration,
    pub timeout_factor: Option<f64>,
    pub until_fail: bool,
    pub verbose: u8,
    pub with: Vec<String>,
    /// Paths, or whatever the command takes.
    pub words: Vec<OsString>,
    /// What stood behind `--`.
    pub rest: Option<Vec<OsString>>,
    /// The settings in the order in which they were applied: the last of a flag counts, or all of
    /// them if several may be given.
    pub given: Vec<Given>,
}

/// One setting as it was given.
#[derive(Clone, Debug)]
pub struct Given {
    /// The flag's long name.
    pub flag: &'static str,
    /// Its value; empty for a switch, or if it was left out.
    pub value: OsString,
    /// Where it was given.
    pub source: Source,
}

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The line of the project's `.orcarc`, from 1.
    Rc(usize),
    /// This variable of the environment.
    Variable(String),
    /// The command line.
    Line,
}

/// An option as one word: `--flag=value`, or `--flag` without a value.
pub fn word(flag: &str, value: &OsStr) -> OsString {
    let mut word = OsString::from(format!("--{flag}"));
    if !value.is_empty() {
        word.push("=");
        word.push(value);
    }
    word
}

/// Whose artifacts stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Artifacts {
    /// Those of tests that did not pass.
    #[default]
    Failed,
    /// Those of every test.
    All,
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
