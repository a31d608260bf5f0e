//! Starts children that die with this process, whatever kills it.
//!
//! "Die with the parent" means the parent *thread*, so every such child is started by one thread that lives as long as the process.
//! Each gets a process group of its own: a Ctrl-C in the terminal is orca's to handle.

use super::sys;
use crossbeam::channel::{Sender, bounded, unbounded};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::OnceLock;

type Order = (Command, Sender<io::Result<Child>>);

/// Starts `command`.
///
/// # Errors
/// Whatever `fork` and `execve` say.
pub fn spawn(mut command: Command) -> io::Result<Child> {
    static NURSERY: OnceLock<Sender<Order>> = OnceLock::new();
    let nursery = NURSERY.get_or_init(|| {
        let (orders, inbox) = unbounded::<Order>();
        let serve = move || {
            for (mut command, reply) in inbox {
                // Whoever asked waits for the answer.
                let _ = reply.send(command.spawn());
            }
        };
        // Without the thread every order fails, and `spawn` says so.
        let _ = std::thread::Builder::new().name("nursery".into()).spawn(serve);
        orders
    });
    command.process_group(0);
    sys::die_with_parent(&mut command);
    let gone = || io::Error::other("the thread that starts processes is gone");
    let (reply, answer) = bounded(1);
    nursery.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}
