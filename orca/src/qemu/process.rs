//! A QEMU process. It is started so that it dies with orca, it is killed and reaped at its end, and
//! its stderr is kept for the error message.
//!
//! The QMP and console channels are socket pairs. The child gets their ends as its standard input
//! and output (`-chardev socket,fd=0` and `fd=1`): there is no path and no race for a listening
//! socket, nobody else can connect, and the end of the process is the end of the streams.

use crate::host::spawner;
use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// How much glibc grows QEMU's heap at a time, in bytes. Unused parts of it are never touched.
const HEAP_STEP: usize = 32 << 20;
/// How much of QEMU's stderr goes into an error message at most, in bytes.
const STDERR_TAIL: usize = 2048;

/// A running QEMU. Dropping it kills it and waits for it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stderr: PathBuf,
}

/// The streams that are connected to a [`Process`].
#[derive(Debug)]
pub struct Pipes {
    /// QEMU's machine protocol.
    pub qmp: UnixStream,
    /// The guest's serial console, both ways.
    pub console: UnixStream,
}

impl Process {
    /// Starts `program` with `args`; its stderr goes to the file `stderr`.
    ///
    /// # Errors
    /// The error of `execve`, most often that there is no such program.
    pub fn start(
        program: &Path,
        args: &[std::ffi::OsString],
        stderr: &Path,
    ) -> io::Result<(Self, Pipes)> {
        let (qmp, qmp_child) = UnixStream::pair()?;
        let (console, console_child) = UnixStream::pair()?;
        let mut command = Command::new(program);
        command
            .args(args)
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(qmp_child)))
            .stdout(Stdio::from(std::os::fd::OwnedFd::from(console_child)))
            // QEMU's heap grows in thousands of small steps; with few large ones a copy starts 2 ms
            // sooner.
            .env("MALLOC_TOP_PAD_", HEAP_STEP.to_string())
            .stderr(File::create(stderr)?);
        let child = spawner::spawn(command)?;
        Ok((Self { child, stderr: stderr.to_owned() }, Pipes { qmp, console }))
    }

    /// The end of what QEMU wrote to its stderr; `None` if it wrote nothing.
    pub fn stderr_tail(&self) -> Option<String> {
        let bytes = std::fs::read(&self.stderr).ok()?;
        let tail = &bytes[bytes.len().saturating_sub(STDERR_TAIL)..];
        let text = String::from_utf8_lossy(tail);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        (!lines.is_empty()).then(|| lines.join("; "))
    }

    /// Kills QEMU if it still runs, and reaps it.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        // An error means that it has ended already, and `wait` returns its status.
        let _ = self.child.kill();
        self.child.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL cannot be refused, so `wait` ends. An error could not be reported to anybody.
        let _ = self.kill();
    }
}
