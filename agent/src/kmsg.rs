//! The kernel's complaints while a test runs: warnings, oopses, stalls, kills for lack of memory.
//!
//! `/dev/kmsg` also has the lines that `quiet` keeps from the console, and tells the kernel's lines
//! from those that a process wrote. Opened at a test's start, it has nothing from before.

use crate::wire;
use nix::libc::O_NONBLOCK;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

/// The longest record that the kernel returns, in bytes.
const RECORD_MAX: usize = 8192;
/// How many lines of one complaint are sent, at most: registers and a call trace.
const LINES_EACH: usize = 60;
/// How many lines are sent for one test, at most.
const LINES_MAX: usize = 300;
/// How long a complaint lasts after its first line, in microseconds. Not every one has a last line.
const LASTS_US: u64 = 500_000;

/// The beginnings of a complaint's first line: everything that is a bug of the kernel, or that the
/// kernel takes for one.
const BEGINNINGS: [&str; 12] = [
    "WARNING: ",
    "BUG: ",
    "kernel BUG at ",
    "INFO: task ",
    "INFO: rcu",
    "rcu: INFO: ",
    "watchdog: BUG: ",
    "general protection fault",
    "Oops: ",
    "UBSAN: ",
    "unregister_netdevice: waiting for ",
    "kmemleak: ",
];
/// The beginning of a complaint's last line, if it has one.
const END: &str = "---[ end ";
/// The text before the id and name of a killed process.
const OUT_OF_MEMORY: &str = "ut of memory: Killed process ";

/// The kernel's log, from when it was opened.
pub(crate) struct KernelLog {
    file: File,
    record: Vec<u8>,
    complaint: Option<Complaint>,
    /// How many lines may still be sent.
    left: usize,
}

/// The complaint whose lines are being sent.
struct Complaint {
    until_us: u64,
    /// How many of its lines may still be sent.
    left: usize,
}

/// One record of the log.
struct Record<'a> {
    facility: u32,
    time_us: u64,
    text: &'a str,
}

impl KernelLog {
    /// Opens the log; `None` if it cannot be opened.
    pub(crate) fn open() -> Option<Self> {
        let mut options = File::options();
        let mut file = options.read(true).custom_flags(O_NONBLOCK).open("/dev/kmsg").ok()?;
        file.seek(SeekFrom::End(0)).ok()?;
        Some(Self { file, record: vec![0; RECORD_MAX], complaint: None, left: LINES_MAX })
    }

    /// The lines for the host from the next records, of which it reads at most `records`: a log
    /// that is written all the time must not keep its reader from everything else.
    pub(crate) fn lines(&mut self, records: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for _ in 0..records {
            let count = match self.file.read(&mut self.record) {
                Ok(0) => break,
                Ok(count) => count,
                // Records were overwritten before they were read. The next read gets the oldest
                // one.
                Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::BrokenPipe) => {
                    continue;
                }
                Err(_) => break,
            };
            let record = String::from_utf8_lossy(&self.record[..count]).into_owned();
            lines.extend(Record::parse(&record).and_then(|record| self.judge(&record)));
        }
        lines
    }

    fn judge(&mut self, record: &Record<'_>) -> Option<String> {
        if record.facility != 0 || self.left == 0 {
            return None;
        }
        let text = record.text.trim_end();
        let said = if let Some(at) = text.find(OUT_OF_MEMORY) {
            let victim = text[at + OUT_OF_MEMORY.len()..].split(" total-vm").next()?;
            Some(format!("NOTE out of memory: the kernel killed process {}", victim.trim_end()))
        } else if BEGINNINGS.iter().any(|beginning| text.starts_with(beginning)) {
            self.complaint =
                Some(Complaint { until_us: record.time_us + LASTS_US, left: LINES_EACH });
            Some(format!("{}{text}", wire::WARN))
        } else {
            self.follow(record, text)
        };
        self.left -= usize::from(said.is_some());
        match said {
            Some(_) if self.left == 0 => Some("NOTE the kernel said more than is shown".to_owned()),
            said => said,
        }
    }

    /// A line after the first one of a complaint.
    fn follow(&mut self, record: &Record<'_>, text: &str) -> Option<String> {
        let complaint = self.complaint.as_mut()?;
        if record.time_us > complaint.until_us || complaint.left == 0 || text.starts_with(END) {
            self.complaint = None;
            return None;
        }
        complaint.left -= 1;
        Some(format!("{}{text}", wire::KERNEL))
    }
}

impl AsFd for KernelLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Record<'_> {
    /// Reads `priority,sequence,microseconds,flags;text`; lines of properties may follow.
    fn parse(record: &str) -> Option<Record<'_>> {
        let (head, rest) = record.split_once(';')?;
        let mut fields = head.split(',');
        let priority: u32 = fields.next()?.parse().ok()?;
        let time_us = fields.nth(1)?.parse().ok()?;
        let text = rest.lines().next().unwrap_or_default();
        Some(Record { facility: priority >> 3, time_us, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines for the host from `records`.
    fn lines(records: &[&str]) -> Vec<String> {
        let file = File::open("/dev/null").unwrap();
        let mut log = KernelLog { file, record: Vec::new(), complaint: None, left: LINES_MAX };
        records.iter().filter_map(|r| log.judge(&Record::parse(r).unwrap())).collect()
    }

    #[test]
    fn a_complaint_is_sent_with_its_trace_and_nothing_else() {
        let lines = lines(&[
            "6,1,1000,-;random: crng reseeded",
            "4,2,2000,-;------------[ cut here ]------------",
            "4,3,2001,-;WARNING: CPU: 0 PID: 9 at kernel/x.c:7 y+0x1/0x2\n SUBSYSTEM=a",
            "4,4,2002,-;Call Trace:",
            "4,5,2003,-;---[ end trace 0000000000000000 ]---",
            "6,6,2004,-;tun: (C) 1999",
            "3,7,3000,-;INFO: task touch:5 blocked for more than 120 seconds.",
            "4,8,9000000,-;much later",
        ]);
        assert_eq!(
            lines,
            [
                "WARN WARNING: CPU: 0 PID: 9 at kernel/x.c:7 y+0x1/0x2",
                "KERNEL Call Trace:",
                "WARN INFO: task touch:5 blocked for more than 120 seconds.",
            ]
        );
    }

    #[test]
    fn lines_that_a_process_wrote_are_ignored() {
        assert!(lines(&["12,1,1000,-;WARNING: CPU: 0 PID: 9 at kernel/x.c:7"]).is_empty());
    }

    #[test]
    fn a_process_killed_for_lack_of_memory_is_named() {
        let text = "3,1,1,-;Out of memory: Killed process 131 (perl) total-vm:110284kB, UID:0";
        let expected = "NOTE out of memory: the kernel killed process 131 (perl)";
        assert_eq!(lines(&[text]), [expected]);
        let text = "3,1,1,-;Memory cgroup out of memory: Killed process 131 (perl) total-vm:1kB";
        assert_eq!(lines(&[text]), [expected]);
    }

    #[test]
    fn a_kernel_that_never_stops_complaining_is_cut_off() {
        let endless = vec!["4,1,1,-;WARNING: again"; 2 * LINES_MAX];
        let lines = lines(&endless);
        assert_eq!(lines.len(), LINES_MAX);
        assert_eq!(lines.last().unwrap(), "NOTE the kernel said more than is shown");
        assert!(Record::parse("garbage").is_none() && Record::parse("x,y,z;t").is_none());
    }
}
