//! The protocol between orca and the agent: text lines for people, frames for programs.
//!
//! Version 1 starts in text mode: the agent says [`HELLO`] on every connect and reads one command
//! per line. [`Command::Frames`] switches both ends to length-prefixed frames. In frames, a test's
//! output can forge nothing, because replies and output are different [`Kind`]s.

mod command;
mod frame;
mod reply;

pub use command::{
    Command, LINE_MAX, Request, Resume, SHEBANG_MAX, Share, check_test_path, from_hex, interpreter,
    to_hex,
};
pub use frame::{
    Frame, HEADER_LEN, Kind, PAYLOAD_MAX, WINDOW, WRAPPED_MAX, decode_header, read_frame, unwrap,
    wrap, write_frame,
};
pub use reply::{
    BYE, ERR, EXEC_START, Ended, HELLO, KERNEL, OK, PONG, WARN, marker_name, may_need_escape,
    needs_escape, single_word, test_start_line,
};

/// The name of the virtio-serial port, as in `/dev/virtio-ports/glacic.agent`.
pub const PORT_NAME: &str = "glacic.agent";
/// Where the host's project is mounted in the guest.
pub const SHARE_DIR: &str = "/mnt/glacic";
/// The 9p mount tag of the host's project.
pub const SHARE_TAG: &str = "host_share";
/// The 9p mount tag of the host's own root, where that is the guest's root, too.
pub const ROOT_TAG: &str = "host_root";
/// The variable that names the node that a test runs on, for a test on several nodes.
pub const NODE: &str = "ORCA_NODE";
/// The variable that names all nodes of such a test, with blanks between them.
pub const NODES: &str = "ORCA_NODES";
/// How many artifacts one test may have. The agent sends no more, and the host takes no more.
pub const ARTIFACTS_FILES_MAX: usize = 1000;
/// The size of all artifacts of one test, in bytes, at most.
pub const ARTIFACTS_BYTES_MAX: u64 = 64 << 20;
/// How many folders deep an artifact may lie.
pub const ARTIFACTS_DEPTH_MAX: usize = 16;
/// How many cases a fork may have.
pub const CASES_MAX: usize = 4096;
/// The longest name of a case, in bytes.
pub const CASE_NAME_MAX: usize = 200;
/// The variable, with the value `1`, that makes a `TEST` a set-up: what it starts is the machine's
/// from then on, and belongs to no test.
pub const SETUP: &str = "ORCA_SETUP";
/// The variable that answers `orca-fork` where a person runs a test by hand: the names of the cases
/// to be, each in brackets.
pub const CASE: &str = "ORCA_CASE";
/// The folder in a machine with the programs that tests call.
pub const PROGRAMS_DIR: &str = "/run/orca/bin";
/// Begins the guest's line on the console about what its kernel lacks: options, with blanks between
/// them.
pub const LACKS: &str = "the kernel lacks ";
