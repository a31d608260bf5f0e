//! `SHELL`: a real terminal at the other end.

use crate::kit::{Agent, Project, read_until, wait_for};
use agent::wire::{Ended, Kind};

/// Reads a shell's frames until its output holds `wanted`.
fn shell_says(agent: &mut Agent, wanted: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(wanted) {
        let frame = agent.next();
        assert_eq!(frame.kind, Kind::Stdout, "after {seen:?}: {:?}", frame.payload.escape_ascii());
        seen.push_str(&String::from_utf8_lossy(&frame.payload));
    }
    seen
}

fn start(project: &Project) -> Agent {
    let mut agent = Agent::framed(project);
    agent.request(
        1,
        "SHELL",
        &[("SHELL", "/bin/sh"), ("TERM", "vt100"), ("PS1", "$ "), ("ENV", "")],
    );
    agent
}

#[test]
fn control_c_reaches_the_foreground() {
    let project = Project::new();
    let mut agent = start(&project);
    agent.frame(Kind::Stdin, 1, b"echo be''gin $TERM\n");
    shell_says(&mut agent, "begin vt100");
    agent.frame(Kind::Stdin, 1, b"sh -c 'echo $$ > pid; exec sleep 1000'\n");
    let comm = format!("/proc/{}/comm", project.pid("pid"));
    wait_for("the sleep", || (std::fs::read_to_string(&comm).ok()? == "sleep\n").then_some(()));
    agent.frame(Kind::Stdin, 1, b"\x03");
    agent.frame(Kind::Stdin, 1, b"echo still $((40 + 2))\n");
    shell_says(&mut agent, "still 42");
    agent.frame(Kind::Stdin, 1, b"exit 6\n");
    let got = agent.answer(1);
    assert_eq!(got.ended, Ended { exit: 6, ..Ended::default() });
    assert_eq!(got.last(), "--- END SHELL (exit=6) ---");
}

#[test]
fn the_window_follows() {
    let project = Project::new();
    let mut agent = start(&project);
    agent.frame(Kind::Stdin, 1, b"tty; stty size\n");
    assert!(shell_says(&mut agent, "24 80").contains("/dev/pts/"));
    let window = [50u16.to_le_bytes(), 132u16.to_le_bytes()].concat();
    agent.frame(Kind::Window, 1, &window);
    agent.frame(Kind::Stdin, 1, b"stty size\n");
    shell_says(&mut agent, "50 132");
    // The end of input becomes ^D.
    agent.frame(Kind::Stdin, 1, b"");
    assert_eq!(agent.answer(1).ended.exit, 0);
}

#[test]
fn jobs_end_with_their_shell() {
    let project = Project::new();
    let mut agent = start(&project);
    agent.frame(Kind::Stdin, 1, b"nohup sleep 1000 > nohup.out 2>&1 & echo $! > pid; exit\n");
    let got = agent.answer(1);
    assert!(!crate::kit::is_alive(project.pid("pid")));
    assert_eq!(got.ended, Ended { left: 1, ..Ended::default() }, "{got:?}");
}

#[test]
fn in_text_mode_the_bytes_are_unchanged() {
    let project = Project::new();
    let mut agent = Agent::start(&project);
    agent.send("SHELL\n");
    agent.send("echo TAP_''END; exit 3\n");
    let seen = read_until(&mut agent.stream, "(exit=3) ---\n").unwrap();
    assert!(seen.contains("TAP_END\r\n") && !seen.contains("\\TAP_END"), "{seen:?}");
    assert!(seen.ends_with("\n--- END SHELL (exit=3) ---\n"), "{seen:?}");
    assert_eq!(agent.ask("PING", "PONG"), ["PONG"]);
}
