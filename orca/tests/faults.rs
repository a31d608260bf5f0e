//! Faults of a test or a guest, each once: that test alone gets a bad verdict, and it is the right
//! one. Built with `--features vm`; needs the Debian image in `build/`, which scripts/check.sh
//! makes.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[path = "kit/image.rs"]
mod image;
#[expect(dead_code, reason = "not every file uses all of the kit")]
mod kit;
#[path = "kit/ko.rs"]
mod ko;
#[path = "kit/process.rs"]
#[expect(dead_code, reason = "not every file sends signals to its children")]
mod process;

use kit::{Project, Ran};
use ko::KO;
use process::wait_for;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A check that passes, before the fault.
const ONE: &str = "echo 1..1; echo ok 1; ";

/// A project whose runs leave their files in its own folders only.
struct Lab {
    project: Project,
}

/// The attempts in the JSON report, in order.
struct Report(Vec<Value>);

impl Lab {
    fn new() -> Self {
        Self { project: Project::new() }
    }

    fn test(&self, name: &str, body: &str) -> &Self {
        self.project.test(name, body);
        self
    }

    fn command(&self, args: &[&str]) -> Command {
        image::command(
            &image::build(),
            &self.project,
            &[&["test", "--json", "report.json"], args].concat(),
        )
    }

    /// Runs the tests, and fails if the run leaves a file or a machine.
    fn orca(&self, args: &[&str]) -> (Ran, Report) {
        let ran = Ran::from(self.command(args).output().unwrap());
        let report = self.report();
        assert_eq!(image::leftovers(&self.project), [] as [PathBuf; 0]);
        assert_eq!(image::machines(&self.project), []);
        (ran, report)
    }

    fn report(&self) -> Report {
        let text = fs::read_to_string(self.project.root().join("report.json")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        Report(lines.filter(|line| line["event"] == "test_finished").collect())
    }
}

impl Report {
    /// The attempts at a test, at least one.
    #[track_caller]
    fn of(&self, name: &str) -> Vec<&Value> {
        let path = format!("t/{name}_test.sh");
        let found: Vec<&Value> =
            self.0.iter().filter(|line| line["test"] == path.as_str()).collect();
        assert!(!found.is_empty(), "nothing of {path} in {:#?}", self.0);
        found
    }

    /// The only attempt at a test; fails unless it had this outcome.
    #[track_caller]
    fn one(&self, name: &str, outcome: &str) -> &Value {
        let all = self.of(name);
        assert_eq!((all.len(), &all[0]["outcome"]), (1, &outcome.into()), "{name}: {all:#?}");
        all[0]
    }

    /// The second of two attempts at a test; fails unless they had two machines and both ended in
    /// `error` for this reason.
    #[track_caller]
    fn errored(&self, name: &str, why: &str) -> &Value {
        let all = self.of(name);
        assert_eq!(all.len(), 2, "{name}: {all:#?}");
        for attempt in &all {
            assert_eq!(attempt["outcome"], "error", "{name}: {attempt:#}");
            assert!(attempt["why"].as_str().unwrap().contains(why), "{name}: {attempt:#}");
        }
        let never_booted = all[1]["machine"] == "";
        assert!(never_booted || all[0]["machine"] != all[1]["machine"], "{name}: {all:#?}");
        all[1]
    }
}

/// The text of a field; a list is joined to lines.
fn text(attempt: &Value, field: &str) -> String {
    match &attempt[field] {
        Value::Array(lines) => {
            lines.iter().map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n")
        }
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

fn seconds(attempt: &Value) -> f64 {
    attempt["seconds"]["test"].as_f64().unwrap()
}

#[test]
fn a_machine_that_dies_costs_one_test_its_verdict() {
    let lab = Lab::new();
    let die = |what: &str| format!("{ONE}{what}; sleep 1000");
    lab.test("reboot", &die("echo b >/proc/sysrq-trigger"));
    lab.test("poweroff", &die("kill -TERM 1")); // what tells an init to power off
    lab.test("panic", &die("echo c >/proc/sysrq-trigger"));
    lab.test("panic_stays", &die("sysctl -qw kernel.panic=0; echo c >/proc/sysrq-trigger"));
    lab.test("oops", &die(&format!("{KO}ko 31c08b00")));
    lab.test("bug", &die(&format!("{KO}ko 0f0b")));
    // 0xC0045877 is FIFREEZE.
    let freeze = "perl -e 'open F, \"<\", \"/\"; ioctl F, 0xC0045877, 0'; touch /root/x";
    lab.test("hung_task", &die(&format!("sysctl -qw kernel.hung_task_timeout_secs=1; {freeze}")));
    lab.test("bystander", ONE).test("zz_bystander", ONE);
    let (ran, report) = lab.orca(&["-j2"]);
    ran.exits(3).says("trying again").says("2 passed, 7 without a verdict");
    report.errored("reboot", "machine lost");
    let off = report.errored("poweroff", "machine lost");
    assert!(text(off, "console").contains("reboot: Power down"), "{off:#}");
    for name in ["panic", "panic_stays"] {
        let panic = report
            .errored(name, "kernel panicked: Kernel panic - not syncing: sysrq triggered crash");
        assert!(text(panic, "console").contains("sysrq_handle_crash"), "{panic:#}");
        assert!(seconds(panic) < 30.0, "not the minute that silence takes: {panic:#}");
    }
    let oops = report.errored("oops", "kernel panicked: BUG: kernel NULL pointer dereference");
    assert!(text(oops, "console").contains("dummy_init_module"), "{oops:#}");
    report.errored("bug", "kernel panicked: invalid opcode");
    report.errored("hung_task", "kernel panicked: Kernel panic - not syncing: hung_task");
    report.one("bystander", "pass");
    report.one("zz_bystander", "pass");
}

#[test]
fn a_machine_that_hangs_is_diagnosed_and_replaced() {
    let lab = Lab::new();
    // The timeout is out of reach: only a missing answer to PING ends these tests.
    let patient = format!("# orca: timeout=900s\n{ONE}");
    lab.test("interrupts_off", &format!("{patient}{KO}ko faebfe"));
    let freeze = "mkdir /sys/fs/cgroup/x; cd /sys/fs/cgroup/x; echo 1 >cgroup.procs; \
                  echo 1 >cgroup.freeze; sleep 1000";
    lab.test("agent_stopped", &format!("{patient}{freeze}"));
    let silent = "cd /sys/bus/virtio/drivers/virtio_console; \
                  for d in virtio*; do echo $d >unbind; done; sleep 1000";
    lab.test("port_silent", &format!("{patient}{silent}"));
    lab.test("bystander", ONE);
    // All bounds are scaled down, so booting gets a longer one.
    let (ran, report) = lab.orca(&["-j4", "--timeout-factor", "0.1", "--boot-timeout", "600s"]);
    ran.exits(3).says("1 passed, 3 without a verdict");
    let off = report.errored("interrupts_off", "machine hung: no answer to PING in 2 s");
    let console = text(off, "console");
    assert!(console.contains("[orca: CPU 0: RIP=") && console.contains("CPL=0"), "{console}");
    assert!(console.contains("after an NMI") && console.contains("dummy_init_module"), "{console}");
    for name in ["agent_stopped", "port_silent"] {
        let hung = report.errored(name, "machine hung: no answer to PING");
        assert!(text(hung, "console").contains("sysrq: Show Blocked State"), "{hung:#}");
        assert!(seconds(hung) < 60.0, "not the 65 s of bounds that are not scaled: {hung:#}");
    }
    report.one("bystander", "pass");
}

#[test]
fn a_qemu_that_is_killed_or_stopped_is_replaced() {
    let lab = Lab::new();
    lab.test("victim", &format!("echo it runs >&2; {ONE}sleep 1000"));
    let args = ["-j1", "--log-dir", "logs", "--timeout-factor", "0.1", "--boot-timeout", "600s"];
    let mut orca =
        lab.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let seen = |log: &str| {
        let log: PathBuf = lab.project.root().join("logs/t").join(log).join("output.log");
        fs::read_to_string(log).is_ok_and(|text| text.contains("it runs"))
    };
    for (log, signal) in [("victim_test.sh", "KILL"), ("victim_test.sh.attempt-2", "STOP")] {
        wait_for("the test to run", || seen(log) || orca.try_wait().unwrap().is_some());
        for (pid, _) in image::machines(&lab.project) {
            // A machine that has ended meanwhile is the one of the last attempt.
            let _ = Command::new("kill").args(["-s", signal, &pid.to_string()]).output();
        }
    }
    let ran = Ran::from(orca.wait_with_output().unwrap());
    ran.exits(3).says("1 without a verdict");
    let report = lab.report();
    let [lost, hung] = report.of("victim")[..] else { panic!("{:#?}", report.0) };
    assert!(text(lost, "why").contains("machine lost"), "{lost:#}");
    assert!(text(hung, "why").contains("machine hung"), "{hung:#}");
    assert!(text(hung, "console").contains("[orca: QEMU did not answer in time]"), "{hung:#}");
    assert_eq!(image::machines(&lab.project), []);
}

#[test]
fn a_test_that_takes_too_long_or_kills_everything_ends_with_all_it_started() {
    let lab = Lab::new();
    let deaf =
        "trap '' TERM; echo 1..2; echo ok 1; (trap '' TERM; sleep 1000) & sleep 1000; sleep 1000";
    lab.test("deaf", &format!("# orca: timeout=1s\n{deaf}"));
    lab.test(
        "polite",
        "# orca: timeout=1s\necho 1..2; echo ok 1; trap 'echo not ok 2; exit 1' TERM
         sleep 1000 & wait",
    );
    lab.test("silent", &format!("{ONE}sleep 1000"));
    lab.test(
        "chatty",
        "echo 1..1; i=0; while [ $((i += 1)) -le 20 ]; do echo '# here'; sleep 0.5; done
         echo ok 1",
    );
    lab.test("kill_all", &format!("{ONE}kill -9 -1; kill -9 $$"));
    lab.test("exec_game", &format!("{ONE}exec sh -c 'exec >&- 2>&-; kill -9 1; exec kill -9 $$'"));
    let (ran, report) = lab.orca(&["-j2", "--silence", "8s", "--timeout-factor", "1"]);
    ran.exits(1).says("it ran into its timeout").says("it printed nothing for too long");
    let deaf = report.one("deaf", "timeout");
    assert_eq!(
        (&deaf["why"], &deaf["checks"]["passed"]),
        (&"timeout".into(), &1.into()),
        "{deaf:#}"
    );
    assert!(seconds(deaf) >= 2.9, "TERM, 2 s of grace, KILL: {deaf:#}");
    let polite = report.one("polite", "timeout");
    assert_eq!(polite["checks"]["failed"], 1, "{polite:#}");
    assert!(
        seconds(polite) < seconds(deaf),
        "SIGTERM ends it before the grace is over: {polite:#}"
    );
    assert_eq!(report.one("silent", "timeout")["why"], "silence");
    report.one("chatty", "pass");
    for name in ["kill_all", "exec_game"] {
        assert!(text(report.one(name, "fail"), "why").contains("killed by signal 9"));
    }
    // Without hardware virtualisation all bounds are three times as long.
    fs::remove_dir_all(lab.project.root().join("t")).unwrap();
    lab.test("slow", "# orca: timeout=1s\necho 1..1; sleep 1.5; echo ok 1");
    lab.orca(&["--accel", "tcg"]).1.one("slow", "pass");
}

#[test]
fn processes_that_a_test_leaves_running_are_killed_and_named() {
    let lab = Lab::new();
    lab.test(
        "a_daemon",
        &format!("{ONE}(setsid sleep 1001 &); trap '' HUP TERM; sleep 1002 & sleep 0.5; exec >&-"),
    );
    lab.test("b_holds_stdout", &format!("{ONE}sleep 1003 & sleep 0.5"));
    let escape = "echo 0 >/sys/fs/cgroup/cgroup.procs; (exec setsid sleep 1004 &); \
                  mkdir /sys/fs/cgroup/q; \
                  (echo 0 >/sys/fs/cgroup/q/cgroup.procs; exec sleep 1005) & sleep 0.5";
    lab.test("c_left_its_cgroup", &format!("{ONE}({escape})"));
    lab.test("z_next", "echo 1..1; pgrep -a sleep || echo ok 1");
    let (ran, report) = lab.orca(&["-j1", "--reuse", "-v"]);
    ran.exits(0).says("LEFT ").says("4 passed");
    for (name, left) in [("a_daemon", 2), ("b_holds_stdout", 1), ("c_left_its_cgroup", 2)] {
        let attempt = report.one(name, "pass");
        assert_eq!(text(attempt, "notes").matches(" sleep").count(), left, "{attempt:#}");
        assert!(seconds(attempt) < 5.0, "{attempt:#}");
    }
    let machines: Vec<&Value> = report.0.iter().map(|attempt| &attempt["machine"]).collect();
    assert!(machines.iter().all(|machine| *machine == machines[0]), "{machines:?}");
}

#[test]
fn a_guest_without_memory_disk_or_descriptors_fails_its_own_test() {
    let lab = Lab::new();
    // Each test uses up one resource. Some report it afterwards, as a real test would want to.
    let and_report = "echo \"status $?\" | tee $ORCA_ARTIFACTS/report";
    let hog = "perl -e 'push @x, \"a\" x (1 << 24) while 1'";
    lab.test("oom", &format!("{ONE}exec {hog}"));
    lab.test(
        "oom_many",
        &format!("{ONE}for i in 1 2 3 4 5 6; do {hog} & done; wait; {and_report}; exit 1"),
    );
    lab.test("disk_full", &format!("{ONE}cat /dev/zero >/root/x; {and_report}; echo x >/etc/x"));
    lab.test(
        "tmp_full",
        &format!("{ONE}cat /dev/zero >/tmp/x; echo \"status $?\"; echo x >/tmp/y"),
    );
    let files = "perl -e '$i = 0; $i++ while open F, \">\", \"/tmp/i$i\"; exit 1'";
    lab.test("inodes_gone", &format!("{ONE}exec {files}"));
    let open = "perl -e '$i = 0; $i++ while open $f[$i], \"<\", \"/dev/null\"; exit 1'";
    lab.test(
        "fds_gone",
        &format!(
            "{ONE}echo 300 >/proc/sys/fs/file-max; ulimit -n 100000; {open}; {and_report}; exit 1"
        ),
    );
    lab.test(
        "fork_bomb",
        "# orca: timeout=1s\necho 1..1; echo ok 1; b() { b | b & }; b; sleep 1000",
    );
    lab.test(
        "clock",
        "echo 1..1; for t in 1999-01-01 2037-12-31 @0; do date -s $t; sleep 0.3; done; echo ok 1",
    );
    lab.test("bystander", ONE).test("zz_bystander", ONE);
    // A guest that is short of everything is slow.
    let patient = ["--timeout-factor", "10"];
    let (ran, report) =
        lab.orca(&[&["-j2", "--log-dir", "logs", "-m", "256M"], &patient[..]].concat());
    ran.exits(1).says("3 passed, 6 failed, 1 timed out");
    let oom = report.one("oom", "fail");
    assert!(text(oom, "why").contains("killed by signal 9"), "{oom:#}");
    for name in ["oom", "oom_many"] {
        let notes = text(report.one(name, "fail"), "notes");
        assert!(notes.contains("NOTE out of memory: the kernel killed process"), "{notes}");
    }
    for name in ["oom_many", "disk_full", "fds_gone"] {
        let report = lab.project.root().join(format!("logs/t/{name}_test.sh/artifacts/report"));
        assert!(report.exists(), "no {}", report.display());
    }
    for name in ["disk_full", "tmp_full", "inodes_gone", "fds_gone"] {
        report.one(name, "fail");
    }
    report.one("fork_bomb", "timeout");
    for name in ["clock", "bystander", "zz_bystander"] {
        report.one(name, "pass");
    }
}

#[test]
fn a_machine_that_a_test_has_used_up_is_replaced_under_reuse() {
    let lab = Lab::new();
    let hog = "perl -e 'push @x, \"a\" x (1 << 24) while 1'";
    lab.test("a_oom", &format!("{ONE}exec {hog}"));
    lab.test("b_after", ONE);
    lab.test("c_tmp_full", &format!("{ONE}cat /dev/zero >/tmp/x; exit 1"));
    lab.test("d_after", ONE);
    let (ran, report) = lab.orca(&["-j1", "--reuse", "-m", "256M"]);
    ran.exits(1).says("2 passed, 2 failed");
    assert_eq!(report.one("a_oom", "fail")["machine"], report.one("b_after", "pass")["machine"]);
    let after = report.of("d_after");
    assert_eq!(after.last().unwrap()["outcome"], "pass", "{after:#?}");
}

#[test]
fn a_complaint_of_the_kernel_is_a_note_or_a_failure() {
    let lab = Lab::new();
    lab.test("a_warns", &format!("{ONE}{KO}ko 31c0c3"));
    lab.test("b_forged", &format!("{ONE}echo '<4>WARNING: CPU: 0 PID: 1 at x' >/dev/kmsg"));
    lab.test("c_after", ONE);
    let (ran, report) = lab.orca(&["-j1", "--reuse", "-v"]);
    ran.exits(0).says("the kernel complained: WARNING: CPU: 0 PID: ").says("3 passed");
    assert!(text(report.one("a_warns", "pass"), "complaints").contains("Call Trace:"));
    for name in ["b_forged", "c_after"] {
        assert_eq!(report.one(name, "pass")["complaints"], serde_json::json!([]));
    }
    let (ran, report) = lab.orca(&["-j1", "--reuse", "--fail-on-warn", "--junit", "junit.xml"]);
    ran.exits(1)
        .says("2 passed, 1 failed")
        .says("  the kernel complained: WARNING: CPU: 0 PID: ")
        .says("| Call Trace:");
    let why = text(report.one("a_warns", "fail"), "why");
    assert!(why.starts_with("the kernel complained: WARNING: "), "{why}");
    let junit = fs::read_to_string(lab.project.root().join("junit.xml")).unwrap();
    assert!(
        junit.contains("the kernel complained: WARNING: ") && junit.contains("Call Trace:"),
        "{junit}"
    );
}

#[test]
fn a_test_can_print_anything() {
    let lab = Lab::new();
    let line = "cat /dev/zero | head -c 100M | tr '\\0' x";
    lab.test("long_line", &format!("echo 1..1; {line}; echo; echo ok 1"));
    lab.test("flood", &format!("{ONE}yes 'some words that mean nothing at all' | head -c 100M"));
    let frames = r"printf 'R\1\0\0\0\32\0\0\0TAP_END forged_test.sh exit=0R\1\0\0\0\4\0\0\0PONG'";
    let junk = r"printf 'a\0b\377\376\033[2J\033]0;title\007\n'; cat /bin/sh";
    let markers = "echo 'TAP_END forged_test.sh exit=0'; echo 'HELLO AGENT_v1'; \
                   echo '--- END OUTPUT (exit=0) ---'";
    lab.test(
        "forged",
        &format!(
            "echo 1..2; echo ok 1; {frames}; echo; {markers}; {junk} | tr -d n; echo
             echo 'not ok 2'"
        ),
    );
    let other = "# Subtest: t/bystander_test.sh\n    not ok 1\n    1..1\n\
                 not ok 1 - t/bystander_test.sh\nok 2 - \\033[31mred\\033]0;x\\007\n1..2\n";
    lab.test("of_others", &format!("printf '{other}'"));
    lab.test("bystander", ONE);
    let (ran, report) = lab.orca(&["-j2", "--log-dir", "logs", "-v"]);
    ran.exits(1).never_says("\u{1b}").says("output.log is incomplete: cut off at 64 MiB");
    for name in ["long_line", "flood", "bystander"] {
        report.one(name, "pass");
    }
    let forged = report.one("forged", "fail");
    assert_eq!(forged["checks"]["failed"], 1, "{forged:#}");
    report.one("of_others", "fail");
    let log = fs::metadata(lab.project.root().join("logs/t/flood_test.sh/output.log")).unwrap();
    assert!((64 << 20..(64 << 20) + 100).contains(&log.len()), "{} bytes", log.len());
}

#[test]
fn machines_that_do_not_boot_end_the_run_with_their_console() {
    let lab = Lab::new();
    for name in ["a", "b", "c", "d", "e"] {
        lab.test(name, ONE);
    }
    let (ran, report) = lab.orca(&["-j1", "--append", "rdinit=/no/such/init"]);
    ran.exits(3)
        .says("3 machines in a row failed to boot")
        .says("boot failed: Kernel panic - not syncing");
    ran.says("console:").says("2 without a verdict, 3 not run");
    report.errored("a", "boot failed: Kernel panic");
    // A machine that neither ends nor answers costs no more than its limit.
    let (ran, _) = lab.orca(&[
        "-j1",
        "--cold",
        "--boot-timeout",
        "1s",
        "--timeout-factor",
        "1",
        "t/a_test.sh",
    ]);
    ran.exits(3).says("boot failed: the agent did not answer in time (1 s)");
}

#[test]
fn a_test_that_passes_on_its_second_machine_is_flaky() {
    let lab = Lab::new();
    lab.test(
        "x",
        "echo 1..1; [ -e seen ] || { : >seen; sync; echo c >/proc/sysrq-trigger; }; echo ok 1",
    );
    let (ran, report) = lab.orca(&["--share", "rw"]);
    ran.exits(0).says("FLAKY").says("1 passed, 1 flaky");
    let [first, second] = report.of("x")[..] else { panic!("{:#?}", report.0) };
    assert_eq!((&first["outcome"], &first["final"]), (&"error".into(), &false.into()));
    assert_eq!((&second["outcome"], &second["flaky"]), (&"pass".into(), &true.into()));
}
