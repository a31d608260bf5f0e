//! Diagnoses a machine that does not answer, before it is killed: whether QEMU runs it, where its
//! CPUs are, and what its kernel says about that.
//!
//! The kernel is asked by a sysrq over the serial console, which works while interrupts are on.
//! Where they are off it is asked by an NMI, which the kernel's command line turns into a panic
//! with a trace.

use super::launch::Instance;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// How long the whole diagnosis may take.
const LIMIT: Duration = Duration::from_secs(2);
/// How long a kernel that has begun to answer may pause.
const QUIET: Duration = Duration::from_millis(200);
/// Sysrq keys: print everything on the console; the backtraces of all active CPUs; the tasks in
/// uninterruptible sleep.
const KEYS: [&[u8]; 3] = [b"9", b"l", b"w"];
/// How many of the console's earlier lines are kept with the findings.
const LINES_BEFORE: usize = 5;
/// How many lines of each answer are kept; the console's file has all.
const LINES_EACH: usize = 30;

/// The findings about a machine that hangs.
pub(super) struct Diagnosis {
    /// The console's tail before the machine was asked.
    pub(super) before: String,
    /// The last lines of that tail, and the findings after them.
    pub(super) console: String,
}

/// Examines a machine that hangs. Its kernel may panic from that.
pub(super) fn diagnose(instance: &mut Instance) -> Diagnosis {
    let deadline = Instant::now() + LIMIT;
    let before = instance.resources.console.tail();
    let lines: Vec<&str> = before.lines().collect();
    let last = lines[lines.len().saturating_sub(LINES_BEFORE)..].iter();
    let mut found: Vec<String> = last.map(|line| (*line).to_owned()).collect();
    // QEMU's first failure to answer ends the examination; the findings so far stand.
    if let Err(error) = examine(instance, deadline, &mut found) {
        found.push(format!("[orca: {error}]"));
    }
    Diagnosis { before, console: found.join("\n") }
}

fn examine(instance: &mut Instance, deadline: Instant, found: &mut Vec<String>) -> io::Result<()> {
    let status = instance.qmp.execute("query-status", Value::Null, deadline)?;
    let status = status["status"].as_str().unwrap_or("in no state").to_owned();
    found.push(format!("[orca: QEMU says that the machine is {status}]"));
    if status != "running" {
        return Ok(());
    }
    let ask = json!({ "command-line": "info registers -a" });
    let registers = instance.qmp.execute("human-monitor-command", ask, deadline)?;
    found.extend(where_cpus_are(registers.as_str().unwrap_or_default()));
    let mut silent = true;
    for key in KEYS {
        let total = instance.resources.console.total();
        instance.qmp.execute("chardev-send-break", json!({ "id": "console" }), deadline)?;
        instance.resources.console.keyboard()?.write_all(key)?;
        instance.resources.console.settle(QUIET, deadline);
        silent &= answer(instance, total, found) == 0;
    }
    if silent {
        found.push("[orca: no answer to sysrq; after an NMI:]".to_owned());
        let total = instance.resources.console.total();
        instance.qmp.execute("inject-nmi", Value::Null, deadline)?;
        instance.resources.console.settle(QUIET, deadline);
        answer(instance, total, found);
    }
    Ok(())
}

/// Adds what the console has said since it had said `total` bytes. Returns the number of lines.
fn answer(instance: &Instance, total: u64, found: &mut Vec<String>) -> usize {
    let said = instance.resources.console.since(total);
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    found.extend(lines.iter().take(LINES_EACH).map(|line| (*line).to_owned()));
    lines.len()
}

/// The lines with a CPU's instruction pointer, out of QEMU's dump of all registers.
fn where_cpus_are(registers: &str) -> Vec<String> {
    let pointers = registers
        .lines()
        .map(str::trim)
        .filter(|line| line.contains("IP=") || line.contains("PC="));
    pointers.zip(0..).map(|(line, cpu)| format!("[orca: CPU {cpu}: {line}]")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_with_instruction_pointers_are_kept() {
        let dump = "\r\nCPU#0\r\nRAX=00 RBX=00\r\n\
                    RIP=ffffffffc0a00000 RFL=00000046 [---Z-P-] CPL=0 HLT=0\r\nES =0000\r\n\
                    CPU#1\r\nRIP=01 RFL=2\r\n";
        let expected = [
            "[orca: CPU 0: RIP=ffffffffc0a00000 RFL=00000046 [---Z-P-] CPL=0 HLT=0]",
            "[orca: CPU 1: RIP=01 RFL=2]",
        ];
        assert_eq!(where_cpus_are(dump), expected);
    }
}
