//! The command line as it was given: a field per flag, nothing checked, no defaults.
//!
//! The flag table sets these fields, `args` parses into them, and `settings` checks them.

use std::ffi::OsString;

/// The command line as it was given.
#[derive(Debug, Default)]
pub(super) struct RawArgs {
    pub(super) recurse: bool,
    pub(super) exts: Vec<String>,
    pub(super) shuffle: bool,
    pub(super) reverse: bool,
    pub(super) state: Vec<String>,
    pub(super) statefile: Option<String>,
    pub(super) dry: bool,
    pub(super) exec: Option<String>,
    pub(super) jobs: Option<String>,
    pub(super) timeout: Option<String>,
    pub(super) lib: bool,
    pub(super) blib: bool,
    pub(super) includes: Vec<String>,
    pub(super) merge: bool,
    pub(super) trap: bool,
    pub(super) verbose: bool,
    pub(super) failures: bool,
    pub(super) comments: bool,
    pub(super) directives: bool,
    pub(super) quiet: bool,
    pub(super) really_quiet: bool,
    pub(super) parse: bool,
    pub(super) normalize: bool,
    pub(super) timer: bool,
    pub(super) color: Option<bool>,
    pub(super) count: Option<bool>,
    pub(super) ignore_exit: bool,
    pub(super) fail_on: Vec<String>,
    pub(super) junit: Option<String>,
    pub(super) json: bool,
    pub(super) help: bool,
    pub(super) version: bool,
    /// Files, directories and `-`.
    pub(super) tests: Vec<OsString>,
    /// The arguments after `::`, for the tests.
    pub(super) test_args: Vec<OsString>,
}
