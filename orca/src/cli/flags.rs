//! The table of flags: one definition each, from which parsing, `--help`, the environment and `.orcarc` all derive.

use super::command::Command::{self, List, Merge, Run, Template, Test};
use super::raw::{Color, Format, Raw};
use super::value::{self, Parsed};
use crate::qemu::accel::Accel;
use crate::qemu::arch::Arch;
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
    /// What is printed and written.
    Output,
}

impl Group {
    /// Every group, in the order of `--help`.
    pub const ALL: [Group; 4] = [Group::Choosing, Group::Running, Group::Machine, Group::Output];

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Group::Choosing => "Choosing",
            Group::Running => "Running",
            Group::Machine => "Machines",
            Group::Output => "Output",
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

    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("ORCA_{}", self.long.replace('-', "_").to_uppercase())
    }
}

const VMS: &[Command] = &[Test, Run, Template];
const TESTS: &[Command] = &[Test];
const REPORTS: &[Command] = &[Test, Merge];
const ALL: &[Command] = &[Test, Run, List, Template];

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
        long: "jobs",
        short: Some('j'),
        value: Some("N"),
        group: Group::Running,
        on: TESTS,
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
        on: VMS,
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
        on: VMS,
        help: "the kernel (build/vmlinux or build/vmlinuz)",
        doc: "An uncompressed x86_64 vmlinux is entered without a BIOS and boots twice as fast where there is no KVM.",
        set: |raw, v| put(&mut raw.kernel, Ok(v.into())),
    },
    Flag {
        long: "initrd",
        short: None,
        value: Some("FILE"),
        group: Group::Machine,
        on: VMS,
        help: "the initramfs, whose /init is the agent",
        doc: "By default build/initramfs.",
        set: |raw, v| put(&mut raw.initrd, Ok(v.into())),
    },
    Flag {
        long: "rootfs",
        short: None,
        value: Some("FILE"),
        group: Group::Machine,
        on: VMS,
        help: "the root disk, never written to",
        doc: "A raw ext4 image; by default build/rootfs.ext4. Every machine writes to a qcow2 overlay of its own. `none` leaves the \
machine in its initramfs.",
        set: |raw, v| put(&mut raw.rootfs, Ok(v.into())),
    },
    Flag {
        long: "memory",
        short: Some('m'),
        value: Some("SIZE"),
        group: Group::Machine,
        on: VMS,
        help: "memory of each machine (512M)",
        doc: "",
        set: |raw, v| put(&mut raw.memory_mib, value::memory_mib(v)),
    },
    Flag {
        long: "cpus",
        short: None,
        value: Some("N"),
        group: Group::Machine,
        on: VMS,
        help: "virtual CPUs of each machine (1)",
        doc: "",
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
        doc: "none (the default): loopback only. user: a card behind QEMU's user-mode network, which reaches what the host reaches.",
        set: |raw, v| put(&mut raw.net, value::choice(v, &[("none", false), ("user", true)])),
    },
    Flag {
        long: "accel",
        short: None,
        value: Some("HOW"),
        group: Group::Machine,
        on: VMS,
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
        on: VMS,
        help: "the guest's architecture: x86_64, aarch64",
        doc: "By default the host's. A foreign one is emulated and needs an image of its own.",
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
        doc: "",
        set: |raw, v| put(&mut raw.append, value::text(v)),
    },
    Flag {
        long: "qemu",
        short: None,
        value: Some("FILE"),
        group: Group::Machine,
        on: VMS,
        help: "the emulator (qemu-system-ARCH from PATH)",
        doc: "",
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
        group: Group::Machine,
        on: &[Run],
        help: "the serial console instead of a shell",
        doc: "Shows the boot from the kernel's first line and gives a shell on the console; Ctrl-] ends the machine.",
        set: |raw, _| switch(&mut raw.console),
    },
    Flag {
        long: "print-command",
        short: None,
        value: None,
        group: Group::Machine,
        on: &[Run],
        help: "print QEMU's command line and stop",
        doc: "",
        set: |raw, _| switch(&mut raw.print_command),
    },
    Flag {
        long: "debug",
        short: None,
        value: None,
        group: Group::Output,
        on: VMS,
        help: "pass the machines' consoles through to stderr",
        doc: "",
        set: |raw, _| switch(&mut raw.debug),
    },
    Flag {
        long: "verbose",
        short: Some('v'),
        value: None,
        group: Group::Output,
        on: REPORTS,
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
        doc: "",
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
        on: REPORTS,
        help: "the report on standard output: human, tap, json",
        doc: "human: lines for people; on a terminal also what each machine is doing, and `t` shows the status. tap: one TAP 14 \
document with a subtest per test file. json: one object per event and line, as things happen; ARCHITECTURE.md has the table.",
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
        doc: "Written as things happen; an interrupted run ends it too. `orca merge` joins several.",
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

/// The flag called `long`, if `command` takes it.
pub fn find(command: Command, long: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.long == long && flag.on.contains(&command))
}

/// The flag with the letter `short`, if `command` takes it.
pub fn find_short(command: Command, short: char) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.short == Some(short) && flag.on.contains(&command))
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
            assert!(flag.doc.is_empty() || flag.doc.ends_with('.'), "--{}", flag.long);
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
