//! Shells, debuggers and the doctor in real machines. Built with `--features vm`; needs the image
//! in `build/`.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[path = "kit/image.rs"]
#[expect(dead_code, reason = "not every file looks for machines")]
mod image;
#[expect(dead_code, reason = "not every file has a test for every verdict")]
mod kit;
#[path = "kit/pty.rs"]
mod pty;

use kit::{Project, Ran};
use pty::Terminal;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

fn project() -> Project {
    let project = Project::new();
    let t = Path::new(env!("CARGO_MANIFEST_DIR")).join("../t");
    for name in ["lib.sh", "net.sh"] {
        project.file(&format!("t/{name}"), &fs::read_to_string(t.join(name)).unwrap());
    }
    project
}

fn command(project: &Project, args: &[&str]) -> Command {
    image::command(&image::build(), project, args)
}

#[track_caller]
fn nothing_is_left(project: &Project) {
    assert_eq!(image::leftovers(project), [] as [PathBuf; 0]);
}

/// A test of a firewall that drops packets which it should let through. It makes everything that
/// lib.sh and net.sh clear away.
const FIREWALL: &str = r#"#!/bin/sh
# orca: memory=640M
. "${0%/*}/../net.sh"
skip_unless_net nft
plan 1
ns_add server
cat >"$T/rules" <<'end'
table inet fw { chain in { type filter hook input priority 0; tcp dport 80 counter drop; }; }
end
must in_ns server nft -f "$T/rules"
start sleeper sleep 1000
echo "$pid" >"$T/pid"
ok 'web traffic passes' false
"#;

#[test]
fn the_firewall_of_a_failed_test_is_still_there_in_its_shell() {
    let project = project();
    project.test("fw/fw", FIREWALL).test("good", "echo 1..1; echo ok 1");
    let mut terminal = Terminal::start(command(&project, &["test", "-j1", "--shell-on-fail"]));
    terminal.expect("not ok 1 - web traffic passes").expect("as t/fw/fw_test.sh left it");
    terminal.types("ns=$(ip netns list | cut -d' ' -f1); ip netns exec $ns nft list ruleset");
    terminal.expect("tcp dport 80 counter packets 0 bytes 0 drop");
    terminal.types("cat $TMPDIR/orca-test.*/rules | head -c 13");
    terminal.types("kill -0 $(cat $TMPDIR/*/pid) && echo ' is-'\"alive\"");
    terminal.expect("table inet fw").expect("is-alive");
    terminal.types("exit").expect("1 passed, 1 failed");
    assert_eq!(terminal.end().code(), Some(1));
    nothing_is_left(&project);
}

#[test]
fn a_test_can_be_run_by_hand_while_another_shell_looks() {
    let project = project();
    project.test("fw/fw", FIREWALL);
    let mut terminal = Terminal::start(command(&project, &["run", "--test", "t/fw/fw_test.sh"]));
    terminal.expect("sh t/fw/fw_test.sh").expect("# ");
    terminal
        .types("sh $ORCA_TEST")
        .expect("not ok 1 - web traffic passes")
        .expect("nothing was cleared away");
    let look = "awk '/MemTotal/ { print ($2 > 530000) }' /proc/meminfo; ip netns list | wc -l; \
                cat /tmp/orca-test.*/pid | wc -l";
    let ran = Ran::from(command(&project, &["shell", "--", "sh", "-c", look]).output().unwrap());
    ran.exits(0);
    assert_eq!(ran.out, "1\n1\n1\n");
    terminal.types("exit 5");
    assert_eq!(terminal.end().code(), Some(5));
    nothing_is_left(&project);
}

#[test]
fn a_test_by_hand_finds_what_its_set_ups_left_and_is_the_case_that_was_named() {
    let project = project();
    project.file("t/setup.sh", "echo outer >/run/by; sleep 1000 &\necho $! >/run/pid; echo told");
    project.file("t/a/setup.sh", "echo \"$ORCA_SETUP\" >>/run/by; exit 3");
    let forks = "echo 1..1; echo \"ok 1 - it is $(orca-fork x y)\"";
    project.test("f", forks).test("a/b", "echo 1..0");
    let mut terminal = Terminal::start(command(&project, &["run", "--test", "t/f_test.sh [y]"]));
    terminal
        .expect("told")
        .expect("set up by t/setup.sh")
        .expect("PATH=/run/orca/bin:$PATH sh t/f");
    terminal.types("kill -0 $(cat /run/pid) && PATH=/run/orca/bin:$PATH sh $ORCA_TEST");
    terminal.expect("ok 1 - it is y").types("exit 5");
    assert_eq!(terminal.end().code(), Some(5));
    let mut terminal = Terminal::start(command(&project, &["run", "--test", "t/a/b_test.sh"]));
    terminal.expect("t/a/setup.sh did not pass").expect("exit status 3").expect("# ");
    terminal.types("tr '\\n' , </run/by; exit").expect("outer,1,");
    terminal.end();
    nothing_is_left(&project);
}

#[test]
fn the_project_is_there_on_the_console() {
    let project = project();
    project.file("here", "it is shared\n");
    for share in ["disk", "ro"] {
        let args = ["run", "--console", "--share", share];
        let mut terminal = Terminal::start(command(&project, &args));
        terminal.expect("# ").types("cat /mnt/glacic/here").expect("it is shared");
        terminal.types("\u{1d}");
        terminal.end();
    }
    nothing_is_left(&project);
}

/// Sends a packet of gdb's remote protocol, and returns the answer.
fn gdb(stream: &mut UnixStream, packet: &str) -> String {
    let sum = packet.bytes().fold(0_u8, u8::wrapping_add);
    stream.write_all(format!("+${packet}#{sum:02x}").as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut byte = [0];
    while answer.len() < 3 || answer[answer.len() - 3] != b'#' {
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    String::from_utf8_lossy(&answer).trim_start_matches(['+', '$']).to_owned()
}

#[test]
fn a_machine_waits_for_its_debugger_and_its_command_line_is_logged() {
    let project = project();
    let mut child =
        command(&project, &["run", "--gdb", "--log-dir", "logs", "--", "cat", "/proc/cmdline"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let line = said.find(|line| line.contains("target remote")).unwrap();
    let socket = line.split("target remote ").nth(1).unwrap().trim_end_matches('\'');
    let socket = PathBuf::from(socket);
    let mut stream = loop {
        match UnixStream::connect(&socket) {
            Ok(stream) => break stream,
            // No event tells that QEMU listens.
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let stopped = gdb(&mut stream, "?");
    assert!(stopped.starts_with('T') || stopped.starts_with('S'), "{stopped}");
    stream.write_all(b"+$c#63").unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap());
    ran.exits(0).says("nokaslr");
    let kept = fs::read_to_string(project.root().join("logs/vm1.command")).unwrap();
    assert!(kept.contains("-gdb unix:") && kept.contains("qemu-system"), "{kept}");
    nothing_is_left(&project);
}

#[test]
fn the_doctor_boots_a_machine() {
    let project = project();
    project.test("good", "echo 1..1; echo ok 1");
    let ran = Ran::from(command(&project, &["doctor"]).output().unwrap());
    ran.exits(0).says("its agent is 0.").says("tests can run here").never_says("BAD");
    nothing_is_left(&project);
}
