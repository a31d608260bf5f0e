//! Set-ups: tests whose processes and folders are the machine's when they have ended. Here the
//! agent's end is the machine's.

use crate::kit::{Agent, Answer, Project, is_alive, wait_for};
use agent::wire;
use std::path::Path;

/// Leaves a daemon that has left its session, and notes its process id and its folder.
const LEAVES_A_DAEMON: &str = "(setsid sh -c 'echo $$ > pid; exec sleep 1000' &)
    while ! [ -s pid ]; do :; done; echo $TMPDIR > folder; echo ready";

fn set_up(agent: &mut Agent, path: &str) -> Answer {
    agent.request(1, &format!("TEST {path}"), &[(wire::SETUP, "1")]);
    agent.answer(1)
}

#[test]
fn what_a_set_up_leaves_outlives_tests() {
    let project = Project::new();
    let setup = project.script("setup.sh", LEAVES_A_DAEMON);
    let mut agent = Agent::framed(&project);
    let got = set_up(&mut agent, &setup);
    assert_eq!((got.text(), got.last()), ("ready\n".to_owned(), "TAP_END setup.sh exit=0"));
    assert_eq!(got.lines.len(), 2, "{:?}", got.lines);
    let daemon = project.pid("pid");
    let folder = std::fs::read_to_string(project.file("folder")).unwrap();
    let second = project.script("second.sh", "sleep 1000 & echo $! > second; kill -0 $(cat pid)");
    assert_eq!(set_up(&mut agent, &second).last(), "TAP_END second.sh exit=0");
    let test = project.script(
        "a_test.sh",
        "kill -0 $(cat pid) $(cat second); (setsid sh -c 'echo $$ > own; exec sleep 1000' &)
        until grep -q sleep /proc/$(cat own)/comm; do :; done 2>/dev/null",
    );
    for keep in ["0", "1"] {
        agent.request(2, &format!("TEST {test}"), &[("ORCA_KEEP", keep)]);
        let got = agent.answer(2);
        let own = project.pid("own");
        if keep == "0" {
            assert_eq!(got.lines[1..], [format!("LEFT {own} sleep"), got.last().to_owned()]);
            assert_eq!(got.last(), "TAP_END a_test.sh exit=0 left=1");
        }
        assert_eq!(is_alive(own), keep == "1");
        assert!(is_alive(daemon) && is_alive(project.pid("second")) && exists(&folder));
        std::fs::remove_file(project.file("own")).unwrap();
    }
    agent.request(3, "EXIT", &[]);
    while agent.next().payload != b"BYE" {}
    assert!(!is_alive(daemon) && !is_alive(project.pid("second")) && !exists(&folder));
    assert!(agent.wait().success());
}

fn exists(folder: &str) -> bool {
    Path::new(folder.trim_end()).is_dir()
}

#[test]
fn a_host_that_leaves_ends_the_agent_and_its_set_ups() {
    let project = Project::new();
    let setup = project.script("setup.sh", LEAVES_A_DAEMON);
    let mut agent = Agent::framed(&project);
    set_up(&mut agent, &setup);
    agent.stream.get_ref().shutdown(std::net::Shutdown::Both).unwrap();
    assert!(agent.wait().success());
    assert!(!is_alive(project.pid("pid")));
}

#[test]
fn what_a_set_up_left_may_print_for_ever() {
    let project = Project::new();
    nix::unistd::mkfifo(&project.file("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let script = "(read -r x < gate; head -c 3000000 /dev/zero && head -c 3000000 /dev/zero >&2
        echo $? > status) &";
    let setup = project.script("setup.sh", script);
    let mut agent = Agent::framed(&project);
    assert_eq!(set_up(&mut agent, &setup).last(), "TAP_END setup.sh exit=0");
    let got = agent.run("EXEC echo open > gate");
    assert_eq!(project.pid("status"), 0);
    assert_eq!((got.stdout.len(), got.others.len()), (0, 0));
    agent.request(2, "PING", &[]);
    assert_eq!(agent.next().payload, b"PONG");
}

#[test]
fn a_set_up_that_is_cancelled_leaves_nothing() {
    let project = Project::new();
    let setup = project.script("setup.sh", &format!("{LEAVES_A_DAEMON}; sleep 1000"));
    let mut agent = Agent::framed(&project);
    agent.request(1, &format!("TEST {setup}"), &[(wire::SETUP, "1"), ("ORCA_KEEP", "1")]);
    let daemon = project.pid("pid");
    agent.request(2, "CANCEL 1", &[]);
    assert_eq!(agent.answer(1).ended.exit, 143);
    wait_for("the daemon's end", || (!is_alive(daemon)).then_some(()));
}
