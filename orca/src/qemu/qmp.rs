//! A client of QEMU's machine protocol (QMP). It executes one command at a time, every answer has a
//! deadline, and events are kept only for callers that wait for one.

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, IoSlice, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

/// The longest answer that is read, in bytes; QEMU's own have a few hundred.
const LINE_MAX: usize = 1 << 20;

/// How many events are kept for a later wait; the rest are dropped.
const EVENTS_MAX: usize = 64;

/// A connected monitor.
#[derive(Debug)]
pub struct Qmp {
    reader: BufReader<UnixStream>,
    /// Events that came between a command and its answer.
    events: VecDeque<Value>,
    /// QEMU's version as (major, minor, micro), from its greeting.
    pub version: (u64, u64, u64),
}

impl Qmp {
    /// Reads the greeting and leaves negotiation mode. When this returns, every socket on QEMU's
    /// command line exists.
    ///
    /// # Errors
    /// The stream's end (QEMU gave up; its stderr says why), the deadline, or an answer that is not
    /// QMP.
    pub fn connect(stream: UnixStream, deadline: Instant) -> io::Result<Self> {
        let reader = BufReader::new(stream);
        let mut qmp = Self { reader, events: VecDeque::new(), version: (0, 0, 0) };
        let greeting = qmp.read(deadline)?;
        let version = &greeting["QMP"]["version"]["qemu"];
        let part = |name: &str| version[name].as_u64().unwrap_or(0);
        qmp.version = (part("major"), part("minor"), part("micro"));
        if qmp.version.0 == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a QMP greeting"));
        }
        qmp.execute("qmp_capabilities", Value::Null, deadline)?;
        Ok(qmp)
    }

    /// Executes one command and returns its result.
    ///
    /// # Errors
    /// QEMU's own `desc` when it refuses, the deadline, or the stream's end.
    pub fn execute(&mut self, name: &str, args: Value, deadline: Instant) -> io::Result<Value> {
        self.send(name, args, None)?;
        self.answer(name, deadline)
    }

    /// Passes an open file to QEMU under `name`, for `fd:` addresses.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn give_fd(&mut self, name: &str, fd: BorrowedFd<'_>, deadline: Instant) -> io::Result<()> {
        self.send("getfd", json!({ "fdname": name }), Some(fd))?;
        self.answer("getfd", deadline).map(|_| ())
    }

    /// Waits for a migration, in or out, to end. The migration capability `events` must be on.
    ///
    /// # Errors
    /// A migration that failed, the deadline, or the stream's end.
    pub fn wait_for_migration(&mut self, deadline: Instant) -> io::Result<()> {
        loop {
            let data = self.wait_for_event("MIGRATION", deadline)?;
            match data["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => {
                    return Err(io::Error::other("the migration failed"));
                }
                _ => {}
            }
        }
    }

    fn wait_for_event(&mut self, name: &str, deadline: Instant) -> io::Result<Value> {
        loop {
            let mut event = match self.events.pop_front() {
                Some(event) => event,
                None => self.read(deadline)?,
            };
            if event["event"] == name {
                return Ok(event["data"].take());
            }
        }
    }

    fn send(&mut self, name: &str, args: Value, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let mut command = json!({ "execute": name });
        if !args.is_null() {
            command["arguments"] = args;
        }
        let line = format!("{command}\n");
        let stream = self.reader.get_mut();
        let Some(fd) = fd else { return stream.write_all(line.as_bytes()) };
        let fds = [fd.as_raw_fd()];
        let control = [ControlMessage::ScmRights(&fds)];
        let sent = sendmsg::<()>(
            stream.as_raw_fd(),
            &[IoSlice::new(line.as_bytes())],
            &control,
            MsgFlags::empty(),
            None,
        )?;
        stream.write_all(&line.as_bytes()[sent..])
    }

    fn answer(&mut self, name: &str, deadline: Instant) -> io::Result<Value> {
        loop {
            let mut message = self.read(deadline)?;
            if let Some(desc) = message["error"]["desc"].as_str() {
                return Err(io::Error::other(format!("QEMU refused {name}: {desc}")));
            }
            if let Some(value) = message.get_mut("return") {
                return Ok(value.take());
            }
            if self.events.len() < EVENTS_MAX && message.get("event").is_some() {
                self.events.push_back(message);
            }
        }
    }

    fn read(&mut self, deadline: Instant) -> io::Result<Value> {
        let line = self.line(deadline)?;
        serde_json::from_slice(&line)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("not QMP: {e}")))
    }

    /// Reads one line. The deadline holds for the whole line, however slowly its bytes come.
    fn line(&mut self, deadline: Instant) -> io::Result<Vec<u8>> {
        let late = || io::Error::new(io::ErrorKind::TimedOut, "QEMU did not answer in time");
        let mut line = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(late());
            }
            self.reader.get_ref().set_read_timeout(Some(left))?;
            let bytes = match self.reader.fill_buf() {
                Ok([]) if line.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok([]) => return Ok(line),
                Ok(bytes) => bytes,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(late()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            let end = memchr::memchr(b'\n', bytes);
            let count = end.map_or(bytes.len(), |at| at + 1);
            line.extend_from_slice(&bytes[..count]);
            self.reader.consume(count);
            if line.len() > LINE_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "not QMP: no end of line"));
            }
            if end.is_some() {
                return Ok(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const GREETING: &str = concat!(
        r#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "#,
        r#""capabilities": []}}"#
    );

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    /// A QEMU that says `lines` and then closes the connection.
    fn scripted(lines: &[&str]) -> UnixStream {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        for line in lines {
            writeln!(theirs, "{line}").unwrap();
        }
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        std::mem::forget(theirs); // reads what the client sends until the test ends
        ours
    }

    #[test]
    fn events_between_question_and_answer_are_skipped() {
        let stream = scripted(&[
            GREETING,
            r#"{"return": {}}"#,
            r#"{"event": "RESUME", "timestamp": {}}"#,
            r#"{"return": {"status": "running"}}"#,
            r#"{"error": {"class": "GenericError", "desc": "no such thing"}}"#,
        ]);
        let mut qmp = Qmp::connect(stream, soon()).unwrap();
        assert_eq!(qmp.version, (7, 2, 22));
        let status = qmp.execute("query-status", Value::Null, soon()).unwrap();
        assert_eq!(status["status"], "running");
        let refused = qmp.execute("frobnicate", Value::Null, soon()).unwrap_err();
        assert_eq!(refused.to_string(), "QEMU refused frobnicate: no such thing");
        let gone = qmp.execute("quit", Value::Null, soon()).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_migration_is_over_when_an_event_says_so() {
        let status =
            |status: &str| format!(r#"{{"event": "MIGRATION", "data": {{"status": "{status}"}}}}"#);
        let (active, completed, failed) = (status("active"), status("completed"), status("failed"));
        let answer = r#"{"return": {}}"#;
        let lines = [GREETING, answer, &active, &completed, answer, &failed];
        let mut qmp = Qmp::connect(scripted(&lines), soon()).unwrap();
        qmp.execute("migrate", Value::Null, soon()).unwrap();
        qmp.wait_for_migration(soon()).unwrap();
        assert!(qmp.wait_for_migration(soon()).is_err());
    }

    #[test]
    fn garbage_is_an_error() {
        let not_json = Qmp::connect(scripted(&["SSH-2.0-OpenSSH"]), soon()).unwrap_err();
        assert_eq!(not_json.kind(), io::ErrorKind::InvalidData);
        let not_qmp = Qmp::connect(scripted(&["{}"]), soon()).unwrap_err();
        assert_eq!(not_qmp.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn endless_talk_ends_at_the_deadline_or_the_bound() {
        let soon_over = || Instant::now() + Duration::from_millis(30);
        for (said, kind) in [
            (
                &br#"{"event": "RESUME"}
"#[..],
                io::ErrorKind::TimedOut,
            ),
            (b" ", io::ErrorKind::TimedOut),
        ] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let talk = std::thread::spawn(move || {
                writeln!(theirs, "{GREETING}\n{{\"return\": {{}}}}").unwrap();
                while theirs.write_all(said).is_ok() {
                    std::thread::yield_now();
                }
            });
            let mut qmp = Qmp::connect(ours, soon()).unwrap();
            let error = qmp.execute("query-status", Value::Null, soon_over()).unwrap_err();
            // A fast host reaches the bound of a line first.
            assert!(
                error.kind() == kind || error.to_string().contains("no end of line"),
                "{error}"
            );
            assert!(qmp.events.len() <= EVENTS_MAX);
            drop(qmp);
            talk.join().unwrap();
        }
    }

    #[test]
    fn no_mutation_of_what_qemu_says_panics_or_hangs() {
        let good = [
            GREETING,
            r#"{"return": {}}"#,
            r#"{"event": "MIGRATION", "data": {"status": "completed"}}"#,
            r#"{"timestamp": {"seconds": 1}, "event": "RESUME", "data": {}}"#,
            r#"{"return": {"status": "running", "running": true}}"#,
            r#"{"error": {"class": "GenericError", "desc": "no such thing"}}"#,
        ];
        let good = good.join("\n");
        let mut answers = 0;
        for seed in 1..=400 {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(&crate::mutate::mutation(good.as_bytes(), seed)).unwrap();
            theirs.shutdown(std::net::Shutdown::Write).unwrap();
            let deadline = soon();
            if let Ok(mut qmp) = Qmp::connect(ours, deadline) {
                let status = qmp.execute("query-status", Value::Null, deadline);
                let migrated = qmp.wait_for_migration(deadline);
                let _ = qmp.execute("frobnicate", Value::Null, deadline);
                assert!(qmp.events.len() <= EVENTS_MAX, "seed {seed}");
                answers += u32::from(status.is_ok() && migrated.is_ok());
            }
            assert!(Instant::now() < deadline, "seed {seed}");
        }
        assert!((1..400).contains(&answers), "{answers}: the mutations are too mild or too wild");
    }

    #[test]
    fn silence_ends_at_the_deadline() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let error = Qmp::connect(ours, Instant::now() + Duration::from_millis(5)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
