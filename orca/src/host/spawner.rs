//! Starts children that die with this process, whatever kills it.
//!
//! "Die with the parent" means the parent *thread*, so every such child is started by one thread
//! that lives as long as the process. Each child gets a process group of its own, so that a Ctrl-C
//! in the terminal reaches orca alone.

use super::sys;
use crossbeam::channel::{Sender, bounded, unbounded};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::OnceLock;

type Request = (Command, Sender<io::Result<Child>>);

/// Starts `command`.
///
/// # Errors
/// `fork` or `execve` failed, or there is no thread for it.
pub fn spawn(mut command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (requests, inbox) = unbounded::<Request>();
        let serve = move || {
            for (mut command, reply) in inbox {
                // The caller waits for the reply, so this does not fail.
                let _ = reply.send(command.spawn());
            }
        };
        // Without the thread every request fails, and `spawn` says so.
        let _ = std::thread::Builder::new().name("spawner".into()).spawn(serve);
        requests
    });
    command.process_group(0);
    sys::die_with_parent(&mut command);
    let gone = || io::Error::other("the thread that starts processes is gone");
    let (reply, answer) = bounded(1);
    spawner.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}
