//! The summary at the end: what failed and why, counts, times, result. The bytes are Perl's.

use super::printer::Printer;
use super::row::Row;
use super::sys::clock;
use crate::numbers::Numbers;
use crate::suite::{ExitStatus, Suite};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Syntax errors shown without `-p`.
const ERRORS_MAX: usize = 5;
/// A list of numbers is broken into lines of about this many characters.
const LIST_WIDTH: usize = 40;

/// The result of a whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Pass,
    Fail,
    NoTests,
}

/// Measures wall and CPU time from its start.
#[derive(Debug)]
pub(super) struct Stopwatch {
    began: Instant,
    times: [f64; 4],
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self { began: Instant::now(), times: cpu_times() }
    }

    /// User and system time of this process and of its children since the start.
    fn cpu(&self) -> [f64; 4] {
        let now = cpu_times();
        std::array::from_fn(|i| (now[i] - self.times[i]).max(0.0))
    }

    fn total(&self) -> String {
        let [user, system, child_user, child_system] = self.cpu();
        let wall = self.began.elapsed().as_secs();
        if child_user + child_system > 0.0 {
            let sum = user + system + child_user + child_system;
            return format!(
                "{wall:2} wallclock secs ({user:5.2} usr {system:5.2} sys + {child_user:5.2} cusr \
                 {child_system:5.2} csys = {sum:5.2} CPU)"
            );
        }
        let sum = user + system;
        format!("{wall:2} wallclock secs ({user:5.2} usr + {system:5.2} sys = {sum:5.2} CPU)")
    }

    /// The times after an `ok`, with `--timer`.
    pub(super) fn test(&self, elapsed: Duration) -> String {
        let [user, system, child_user, child_system] = self.cpu();
        let sum = user + system + child_user + child_system;
        format!(
            " {:8} ms ({user:5.2} usr {system:5.2} sys + {child_user:5.2} cusr \
             {child_system:5.2} csys = {sum:5.2} CPU)",
            elapsed.as_millis()
        )
    }
}

fn cpu_times() -> [f64; 4] {
    let of = |who| {
        let usage = getrusage(who).ok();
        let secs = |time: fn(&Usage) -> nix::sys::time::TimeVal| {
            usage.as_ref().map(time).map_or(0.0, |t| t.tv_sec() as f64 + t.tv_usec() as f64 / 1e6)
        };
        (secs(Usage::user_time), secs(Usage::system_time))
    };
    let (own, children) = (of(UsageWho::RUSAGE_SELF), of(UsageWho::RUSAGE_CHILDREN));
    [own.0, own.1, children.0, children.1]
}

/// Prints the summary; `interrupted` says that not all tests were run.
pub(super) fn print<W: Write>(
    printer: &mut Printer<W>,
    rows: &[Row],
    stopwatch: &Stopwatch,
    interrupted: bool,
) -> io::Result<Status> {
    let total: u64 = rows.iter().map(|row| row.suite.run).sum();
    let passed: u64 = rows.iter().map(Row::passed).sum();
    let errors = rows.iter().any(Row::errors);
    if printer.show.timer {
        writeln!(printer.out, "{}", clock())?;
    }
    if interrupted {
        printer.failure("Test run interrupted!\n")?;
    }
    let all_passed = total > 0 && total == passed && !errors;
    if all_passed && !interrupted {
        printer.colored(super::lines::GREEN, "All tests successful.\n")?;
    }
    if total != passed || errors || rows.iter().any(|row| row.suite.todo_passed > 0) {
        printer.out.write_all(b"\nTest Summary Report\n-------------------\n")?;
        for row in rows {
            report(printer, row)?;
        }
    }
    let times = stopwatch.total();
    writeln!(printer.out, "Files={}, Tests={total}, {times}", rows.len())?;
    let status = match () {
        () if errors || total != passed => Status::Fail,
        () if total > 0 => Status::Pass,
        () => Status::NoTests,
    };
    let word = match status {
        Status::Pass => "PASS",
        Status::Fail => "FAIL",
        Status::NoTests => "NOTESTS",
    };
    writeln!(printer.out, "Result: {word}")?;
    printer.out.flush()?;
    Ok(status)
}

fn report<W: Write>(printer: &mut Printer<W>, row: &Row) -> io::Result<()> {
    let suite = &row.suite;
    let mut findings: Vec<Finding> = Vec::new();
    let mut add =
        |bad, label: &str, lines| findings.push(Finding { bad, label: label.into(), lines });
    if row.failed() > 0 {
        let label = if row.failed() == 1 { "  Failed test:  " } else { "  Failed tests:  " };
        add(true, label, number_list(&suite.failed_numbers));
    }
    if suite.todo_passed > 0 {
        add(false, "  TODO passed:   ", number_list(&suite.todo_passed_numbers));
    }
    match suite.exit {
        ExitStatus::Code(0) => {}
        ExitStatus::Code(code) => add(true, "", vec![format!("  Non-zero exit status: {code}")]),
        ExitStatus::Signal { .. } => {
            add(true, "", vec![format!("  Non-zero wait status: {}", row.wait_status())]);
        }
    }
    if suite.faults_total > 0 {
        add(true, "", error_list(suite, printer.show.all_errors));
    }
    for text in &row.extra {
        add(true, "", vec![format!("  {text}")]);
    }
    if findings.is_empty() {
        return Ok(());
    }
    header(printer, row)?;
    findings.iter().try_for_each(|finding| finding.print(printer))
}

/// One finding about a test: a label and a list, or lines without a label.
struct Finding {
    bad: bool,
    label: String,
    lines: Vec<String>,
}

impl Finding {
    fn print<W: Write>(&self, printer: &mut Printer<W>) -> io::Result<()> {
        let mut put = |text: &str| {
            if self.bad { printer.failure(text) } else { printer.out.write_all(text.as_bytes()) }
        };
        if !self.label.is_empty() {
            put(&self.label)?;
        }
        self.lines.iter().try_for_each(|line| put(&format!("{line}\n")))
    }
}

fn header<W: Write>(printer: &mut Printer<W>, row: &Row) -> io::Result<()> {
    let width = printer.longest().max(row.name.len() + 1);
    let spaces = " ".repeat(width - row.name.len());
    let wait = match row.suite.exit {
        ExitStatus::Code(0) => "0".to_owned(),
        ExitStatus::Code(code) => format!("{} (exited {code})", row.wait_status()),
        ExitStatus::Signal { signal, core } => {
            let dumped = if core { ", dumped core" } else { "" };
            format!("{} (Signal: {}{dumped})", row.wait_status(), signal_name(signal))
        }
    };
    let (run, failed) = (row.suite.run, row.failed());
    let text = format!("{}{spaces}(Wstat: {wait} Tests: {run} Failed: {failed})\n", row.name);
    if row.errors() { printer.failure(&text) } else { printer.out.write_all(text.as_bytes()) }
}

fn signal_name(signal: i32) -> String {
    let name = nix::sys::signal::Signal::try_from(signal).map(|s| s.as_str());
    name.map_or_else(|_| format!("NUM{signal}"), |name| name.trim_start_matches("SIG").to_owned())
}

/// `numbers` as ranges, in lines that are broken where Perl's `prove` breaks them.
fn number_list(numbers: &Numbers) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for &(first, last) in numbers.ranges() {
        parts.push(if first == last { first.to_string() } else { format!("{first}-{last}") });
    }
    if numbers.truncated() {
        parts.push("…".into());
    }
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut parts = parts.into_iter().peekable();
    while parts.peek().is_some() {
        if line.len() >= LIST_WIDTH {
            lines.push(std::mem::take(&mut line));
        } else if let Some(part) = parts.next() {
            line.push_str(&part);
            line.push_str(", ");
        }
    }
    lines.push(line);
    let indent = |(i, line): (usize, String)| {
        let line = line.trim_end_matches(", ");
        if i == 0 { line.to_owned() } else { format!("{:16}{line}", "") }
    };
    lines.into_iter().enumerate().map(indent).collect()
}

fn error_list(suite: &Suite, all: bool) -> Vec<String> {
    let shown = if all { suite.faults.len() } else { suite.faults.len().min(ERRORS_MAX) };
    let mut lines = Vec::new();
    for (i, fault) in suite.faults.iter().take(shown).enumerate() {
        let text = fault.kind.perl();
        lines.push(if i == 0 {
            format!("  Parse errors: {text}")
        } else {
            format!("{:16}{text}", "")
        });
    }
    if (shown as u64) < suite.faults_total {
        let total = suite.faults_total;
        lines.push(format!("Displayed the first {shown} of {total} TAP syntax errors."));
        if !all {
            lines.push("Re-run prove with the -p option to see them all.".into());
        }
    }
    lines
}
