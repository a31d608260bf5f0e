//! A QEMU process: started so that it dies with orca, ended with a deadline, its stderr kept for the error message.
//!
//! The QMP and console channels are socket pairs handed over as the child's standard input and output (`-chardev socket,fd=0` and
//! `fd=1`): no path, no race for a listening socket, nobody else can connect, and the end of the process is the end of the stream.

use crate::host::spawner;
use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// By how much glibc grows QEMU's heap at a time, in bytes. What is not used of it is not touched.
const HEAP_STEP: usize = 32 << 20;
/// The most of QEMU's stderr that goes into an error message, in bytes.
const STDERR_TAIL: usize = 2048;

/// A running QEMU. Dropping it kills it and waits for it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stderr: PathBuf,
}

/// What is connected to a [`Process`].
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
    /// Whatever `execve` says, above all that there is no such program.
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
            // QEMU's heap grows by thousands of small steps; in few large ones a copy starts 2 ms sooner.
            .env("MALLOC_TOP_PAD_", HEAP_STEP.to_string())
            .stderr(File::create(stderr)?);
        let child = spawner::spawn(command)?;
        Ok((Self { child, stderr: stderr.to_owned() }, Pipes { qmp, console }))
    }

    /// The end of what QEMU wrote to its stderr, or `None` if it was silent.
    pub fn stderr_tail(&self) -> Option<String> {
        let bytes = std::fs::read(&self.stderr).ok()?;
        let tail = &bytes[bytes.len().saturating_sub(STDERR_TAIL)..];
        let text = String::from_utf8_lossy(tail);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        (!lines.is_empty()).then(|| lines.join("; "))
    }

    /// Kills it if it still runs, and reaps it.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        // The error is that it has ended already, which `wait` then tells.
        let _ = self.child.kill();
        self.child.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL cannot be refused, so `wait` ends; there is nobody left to tell of an error.
        let _ = self.kill();
    }
}
