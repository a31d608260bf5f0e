//! What a person sees on a terminal during a run, read from a small emulation of a terminal.

use crate::kit::{Project, Ran};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// How long a test waits for something on the screen before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// The part of a terminal that orca uses. Any other control sequence fails the test.
struct Screen {
    columns: usize,
    rows: usize,
    /// The lines that have left the screen at the top, then the lines on it.
    lines: Vec<Vec<char>>,
    /// The cursor, counted from the first of `lines`.
    row: usize,
    column: usize,
    /// The escape sequence that has begun.
    escape: String,
    /// Whether there has been an escape sequence.
    commanded: bool,
    /// Bytes of a character that is not complete yet.
    bytes: Vec<u8>,
}

impl Screen {
    fn new(columns: usize, rows: usize) -> Self {
        let lines = vec![Vec::new()];
        let (escape, bytes) = (String::new(), Vec::new());
        Self { columns, rows, lines, row: 0, column: 0, escape, commanded: false, bytes }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let valid = match std::str::from_utf8(&self.bytes) {
            Ok(text) => text.len(),
            Err(e) => e.valid_up_to(),
        };
        let text: Vec<u8> = self.bytes.drain(..valid).collect();
        String::from_utf8(text).unwrap().chars().for_each(|c| self.character(c));
    }

    fn character(&mut self, c: char) {
        if !self.escape.is_empty() || c == '\x1b' {
            self.escape.push(c);
            if c.is_ascii_alphabetic() {
                let sequence = std::mem::take(&mut self.escape);
                self.obey(&sequence);
            }
            return;
        }
        match c {
            '\r' => self.column = 0,
            '\n' => self.down(),
            c if c.is_control() => panic!("control character {c:?}"),
            c => {
                if self.column >= self.columns {
                    self.column = 0;
                    self.down();
                }
                let line = &mut self.lines[self.row];
                line.resize(line.len().max(self.column + 1), ' ');
                line[self.column] = c;
                self.column += 1;
            }
        }
    }

    fn down(&mut self) {
        self.row += 1;
        if self.row == self.lines.len() {
            self.lines.push(Vec::new());
        }
    }

    fn obey(&mut self, sequence: &str) {
        self.commanded = true;
        let (number, last) = sequence[2..].split_at(sequence.len() - 3);
        match last {
            "A" => {
                let top = self.lines.len().saturating_sub(self.rows);
                self.row = self.row.saturating_sub(number.parse().unwrap()).max(top);
            }
            "K" if number.is_empty() => self.lines[self.row].truncate(self.column),
            "J" if number.is_empty() => {
                self.lines[self.row].truncate(self.column);
                self.lines.truncate(self.row + 1);
            }
            "m" => {}
            _ => panic!("escape sequence {sequence:?}"),
        }
    }

    /// Every line, including those that have left the screen, without trailing blanks.
    fn text(&self) -> Vec<String> {
        let line = |line: &Vec<char>| line.iter().collect::<String>().trim_end().to_owned();
        let mut lines: Vec<String> = self.lines.iter().map(line).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }
}

/// A run on a terminal of its own, which is its controlling terminal.
struct Watched {
    child: Child,
    keyboard: File,
    pty: OpenptyResult,
    screen: Screen,
}

impl Watched {
    fn start(project: &Project, (columns, rows): (u16, u16), args: &[&str]) -> Self {
        Self::start_on("xterm", project, (columns, rows), args)
    }

    fn start_on(term: &str, project: &Project, (columns, rows): (u16, u16), args: &[&str]) -> Self {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let orca = project.command(&[&["test", "--machine", "local", "-j1"], args].concat());
        let mut command = Command::new("setsid");
        command.arg("-c").arg(orca.get_program()).args(orca.get_args());
        command.current_dir(project.root()).env("TERM", term);
        for (name, value) in orca.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let end = || pty.slave.try_clone().unwrap();
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let keyboard = File::from(pty.master.try_clone().unwrap());
        let screen = Screen::new(columns.into(), rows.into());
        Self { child, keyboard, pty, screen }
    }

    /// Shows what the run has written; false if it wrote nothing for 50 ms.
    fn take(&mut self) -> bool {
        let mut fds = [PollFd::new(self.pty.master.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::from(50u8)).unwrap() == 0 {
            return false;
        }
        let mut buffer = [0; 4096];
        let n = self.keyboard.read(&mut buffer).unwrap();
        self.screen.feed(&buffer[..n]);
        true
    }

    /// Waits until the lines are `wanted`.
    #[track_caller]
    fn sees(&mut self, what: &str, wanted: impl Fn(&[String]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !wanted(&self.screen.text()) {
            assert!(Instant::now() < deadline, "never saw {what}: {:#?}", self.screen.text());
            self.take();
        }
    }

    /// Changes the width of the window; the kernel tells the program.
    fn resize(&mut self, columns: usize) {
        let slave = nix::unistd::ttyname(&self.pty.slave).unwrap();
        self.screen.columns = columns;
        let columns = columns.to_string();
        let stty = Command::new("stty").arg("-F").arg(slave).args(["cols", &columns]).status();
        assert!(stty.unwrap().success());
    }

    /// Waits for the run to end; fails unless the terminal has its modes back.
    #[track_caller]
    fn ends(&mut self) -> (ExitStatus, Vec<String>) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            assert!(Instant::now() < deadline, "it does not end: {:#?}", self.screen.text());
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            self.take();
        };
        while self.take() {}
        let flags = tcgetattr(&self.pty.slave).unwrap().local_flags;
        assert!(flags.contains(LocalFlags::ICANON | LocalFlags::ECHO), "{flags:?}");
        (status, self.screen.text())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn project() -> Project {
    let project = Project::new();
    project
        .test("a_good", "echo 1..1; echo ok 1")
        .test("b_bad", "echo 1..2; echo ok 1; echo 'not ok 2 - it is broken'; echo '# got: 1'")
        .test("c_skip", "echo '1..0 # SKIP no tool'")
        .test(
            "d_waits",
            "echo 1..2; echo ok 1; while [ ! -e go ]; do echo; sleep 0.1; done; echo ok 2",
        );
    project
}

/// The lines without what differs from run to run: times, and the folder of the logs.
fn timeless(lines: &[String]) -> Vec<String> {
    let time = |word: &str| {
        let number = word.trim_end_matches([':', ',']).strip_suffix('s');
        number.is_some_and(|number| number.parse::<f64>().is_ok())
    };
    let word = |word: &str| {
        let varies = time(word) || word.contains("/.state/");
        if varies { "*".to_owned() } else { word.to_owned() }
    };
    let lines = lines.iter().filter(|line| !line.is_empty());
    lines.map(|line| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_terminal_shows_progress_and_in_the_end_what_a_pipe_gets() {
    let project = project();
    let mut run = Watched::start(&project, (200, 24), &[]);
    let last = |lines: &[String]| lines.last().cloned().unwrap_or_default();
    run.sees("the running test and how far the run is", |lines| {
        let [.., running, progress] = lines else { return false };
        running.contains("s  t/d_waits_test.sh  1/2  local4")
            && progress.contains("###---") | progress.contains("##-")
            && progress.contains("] 3/4  1 failed  ")
    });
    let seen = run.screen.text();
    assert!(
        seen.iter().any(|line| line.starts_with("--- FAIL t/b_bad_test.sh on local2")),
        "{seen:#?}"
    );
    run.keyboard.write_all(b"t").unwrap();
    run.sees("the status", |lines| {
        lines.iter().any(|line| line.starts_with("status after") && line.contains("3 of 4"))
            && last(lines).contains("3/4")
    });
    run.resize(40);
    run.sees("a line that fits", |lines| {
        last(lines).chars().count() < 40 && last(lines).contains("3/4")
    });
    run.resize(200);
    run.sees("the wide line again", |lines| last(lines).chars().count() > 40);
    project.file("go", "");
    let (status, shown) = run.ends();
    assert_eq!(status.code(), Some(1), "{shown:#?}");
    // A new history: what the first run recorded would change the order.
    let args = ["test", "--machine", "local", "-j1", "--history", "new"];
    let piped = Ran::from(project.command(&args).output().unwrap());
    piped.exits(1).never_says("\x1b").never_says("\r");
    let piped: Vec<String> = piped.out.lines().map(str::to_owned).collect();
    let said = |line: &String| !line.starts_with("status after") && !line.starts_with("  worker ");
    let shown: Vec<String> = shown.into_iter().filter(said).collect();
    assert_eq!(timeless(&shown), timeless(&piped));
}

#[test]
fn ctrl_c_interrupts_the_run_and_restores_the_terminal() {
    let project = project();
    let mut run = Watched::start(&project, (20, 6), &[]);
    run.sees("the narrow progress", |lines| {
        lines.last().is_some_and(|line| line.starts_with("3/4  1 failed"))
    });
    run.keyboard.write_all(&[3]).unwrap();
    let (status, shown) = run.ends();
    assert_eq!(status.signal(), Some(2), "{shown:#?}");
    assert!(shown.concat().contains("1 not run"), "{shown:#?}");
}

#[test]
fn a_slow_test_is_named_before_its_timeout() {
    let project = Project::new();
    project.test("slow", "# orca: timeout=2s\necho 1..1; sleep 1000");
    let mut run = Watched::start(&project, (80, 24), &[]);
    let (status, shown) = run.ends();
    assert_eq!(status.code(), Some(1));
    let at = |start: &str| shown.iter().position(|line| line.starts_with(start));
    assert!(at("SLOW").is_some() && at("SLOW") < at("TIMEOUT"), "{shown:#?}");
}

#[test]
fn a_dumb_terminal_gets_plain_lines_and_so_does_color_never() {
    let project = Project::new();
    project.test("a", "echo 1..1; echo ok 1");
    let mut run = Watched::start(&project, (80, 24), &["--color=never", "-q"]);
    let (status, shown) = run.ends();
    assert_eq!(status.code(), Some(0));
    assert_eq!(shown.len(), 1, "{shown:#?}");
    assert!(shown[0].starts_with("1 test file, 1 check in "), "{shown:#?}");
    let mut dumb = Watched::start_on("dumb", &project, (80, 24), &["--color=never"]);
    let (_, shown) = dumb.ends();
    assert!(!dumb.screen.commanded && shown.len() == 3, "{shown:#?}");
}
