//! One run of many tests on real machines, with faults that a seed chooses: each test gets exactly
//! one verdict, which is the right one, nothing is left behind, and nothing grows. Built with
//! `--features vm`. Environment: `SOAK_TESTS` (default 40) and `SOAK_SEED` (default 1); see
//! `scripts/soak.sh`.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]
#![expect(clippy::print_stderr, reason = "the figures are for the person who runs the soak")]

#[path = "kit/image.rs"]
mod image;
#[expect(dead_code, reason = "not every file has a test for every verdict")]
mod kit;

use kit::Project;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

const TESTS: usize = 40;
const SEED: u64 = 1;
/// How many more open files a run may have at its end than near its beginning.
const FILES_SLACK: usize = 6;
/// How much more memory, in KiB.
const MEMORY_SLACK_KIB: u64 = 8 * 1024;
/// The fault of a test whose machine is killed from the host, once.
const VICTIM: &str = "killed";

/// The name of each fault, the body of the test, and its expected outcome.
const FAULTS: [(&str, &str, &str); 13] = [
    ("good", "echo 1..2; echo ok 1; echo ok 2", "pass"),
    ("fails", "echo 1..2; echo ok 1; echo not ok 2", "fail"),
    ("skips", "echo '1..0 # SKIP no tool'", "skip"),
    ("status", "echo 1..1; echo ok 1; exit 3", "fail"),
    ("cutshort", "echo 1..2; echo ok 1; kill -9 $$", "fail"),
    ("panics", "echo 1..1; echo ok 1; echo c >/proc/sysrq-trigger; sleep 100", "error"),
    ("poweroff", "echo 1..1; echo ok 1; echo o >/proc/sysrq-trigger; sleep 100", "error"),
    (
        "slow",
        "# orca: timeout=1s\necho 1..1; echo ok 1; trap '' TERM; while :; do sleep 1; done",
        "timeout",
    ),
    ("flood", "echo 1..1; yes '# flood' | head -c 8000000; echo ok 1", "pass"),
    ("leftovers", "echo 1..1; sleep 1000 & setsid sleep 1000 & echo ok 1", "pass"),
    (
        "garbage",
        "echo 1..1; head -c 200000 /dev/urandom | tr '\\n' x; echo; echo 'TAP_END x exit=0'
         echo ok 1",
        "pass",
    ),
    ("fulldisk", "echo 1..1; head -c 900000000 /dev/zero >/tmp/big || echo ok 1", "pass"),
    (VICTIM, "echo 1..1; sleep 4; echo ok 1", "pass"),
];

/// The next random number. xorshift: a seed means the same on every machine.
fn draw(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 33) as usize
}

fn setting<T: std::str::FromStr>(name: &str, usual: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// How many open files a process has, and how much memory in KiB; `None` if it is gone.
fn usage(pid: u32) -> Option<(usize, u64)> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some((files, line.trim().strip_suffix(" kB")?.parse().ok()?))
}

/// Writes the tests; returns the expected outcome of each path, and whether it is flaky.
fn plan(project: &Project, tests: usize, seed: u64) -> HashMap<String, (&'static str, bool)> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut expected = HashMap::new();
    for number in 0..tests {
        // First each fault once, then random ones; about half of these are good tests.
        let at = if number < FAULTS.len() { number } else { draw(&mut state) % (2 * FAULTS.len()) };
        let (fault, body, outcome) = FAULTS.get(at).unwrap_or(&FAULTS[0]);
        let name = format!("{number:04}-{fault}");
        project.test(&name, body);
        expected.insert(format!("t/{name}_test.sh"), (*outcome, *fault == VICTIM));
    }
    expected
}

#[test]
fn every_test_gets_one_verdict_the_right_one_and_nothing_is_left() {
    let (tests, seed) = (setting("SOAK_TESTS", TESTS), setting("SOAK_SEED", SEED));
    let project = Project::new();
    let mut expected = plan(&project, tests, seed);
    let mut child = image::command(&image::build(), &project, &["test", "-j2", "--format", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut used, mut wrong, mut last) = (Vec::new(), Vec::new(), Value::Null);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let test = event["test"].as_str().unwrap_or_default().to_owned();
        if event["event"] == "test_started" && event["attempt"] == 1 && test.contains(VICTIM) {
            let socket = format!("/{}.sock", event["machine"].as_str().unwrap());
            let machines = image::machines(&project).into_iter();
            for (pid, _) in machines.filter(|(_, line)| line.contains(&socket)) {
                kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
            }
        }
        if event["event"] == "test_finished" {
            used.extend(usage(child.id()));
            if event["final"] == true {
                match expected.remove(&test) {
                    None => wrong.push(format!("{test}: a second verdict")),
                    Some((outcome, flaky))
                        if event["outcome"] != outcome || event["flaky"] != flaky =>
                    {
                        wrong.push(format!("expected {outcome}, flaky {flaky}: {event}"));
                    }
                    Some(_) => {}
                }
            }
        }
        last = event;
    }
    let status = child.wait().unwrap();
    assert!(wrong.is_empty() && expected.is_empty(), "seed {seed}: {wrong:#?}, none: {expected:?}");
    assert_eq!((status.code(), last["event"].as_str()), (Some(1), Some("finished")), "{last}");
    assert_eq!(image::machines(&project), []);
    assert_eq!(image::leftovers(&project), [] as [PathBuf; 0]);
    let quarter = used.len() / 4;
    let most = |part: &[(usize, u64)]| {
        part.iter().fold((0, 0), |most, one| (most.0.max(one.0), most.1.max(one.1)))
    };
    let (early, late) = (most(&used[..2 * quarter]), most(&used[3 * quarter..]));
    assert!(late.0 <= early.0 + FILES_SLACK, "open files: {early:?}, then {late:?}");
    assert!(late.1 <= early.1 + MEMORY_SLACK_KIB, "KiB of memory: {early:?}, then {late:?}");
    eprintln!("{tests} tests, seed {seed}: {last}; (open files, KiB) {early:?}, then {late:?}");
}
