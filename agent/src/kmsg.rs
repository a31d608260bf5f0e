//! What the kernel complains of while a test runs: warnings, oopses, stalls, kills for want of
//! memory.
//!
//! `/dev/kmsg` has what `quiet` keeps from the console, and tells the kernel's own words from what a
//! process wrote into the log. Opened at a test's start it has nothing from before.

use crate::wire;
use nix::libc::O_NONBLOCK;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

/// Room for the longest record that the kernel hands out, in bytes.
const RECORD_MAX: usize = 8192;
/// The most lines that are told of one complaint: registers and a call trace.
const LINES_EACH: usize = 60;
/// The most that are told of one test.
const LINES_MAX: usize = 300;
/// How long after its first line a complaint goes on, in microseconds. Not all have a last line.
const LASTS_US: u64 = 500_000;

/// How the first line of a complaint begins. Everything that is a bug of the kernel, or that the
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
/// What ends the text of those that have an end.
const END: &str = "---[ end ";
/// Between this and the name of a process stands who was killed.
const OUT_OF_MEMORY: &str = "ut of memory: Killed process ";

/// The kernel's log, from the moment of opening on.
pub(crate) struct KernelLog {
    file: File,
    record: Vec<u8>,
    complaint: Option<Complaint>,
    left: usize,
}

/// The complaint that is being told.
struct Complaint {
    until_us: u64,
    left: usize,
}

/// One record of the log.
struct Record<'a> {
    facility: u32,
    time_us: u64,
    text: &'a str,
}

impl KernelLog {
    /// The log from now on; `None` where there is none to be had.
    pub(crate) fn open() -> Option<Self> {
        let mut options = File::options();
        let mut file = options.read(true).custom_flags(O_NONBLOCK).open("/dev/kmsg").ok()?;
        file.seek(SeekFrom::End(0)).ok()?;
        Some(Self { file, record: vec![0; RECORD_MAX], complaint: None, left: LINES_MAX })
    }

    /// What to tell the host, out of the next `records` at most: a log that is written to all the
    /// time must not keep its reader from anything else.
    pub(crate) fn lines(&mut self, records: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for _ in 0..records {
            let count = match self.file.read(&mut self.record) {
                Ok(0) => break,
                Ok(count) => count,
                // Overwritten before it was read: the next read is at the oldest that is left.
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
            Some(_) if self.left == 0 => Some("NOTE the kernel said more than is told".to_owned()),
            said => said,
        }
    }

    /// A line behind the first one of a complaint.
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

    /// What is told of `records`.
    fn told(records: &[&str]) -> Vec<String> {
        let file = File::open("/dev/null").unwrap();
        let mut log = KernelLog { file, record: Vec::new(), complaint: None, left: LINES_MAX };
        records.iter().filter_map(|r| log.judge(&Record::parse(r).unwrap())).collect()
    }

    #[test]
    fn a_complaint_is_told_with_its_trace_and_nothing_else_is() {
        let lines = told(&[
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
    fn what_a_process_writes_there_is_not_the_kernels() {
        assert!(told(&["12,1,1000,-;WARNING: CPU: 0 PID: 9 at kernel/x.c:7"]).is_empty());
    }

    #[test]
    fn who_was_killed_for_memory_is_named() {
        let text = "3,1,1,-;Out of memory: Killed process 131 (perl) total-vm:110284kB, UID:0";
        let expected = "NOTE out of memory: the kernel killed process 131 (perl)";
        assert_eq!(told(&[text]), [expected]);
        let text = "3,1,1,-;Memory cgroup out of memory: Killed process 131 (perl) total-vm:1kB";
        assert_eq!(told(&[text]), [expected]);
    }

    #[test]
    fn a_kernel_that_never_stops_complaining_is_cut_off() {
        let endless = vec!["4,1,1,-;WARNING: again"; 2 * LINES_MAX];
        let lines = told(&endless);
        assert_eq!(lines.len(), LINES_MAX);
        assert_eq!(lines.last().unwrap(), "NOTE the kernel said more than is told");
        assert!(Record::parse("garbage").is_none() && Record::parse("x,y,z;t").is_none());
    }
}
