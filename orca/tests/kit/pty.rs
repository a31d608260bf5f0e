//! A command on a terminal of its own, and a person who types.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a test waits for a text before it fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// A terminal with the command that runs on it. Dropping it kills the command.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    /// Everything that the command has printed.
    pub seen: String,
    /// How many bytes of `seen` [`Terminal::expect`] has passed.
    passed: usize,
}

impl Terminal {
    /// Starts `command` on a terminal of 100 columns and 40 rows.
    pub fn start(mut command: Command) -> Self {
        let size = nix::pty::Winsize { ws_row: 40, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = nix::pty::openpty(Some(&size), None).unwrap();
        let side = |fd: &OwnedFd| fd.try_clone().unwrap();
        command.stdin(side(&pty.slave)).stdout(side(&pty.slave)).stderr(pty.slave);
        let child = command.spawn().unwrap();
        drop(command); // it holds the slave side open
        let mut output = File::from(side(&pty.master));
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut buffer) {
                if sender.send(buffer[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, keyboard: pty.master.into(), screen, seen: String::new(), passed: 0 }
    }

    /// Waits for `text` after the text that was waited for before.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> &mut Self {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen[self.passed..].find(text) {
                self.passed += at + text.len();
                return self;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("no `{text}` after byte {} of {}", self.passed, self.seen),
            }
        }
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) -> &mut Self {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).unwrap();
        self
    }

    /// Waits for the command to end.
    pub fn end(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
