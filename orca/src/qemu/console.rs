//! The guest's serial console: a thread copies it to a file and keeps its tail for error messages.

use crossbeam::channel::{Receiver, Sender, bounded};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How much of the console is kept in memory, in bytes.
const TAIL_BYTES: usize = 16 * 1024;
/// How much of the console goes to its file, in bytes. What a guest says after that is in the tail
/// only.
const FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Every kernel that panics says this, whatever it does next.
const PANIC: &str = "Kernel panic - not syncing";
/// Messages of a dying kernel. The tail is searched for them once the machine is gone.
const DEATHS: [&str; 10] = [
    PANIC,
    "BUG: unable to handle",
    "BUG: kernel NULL pointer",
    "Unable to handle kernel",
    "kernel BUG at",
    "invalid opcode:",
    "general protection fault",
    "Internal error:",
    "Oops:",
    "watchdog: BUG: soft lockup",
];
/// How many lines of a dying kernel's messages are shown. The registers after them are in the
/// console's file.
const DEATH_LINES: usize = 40;

/// One console, while a thread copies it. The thread ends when QEMU closes its end.
#[derive(Debug)]
pub struct Console {
    tail: Arc<Mutex<Tail>>,
    keyboard: UnixStream,
    ended: Receiver<Infallible>,
    panicked: Receiver<Infallible>,
    grew: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// The end of what the guest said.
#[derive(Debug, Default)]
struct Tail {
    bytes: VecDeque<u8>,
    /// How many bytes the guest has said in all.
    total: u64,
}

/// The copying thread's side of a [`Console`].
struct Copier {
    tail: Arc<Mutex<Tail>>,
    /// Dropped when the kernel says that it panics.
    panic: Option<Sender<Infallible>>,
    grew: Sender<()>,
}

/// A second output for a console (`--debug`).
pub type Tee = Box<dyn Write + Send>;

impl Console {
    /// Starts copying `stream` to the file at `log`, and to `tee` if there is one.
    ///
    /// # Errors
    /// The file cannot be created, or no thread can be started.
    pub fn start(stream: UnixStream, log: &Path, tee: Option<Tee>) -> io::Result<Self> {
        let file = File::create(log)?;
        let tail = Arc::new(Mutex::new(Tail::default()));
        let (panic, panicked) = bounded(0);
        let (growth, grew) = bounded(1);
        let copier = Copier { tail: Arc::clone(&tail), panic: Some(panic), grew: growth };
        let keyboard = stream.try_clone()?;
        let (running, ended) = bounded(0);
        let thread = std::thread::Builder::new().name("console".into()).spawn(move || {
            let _running: Sender<Infallible> = running;
            copy(stream, file, tee, copier);
        })?;
        Ok(Self { tail, keyboard, ended, panicked, grew, thread: Some(thread) })
    }

    /// Closes when the console ends, which it does with QEMU.
    pub fn ended(&self) -> &Receiver<Infallible> {
        &self.ended
    }

    /// Closes when the kernel says that it panics, or when the console ends.
    pub fn panicked(&self) -> &Receiver<Infallible> {
        &self.panicked
    }

    /// A stream for typing on the console.
    ///
    /// # Errors
    /// The process has no file descriptors left.
    pub fn keyboard(&self) -> io::Result<UnixStream> {
        self.keyboard.try_clone()
    }

    /// The end of what the guest said, as text that is safe to show; empty if it said nothing.
    pub fn tail(&self) -> String {
        self.since(0)
    }

    /// How much the guest has said so far, in bytes.
    pub fn total(&self) -> u64 {
        lock(&self.tail).total
    }

    /// What the guest has said since it had said `total` bytes, as far as the tail has it.
    pub fn since(&self, total: u64) -> String {
        let tail = lock(&self.tail);
        let first = tail.total - tail.bytes.len() as u64;
        let skip = usize::try_from(total.saturating_sub(first)).unwrap_or(usize::MAX);
        let bytes: Vec<u8> = tail.bytes.iter().skip(skip).copied().collect();
        drop(tail);
        let text = String::from_utf8_lossy(&bytes);
        let safe: String =
            text.chars().filter(|c| *c == '\n' || *c == '\t' || !c.is_control()).collect();
        safe.trim_end().to_owned()
    }

    /// Waits until the guest has said nothing for `quiet`, at most until `deadline`.
    pub fn settle(&self, quiet: Duration, deadline: Instant) {
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            if self.grew.recv_timeout(quiet.min(left)).is_err() {
                return;
            }
        }
    }

    /// Waits for the end of the console, which comes with the end of QEMU. The tail is complete
    /// then.
    pub fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // If the thread panicked, the tail is shorter.
            let _ = thread.join();
        }
    }
}

/// The line with which a kernel died, if `console` has one, without its time stamp.
pub fn death(console: &str) -> Option<&str> {
    console
        .lines()
        .find(|line| DEATHS.iter().any(|death| line.contains(death)))
        .map(|line| line.split_once("] ").map_or(line, |(_, text)| text))
}

/// The part of `console` that is worth showing: from the first message of a dying kernel on, or all
/// of it.
pub fn last_words(console: &str) -> String {
    let lives = |line: &&str| !DEATHS.iter().any(|death| line.contains(death));
    let before = console.lines().take_while(lives).count();
    let shown: Vec<&str> = console.lines().skip(before).take(DEATH_LINES).collect();
    if shown.is_empty() { console.to_owned() } else { shown.join("\n") }
}

fn copy(mut stream: UnixStream, mut file: File, mut tee: Option<Tee>, mut copier: Copier) {
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
        let logged = &bytes[..left.min(n as u64) as usize];
        left -= logged.len() as u64;
        // A full disk must not stop the reading: a console that is not read stalls the guest.
        let _ = file.write_all(logged);
        if let Some(out) = &mut tee {
            let _ = out.write_all(bytes).and_then(|()| out.flush());
        }
        copier.take(bytes);
    }
}

impl Copier {
    fn take(&mut self, bytes: &[u8]) {
        let mut tail = lock(&self.tail);
        tail.bytes.extend(bytes);
        tail.total += bytes.len() as u64;
        let excess = tail.bytes.len().saturating_sub(TAIL_BYTES);
        tail.bytes.drain(..excess);
        if self.panic.is_some() {
            // A read may end in the middle of the message.
            let new_from = tail.bytes.len().saturating_sub(bytes.len() + PANIC.len());
            let fresh = &tail.bytes.make_contiguous()[new_from..];
            if memchr::memmem::find(fresh, PANIC.as_bytes()).is_some() {
                self.panic = None;
            }
        }
        // One notice that waits to be taken is enough.
        let _ = self.grew.try_send(());
    }
}

fn lock(tail: &Mutex<Tail>) -> MutexGuard<'_, Tail> {
    tail.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_bounded_and_safe() {
        let dir = std::env::temp_dir().join(format!("orca-console-{}", std::process::id()));
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut console = Console::start(ours, &dir, None).unwrap();
        assert_eq!(console.tail(), "");
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
    fn a_panic_is_noticed_at_once_wherever_the_reads_cut() {
        let log = std::env::temp_dir().join(format!("orca-panic-{}", std::process::id()));
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let console = Console::start(ours, &log, None).unwrap();
        let far = Instant::now() + Duration::from_secs(60);
        for byte in b"[ 1.0] Kernel panic - not syncin" {
            theirs.write_all(&[*byte]).unwrap();
        }
        console.settle(Duration::from_millis(20), far);
        assert!(console.panicked().try_recv().is_err_and(|e| e.is_empty()));
        let before = console.total();
        theirs.write_all(b"g: x").unwrap();
        assert!(console.panicked().recv().is_err());
        console.settle(Duration::from_millis(20), far);
        assert_eq!(console.since(before), "g: x");
        std::fs::remove_file(&log).unwrap();
    }

    #[test]
    fn a_panic_is_found_without_its_time_stamp() {
        let text =
            "[    1.0] hello\n[    3.250000] Kernel panic - not syncing: sysrq triggered crash\n";
        assert_eq!(death(text), Some("Kernel panic - not syncing: sysrq triggered crash"));
        assert_eq!(death("all is well"), None);
        assert_eq!(last_words(text), text.lines().nth(1).unwrap());
        assert_eq!(last_words("all\nis well"), "all\nis well");
    }
}
