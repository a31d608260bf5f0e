//! A gigabyte of output, and a line of a hundred megabytes: the memory and the disk that orca needs
//! for them are bounded. No VM: a machine would only add the speed of its port.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[expect(dead_code, reason = "not every file uses all of the kit")]
mod kit;

use kit::{Project, Ran};
use std::fs;
use std::process::Stdio;
use std::time::Duration;

/// The most memory that orca may ever hold, in KiB. Two tests run at once, each with 2 MiB of
/// frames on the way and the bounded state of its parser.
const PEAK_KIB: u64 = 48 * 1024;

/// The most memory that a process has held so far, in KiB; `None` if the process is gone.
fn peak_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[test]
fn a_flood_is_parsed_to_its_end_in_bounded_memory_and_disk() {
    let project = Project::new();
    // The verdict is in the last line, so the parser reads everything, also what the log drops.
    project.test(
        "flood",
        "echo 1..1; yes '# some words that mean nothing at all' | head -c 1G; echo; echo ok 1",
    );
    project.test("line", "echo 1..1; head -c 100M /dev/zero | tr '\\0' x; echo; echo ok 1");
    let args = ["test", "--machine", "local", "-j2", "-v", "--log-dir", "logs", "--timeout", "10m"];
    let mut orca =
        project.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut peak = 0;
    while orca.try_wait().unwrap().is_none() {
        peak = peak_kib(orca.id()).unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(20)); // there is no event to wait for
    }
    let ran = Ran::from(orca.wait_with_output().unwrap());
    ran.exits(0).says("2 passed").says("output.log is incomplete: cut off at 64 MiB");
    assert!((1..PEAK_KIB).contains(&peak), "{peak} KiB");
    let kept = |name: &str| {
        let log = project.root().join(format!("logs/t/{name}_test.sh/output.log"));
        fs::metadata(log).unwrap().len() >> 20
    };
    assert_eq!((kept("flood"), kept("line")), (64, 64));
}
