//! The guest's serial console: a thread that copies it to a file and keeps its tail for error messages.

use crossbeam::channel::{Receiver, Sender, bounded};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// How much of the console is kept in memory, in bytes.
const TAIL_BYTES: usize = 16 * 1024;
/// How much of the console goes to its file, in bytes; a guest that floods it stays in the tail only.
const FILE_BYTES: u64 = 16 * 1024 * 1024;

/// What a kernel says when it dies. Each is looked for in the tail once the machine is gone.
const DEATHS: [&str; 5] = [
    "Kernel panic - not syncing",
    "BUG: unable to handle",
    "general protection fault",
    "Oops:",
    "watchdog: BUG: soft lockup",
];

/// A running copy of one console. The thread ends when QEMU closes its end.
#[derive(Debug)]
pub struct Console {
    tail: Arc<Mutex<VecDeque<u8>>>,
    keyboard: UnixStream,
    ended: Receiver<Infallible>,
    thread: Option<JoinHandle<()>>,
}

/// Where a passed-through console goes as well (`--debug`).
pub type Tee = Box<dyn Write + Send>;

impl Console {
    /// Starts copying `stream` to the file at `log`, and to `tee` if there is one.
    ///
    /// # Errors
    /// When the file cannot be created or no thread can be started.
    pub fn start(stream: UnixStream, log: &Path, tee: Option<Tee>) -> io::Result<Console> {
        let file = File::create(log)?;
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let shared = Arc::clone(&tail);
        let keyboard = stream.try_clone()?;
        let (running, ended) = bounded(0);
        let thread = std::thread::Builder::new().name("console".into()).spawn(move || {
            let _running: Sender<Infallible> = running;
            copy(stream, file, tee, &shared);
        })?;
        Ok(Console { tail, keyboard, ended, thread: Some(thread) })
    }

    /// Ready (closed) once the console has ended, which it does with QEMU.
    pub fn ended(&self) -> &Receiver<Infallible> {
        &self.ended
    }

    /// What is written here is typed on the console.
    ///
    /// # Errors
    /// When the process is out of file descriptors.
    pub fn keyboard(&self) -> io::Result<UnixStream> {
        self.keyboard.try_clone()
    }

    /// The end of what the guest said, as text that is safe to show; `<empty>` where it said nothing.
    pub fn tail(&self) -> String {
        let bytes: Vec<u8> = lock(&self.tail).iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let safe: String =
            text.chars().filter(|c| *c == '\n' || *c == '\t' || !c.is_control()).collect();
        if safe.trim().is_empty() { "<empty>".to_owned() } else { safe.trim_end().to_owned() }
    }

    /// Waits for the end of the console, which comes with the end of QEMU; then the tail is complete.
    pub fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panicked copier leaves a shorter tail, nothing else.
            let _ = thread.join();
        }
    }
}

/// The line with which a kernel died, if `console` shows one.
pub fn death(console: &str) -> Option<&str> {
    console
        .lines()
        .find(|line| DEATHS.iter().any(|death| line.contains(death)))
        .map(|line| line.split_once("] ").map_or(line, |(_, text)| text))
}

fn copy(mut stream: UnixStream, mut file: File, mut tee: Option<Tee>, tail: &Mutex<VecDeque<u8>>) {
    let mut buffer = [0; 8192];
    let mut left = FILE_BYTES;
    loop {
        let n = match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let bytes = &buffer[..n];
        let kept = &bytes[..left.min(n as u64) as usize];
        left -= kept.len() as u64;
        // A full disk must not stop the reading: an unread console stalls the guest.
        let _ = file.write_all(kept);
        if let Some(out) = &mut tee {
            let _ = out.write_all(bytes).and_then(|()| out.flush());
        }
        let mut tail = lock(tail);
        tail.extend(bytes);
        let excess = tail.len().saturating_sub(TAIL_BYTES);
        tail.drain(..excess);
    }
}

fn lock(tail: &Mutex<VecDeque<u8>>) -> MutexGuard<'_, VecDeque<u8>> {
    tail.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_bounded_safe_and_never_blank() {
        let dir = std::env::temp_dir().join(format!("orca-console-{}", std::process::id()));
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut console = Console::start(ours, &dir, None).unwrap();
        assert_eq!(console.tail(), "<empty>");
        theirs.write_all(&vec![b'x'; TAIL_BYTES * 2]).unwrap();
        theirs.write_all(b"\n\x1b[31mred\xff\r\n").unwrap();
        drop(theirs);
        console.join();
        assert!(console.tail().len() <= TAIL_BYTES);
        assert!(console.tail().ends_with("[31mred\u{fffd}"));
        assert_eq!(std::fs::metadata(&dir).unwrap().len(), TAIL_BYTES as u64 * 2 + 12);
        std::fs::remove_file(&dir).unwrap();
    }

    #[test]
    fn a_panic_is_found_without_its_time_stamp() {
        let text =
            "[    1.0] hello\n[    3.250000] Kernel panic - not syncing: sysrq triggered crash\n";
        assert_eq!(death(text), Some("Kernel panic - not syncing: sysrq triggered crash"));
        assert_eq!(death("all is well"), None);
    }
}
