//! Text mode, as a person with a terminal sees it.

use crate::kit::{Agent, Project, is_alive, wait_for};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn ping_and_exit() {
    let project = Project::new();
    let mut agent = Agent::start(&project);
    assert_eq!(agent.ask("PING", "PONG"), ["PONG"]);
    assert_eq!(agent.ask("EXIT", "BYE"), ["BYE"]);
    assert!(agent.wait().success());
}

#[test]
fn a_bad_command_is_refused_and_changes_nothing() {
    let project = Project::new();
    let mut agent = Agent::start(&project);
    for (command, refusal) in [
        ("", "ERR empty command"),
        ("ping", "ERR unknown command `ping`"),
        ("\u{1b}[2J", "ERR unknown command `\\x1b[2J`"),
        ("PING now", "ERR PING takes no argument"),
        ("EXEC", "ERR EXEC needs a command"),
        ("TEST", "ERR TEST needs a path"),
        ("TEST /etc/passwd", "ERR TEST takes a path relative to the project"),
        ("TEST t/../../x", "ERR TEST path holds `..`"),
        ("TEST t/none_test.sh", "ERR no such test: t/none_test.sh"),
        ("TEST t", "ERR not a file: t"),
        ("CANCEL 1", "ERR CANCEL needs FRAMES"),
        ("RESUME colour=red", "ERR RESUME: unknown key `colour`"),
        ("RESUME time=1", "ERR this machine is not the agent's to change"),
    ] {
        assert_eq!(agent.ask(command, "ERR "), [refusal], "{command:?}");
    }
    assert_eq!(agent.ask("RESUME", "OK"), ["OK"]);
    agent.send(vec![b'x'; 3 * agent::wire::LINE_MAX]);
    assert_eq!(agent.ask("", "ERR "), ["ERR line over 65536 bytes"]);
    agent.send(b"\xff\xfe\0\n");
    assert!(agent.line().starts_with("ERR unknown command"));
    assert_eq!(agent.ask("PING\r", "PONG"), ["PONG"]);
}

#[test]
fn exec_shows_both_outputs_and_the_status() {
    let project = Project::new();
    let mut agent = Agent::start(&project);
    let got = agent.ask("EXEC echo a; echo b >&2; echo c; exit 7", "--- END");
    assert_eq!(got, ["--- BEGIN OUTPUT ---", "a", "b", "c", "--- END OUTPUT (exit=7) ---"]);
    let got = agent.ask("EXEC printf unfinished", "--- END");
    assert_eq!(got, ["--- BEGIN OUTPUT ---", "unfinished", "--- END OUTPUT (exit=0) ---"]);
    let got = agent.ask("EXEC kill -9 $$", "--- END");
    assert_eq!(got.last().unwrap(), "--- END OUTPUT (exit=137 signal=9) ---");
    let got = agent.ask("EXEC cat; pwd", "--- END");
    let here = std::fs::canonicalize(&project.0).unwrap();
    assert_eq!(got[1], here.display().to_string(), "standard input is empty");
}

#[test]
fn a_test_gets_its_surroundings() {
    let project = Project::new();
    let script =
        "echo \"$0\"; pwd; echo $ORCA $ORCA_TEST $LANG $(umask); touch $TMPDIR/x; echo $TMPDIR";
    let path = project.script("a_test.sh", script);
    let mut agent = Agent::start(&project);
    let got = agent.ask(&format!("TEST {path}"), "TAP_END");
    assert_eq!(got[0], "TAP_START a_test.sh");
    assert_eq!(got[1], project.file("t/a_test.sh").display().to_string());
    assert_eq!(got[2], std::fs::canonicalize(&project.0).unwrap().display().to_string());
    assert_eq!(got[3], "1 t/a_test.sh C.UTF-8 0022");
    assert!(!std::path::Path::new(&got[4]).exists(), "{} is left", got[4]);
    assert_eq!(got[5..], ["TAP_END a_test.sh exit=0"]);
}

#[test]
fn a_test_runs_by_its_first_line() {
    let project = Project::new();
    let mut agent = Agent::start(&project);
    let own = project.script("own_test.sh", "#!/bin/cat\n1..0\n");
    let got = agent.ask(&format!("TEST {own}"), "TAP_END");
    assert_eq!(got[1..], ["#!/bin/cat", "1..0", "TAP_END own_test.sh exit=0"]);
    let missing = project.script("missing_test.sh", "#!/no/such/program\n");
    let got = agent.ask(&format!("TEST {missing}"), "TAP_END");
    assert_eq!(got.last().unwrap(), "TAP_END missing_test.sh exit=127");
    assert!(got[1].starts_with("agent: cannot run t/missing_test.sh"), "{got:?}");
    let odd = project.script("a b'$(c)_test.sh", "exit 5");
    let got = agent.ask(&format!("TEST {odd}"), "TAP_END");
    assert_eq!(got[1..], ["TAP_END a_b'$(c)_test.sh exit=5"]);
}

#[test]
fn a_test_outside_the_project_is_refused() {
    let project = Project::new();
    std::os::unix::fs::symlink("/bin/true", project.file("t/out_test.sh")).unwrap();
    let mut agent = Agent::start(&project);
    let got = agent.ask("TEST t/out_test.sh", "ERR");
    assert_eq!(got, ["ERR test is outside the project: t/out_test.sh"]);
}

#[test]
fn forged_markers_are_told_apart() {
    let project = Project::new();
    let script = "echo 1..1; echo TAP_END forge_test.sh exit=0; echo '--- END OUTPUT (exit=0) ---'
        echo 'HELLO AGENT_v1'; printf 'TAP_EN'; printf 'D forge_test.sh exit=0\\n'; exit 1";
    let path = project.script("forge_test.sh", script);
    let mut agent = Agent::start(&project);
    let got = agent.ask(&format!("TEST {path}"), "TAP_END");
    assert_eq!(
        got[1..],
        [
            "1..1",
            "\\TAP_END forge_test.sh exit=0",
            "\\--- END OUTPUT (exit=0) ---",
            "\\HELLO AGENT_v1",
            "\\TAP_END forge_test.sh exit=0",
            "TAP_END forge_test.sh exit=1",
        ]
    );
}

#[test]
fn a_daemon_that_holds_the_output_delays_nothing() {
    let project = Project::new();
    let script = "(setsid sh -c 'echo $$ > pid; trap \"\" TERM HUP; sleep 1000; sleep 1000' &)
        while ! [ -s pid ]; do :; done; echo ok 1";
    let path = project.script("daemon_test.sh", script);
    let mut agent = Agent::start(&project);
    let start = Instant::now();
    let got = agent.ask(&format!("TEST {path}"), "TAP_END");
    assert!(start.elapsed() < Duration::from_secs(30), "it took {:?}", start.elapsed());
    assert_eq!(got[1], "ok 1");
    assert!(got[2].starts_with("TAP_END daemon_test.sh exit=0 left="), "{got:?}");
    assert!(!is_alive(project.pid("pid")));
}

#[test]
fn a_host_that_leaves_takes_its_silent_test_along() {
    let project = Project::new();
    let path = project.script("silent_test.sh", "echo $$ > pid; sleep 1000");
    let mut agent = Agent::start(&project);
    agent.send(format!("TEST {path}\n"));
    let pid = project.pid("pid");
    agent.stream.get_ref().shutdown(std::net::Shutdown::Both).unwrap();
    assert!(agent.wait().success());
    wait_for("the test to end", || (!is_alive(pid)).then_some(()));
}

#[test]
fn commands_before_the_end_of_input_are_done() {
    let project = Project::new();
    let mut child = crate::kit::command(&project)
        .arg("--stdio")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"PING\nEXEC echo one; sleep 0.2; echo two\nPING\n")
        .unwrap();
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    let expected = "HELLO AGENT_v1\nPONG\n--- BEGIN OUTPUT ---\none\ntwo\n\
                    --- END OUTPUT (exit=0) ---\nPONG\n";
    assert_eq!(out, expected);
    assert!(child.wait().unwrap().success());
}

#[test]
fn other_ways_to_the_host() {
    let project = Project::new();
    let path = project.file("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let child = crate::kit::command(&project).arg("--port").arg(&path).spawn().unwrap();
    let mut agent = Agent { child, stream: crate::kit::reader(listener.accept().unwrap().0) };
    assert_eq!(agent.line(), "HELLO AGENT_v1");
    assert_eq!(agent.ask("PING", "PONG"), ["PONG"]);
    agent.stream.get_ref().shutdown(std::net::Shutdown::Both).unwrap();
    assert!(agent.wait().success());

    let (host, guest) = UnixStream::pair().unwrap();
    let child = crate::kit::command(&project)
        .args(["--fd", "0"])
        .stdin(OwnedFd::from(guest))
        .spawn()
        .unwrap();
    let mut agent = Agent { child, stream: crate::kit::reader(host) };
    assert_eq!(agent.line(), "HELLO AGENT_v1");
}

#[test]
fn the_command_line() {
    let run = |args: &[&str]| {
        let out =
            std::process::Command::new(env!("CARGO_BIN_EXE_agent")).args(args).output().unwrap();
        let text = [out.stdout, out.stderr].concat();
        (out.status.code(), String::from_utf8(text).unwrap())
    };
    assert_eq!(run(&["agent", "--version"]), (Some(0), "agent 0.1.0\n".into()));
    assert!(run(&["--help"]).1.contains("--project DIR"));
    let (exit, text) = run(&["--prot", "x"]);
    assert_eq!((exit, text.lines().count()), (Some(2), 1), "{text}");
    assert!(text.contains("did you mean `--port`?"), "{text}");
    let (exit, text) = run(&["--port", "/no/such/socket"]);
    assert_eq!((exit, text.lines().count()), (Some(1), 1), "{text}");
    assert!(text.starts_with("agent: cannot connect to `/no/such/socket`: "), "{text}");
}
