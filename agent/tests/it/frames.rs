//! Frames, as orca uses them.

use crate::kit::{Agent, Project, is_alive};
use agent::wire::{self, Ended, Kind, PAYLOAD_MAX};
use std::time::{Duration, Instant};

#[test]
fn outputs_stay_apart_and_whole() {
    let project = Project::new();
    let mut agent = Agent::framed(&project);
    let got = agent.run("EXEC echo out; echo err >&2; exit 3");
    assert_eq!((&got.stdout[..], &got.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(got.lines, ["--- BEGIN OUTPUT ---", "--- END OUTPUT (exit=3) ---"]);
    let bytes: Vec<u8> = (0..=255).collect();
    std::fs::write(project.file("bytes"), &bytes).unwrap();
    let got = agent.run("EXEC cat bytes; echo TAP_END x exit=0; printf TAP_END");
    assert_eq!(got.stdout, [&bytes[..], b"TAP_END x exit=0\nTAP_END"].concat());
}

#[test]
fn a_ping_is_answered_while_tests_run() {
    let project = Project::new();
    let path = project.script("slow_test.sh", "echo started; read -r x < gate; echo $ORCA_VM $x");
    nix::unistd::mkfifo(&project.file("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut agent = Agent::framed(&project);
    agent.request(5, &format!("TEST {path}"), &[("ORCA_VM", "vm-9")]);
    agent.request(5, "EXEC true", &[]);
    agent.request(6, "PING", &[]);
    agent.request(7, "EXEC echo open > gate", &[]);
    let got = agent.answer(5);
    assert_eq!(got.last(), "ERR request 5 is running already");
    let rest = agent.answer(5);
    let replies: Vec<_> = got.others.iter().chain(&rest.others).collect();
    assert!(replies.iter().any(|f| (f.id, &f.payload[..]) == (6, b"PONG")), "{replies:?}");
    let text = got.text() + &rest.text();
    assert_eq!(text, "started\nvm-9 open\n");
    assert_eq!(rest.last(), "TAP_END slow_test.sh exit=0");
}

#[test]
fn standard_input_arrives_whole() {
    let project = Project::new();
    let mut agent = Agent::framed(&project);
    agent.request(1, "EXEC sleep 0.3; wc -c", &[]);
    for _ in 0..80 {
        agent.frame(Kind::Stdin, 1, &[b'x'; PAYLOAD_MAX]);
    }
    agent.frame(Kind::Stdin, 1, b"");
    let got = agent.answer(1);
    assert_eq!(got.text().trim(), (80 * PAYLOAD_MAX).to_string());
    // Nothing waits for a process that reads no input. Input for no request is dropped.
    agent.request(2, "EXEC true", &[]);
    for _ in 0..80 {
        agent.frame(Kind::Stdin, 2, &[b'x'; PAYLOAD_MAX]);
        agent.frame(Kind::Stdin, 99, b"x");
    }
    assert_eq!(agent.answer(2).ended, Ended::default());
}

#[test]
fn the_request_has_the_last_word_on_the_environment() {
    let project = Project::new();
    let mut agent = Agent::framed(&project);
    let env = [("LANG", "x"), ("TMPDIR", "/tmp"), ("SECRET", "a=b c\nd")];
    let path = project.script("env_test.sh", "echo $LANG $TMPDIR \"$SECRET\"");
    agent.request(1, &format!("TEST {path}"), &env);
    assert_eq!(agent.answer(1).text(), "x /tmp a=b c\nd\n");
}

#[test]
fn artifacts_come_back() {
    let project = Project::new();
    let script = "cd $ORCA_ARTIFACTS; mkdir -p a/b; printf one > a/b/1.txt; : > empty
        ln -s /etc/passwd link; mkfifo fifo; dd if=/dev/zero of=big bs=1000 count=200 2>/dev/null";
    let path = project.script("files_test.sh", script);
    let mut agent = Agent::framed(&project);
    let mut got = agent.run(&format!("TEST {path}"));
    got.files.sort();
    let sizes: Vec<_> = got.files.iter().map(|(n, d)| (n.as_str(), d.len())).collect();
    assert_eq!(sizes, [("a/b/1.txt", 3), ("big", 200_000), ("empty", 0)]);
    assert_eq!(got.lines, ["TAP_START files_test.sh", "TAP_END files_test.sh exit=0"]);
}

#[test]
fn artifacts_are_bounded() {
    let project = Project::new();
    let mut agent = Agent::framed(&project);
    let many = project.script("many_test.sh", "cd $ORCA_ARTIFACTS; touch $(seq 1100)");
    let got = agent.run(&format!("TEST {many}"));
    assert_eq!(got.files.len(), 1000);
    assert_eq!(got.lines[1], "NOTE artifacts truncated: over 1000 files");
    let sparse = "cd $ORCA_ARTIFACTS; dd if=/dev/zero of=hole bs=1 count=1 seek=100G 2>/dev/null";
    let path = project.script("big_test.sh", sparse);
    let got = agent.run(&format!("TEST {path}"));
    assert_eq!(got.files[0].1.len(), 64 << 20);
    assert_eq!(got.lines[1], "NOTE artifacts truncated: over 64 MiB");
    assert_eq!(got.last(), "TAP_END big_test.sh exit=0");
}

#[test]
fn cancel_ends_processes_that_ignore_term() {
    let project = Project::new();
    let script =
        "trap '' TERM; (setsid sh -c 'trap \"\" TERM; echo $$ > pid; sleep 1000; sleep 1000' &)
        while ! [ -s pid ]; do :; done; echo ready; sleep 1000; sleep 1000; sleep 1000";
    let path = project.script("stubborn_test.sh", script);
    let mut agent = Agent::framed(&project);
    agent.request(3, &format!("TEST {path}"), &[]);
    while agent.next().kind != Kind::Stdout {}
    let start = Instant::now();
    agent.request(4, "CANCEL 3", &[]);
    let got = agent.answer(3);
    assert!(start.elapsed() >= Duration::from_secs(2), "no grace: {:?}", start.elapsed());
    assert_eq!(
        got.others.iter().map(|f| (f.id, &f.payload[..])).collect::<Vec<_>>(),
        [(4, &b"OK"[..])]
    );
    assert_eq!(got.last(), "TAP_END stubborn_test.sh exit=137 signal=9");
    assert!(!is_alive(project.pid("pid")));
    agent.request(5, "CANCEL 3", &[]);
    assert_eq!(agent.answer(5).last(), "ERR no request 3 is running");
}

#[test]
fn cancel_lets_a_test_clean_up() {
    let project = Project::new();
    let script = "trap 'echo cleaned; exit 9' TERM; echo ready; while :; do sleep 0.01; done";
    let path = project.script("obedient_test.sh", script);
    let mut agent = Agent::framed(&project);
    agent.request(3, &format!("TEST {path}"), &[]);
    while agent.next().kind != Kind::Stdout {}
    agent.request(4, "CANCEL 3", &[]);
    let got = agent.answer(3);
    assert_eq!(got.text(), "cleaned\n");
    assert_eq!(got.ended.exit, 9);
}

#[test]
fn leftover_processes_are_killed_and_named() {
    let project = Project::new();
    let script = "sleep 1001 & echo $! > pid
        until grep -q sleep /proc/$!/comm; do :; done; exit 4";
    let path = project.script("left_test.sh", script);
    let mut agent = Agent::framed(&project);
    let got = agent.run(&format!("TEST {path}"));
    let pid = project.pid("pid");
    assert_eq!(
        got.lines[1..],
        [format!("LEFT {pid} sleep"), "TAP_END left_test.sh exit=4 left=1".into()]
    );
    assert!(!is_alive(pid));
}

#[test]
fn garbage_brings_text_mode_back() {
    let project = Project::new();
    let mut agent = Agent::framed(&project);
    for garbage in [&b"\n"[..], b"PING\n", b"C\0\0\0\0\xff\xff\xff\xff", b"O\0\0\0\0\0\0\0\0"] {
        agent.request(1, "EXEC echo $$ > pid; sleep 1000", &[]);
        let pid = project.pid("pid");
        agent.send(garbage);
        // The request that was running ends, in frames, before the greeting.
        assert!(crate::kit::read_until(&mut agent.stream, "HELLO AGENT_v1\n").is_ok());
        assert!(!is_alive(pid));
        std::fs::remove_file(project.file("pid")).unwrap();
        assert_eq!(agent.ask("PING", "PONG"), ["PONG"]);
        assert_eq!(agent.ask("FRAMES", "OK"), ["OK"]);
    }
    agent.frame(Kind::Command, 8, b"WHAT");
    assert_eq!(agent.answer(8).last(), "ERR unknown command `WHAT`");
    agent.frame(Kind::Command, 9, b"EXEC true\0novalue");
    assert_eq!(agent.answer(9).last(), "ERR malformed environment entry");
}

#[test]
fn exit_ends_running_requests() {
    let project = Project::new();
    let mut agent = Agent::framed(&project);
    agent.request(1, "EXEC echo $$ > pid; sleep 1000", &[]);
    let pid = project.pid("pid");
    agent.request(2, "EXIT", &[]);
    let mut last = agent.next();
    while last.id != 2 {
        last = agent.next();
    }
    assert_eq!(last.payload, b"BYE");
    assert!(wire::read_frame(&mut agent.stream).unwrap().is_none());
    assert!(agent.wait().success());
    assert!(!is_alive(pid));
}

#[test]
fn a_flood_stays_out_of_memory() {
    let project = Project::new();
    let mut agent = Agent::framed(&project);
    agent.request(1, "EXEC head -c 50000000 /dev/zero; head -c 20000000 /dev/zero >&2", &[]);
    let (mut out, mut err) = (0, 0);
    loop {
        let frame = agent.next();
        match frame.kind {
            Kind::Stdout => out += frame.payload.len(),
            Kind::Stderr => err += frame.payload.len(),
            _ if frame.payload.starts_with(b"--- END") => break,
            _ => {}
        }
    }
    assert_eq!((out, err), (50_000_000, 20_000_000));
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 16_000, "{peak} kB");
}
