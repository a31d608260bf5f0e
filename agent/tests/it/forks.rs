//! `orca-fork`, from a test to the host and back. Here nothing is frozen: the host answers.

use crate::kit::{Agent, Project, is_alive, wait_for};
use agent::wire::{self, Kind};
use nix::sys::signal::{Signal, kill};
use std::path::Path;
use std::process::Command;

/// The id of a test: one that no fork has.
const TEST: u32 = 1000;

fn start(project: &Project, script: &str) -> Agent {
    let path = project.script("fork_test.sh", script);
    let mut agent = Agent::framed(project);
    agent.request(TEST, &format!("TEST {path}"), &[]);
    agent
}

fn answer(agent: &mut Agent, fork: u32, case: &str) {
    agent.frame(Kind::Fork, fork, &wire::wrap(Kind::Data, case.as_bytes()));
}

/// Makes sure that nothing comes from the agent by itself.
fn is_silent(agent: &mut Agent) {
    agent.request(TEST + 1, "PING", &[]);
    let next = agent.next();
    assert_eq!((next.id, &next.payload[..]), (TEST + 1, &b"PONG"[..]), "{:?}", next.kind);
}

#[test]
fn a_test_goes_on_with_the_name_of_its_case() {
    let project = Project::new();
    let script = "seq 20000; echo errors >&2; case=$(orca-fork ipv4 'both of them') || exit 9
        echo \"it is $case\"; orca-fork only";
    let mut agent = start(&project, script);
    let (printed, fork) = agent.until_fork(TEST);
    assert_eq!(fork.payload, b"ipv4\0both of them\0");
    assert!(printed.ends_with("\n20000\n"), "all that was printed comes before");
    // Answers that nobody waits for are dropped.
    answer(&mut agent, 77, "ipv4");
    agent.frame(Kind::Fork, fork.id, b"");
    agent.frame(Kind::Fork, fork.id, b"?");
    is_silent(&mut agent);
    // What a copy is told and made to do before it goes on. This agent's machine is not its own.
    agent.request(TEST + 2, "RESUME", &[]);
    assert_eq!(agent.next().payload, b"OK");
    answer(&mut agent, fork.id, "both of them");
    answer(&mut agent, fork.id, "again");
    let (printed, second) = agent.until_fork(TEST);
    assert_eq!((&printed[..], &second.payload[..]), ("it is both of them\n", &b"only\0"[..]));
    answer(&mut agent, second.id, "only");
    let got = agent.answer(TEST);
    assert_eq!((&got.text()[..], got.last()), ("only\n", "TAP_END fork_test.sh exit=0"));
}

#[test]
fn a_refusal_is_a_line_and_a_status() {
    let project = Project::new();
    let script = "orca-fork a b 2>&1 || echo $?; orca-fork a a 2>&1 || echo $?";
    let mut agent = start(&project, script);
    let (_, fork) = agent.until_fork(TEST);
    agent.frame(Kind::Fork, fork.id, &wire::wrap(Kind::Reply, b"ERR the disk is full"));
    let got = agent.answer(TEST);
    let expected = "orca-fork: the disk is full\n1\norca-fork: case `a` is there twice\n1\n";
    assert_eq!(got.text(), expected);
}

#[test]
fn the_host_gets_forks_one_after_the_other() {
    let project = Project::new();
    let script = "orca-fork a > out.a & orca-fork b > out.b & wait; cat out.a out.b";
    let mut agent = start(&project, script);
    let mut forks = Vec::new();
    for _ in 0..2 {
        let (_, fork) = agent.until_fork(TEST);
        is_silent(&mut agent);
        if let Some(&first) = forks.first() {
            answer(&mut agent, first, "late"); // it has its answer
        }
        let case = format!("case {}", String::from_utf8_lossy(&fork.payload[..1]));
        answer(&mut agent, fork.id, &case);
        forks.push(fork.id);
    }
    assert_ne!(forks[0], forks[1]);
    assert_eq!(agent.answer(TEST).text(), "case a\ncase b\n");
}

#[test]
fn a_program_that_is_killed_while_it_waits_is_forgotten() {
    let project = Project::new();
    let script = "orca-fork a b & echo $! > pid; wait $!; echo killed $?
        orca-fork c d";
    let mut agent = start(&project, script);
    let (_, fork) = agent.until_fork(TEST);
    let pid = project.pid("pid");
    kill(nix::unistd::Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
    wait_for("its end", || (!is_alive(pid)).then_some(()));
    is_silent(&mut agent);
    answer(&mut agent, fork.id, "a");
    let (printed, second) = agent.until_fork(TEST);
    assert_eq!((&printed[..], &second.payload[..]), ("killed 137\n", &b"c\0d\0"[..]));
    answer(&mut agent, second.id, "d");
    assert_eq!(agent.answer(TEST).text(), "d\n");
}

#[test]
fn a_test_that_ends_while_the_host_forks_it_waits() {
    let project = Project::new();
    let mut agent = start(&project, "orca-fork a & while ! [ -e go ]; do :; done; exit 3");
    let (_, fork) = agent.until_fork(TEST);
    std::fs::write(project.file("go"), "").unwrap();
    is_silent(&mut agent);
    answer(&mut agent, fork.id, "a");
    assert_eq!(agent.answer(TEST).ended.exit, 3);
}

#[test]
fn a_cancel_ends_a_test_that_waits_for_its_fork() {
    let project = Project::new();
    let mut agent = start(&project, "orca-fork a & wait; wait");
    let (_, fork) = agent.until_fork(TEST);
    agent.request(1, &format!("CANCEL {TEST}"), &[]);
    assert_eq!(agent.answer(TEST).ended.exit, 143);
    answer(&mut agent, fork.id, "a");
    is_silent(&mut agent);
}

#[test]
fn the_longest_list_arrives() {
    let project = Project::new();
    let lines: Vec<String> = (0..wire::CASES_MAX).map(|at| format!("case {at:010}")).collect();
    std::fs::write(project.file("cases"), format!("# all\n\n{}\n", lines.join("\n"))).unwrap();
    let mut agent = start(
        &project,
        "grep -v 0007 cases | orca-fork --lines -; \
                                     orca-fork --lines cases",
    );
    let (_, fork) = agent.until_fork(TEST);
    assert!(fork.payload.len() > 60_000 && !fork.payload.ends_with(b"0007\0"));
    answer(&mut agent, fork.id, "x");
    let (printed, fork) = agent.until_fork(TEST);
    assert_eq!(printed, "x\n");
    assert_eq!(fork.payload, format!("{}\0", lines.join("\0")).into_bytes());
    answer(&mut agent, fork.id, &lines[7]);
    assert_eq!(agent.answer(TEST).text(), "case 0000000007\n");
}

#[test]
fn only_a_running_test_may_fork() {
    let project = Project::new();
    let script = "echo \"$ORCA_FORK_SOCKET\" > socket; command -v orca-fork";
    let mut agent = start(&project, script);
    let program = agent.answer(TEST).text().trim_end().to_owned();
    assert!(Path::new(&program).exists(), "{program:?}");
    let exec = format!("EXEC ORCA_FORK_SOCKET=$(cat socket) {program} a 2>&1");
    agent.request(1, &exec, &[]);
    let got = agent.answer(1);
    assert!(got.text().starts_with("orca-fork: no test is running; by hand, "), "{}", got.text());
    assert_eq!(got.ended.exit, 1);
    agent.request(1, &exec, &[("ORCA_CASE", "[b][a]")]);
    let got = agent.answer(1);
    assert_eq!((&got.text()[..], got.ended.exit), ("a\n", 0), "a person says which case it is");
    agent.request(TEST, "EXIT", &[]);
    assert!(agent.wait().success());
    assert!(!Path::new(&program).exists(), "{program} is left");
}

#[test]
fn there_are_no_forks_in_text_mode() {
    let project = Project::new();
    let path = project.script("text_test.sh", "echo ${ORCA_FORK_SOCKET-none}; orca-fork a");
    let mut agent = Agent::start(&project);
    let got = agent.ask(&format!("TEST {path}"), "TAP_END");
    assert_eq!((&got[1][..], &got[got.len() - 1][..]), ("none", "TAP_END text_test.sh exit=127"));
}

#[test]
fn the_programs_command_line() {
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
        command.arg("orca-fork").args(args).env("ORCA_FORK_SOCKET", "/no/such/socket");
        let out = command.output().unwrap();
        let text = [out.stdout, out.stderr].concat();
        (out.status.code(), String::from_utf8(text).unwrap())
    };
    let (status, help) = run(&["--help"]);
    assert!(status == Some(0) && help.starts_with("usage: orca-fork NAME...\n"), "{help}");
    for wrong in [&[][..], &["--"], &["-x"], &["--lines"], &["--lines", "a", "b"]] {
        assert_eq!(run(wrong), (Some(2), help.clone()), "{wrong:?}");
    }
    for (args, why) in [
        (&["a"][..], "no test is running here"),
        (&["--", "-a"], "no test is running here"),
        (&["--lines", "/dev/null"], "there is no case"),
        (&["a\nb"], "case `a?b` has a control character"),
    ] {
        assert_eq!(run(args), (Some(1), format!("orca-fork: {why}\n")), "{args:?}");
    }
}
