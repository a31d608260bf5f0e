//! The table of flags: one definition each, from which parsing, `--help`, the environment and `.orcarc` all derive.

use super::command::Command::{self, Doctor, List, Merge, Run, Shell, Template, Test};
use super::raw::{Artifacts, Color, Format, Raw};
use crate::arch::{Accel, Arch};
use crate::text::filter::Filter;
use crate::text::shard::Shard;
use crate::text::value::{self, Parsed};
use agent::wire::Share;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Where a flag stands in `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Which tests.
    Choosing,
    /// How they run.
    Running,
    /// What they run in.
    Machine,
    /// Looking into it.
    Debugging,
    /// What is printed and written.
    Output,
}

impl Group {
    /// Every group, in the order of `--help`.
    pub const ALL: [Self; 5] =
        [Self::Choosing, Self::Running, Self::Machine, Self::Debugging, Self::Output];

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Choosing => "Choosing",
            Self::Running => "Running",
            Self::Machine => "Machines",
            Self::Debugging => "Debugging",
            Self::Output => "Output",
        }
    }
}

/// One flag.
pub struct Flag {
    /// Behind `--`.
    pub long: &'static str,
    /// Behind `-`.
    pub short: Option<char>,
    /// The value's name in help; `None` for a switch; in brackets for one that may be left out (`--flag[=N]`).
    pub value: Option<&'static str>,
    /// Where it stands in help.
    pub group: Group,
    /// The commands that take it.
    pub on: &'static [Command],
    /// One line for `-h`.
    pub help: &'static str,
    /// The rest of its paragraph for `--help`; may be empty.
    pub doc: &'static str,
    /// Stores the value, which is empty for a switch and for a value that was left out.
    pub set: fn(&mut Raw, &OsStr) -> Parsed<()>,
}

impl Flag {
    /// Whether the value may be left out.
    pub fn is_optional(&self) -> bool {
        self.value.is_some_and(|value| value.starts_with('['))
    }

    /// Whether `command` takes it.
    pub fn is_on(&self, command: Command) -> bool {
        self.on.contains(&command.grammar())
    }

    /// The words it takes, where it takes one of a few; its setter knows them and nobody else.
    pub fn choices(&self) -> Vec<String> {
        let refusal = match self.value {
            Some(_) => (self.set)(&mut Raw::default(), OsStr::new("\u{1}")).err(),
            None => None,
        };
        let words = refusal.as_deref().and_then(|form| form.strip_prefix("one of "));
        words.map(|words| words.split(", ").map(str::to_owned).collect()).unwrap_or_default()
    }

    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("ORCA_{}", self.long.replace('-', "_").to_uppercase())
    }
}

/// Machines that `--keep` keeps unless it is told how many.
const KEPT: usize = 4;

const VMS: &[Command] = &[Test, Run, Template];
const HOST: &[Command] = &[Test, Run, Template, Doctor];
const TESTS: &[Command] = &[Test];
const CHOOSERS: &[Command] = &[Test, List];
const REPORTS: &[Command] = &[Test, Merge];
const SHOWERS: &[Command] = &[Test, List, Merge];
const ALL: &[Command] = &[Test, Run, List, Template, Doctor];

/// Every flag, in the order of `--help` within its group.
pub const FLAGS: &[Flag] = &[
    Flag {
        long: "project-root",
        short: Some('C'),
        value: Some("DIR"),
        group: Group::Choosing,
        on: ALL,
        help: "the project, whose tests are in DIR/t",
        doc: "It is mounted in every machine. By default the nearest folder, from the current one upwards, that has a `t`.",
        set: |raw, v| put(&mut raw.project_root, Ok(v.into())),
    },
    Flag {
        long: "filter",
        short: Some('k'),
        value: Some("EXPR"),
        group: Group::Choosing,
        on: CHOOSERS,
        help: "only tests whose path or tags match EXPR",
        doc: "Words joined by `and`, `or`, `not` and parentheses, such as -k 'dns and not (slow or ipv6)'. A word matches a test whose \
path or one of whose tags contains it, in any case. Given several times, all have to match.",
        set: |raw, v| expression(&mut raw.filter, v),
    },
    Flag {
        long: "tag",
        short: None,
        value: Some("TAG[,TAG…]"),
        group: Group::Choosing,
        on: CHOOSERS,
        help: "only tests that have one of these tags",
        doc: "The whole tag, as in `# orca: tags=slow,net` in a test's first comments. May be given several times.",
        set: |raw, v| {
            let text = value::text(v)?;
            let words = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
            let before = raw.tag.len();
            raw.tag.extend(words.map(str::to_owned));
            if raw.tag.len() > before {
                Ok(())
            } else {
                Err("tags with commas between them".into())
            }
        },
    },
    Flag {
        long: "not",
        short: None,
        value: Some("EXPR"),
        group: Group::Choosing,
        on: CHOOSERS,
        help: "leave out tests whose path or tags match EXPR",
        doc: "EXPR is what -k takes: `--not slow` leaves out what has `slow` in its path or a tag. Given several times, each leaves out \
more.",
        set: |raw, v| expression(&mut raw.not, v),
    },
    Flag {
        long: "failed",
        short: None,
        value: None,
        group: Group::Choosing,
        on: CHOOSERS,
        help: "only tests that failed or did not run last time",
        doc: "For each test the last run that planned it counts: whether the test failed in it, had no verdict, or was left out because \
the run was interrupted, cut short or killed. Flaky tests have passed; what is in quarantine has not failed.",
        set: |raw, _| switch(&mut raw.failed),
    },
    Flag {
        long: "changed",
        short: None,
        value: Some("[REV]"),
        group: Group::Choosing,
        on: CHOOSERS,
        help: "only tests touched since REV (the last commit)",
        doc: "As git has it, files that are new and not ignored included. REV is a branch, tag or commit; what was changed there since \
this branch left it does not count. A test is touched when it has changed, or a file below t/ that it names, directly or not.",
        set: |raw, v| put(&mut raw.changed, value::text(v)),
    },
    Flag {
        long: "shard",
        short: None,
        value: Some("I/N"),
        group: Group::Choosing,
        on: CHOOSERS,
        help: "only part I of N, parts of equal length",
        doc: "For N machines that share the work. The parts are made from the tests' names and the times they took, so machines with the \
same tests and the same history (see --history) agree on them; a test of which nothing is known counts as a usual one. The other \
choosing flags come first. A run of a shard leaves the known times as they are, so that the shards after it are cut alike.",
        set: |raw, v| put(&mut raw.shard, Shard::parse(&v.to_string_lossy())),
    },
    Flag {
        long: "history",
        short: None,
        value: Some("FILE"),
        group: Group::Choosing,
        on: CHOOSERS,
        help: "keep the history of tests in FILE",
        doc: "How tests ended and how long they took: for --failed, --shard, the order of tests and the time that is left. By default a \
file per project in the user's state folder. A file that is not there yet is made.",
        set: |raw, v| put(&mut raw.history, Ok(v.into())),
    },
    Flag {
        long: "jobs",
        short: Some('j'),
        value: Some("N"),
        group: Group::Running,
        on: &[Test, Doctor],
        help: "run N machines at once",
        doc: "By default as many as there are cores, fewer where memory is short or there are fewer tests.",
        set: |raw, v| put(&mut raw.jobs, value::number(v, 1, 256).map(|n| n as usize)),
    },
    Flag {
        long: "timeout",
        short: None,
        value: Some("TIME"),
        group: Group::Running,
        on: TESTS,
        help: "end a test that runs longer (default 120s)",
        doc: "The test and everything it started get TERM, then KILL; what it printed so far counts, and it fails as timed out. \
The time is meant for hardware virtualisation and is multiplied by --timeout-factor without it.",
        set: |raw, v| put(&mut raw.timeout, value::duration(v)),
    },
    Flag {
        long: "silence",
        short: None,
        value: Some("TIME"),
        group: Group::Running,
        on: TESTS,
        help: "end a test that prints nothing for so long",
        doc: "Scaled as --timeout is. By default a test may be silent until its timeout.",
        set: |raw, v| put(&mut raw.silence, value::duration(v)),
    },
    Flag {
        long: "timeout-factor",
        short: None,
        value: Some("F"),
        group: Group::Running,
        on: VMS,
        help: "multiply all timeouts by F",
        doc: "By default 1 with hardware virtualisation and 3 without. Tests see it as ORCA_TIMEOUT_FACTOR.",
        set: |raw, v| put(&mut raw.timeout_factor, value::factor(v)),
    },
    Flag {
        long: "retries",
        short: None,
        value: Some("N"),
        group: Group::Running,
        on: TESTS,
        help: "try a failed test up to N more times",
        doc: "A test that passes only then is reported as flaky. A test whose machine was in trouble is tried once more in any case.",
        set: |raw, v| put(&mut raw.retries, value::number(v, 0, 100).map(|n| n as u32)),
    },
    Flag {
        long: "fail-fast",
        short: None,
        value: Some("[N]"),
        group: Group::Running,
        on: TESTS,
        help: "take no more tests after N failures (1)",
        doc: "Tests that run already run to their end.",
        set: |raw, v| {
            let n = if v.is_empty() { Ok(1) } else { value::number(v, 1, 1_000_000) };
            put(&mut raw.fail_fast, n.map(|n| n as usize))
        },
    },
    Flag {
        long: "bail",
        short: None,
        value: Some("WHAT"),
        group: Group::Running,
        on: TESTS,
        help: "what a `Bail out!` ends: run, test",
        doc: "run (the default, as TAP has it): the test fails, those that run are cut, no more are taken. test: only the test that says \
it.",
        set: |raw, v| put(&mut raw.bail, value::choice(v, &[("run", true), ("test", false)])),
    },
    Flag {
        long: "shuffle",
        short: None,
        value: Some("[SEED]"),
        group: Group::Running,
        on: TESTS,
        help: "run the tests in a random order",
        doc: "The seed is printed, and gives the same order of the same tests again. By default what failed last time comes first, then \
what is new, then the longest. Exclusive tests come last in any case.",
        set: |raw, v| {
            let seed = || value::number(v, 0, u64::MAX).map(Some);
            put(&mut raw.shuffle, if v.is_empty() { Ok(None) } else { seed() })
        },
    },
    Flag {
        long: "repeat",
        short: None,
        value: Some("N"),
        group: Group::Running,
        on: TESTS,
        help: "run every test N times",
        doc: "One round after the other, as many at once as there are machines; every verdict counts. The logs of a test's later rounds \
are in NAME.round-2 and so on.",
        set: |raw, v| put(&mut raw.repeat, value::number(v, 1, 1_000_000).map(|n| n as u32)),
    },
    Flag {
        long: "until-fail",
        short: None,
        value: None,
        group: Group::Running,
        on: TESTS,
        help: "repeat the tests until one fails",
        doc: "At most as often as --repeat says. Neither retries nor quarantine hide a failure from it. Ctrl-C ends it.",
        set: |raw, _| switch(&mut raw.until_fail),
    },
    Flag {
        long: "fail-on-warn",
        short: None,
        value: None,
        group: Group::Running,
        on: TESTS,
        help: "fail a test whose kernel complains",
        doc: "A warning, bug, stall or hung task in the kernel's log while a test runs fails that test, whatever its TAP says; without \
this it is a note. What processes write into that log does not count. Has no effect with --machine local.",
        set: |raw, _| switch(&mut raw.fail_on_warn),
    },
    Flag {
        long: "reuse",
        short: None,
        value: None,
        group: Group::Running,
        on: TESTS,
        help: "one machine per worker instead of one per test",
        doc: "By default every test file gets a machine that nobody has touched: a copy of a template that was booted once and frozen. \
With this a worker's tests share a machine and see what the ones before them did to it.",
        set: |raw, _| switch(&mut raw.reuse),
    },
    Flag {
        long: "cold",
        short: None,
        value: None,
        group: Group::Running,
        on: VMS,
        help: "boot every machine instead of copying a template",
        doc: "Slower, and the way to find out whether something is the template's fault.",
        set: |raw, _| switch(&mut raw.cold),
    },
    Flag {
        long: "env",
        short: None,
        value: Some("NAME[=VALUE]"),
        group: Group::Running,
        on: &[Test, Run, Template, Shell],
        help: "set a variable for tests and commands",
        doc: "Without a value the host's is passed. It travels over the agent's connection, never on a command line. May be given \
several times.",
        set: set_env,
    },
    Flag {
        long: "kernel",
        short: None,
        value: Some("FILE"),
        group: Group::Machine,
        on: HOST,
        help: "the kernel (build/vmlinux or build/vmlinuz)",
        doc: "A bzImage, a vmlinux, an arm64 Image, or the folder that a kernel was built in. For one that has no initramfs beside \
it an initramfs is made, and kept in the cache folder. An x86_64 kernel is unpacked where it can be entered without a BIOS, which halves the \
boot where there is no KVM. `orca test` takes several: every test runs on every kernel.",
        set: |raw, v| {
            raw.kernels.push(v.into());
            Ok(())
        },
    },
    Flag {
        long: "modules",
        short: None,
        value: Some("DIR"),
        group: Group::Machine,
        on: VMS,
        help: "the kernel's modules (lib/modules beside its folder)",
        doc: "A /lib/modules/RELEASE, or a folder with lib/modules/RELEASE in it. By default the one that belongs to where the kernel \
is, or else the host's own of that release. Guests find it at /lib/modules. A kernel that has everything built in needs none.",
        set: |raw, v| put(&mut raw.modules, Ok(v.into())),
    },
    Flag {
        long: "init",
        short: None,
        value: Some("WHOSE"),
        group: Group::Machine,
        on: VMS,
        help: "who is process 1: agent, own",
        doc: "agent (the default): nothing else runs. own: the root's own /sbin/init, with all the services it starts; the agent is \
one of them, which the image must have been built with. Tests begin when they are all up.",
        set: |raw, v| put(&mut raw.init, value::choice(v, &[("agent", false), ("own", true)])),
    },
    Flag {
        long: "initrd",
        short: None,
        value: Some("FILE"),
        group: Group::Machine,
        on: HOST,
        help: "the initramfs, whose /init is the agent",
        doc: "By default build/initramfs.",
        set: |raw, v| put(&mut raw.initrd, Ok(v.into())),
    },
    Flag {
        long: "rootfs",
        short: None,
        value: Some("ROOT"),
        group: Group::Machine,
        on: HOST,
        help: "the root: an image, a folder or a tar archive",
        doc: "An ext4 or qcow2 image, by default build/rootfs.ext4; a folder, or a tar archive such as `docker export` writes, of which an \
image is made and kept in the cache folder until it changes. None of them is ever written to: every machine writes to a qcow2 overlay of its \
own. `host`: this host's own root and every program on it, as far as you may read it, with a tmpfs over it that takes the writes. `none` leaves \
the machine in its initramfs.",
        set: |raw, v| put(&mut raw.rootfs, Ok(v.into())),
    },
    Flag {
        long: "memory",
        short: Some('m'),
        value: Some("SIZE"),
        group: Group::Machine,
        on: HOST,
        help: "memory of each machine (512M)",
        doc: "With a unit (512M, 2G) or in MiB. A test can ask for more in its header. Copies of a template share what they do not change, so \
many machines need much less than the sum.",
        set: |raw, v| put(&mut raw.memory_mib, value::memory_mib(v)),
    },
    Flag {
        long: "cpus",
        short: None,
        value: Some("N"),
        group: Group::Machine,
        on: HOST,
        help: "virtual CPUs of each machine (1)",
        doc: "A test can ask for more in its header. With more than one, fewer machines run at once by default.",
        set: |raw, v| put(&mut raw.cpus, value::number(v, 1, 64).map(|n| n as u32)),
    },
    Flag {
        long: "share",
        short: None,
        value: Some("HOW"),
        group: Group::Machine,
        on: VMS,
        help: "how the project is mounted: overlay, ro, rw, none",
        doc: "overlay (the default): a test may write anywhere and the host never sees it. ro: writes fail. rw: writes reach the host.",
        set: |raw, v| {
            let ways = [Share::Overlay, Share::Ro, Share::Rw, Share::None].map(|s| (s.name(), s));
            put(&mut raw.share, value::choice(v, &ways))
        },
    },
    Flag {
        long: "net",
        short: None,
        value: Some("HOW"),
        group: Group::Machine,
        on: VMS,
        help: "a network card: none, user",
        doc: "none (the default): loopback only. user: a card, eth0, behind QEMU's user-mode network, which reaches what the host reaches. It is down and has no address: \
`udhcpc -i eth0`, or 10.0.2.15/24 by way of 10.0.2.2.",
        set: |raw, v| put(&mut raw.net, value::choice(v, &[("none", false), ("user", true)])),
    },
    Flag {
        long: "accel",
        short: None,
        value: Some("HOW"),
        group: Group::Machine,
        on: HOST,
        help: "auto, kvm, hvf, tcg",
        doc: "auto (the default) uses hardware virtualisation where a small guest proves that it works, else emulation (tcg).",
        set: |raw, v| {
            let ways = [Accel::Kvm, Accel::Hvf, Accel::Tcg].map(|a| (a.name(), Some(a)));
            raw.accel = value::choice(v, &[&[("auto", None)], &ways[..]].concat())?;
            Ok(())
        },
    },
    Flag {
        long: "arch",
        short: None,
        value: Some("ARCH"),
        group: Group::Machine,
        on: HOST,
        help: "the guest's architecture: x86_64, aarch64",
        doc: "By default the host's. A foreign one is emulated and needs an image of its own: build/ARCH is where \
              scripts/build-image.sh --arch puts it.",
        set: |raw, v| {
            put(
                &mut raw.arch,
                value::choice(v, &[("x86_64", Arch::X86_64), ("aarch64", Arch::Aarch64)]),
            )
        },
    },
    Flag {
        long: "append",
        short: None,
        value: Some("WORDS"),
        group: Group::Machine,
        on: VMS,
        help: "more words for the kernel command line",
        doc: "Behind those that orca gives. A template is made for each set of words.",
        set: |raw, v| put(&mut raw.append, value::text(v)),
    },
    Flag {
        long: "qemu",
        short: None,
        value: Some("FILE"),
        group: Group::Machine,
        on: HOST,
        help: "the emulator (qemu-system-ARCH from PATH)",
        doc: "A name is looked for in PATH. Version 7.2 or newer.",
        set: |raw, v| put(&mut raw.qemu, Ok(v.into())),
    },
    Flag {
        long: "socket",
        short: None,
        value: Some("PATH"),
        group: Group::Machine,
        on: VMS,
        help: "where a machine's agent socket goes",
        doc: "`{id}` stands for the machine's number and is needed where there are several. By default in a private folder that is \
gone after the run.",
        set: |raw, v| put(&mut raw.socket, value::text(v)),
    },
    Flag {
        long: "boot-timeout",
        short: None,
        value: Some("TIME"),
        group: Group::Machine,
        on: VMS,
        help: "give a machine so long to boot (default 60s)",
        doc: "Scaled as --timeout is.",
        set: |raw, v| put(&mut raw.boot_timeout, value::duration(v)),
    },
    Flag {
        long: "machine",
        short: None,
        value: Some("KIND"),
        group: Group::Machine,
        on: TESTS,
        help: "vm, or local: this very host, unprotected",
        doc: "local runs the agent as a child process: no kernel of its own, no isolation, whatever a test does it does to this host. \
For trying out a test that needs no VM.",
        set: |raw, v| put(&mut raw.local, value::choice(v, &[("vm", false), ("local", true)])),
    },
    Flag {
        long: "console",
        short: None,
        value: None,
        group: Group::Debugging,
        on: &[Run],
        help: "the serial console instead of a shell",
        doc: "Shows the boot from the kernel's first line and gives a shell on the console; Ctrl-] ends the machine.",
        set: |raw, _| switch(&mut raw.console),
    },
    Flag {
        long: "print-command",
        short: None,
        value: None,
        group: Group::Debugging,
        on: &[Run],
        help: "print QEMU's command line and stop",
        doc: "As a shell would take it, for a cold boot of the next machine. The one of each machine that runs is in the run's folder, in \
vmN.command.",
        set: |raw, _| switch(&mut raw.print_command),
    },
    Flag {
        long: "shell-on-fail",
        short: None,
        value: None,
        group: Group::Debugging,
        on: TESTS,
        help: "a shell in the machine of each test that fails",
        doc: "The test's processes, namespaces, firewall rules, mounts and $TMPDIR are as it left them, and one that ran into its \
timeout is still there. Other machines go on meanwhile; what they have to say is said when you leave the shell, and the run goes on \
then. Needs a terminal.",
        set: |raw, _| switch(&mut raw.shell_on_fail),
    },
    Flag {
        long: "keep",
        short: None,
        value: Some("[N]"),
        group: Group::Debugging,
        on: TESTS,
        help: "keep the machines of the first N failed tests (4)",
        doc: "They are left as the test left them, also while the run goes on. At its end orca names them and waits: `orca shell VM` in \
another terminal gives you a shell in one, Ctrl-C ends them all. None outlives this orca.",
        set: |raw, v| {
            let n = if v.is_empty() { Ok(KEPT as u64) } else { value::number(v, 1, 64) };
            put(&mut raw.keep, n.map(|n| n as usize))
        },
    },
    Flag {
        long: "test",
        short: None,
        value: Some("PATH"),
        group: Group::Debugging,
        on: &[Run],
        help: "a machine as this test would get it, and stop there",
        doc: "The machine has the memory, CPUs and network card that the test's header asks for, and the shell has the \
test's variables; the line that orca prints runs the test. ORCA_KEEP=1 is set, so that a failing test clears nothing \
away. No timeout applies. A test that this host cannot run, by its `requires=`, is refused.",
        set: |raw, v| put(&mut raw.test, Ok(v.into())),
    },
    Flag {
        long: "gdb",
        short: None,
        value: None,
        group: Group::Debugging,
        on: &[Run],
        help: "wait for a debugger before the first instruction",
        doc: "QEMU serves gdb's protocol on a socket in the run's private folder; orca prints the line that attaches to it. The machine is \
booted, not copied, with `nokaslr`, and given all the time in the world.",
        set: |raw, _| switch(&mut raw.gdb),
    },
    Flag {
        long: "debug",
        short: None,
        value: None,
        group: Group::Debugging,
        on: VMS,
        help: "pass the machines' consoles through to stderr",
        doc: "Each line begins with the machine's name, and lines of several machines never mix. The consoles are in the run's folder in any \
case.",
        set: |raw, _| switch(&mut raw.debug),
    },
    Flag {
        long: "verbose",
        short: Some('v'),
        value: None,
        group: Group::Output,
        on: SHOWERS,
        help: "say more: where each test's time went, skips, notes",
        doc: "Twice: every point of every test.",
        set: |raw, _| {
            raw.verbose = raw.verbose.saturating_add(1);
            Ok(())
        },
    },
    Flag {
        long: "quiet",
        short: Some('q'),
        value: None,
        group: Group::Output,
        on: REPORTS,
        help: "print failures and the summary only",
        doc: "And warnings. The folder of the run has the rest.",
        set: |raw, _| switch(&mut raw.quiet),
    },
    Flag {
        long: "color",
        short: None,
        value: Some("WHEN"),
        group: Group::Output,
        on: REPORTS,
        help: "auto, always, never",
        doc: "auto (the default): on a terminal, unless NO_COLOR is set.",
        set: |raw, v| {
            let when = [("auto", Color::Auto), ("always", Color::Always), ("never", Color::Never)];
            put(&mut raw.color, value::choice(v, &when))
        },
    },
    Flag {
        long: "format",
        short: None,
        value: Some("FORM"),
        group: Group::Output,
        on: SHOWERS,
        help: "the report on standard output: human, tap, json",
        doc: "human: lines for people; on a terminal also what each machine is doing, and `t` shows the status. tap: one TAP 14 \
document with a subtest per test file; not for `orca list`. json: one object per event and line, as things happen; ARCHITECTURE.md has \
the table.",
        set: |raw, v| {
            let forms = [("human", Format::Human), ("tap", Format::Tap), ("json", Format::Json)];
            put(&mut raw.format, value::choice(v, &forms))
        },
    },
    Flag {
        long: "json",
        short: None,
        value: Some("FILE"),
        group: Group::Output,
        on: REPORTS,
        help: "write the json report to FILE as well",
        doc: "The same lines as --format json, written as things happen; an interrupted run ends it too, and `orca merge` joins several. \
The folder of the run always has one, in results.json.",
        set: |raw, v| put(&mut raw.json, Ok(v.into())),
    },
    Flag {
        long: "junit",
        short: None,
        value: Some("FILE"),
        group: Group::Output,
        on: REPORTS,
        help: "write a JUnit XML report to FILE as well",
        doc: "A suite per test file, a case per check, and a case `(whole file)` that has the file's time and says what is wrong \
beside its checks. It is complete after every test, so an interrupted run has one too.",
        set: |raw, v| put(&mut raw.junit, Ok(v.into())),
    },
    Flag {
        long: "log-dir",
        short: None,
        value: Some("DIR"),
        group: Group::Output,
        on: VMS,
        help: "keep logs and artifacts in DIR",
        doc: "By default in a folder per run below the user's state folder; the link `latest` beside them names the newest.",
        set: |raw, v| put(&mut raw.log_dir, Ok(v.into())),
    },
    Flag {
        long: "artifacts",
        short: None,
        value: Some("WHOSE"),
        group: Group::Output,
        on: TESTS,
        help: "whose artifacts stay in the run's folder: failed, all",
        doc: "What a test leaves in $ORCA_ARTIFACTS arrives beside its logs: at most 1000 files and 64 MiB a test. failed (the \
default): those of tests that passed are dropped. Folders of old runs go once there are more than 20 of a project, or 4 GiB.",
        set: |raw, v| {
            let whose = [("failed", Artifacts::Failed), ("all", Artifacts::All)];
            put(&mut raw.artifacts, value::choice(v, &whose))
        },
    },
];

fn put<T>(slot: &mut Option<T>, value: Parsed<T>) -> Parsed<()> {
    *slot = Some(value?);
    Ok(())
}

fn switch(slot: &mut bool) -> Parsed<()> {
    *slot = true;
    Ok(())
}

fn set_env(raw: &mut Raw, value: &OsStr) -> Parsed<()> {
    let form = || "NAME or NAME=VALUE".to_owned();
    let bytes = value.as_bytes();
    let at = bytes.iter().position(|&b| b == b'=');
    let name = std::str::from_utf8(&bytes[..at.unwrap_or(bytes.len())]).map_err(|_| form())?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(plain) || name.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err(form());
    }
    let value = match at {
        Some(at) => OsStr::from_bytes(&bytes[at + 1..]).to_owned(),
        None => std::env::var_os(name).ok_or("a variable that is set here, or NAME=VALUE")?,
    };
    raw.env.push((name.to_owned(), value));
    Ok(())
}

fn expression(slot: &mut Vec<Filter>, value: &OsStr) -> Parsed<()> {
    let text = value::text(value)?;
    let form = |why| format!("words with `and`, `or`, `not` and parentheses ({why})");
    slot.push(Filter::parse(&text).map_err(form)?);
    Ok(())
}

/// The flag called `long`, if `command` takes it.
pub fn find(command: Command, long: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.long == long && flag.is_on(command))
}

/// The flag with the letter `short`, if `command` takes it.
pub fn find_short(command: Command, short: char) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.short == Some(short) && flag.is_on(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_twice_and_every_flag_says_what_it_is() {
        for (at, flag) in FLAGS.iter().enumerate() {
            for other in &FLAGS[at + 1..] {
                assert_ne!(flag.long, other.long);
                assert!(flag.short.is_none() || flag.short != other.short, "-{:?}", flag.short);
            }
            assert!(!["help", "version"].contains(&flag.long));
            assert!(!flag.help.is_empty() && flag.help.len() <= 56, "--{}", flag.long);
            assert!(!flag.help.ends_with('.'), "--{}", flag.long);
            assert!(flag.doc.ends_with('.'), "--{} has no paragraph", flag.long);
            assert!(!flag.on.is_empty(), "--{}", flag.long);
        }
    }

    #[test]
    fn every_group_is_used() {
        for group in Group::ALL {
            assert!(FLAGS.iter().any(|flag| flag.group == group), "{}", group.title());
        }
    }

    #[test]
    fn variables_for_tests() {
        let mut raw = Raw::default();
        set_env(&mut raw, "A=b=c".as_ref()).unwrap();
        assert_eq!(raw.env, [("A".to_owned(), "b=c".into())]);
        for bad in ["", "=x", "A B=c", "1A=x", "ORCA_SURELY_NOT_SET"] {
            assert!(set_env(&mut raw, bad.as_ref()).is_err(), "{bad}");
        }
    }
}
