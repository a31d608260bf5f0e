//! An agent as a child process, on one end of a socket pair, with a project of its own.

use agent::wire::{self, Ended, Frame, Kind, Request};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Far longer than any wait that succeeds, so that no test fails because the machine is loaded.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A folder with tests in it. Dropping it removes the folder.
pub struct Project(pub PathBuf);

impl Project {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let serial = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("agent-kit.{}-{serial}", std::process::id()));
        fs::create_dir_all(folder.join("t")).unwrap();
        Self(folder)
    }

    /// Adds `t/<name>`, executable if it names its interpreter, and returns that path.
    pub fn script(&self, name: &str, text: &str) -> String {
        let path = self.0.join("t").join(name);
        fs::write(&path, text).unwrap();
        let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        format!("t/{name}")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Waits for a script to write a process id to `name`.
    pub fn pid(&self, name: &str) -> u32 {
        let path = self.file(name);
        wait_for(&format!("{} to be written", path.display()), || {
            fs::read_to_string(&path).ok()?.strip_suffix('\n')?.parse().ok()
        })
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// A running agent, and the host's end of its connection.
pub struct Agent {
    pub child: Child,
    pub stream: BufReader<UnixStream>,
}

impl Agent {
    /// Starts an agent on standard input and output, and reads its greeting.
    pub fn start(project: &Project) -> Self {
        let (host, guest) = UnixStream::pair().unwrap();
        let guest = OwnedFd::from(guest);
        let child = command(project)
            .arg("--stdio")
            .stdin(guest.try_clone().unwrap())
            .stdout(guest)
            .spawn()
            .unwrap();
        let mut agent = Self { child, stream: reader(host) };
        assert_eq!(agent.line(), wire::HELLO);
        agent
    }

    /// Starts an agent and switches to frames.
    pub fn framed(project: &Project) -> Self {
        let mut agent = Self::start(project);
        agent.send("FRAMES\n");
        assert_eq!(agent.line(), wire::OK);
        agent
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// The next line, without its newline.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).unwrap();
        assert_eq!(line.pop(), Some(b'\n'), "cut short: {}", String::from_utf8_lossy(&line));
        String::from_utf8_lossy(&line).into_owned()
    }

    /// Sends one command and returns the lines up to the one that begins with `end`.
    pub fn ask(&mut self, command: &str, end: &str) -> Vec<String> {
        self.send(format!("{command}\n"));
        let mut lines = Vec::new();
        loop {
            lines.push(self.line());
            if lines.last().is_some_and(|line| line.starts_with(end)) {
                return lines;
            }
        }
    }

    pub fn frame(&mut self, kind: Kind, id: u32, payload: &[u8]) {
        wire::write_frame(self.stream.get_mut(), kind, id, payload).unwrap();
    }

    pub fn request(&mut self, id: u32, command: &str, env: &[(&str, &str)]) {
        let command = wire::Command::parse(command.as_bytes()).unwrap();
        let env = env.iter().map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec())).collect();
        self.frame(Kind::Command, id, &Request { command, env }.encode());
    }

    pub fn next(&mut self) -> Frame {
        wire::read_frame(&mut self.stream).unwrap().expect("the agent has left")
    }

    /// Reads frames until request `id` has ended, refused requests included.
    pub fn answer(&mut self, id: u32) -> Answer {
        let mut answer = Answer::default();
        loop {
            let frame = self.next();
            if frame.id != id {
                answer.others.push(frame);
            } else if answer.take(frame) {
                return answer;
            }
        }
    }

    /// Reads the frames of request `id` up to a fork, and returns what was printed and the fork.
    pub fn until_fork(&mut self, id: u32) -> (String, Frame) {
        let mut answer = Answer::default();
        loop {
            let frame = self.next();
            if frame.kind == Kind::Fork {
                return (answer.text(), frame);
            }
            assert!(frame.id == id && !answer.take(frame), "it ended: {answer:?}");
        }
    }

    /// Runs one command in frames.
    pub fn run(&mut self, command: &str) -> Answer {
        self.request(1, command, &[]);
        self.answer(1)
    }

    /// Waits for the agent to exit.
    pub fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait_for("the agent to exit", || child.try_wait().unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Everything that came for one request.
#[derive(Debug, Default)]
pub struct Answer {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub lines: Vec<String>,
    pub files: Vec<(String, Vec<u8>)>,
    pub ended: Ended,
    /// Frames for other requests that came in between.
    pub others: Vec<Frame>,
}

impl Answer {
    /// Takes one more frame, and returns whether it was the last one.
    fn take(&mut self, frame: Frame) -> bool {
        match frame.kind {
            Kind::Stdout => self.stdout.extend(frame.payload),
            Kind::Stderr => self.stderr.extend(frame.payload),
            Kind::File => {
                self.files.push((String::from_utf8(frame.payload).unwrap(), Vec::new()));
            }
            Kind::Data => self.files.last_mut().unwrap().1.extend(frame.payload),
            Kind::Reply => {
                let line = String::from_utf8(frame.payload).unwrap();
                let ended = Ended::parse(&line);
                let last = ended.is_some() || line.starts_with(wire::ERR);
                self.ended = ended.unwrap_or_default();
                self.lines.push(line);
                return last;
            }
            other => panic!("{other:?} from the agent"),
        }
        false
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn last(&self) -> &str {
        self.lines.last().unwrap()
    }
}

/// The agent's program, working on `project`.
pub fn command(project: &Project) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    // An agent that is killed leaves its folders behind.
    command.env("TMPDIR", &project.0);
    command.arg("--project").arg(&project.0).stderr(Stdio::inherit());
    command
}

pub fn reader(stream: UnixStream) -> BufReader<UnixStream> {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    BufReader::new(stream)
}

/// Calls `probe` again and again until it returns something. `what` names that.
pub fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process is alive. A zombie is not.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

/// Reads until `wanted` has come, and returns everything up to there.
pub fn read_until(stream: &mut impl Read, wanted: &str) -> io::Result<String> {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&seen).contains(wanted) {
        if stream.read(&mut byte)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        seen.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&seen).into_owned())
}
