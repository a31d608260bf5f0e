//! The table of flags, one row each. The parser, help, completions, the manual page and
//! `orca config` read it.

use super::command::Command::{self, Doctor, Image, Merge, Run, Shell, Template, Test};
use super::flag::Computed;
use super::flag::DefaultValue::{self, Fixed, PerRun, Unset};
use super::flag::Takes::{Choice, List, Nothing, Optional, Value, Variable};
use super::flag::{Flag, Group, Later};
use super::raw::{Artifacts, Color, Format, Raw};
use crate::arch::{Accel, Arch};
use crate::text::filter::Filter;
use crate::text::shard::Shard;
use crate::text::value::{self, Parsed};
use agent::wire::Share;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The flag that names the project.
pub const PROJECT_ROOT: &str = "project-root";
/// Machines that `--keep` without a number keeps.
const KEEP: u64 = 4;

const VMS: &[Command] = &[Test, Run, Template];
const HOST: &[Command] = &[Test, Run, Template, Doctor];
const KERNELS: &[Command] = &[Test, Run, Template, Doctor, Image];
const MODULES: &[Command] = &[Test, Run, Template, Image];
const IMAGES: &[Command] = &[Image];
const TESTS: &[Command] = &[Test];
const CHOOSERS: &[Command] = &[Test, Command::List];
const REPORTS: &[Command] = &[Test, Merge];
const SHOWERS: &[Command] = &[Test, Command::List, Merge];
const ALL: &[Command] = &[Test, Run, Command::List, Template, Doctor];

/// Every flag, in the order of `--help` within its group.
pub const FLAGS: &[Flag] = &[
    Flag {
        long: PROJECT_ROOT,
        short: Some('C'),
        takes: Value("DIR", |raw, v| put(&mut raw.project_root, Ok(v.into()))),
        group: Group::Choosing,
        on: ALL,
        default: DefaultValue::Computed(Computed::ProjectRoot),
        again: true,
        help: "the project, whose tests are in DIR/t",
        doc: "It is mounted in every machine. By default it is the nearest folder, from the \
              current one upwards, that has a `t`.",
    },
    Flag {
        long: "filter",
        short: Some('k'),
        takes: List("EXPR", Later::Add, |raw, v| expression(&mut raw.filter, v)),
        group: Group::Choosing,
        on: CHOOSERS,
        default: Unset,
        again: false,
        help: "only tests whose path or tags match EXPR",
        doc: "EXPR is words joined by `and`, `or`, `not` and parentheses, such as -k 'dns and not \
              (slow or ipv6)'. A word matches a test whose path or one of whose tags contains it, \
              in upper or lower case. Given several times, all have to match.",
    },
    Flag {
        long: "tag",
        short: None,
        takes: List("TAG[,TAG…]", Later::Add, tags),
        group: Group::Choosing,
        on: CHOOSERS,
        default: Unset,
        again: false,
        help: "only tests that have one of these tags",
        doc: "The whole tag has to match, as in `# orca: tags=slow,net` in a test's first \
              comments. May be given several times.",
    },
    Flag {
        long: "not",
        short: None,
        takes: List("EXPR", Later::Add, |raw, v| expression(&mut raw.not, v)),
        group: Group::Choosing,
        on: CHOOSERS,
        default: Unset,
        again: false,
        help: "leave out tests whose path or tags match EXPR",
        doc: "EXPR is what -k takes: `--not slow` leaves out every test that has `slow` in its \
              path or a tag. Given several times, each leaves out more.",
    },
    Flag {
        long: "failed",
        short: None,
        takes: Nothing(|raw| raw.failed = true),
        group: Group::Choosing,
        on: CHOOSERS,
        default: Unset,
        again: false,
        help: "only tests that failed or did not run last time",
        doc: "The last run that planned a test counts. The test is chosen if it failed in that \
              run, had no verdict, or was left out because the run was interrupted, cut short or \
              killed. A flaky test counts as passed. A test in quarantine never counts as failed.",
    },
    Flag {
        long: "changed",
        short: None,
        takes: Optional("REV", |raw, v| put(&mut raw.changed, value::text(v))),
        group: Group::Choosing,
        on: CHOOSERS,
        default: Unset,
        again: false,
        help: "only tests touched since REV (the last commit)",
        doc: "Git says what has changed; new files count unless they are ignored. REV is a branch, \
              tag or commit; what was changed there after this branch left it does not count. A \
              test is touched when it has changed itself, or when a file below t/ has changed that \
              it names, directly or not.",
    },
    Flag {
        long: "shard",
        short: None,
        takes: Value("I/N", |raw, v| put(&mut raw.shard, Shard::parse(&v.to_string_lossy()))),
        group: Group::Choosing,
        on: CHOOSERS,
        default: Unset,
        again: false,
        help: "only part I of N parts of equal duration",
        doc: "For N hosts that share the work. The parts are made from the tests' names and the \
              times they took, so hosts with the same tests and the same history (see --history) \
              agree on them. A test without a known time counts with the median of the others. The \
              other choosing flags come first. A run of a shard leaves the known times as they \
              are, so that the next shards are cut alike.",
    },
    Flag {
        long: "history",
        short: None,
        takes: Value("FILE", |raw, v| put(&mut raw.history, Ok(v.into()))),
        group: Group::Choosing,
        on: CHOOSERS,
        default: DefaultValue::Computed(Computed::History),
        again: false,
        help: "keep the history of tests in FILE",
        doc: "The history says how tests ended and how long they took. It is used by --failed, by \
              --shard, for the order of the tests, and to estimate the time left. By default each \
              project has a file in the user's state folder. A missing file is made.",
    },
    Flag {
        long: "jobs",
        short: Some('j'),
        takes: Value("N", |raw, v| {
            put(&mut raw.jobs, value::number(v, 1, 256).map(|n| n as usize))
        }),
        group: Group::Running,
        on: &[Test, Doctor],
        default: DefaultValue::Computed(Computed::Jobs),
        again: false,
        help: "run N machines at once",
        doc: "By default as many as there are cores, fewer where memory is short or there are \
              fewer tests.",
    },
    Flag {
        long: "timeout",
        short: None,
        takes: Value("TIME", |raw, v| set(&mut raw.timeout, value::duration(v))),
        group: Group::Running,
        on: TESTS,
        default: Fixed("120s"),
        again: true,
        help: "end a test that runs longer",
        doc: "The test and everything it started get TERM, then KILL. What it printed so far \
              counts, and it fails as timed out. The time is meant for hardware virtualisation and \
              is multiplied by --timeout-factor without it.",
    },
    Flag {
        long: "silence",
        short: None,
        takes: Value("TIME", |raw, v| put(&mut raw.silence, value::duration(v))),
        group: Group::Running,
        on: TESTS,
        default: Unset,
        again: true,
        help: "end a test that prints nothing for TIME",
        doc: "Scaled as --timeout is. By default a test may be silent until its timeout.",
    },
    Flag {
        long: "timeout-factor",
        short: None,
        takes: Value("F", |raw, v| put(&mut raw.timeout_factor, value::factor(v))),
        group: Group::Running,
        on: VMS,
        default: PerRun,
        again: true,
        help: "multiply all timeouts by F",
        doc: "By default 1 with hardware virtualisation and 3 without. Tests see it as \
              ORCA_TIMEOUT_FACTOR.",
    },
    Flag {
        long: "retries",
        short: None,
        takes: Value("N", |raw, v| {
            set(&mut raw.retries, value::number(v, 0, 100).map(|n| n as u32))
        }),
        group: Group::Running,
        on: TESTS,
        default: Fixed("0"),
        again: false,
        help: "try a failed test up to N more times",
        doc: "A test that passes only then is reported as flaky. A test whose machine was in \
              trouble is tried once more in any case.",
    },
    Flag {
        long: "fail-fast",
        short: None,
        takes: Optional("N", |raw, v| {
            let n = if v.is_empty() { Ok(1) } else { value::number(v, 1, 1_000_000) };
            put(&mut raw.fail_fast, n.map(|n| n as usize))
        }),
        group: Group::Running,
        on: TESTS,
        default: Unset,
        again: false,
        help: "start no more tests after N failures",
        doc: "Without N, after the first. Running tests go on to their end.",
    },
    Flag {
        long: "bail",
        short: None,
        takes: Choice("WHAT", &[("run", |raw| raw.bail = true), ("test", |raw| raw.bail = false)]),
        group: Group::Running,
        on: TESTS,
        default: Fixed("run"),
        again: false,
        help: "what a `Bail out!` ends",
        doc: "run, as in TAP: the test fails, running tests are cut, and no more are started. \
              test: only that test fails.",
    },
    Flag {
        long: "shuffle",
        short: None,
        takes: Optional("SEED", |raw, v| {
            let seed = || value::number(v, 0, u64::MAX).map(Some);
            put(&mut raw.shuffle, if v.is_empty() { Ok(None) } else { seed() })
        }),
        group: Group::Running,
        on: TESTS,
        default: Unset,
        again: false,
        help: "run the tests in a random order",
        doc: "The seed is printed; with it the same tests run in the same order again. By default \
              tests that failed last time come first, then new ones, then the longest. Exclusive \
              tests come last in any case.",
    },
    Flag {
        long: "repeat",
        short: None,
        takes: Value("N", |raw, v| {
            put(&mut raw.repeat, value::number(v, 1, 1_000_000).map(|n| n as u32))
        }),
        group: Group::Running,
        on: TESTS,
        default: Unset,
        again: false,
        help: "run every test N times",
        doc: "One round follows the other, with as many tests at once as there are machines. Every \
              verdict counts. The logs of a test's later rounds are in NAME.round-2 and so on.",
    },
    Flag {
        long: "until-fail",
        short: None,
        takes: Nothing(|raw| raw.until_fail = true),
        group: Group::Running,
        on: TESTS,
        default: Unset,
        again: false,
        help: "repeat the tests until one fails",
        doc: "With --repeat N, at most N times. Neither retries nor quarantine hides a failure \
              from it. Ctrl-C ends it.",
    },
    Flag {
        long: "fail-on-warn",
        short: None,
        takes: Nothing(|raw| raw.fail_on_warn = true),
        group: Group::Running,
        on: TESTS,
        default: Unset,
        again: true,
        help: "fail a test whose kernel complains",
        doc: "A warning, bug, stall or hung task in the kernel's log while a test runs fails that \
              test, whatever its TAP says; without this flag it is a note. What processes write \
              into that log does not count. The flag has no effect with --machine local.",
    },
    Flag {
        long: "reuse",
        short: None,
        takes: Nothing(|raw| raw.reuse = true),
        group: Group::Running,
        on: TESTS,
        default: Unset,
        again: true,
        help: "one machine per worker instead of one per test",
        doc: "By default every test file gets a machine that nobody has touched: a copy of a \
              template that was booted once and frozen. With this flag a worker's tests share a \
              machine and see what the ones before them did to it.",
    },
    Flag {
        long: "cold",
        short: None,
        takes: Nothing(|raw| raw.cold = true),
        group: Group::Running,
        on: VMS,
        default: Unset,
        again: true,
        help: "boot every machine instead of copying a template",
        doc: "Slower, and the way to find out whether something is the template's fault.",
    },
    Flag {
        long: "env",
        short: None,
        takes: Variable(set_env),
        group: Group::Running,
        on: &[Test, Run, Template, Shell],
        default: Unset,
        again: true,
        help: "set a variable for tests and commands",
        doc: "NAME alone passes on the value that the variable has here. A value travels over the \
              agent's connection, never on a command line. May be given several times.",
    },
    Flag {
        long: "kernel",
        short: None,
        takes: List("FILE", Later::Replace, |raw, v| {
            raw.kernels.push(v.into());
            Ok(())
        }),
        group: Group::Machine,
        on: KERNELS,
        default: DefaultValue::Computed(Computed::Kernel),
        again: true,
        help: "the kernel (build/vmlinux or build/vmlinuz)",
        doc: "A bzImage, a vmlinux, an arm64 Image, or the folder that a kernel was built in. If \
              there is no initramfs beside it, one is made and kept in the cache folder. An x86_64 \
              kernel is unpacked where it can be entered without a BIOS, which halves the boot \
              where there is no KVM. `orca test` takes several: every test runs on every kernel. \
              `orca image` takes the kernel that the modules have to fit.",
    },
    Flag {
        long: "modules",
        short: None,
        takes: Value("DIR", |raw, v| put(&mut raw.modules, Ok(v.into()))),
        group: Group::Machine,
        on: MODULES,
        default: PerRun,
        again: true,
        help: "the kernel's modules (lib/modules beside its folder)",
        doc: "A /lib/modules/RELEASE, or a folder with lib/modules/RELEASE in it. By default the \
              one that belongs to the kernel's folder, or else this host's own for that release. \
              Guests find it at /lib/modules. A kernel that has everything built in needs none.",
    },
    Flag {
        long: "init",
        short: None,
        takes: Choice(
            "WHOSE",
            &[("agent", |raw| raw.init = false), ("own", |raw| raw.init = true)],
        ),
        group: Group::Machine,
        on: VMS,
        default: Fixed("agent"),
        again: true,
        help: "what runs as process 1",
        doc: "agent: the agent, and no services. own: the root's own /sbin/init, with all the \
              services that it starts. The agent is one of them: a root without it gets it as a \
              service of systemd or of an inittab. Tests begin when all services are up.",
    },
    Flag {
        long: "initrd",
        short: None,
        takes: Value("FILE", |raw, v| put(&mut raw.initrd, Ok(v.into()))),
        group: Group::Machine,
        on: HOST,
        default: DefaultValue::Computed(Computed::Initrd),
        again: true,
        help: "the initramfs, whose /init is the agent",
        doc: "By default the one beside the kernel of an image. For any other kernel orca makes \
              one around the agent.",
    },
    Flag {
        long: "rootfs",
        short: None,
        takes: Value("ROOT", |raw, v| put(&mut raw.rootfs, Ok(v.into()))),
        group: Group::Machine,
        on: HOST,
        default: DefaultValue::Computed(Computed::Rootfs),
        again: true,
        help: "the root: an image, a folder or a tar archive",
        doc: "An ext4 or qcow2 image, by default build/rootfs.ext4; a folder, or a tar archive \
              such as `docker export` writes, from which an image is made and kept in the cache \
              folder until it changes. None of them is ever written to: every machine writes to a \
              qcow2 overlay of its own. `host`: this host's own root and every program on it, as \
              far as you may read it, with a tmpfs over it that takes the writes. `none` leaves \
              the machine in its initramfs.",
    },
    Flag {
        long: "memory",
        short: Some('m'),
        takes: Value("SIZE", |raw, v| set(&mut raw.shape.memory_mib, value::memory_mib(v))),
        group: Group::Machine,
        on: HOST,
        default: Fixed("512M"),
        again: true,
        help: "memory of each machine",
        doc: "With a unit (512M, 2G) or in MiB. A test can ask for more in its header. Copies of a \
              template share what they do not change, so many machines need much less than the \
              sum.",
    },
    Flag {
        long: "cpus",
        short: None,
        takes: Value("N", |raw, v| {
            set(&mut raw.shape.cpus, value::number(v, 1, 64).map(|n| n as u32))
        }),
        group: Group::Machine,
        on: HOST,
        default: Fixed("1"),
        again: true,
        help: "virtual CPUs of each machine",
        doc: "A test can ask for more in its header. With more than one, fewer machines run at \
              once by default.",
    },
    Flag {
        long: "share",
        short: None,
        takes: Choice(
            "HOW",
            &[
                ("auto", |raw| raw.share = None),
                ("disk", |raw| raw.share = Some(Share::Disk)),
                ("overlay", |raw| raw.share = Some(Share::Overlay)),
                ("ro", |raw| raw.share = Some(Share::Ro)),
                ("rw", |raw| raw.share = Some(Share::Rw)),
                ("none", |raw| raw.share = Some(Share::None)),
            ],
        ),
        group: Group::Machine,
        on: VMS,
        default: Fixed("auto"),
        again: true,
        help: "the project as",
        doc: "disk: each has a disk of its own with a copy of it, made once and again when a file \
              has changed; a test may write anywhere and the host never sees it. Of the files that \
              git ignores those come along that fit. overlay: the same over 9p, for projects that \
              are too large for a disk. ro: writes fail. rw: writes reach the host. auto: disk, or \
              overlay where the project does not fit. docs/share.md has a table of how they \
              differ.",
    },
    Flag {
        long: "net",
        short: None,
        takes: Choice(
            "HOW",
            &[("none", |raw| raw.shape.net = false), ("user", |raw| raw.shape.net = true)],
        ),
        group: Group::Machine,
        on: VMS,
        default: Fixed("none"),
        again: true,
        help: "a network card",
        doc: "none: loopback only. user: a card, eth0, behind QEMU's user-mode network, which \
              reaches what the host reaches. It is down and has no address: run `udhcpc -i eth0`, \
              or give it 10.0.2.15/24 and the gateway 10.0.2.2.",
    },
    Flag {
        long: "accel",
        short: None,
        takes: Choice(
            "HOW",
            &[
                ("auto", |raw| raw.accel = None),
                ("kvm", |raw| raw.accel = Some(Accel::Kvm)),
                ("hvf", |raw| raw.accel = Some(Accel::Hvf)),
                ("tcg", |raw| raw.accel = Some(Accel::Tcg)),
            ],
        ),
        group: Group::Machine,
        on: HOST,
        default: Fixed("auto"),
        again: true,
        help: "what executes the guest's code",
        doc: "auto: hardware virtualisation where a small guest proves that it works, else \
              emulation (tcg).",
    },
    Flag {
        long: "arch",
        short: None,
        takes: Choice(
            "ARCH",
            &[
                ("x86_64", |raw| raw.arch = Some(Arch::X86_64)),
                ("aarch64", |raw| raw.arch = Some(Arch::Aarch64)),
            ],
        ),
        group: Group::Machine,
        on: HOST,
        default: DefaultValue::Computed(Computed::Arch),
        again: true,
        help: "the guest's architecture",
        doc: "By default the host's. A foreign one is emulated and needs an image of its own: \
              scripts/build-image.sh --arch puts it in build/ARCH.",
    },
    Flag {
        long: "append",
        short: None,
        takes: Value("WORDS", |raw, v| put(&mut raw.append, value::text(v))),
        group: Group::Machine,
        on: VMS,
        default: Unset,
        again: true,
        help: "more words for the kernel command line",
        doc: "They come after orca's own words. Each set of words has a template of its own.",
    },
    Flag {
        long: "qemu",
        short: None,
        takes: Value("FILE", |raw, v| put(&mut raw.qemu, Ok(v.into()))),
        group: Group::Machine,
        on: HOST,
        default: DefaultValue::Computed(Computed::Qemu),
        again: true,
        help: "the emulator (qemu-system-ARCH from PATH)",
        doc: "A name is looked for in PATH. Version 7.0 or newer; tests with several nodes need \
              7.2.",
    },
    Flag {
        long: "socket",
        short: None,
        takes: Value("PATH", |raw, v| put(&mut raw.socket, value::text(v))),
        group: Group::Machine,
        on: VMS,
        default: PerRun,
        again: true,
        help: "where a machine's agent socket goes",
        doc: "`{id}` stands for the machine's number and is needed where there are several. By \
              default in a private folder that is gone after the run.",
    },
    Flag {
        long: "boot-timeout",
        short: None,
        takes: Value("TIME", |raw, v| set(&mut raw.boot_timeout, value::duration(v))),
        group: Group::Machine,
        on: VMS,
        default: Fixed("60s"),
        again: true,
        help: "give up on a machine that takes longer to boot",
        doc: "Scaled as --timeout is.",
    },
    Flag {
        long: "machine",
        short: None,
        takes: Choice(
            "KIND",
            &[("vm", |raw| raw.local = false), ("local", |raw| raw.local = true)],
        ),
        group: Group::Machine,
        on: TESTS,
        default: Fixed("vm"),
        again: true,
        help: "a virtual machine, or this host itself",
        doc: "local runs the agent as a child process: no kernel of its own, no isolation. \
              Whatever a test does, it does to this host. It is for trying out a test that needs \
              no VM.",
    },
    Flag {
        long: "console",
        short: None,
        takes: Nothing(|raw| raw.console = true),
        group: Group::Debugging,
        on: &[Run],
        default: Unset,
        again: false,
        help: "the serial console instead of a shell",
        doc: "Shows the boot from the kernel's first line and gives a shell on the console; Ctrl-] \
              ends the machine.",
    },
    Flag {
        long: "print-command",
        short: None,
        takes: Nothing(|raw| raw.print_command = true),
        group: Group::Debugging,
        on: &[Run],
        default: Unset,
        again: false,
        help: "print QEMU's command line and stop",
        doc: "Quoted for a shell, and for a cold boot of the next machine. The command line of \
              each machine that runs is in the run's log folder, in vmN.command.",
    },
    Flag {
        long: "shell-on-fail",
        short: None,
        takes: Nothing(|raw| raw.shell_on_fail = true),
        group: Group::Debugging,
        on: TESTS,
        default: Unset,
        again: false,
        help: "a shell in the machine of each test that fails",
        doc: "The test's processes, namespaces, firewall rules, mounts and $TMPDIR are as it left \
              them, and a test that timed out is still there. Other machines go on meanwhile; \
              their results are shown when you leave the shell. Needs a terminal.",
    },
    Flag {
        long: "keep",
        short: None,
        takes: Optional("N", |raw, v| {
            let n = if v.is_empty() { Ok(KEEP) } else { value::number(v, 1, 64) };
            put(&mut raw.keep, n.map(|n| n as usize))
        }),
        group: Group::Debugging,
        on: TESTS,
        default: Unset,
        again: false,
        help: "keep the machines of the first N failed tests",
        doc: "Without N, of the first 4. They stay as the tests left them, also while the run goes \
              on. At its end orca names them and waits: `orca shell VM` in another terminal gives \
              you a shell in one, Ctrl-C ends them all. None outlives this orca.",
    },
    Flag {
        long: "test",
        short: None,
        takes: Value("PATH", |raw, v| put(&mut raw.test, Ok(v.into()))),
        group: Group::Debugging,
        on: &[Run],
        default: Unset,
        again: false,
        help: "a machine as this test would get it, and stop there",
        doc: "The machine has the memory, CPUs and network card that the test's header asks for, \
              its set-ups have run there, and the shell has the test's variables; the line that \
              orca prints runs the test. After a set-up that did not pass, the machine is as that \
              left it. ORCA_KEEP=1 is set, so that a failing test clears nothing away. No timeout \
              applies. Nothing forks there: 't/x_test.sh [b]' makes the test its case b. A test \
              that this host cannot run, by its `requires=`, is refused.",
    },
    Flag {
        long: "gdb",
        short: None,
        takes: Nothing(|raw| raw.gdb = true),
        group: Group::Debugging,
        on: &[Run],
        default: Unset,
        again: false,
        help: "wait for a debugger before the first instruction",
        doc: "QEMU serves gdb's protocol on a socket in the run's private folder; orca prints the \
              line that attaches to it. The machine is booted, not copied, with `nokaslr`, and its \
              boot has no timeout.",
    },
    Flag {
        long: "debug",
        short: None,
        takes: Nothing(|raw| raw.debug = true),
        group: Group::Debugging,
        on: VMS,
        default: Unset,
        again: false,
        help: "pass the machines' consoles through to stderr",
        doc: "Each line begins with the machine's name, and lines of several machines never mix. \
              The consoles are in the run's log folder in any case.",
    },
    Flag {
        long: "verbose",
        short: Some('v'),
        takes: Nothing(|raw| raw.verbose = raw.verbose.saturating_add(1)),
        group: Group::Output,
        on: SHOWERS,
        default: Unset,
        again: false,
        help: "say more: where each test's time went, skips, notes",
        doc: "Given twice: every check of every test.",
    },
    Flag {
        long: "quiet",
        short: Some('q'),
        takes: Nothing(|raw| raw.quiet = true),
        group: Group::Output,
        on: REPORTS,
        default: Unset,
        again: false,
        help: "print failures, warnings and the summary only",
        doc: "The run's log folder has the rest.",
    },
    Flag {
        long: "color",
        short: None,
        takes: Choice(
            "WHEN",
            &[
                ("auto", |raw| raw.color = Color::Auto),
                ("always", |raw| raw.color = Color::Always),
                ("never", |raw| raw.color = Color::Never),
            ],
        ),
        group: Group::Output,
        on: REPORTS,
        default: Fixed("auto"),
        again: false,
        help: "when to use colours",
        doc: "auto: on a terminal, unless NO_COLOR is set.",
    },
    Flag {
        long: "format",
        short: None,
        takes: Choice(
            "FORM",
            &[
                ("human", |raw| raw.format = Format::Human),
                ("tap", |raw| raw.format = Format::Tap),
                ("json", |raw| raw.format = Format::Json),
            ],
        ),
        group: Group::Output,
        on: SHOWERS,
        default: Fixed("human"),
        again: false,
        help: "the report on standard output",
        doc: "human: lines for people; on a terminal also what each machine is doing, and `t` \
              shows the status. tap: one TAP 14 document with a subtest per test file; not for \
              `orca list`. json: one object per event and line, as things happen; \
              docs/json-report.md has the fields.",
    },
    Flag {
        long: "json",
        short: None,
        takes: Value("FILE", |raw, v| put(&mut raw.json, Ok(v.into()))),
        group: Group::Output,
        on: REPORTS,
        default: Unset,
        again: false,
        help: "write the JSON report to FILE as well",
        doc: "The same lines as --format json, written as things happen; an interrupted run ends \
              it too, and `orca merge` joins several. The run's log folder always has one, \
              results.json.",
    },
    Flag {
        long: "junit",
        short: None,
        takes: Value("FILE", |raw, v| put(&mut raw.junit, Ok(v.into()))),
        group: Group::Output,
        on: REPORTS,
        default: Unset,
        again: false,
        help: "write a JUnit XML report to FILE as well",
        doc: "A suite per test file, a case per check, and a case `(whole file)` that has the \
              file's time and says what is wrong beside its checks. It is complete after every \
              test, so an interrupted run has one too.",
    },
    Flag {
        long: "log-dir",
        short: None,
        takes: Value("DIR", |raw, v| put(&mut raw.log_dir, Ok(v.into()))),
        group: Group::Output,
        on: VMS,
        default: PerRun,
        again: false,
        help: "keep logs and artifacts in DIR",
        doc: "By default each run has a folder of its own below the user's state folder; the link \
              `latest` beside them names the newest.",
    },
    Flag {
        long: "artifacts",
        short: None,
        takes: Choice(
            "WHOSE",
            &[
                ("failed", |raw| raw.artifacts = Artifacts::Failed),
                ("all", |raw| raw.artifacts = Artifacts::All),
            ],
        ),
        group: Group::Output,
        on: TESTS,
        default: Fixed("failed"),
        again: false,
        help: "whose artifacts the log folder keeps",
        doc: "What a test leaves in $ORCA_ARTIFACTS arrives beside its logs: at most 1000 files \
              and 64 MiB a test. failed: those of tests that passed are dropped. The oldest log \
              folders of a project are removed once it has more than 20 of them, or more than 4 \
              GiB in them.",
    },
    Flag {
        long: "agent",
        short: None,
        takes: Value("FILE", |raw, v| put(&mut raw.agent, Ok(v.into()))),
        group: Group::Image,
        on: IMAGES,
        default: Unset,
        again: false,
        help: "the static agent, which becomes /init",
        doc: "scripts/build-toolbox.sh makes it: build/toolbox-linux.",
    },
    Flag {
        long: "with",
        short: None,
        takes: List("NAME", Later::Add, |raw, v| {
            raw.with.push(v.to_string_lossy().into_owned());
            Ok(())
        }),
        group: Group::Image,
        on: IMAGES,
        default: Unset,
        again: false,
        help: "another module to load at boot",
        doc: "By default those are loaded that every boot needs.",
    },
    Flag {
        long: "out",
        short: None,
        takes: Value("FILE", |raw, v| put(&mut raw.out, Ok(v.into()))),
        group: Group::Image,
        on: IMAGES,
        default: Unset,
        again: false,
        help: "the file to write",
        doc: "It is replaced only when the new one is complete.",
    },
];

fn set<T>(slot: &mut T, value: Parsed<T>) -> Parsed<()> {
    *slot = value?;
    Ok(())
}

fn put<T>(slot: &mut Option<T>, value: Parsed<T>) -> Parsed<()> {
    set(slot, value.map(Some))
}

fn tags(raw: &mut Raw, value: &OsStr) -> Parsed<()> {
    let text = value::text(value)?;
    let words = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
    let before = raw.tag.len();
    raw.tag.extend(words.map(str::to_owned));
    if raw.tag.len() > before { Ok(()) } else { Err("tags with commas between them".into()) }
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

/// The flags that `command` takes.
pub fn of(command: Command) -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().filter(move |flag| flag.is_on(command))
}

/// The flag called `long`, if `command` takes it.
pub fn find(command: Command, long: &str) -> Option<&'static Flag> {
    of(command).find(|flag| flag.long == long)
}

/// The flag with the letter `short`, if `command` takes it.
pub fn find_short(command: Command, short: char) -> Option<&'static Flag> {
    of(command).find(|flag| flag.short == Some(short))
}

/// Every flag at its default, if that is a fixed value.
pub fn defaults() -> Raw {
    let mut raw = Raw::default();
    for flag in FLAGS {
        if let DefaultValue::Fixed(value) = flag.default {
            // It cannot fail: a test shows that every flag takes its own default.
            let _ = flag.store(&mut raw, value.as_ref());
        }
    }
    raw
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flag::Takes;

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
            assert!(flag.doc.ends_with('.'), "--{}: no paragraph, or no full stop", flag.long);
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
    fn every_flag_takes_its_own_default_and_its_own_choices_and_no_other_word() {
        for flag in FLAGS {
            let mut raw = Raw::default();
            let mut takes = |word: &str| flag.store(&mut raw, word.as_ref());
            if let DefaultValue::Fixed(value) = flag.default {
                assert_eq!(takes(value), Ok(()), "--{} {value}", flag.long);
            }
            let choices = flag.choices();
            assert!(choices.iter().all(|word| takes(word).is_ok()), "--{}", flag.long);
            if matches!(flag.takes, Takes::Choice(..)) {
                assert!(choices.len() > 1, "--{}", flag.long);
                let form = format!("one of {}", choices.join(", "));
                assert_eq!(takes("\u{1}"), Err(form), "--{}", flag.long);
            }
        }
        let raw = defaults();
        assert_eq!((raw.shape.memory_mib, raw.bail, raw.share), (512, true, None));
    }

    #[test]
    fn a_choice_is_called_as_what_it_stands_for() {
        let chosen = |long: &str, word: &str| {
            let mut raw = Raw::default();
            find(Test, long).unwrap().store(&mut raw, word.as_ref()).unwrap();
            raw
        };
        let words = |long: &str| find(Test, long).unwrap().choices();
        for word in words("share") {
            assert_eq!(chosen("share", word).share.map_or("auto", Share::name), word);
        }
        for word in words("arch") {
            assert_eq!(chosen("arch", word).arch.map(Arch::name), Some(word));
        }
        for word in words("accel") {
            assert_eq!(chosen("accel", word).accel.map_or("auto", Accel::name), word);
        }
    }

    #[test]
    fn everything_that_makes_the_machine_matters_when_a_test_is_run_again() {
        for flag in FLAGS {
            let makes_machines = flag.group == Group::Machine;
            assert!(flag.again || !makes_machines, "--{}", flag.long);
            let shows = matches!(flag.group, Group::Output | Group::Debugging);
            assert!(!(flag.again && shows), "--{}", flag.long);
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
