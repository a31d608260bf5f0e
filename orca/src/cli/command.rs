//! The table of `orca`'s commands.

/// The shells that have completions.
pub const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// A command of `orca`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run tests.
    Test,
    /// One machine for a person.
    Run,
    /// Show the tests.
    List,
    /// Join reports.
    Merge,
    /// Show, build or remove templates.
    Template,
    /// Remove everything that is kept between runs.
    Clean,
    /// Build parts of a guest image.
    Image,
    /// A shell in a machine of a running orca.
    Shell,
    /// Run tests again as files change.
    Watch,
    /// Check that this host has what orca needs.
    Doctor,
    /// Show the settings and where each comes from.
    Config,
    /// Completions for a shell.
    Completions,
    /// The manual page.
    Man,
}

/// The arguments that a command takes beside its options, and those behind `--`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// None.
    None,
    /// Files and folders.
    Files,
    /// The name of a machine.
    Machine,
    /// Some of these words.
    OneOf(&'static [&'static str]),
}

/// A command, its name and its texts.
#[derive(Debug)]
pub struct Row {
    /// The command.
    pub command: Command,
    /// Its name.
    pub name: &'static str,
    /// Its arguments, as the usage line shows them behind `orca NAME`.
    pub usage: &'static str,
    /// What it takes beside options.
    pub words: Words,
    /// The line of `orca --help`.
    pub help: &'static str,
    /// The paragraphs of its `--help`.
    pub doc: &'static str,
    /// Commands to try.
    pub examples: &'static [(&'static str, &'static str)],
}

/// Every command, in the order of `--help`.
pub const COMMANDS: [Row; 13] = [
    Row {
        command: Command::Test,
        name: "test",
        usage: "[options] [PATH…]",
        words: Words::Files,
        help: "run the tests of a project, in VMs, in parallel",
        doc: "Finds every t/**/*_test.sh of the project (or those below the given files and \
              folders), runs each as a shell script in a virtual machine, reads the TAP it prints, \
              and says what passed. The project is mounted in the machine at /mnt/glacic; what a \
              test writes there never reaches the host.\n\nExit status: 0 all passed, 1 a test \
              failed, 2 usage, configuration or host error, 3 a test has no verdict because its \
              machine was in trouble, 4 nothing to run.",
        examples: &[
            ("orca test", "everything"),
            ("orca test -j2 t/30-firewall", "one folder, two machines"),
            ("orca test --failed", "what has not passed yet"),
            ("orca test 't/x_test.sh [b]'", "one case of a test that forks"),
            ("orca test -k 'dns and not slow'", "by name or tag"),
            ("orca test --shell-on-fail t/x_test.sh", "look around where it failed"),
            ("orca test --project-root ../other", "another project's tests"),
        ],
    },
    Row {
        command: Command::Run,
        name: "run",
        usage: "[options] [-- CMD [ARG…]]",
        words: Words::None,
        help: "a shell, or one command, in a fresh VM",
        doc: "Boots one virtual machine with the project mounted at /mnt/glacic. Without a command \
              it gives you a shell in it; with one it runs that, passes its input and output \
              through, and exits with its status. The machine is gone afterwards. On the serial \
              console (--console) Ctrl-] ends the machine. While it runs, `orca shell` gives more \
              shells in it.",
        examples: &[
            ("orca run", "look around"),
            ("orca run -- uname -a", "one command"),
            ("orca run --test t/x_test.sh", "stop where that test would begin"),
            ("orca run --console", "watch it boot, shell on the serial console"),
        ],
    },
    Row {
        command: Command::Shell,
        name: "shell",
        usage: "[VM] [-- CMD [ARG…]]",
        words: Words::Machine,
        help: "a shell in a kept machine, or in that of `orca run`",
        doc: "Connects to a machine of another orca of yours on this host: one that `orca test \
              --keep` keeps, that `--shell-on-fail` has open, or that of `orca run`. A single \
              machine needs no name; if there are several, orca lists them. Where two runs have a \
              machine of the same name, the list calls it RUN/VM. With a command it runs that and \
              exits with its status. Leaving changes nothing in the machine.",
        examples: &[
            ("orca shell", "in the only one, or the list"),
            ("orca shell vm3 -- nft list ruleset", "one command"),
        ],
    },
    Row {
        command: Command::Watch,
        name: "watch",
        usage: "[options] [PATH…]",
        words: Words::Files,
        help: "run tests again whenever a file of the project changes",
        doc: "Takes what `orca test` takes, and waits for files to change. A changed test file is \
              run; a changed file that tests name (a helper, data) runs those tests; any other \
              file of the project runs all of the given tests. Files that git ignores or that \
              begin with a dot do not count. A change during a run cuts it, and its tests run \
              again together with those touched since. With --share rw or --machine local, where \
              tests write to the project themselves, changes during a run do not count. Ctrl-C \
              ends.",
        examples: &[("orca watch t/30-firewall", "while writing a firewall test")],
    },
    Row {
        command: Command::List,
        name: "list",
        usage: "[options] [PATH…]",
        words: Words::Files,
        help: "show which tests would run",
        doc: "Prints the path of every test that `orca test` with the same arguments would run, \
              one per line, sorted, and runs nothing. -v adds how long each is expected to take \
              and what its header asks for; --format json prints all that as an object per line.",
        examples: &[
            ("orca list t/30-firewall", "the tests of one folder"),
            ("orca list -v --shard 1/3", "the first third, with times"),
        ],
    },
    Row {
        command: Command::Merge,
        name: "merge",
        usage: "[options] FILE…",
        words: Words::Files,
        help: "join the JSON reports of several runs into one",
        doc: "Reads reports that `orca test --json FILE` wrote, usually those of shards, and \
              reports them as if one run had made them; the exit status is that of such a run. A \
              test without a result, because its run was cut off, counts as not run. If a test is \
              in several reports, any verdict outranks none, and the worst verdict counts.",
        examples: &[
            ("orca merge shard-*.json", "one report of all shards"),
            ("orca merge --junit all.xml --quiet shard-*.json", "for continuous integration"),
        ],
    },
    Row {
        command: Command::Template,
        name: "template",
        usage: "[options] [list | build | remove NAME…]",
        words: Words::OneOf(&["list", "build", "remove"]),
        help: "show, build or remove templates, which are frozen machines",
        doc: "A template is a machine that was booted once and frozen; every test gets a copy of \
              one. Templates are made when they are needed and kept in the user's cache folder; \
              beyond 4 GiB the least recently used are removed. `build` makes the one for the \
              given options, so that the next run finds it.",
        examples: &[("orca template build", "be ready for the next run")],
    },
    Row {
        command: Command::Clean,
        name: "clean",
        usage: "",
        words: Words::None,
        help: "remove all templates, logs and histories",
        doc: "Removes everything that orca keeps between runs: templates, initramfs files and \
              disks that it made, the logs of runs, how tests ended and how long they took, and \
              what it remembers of QEMU.",
        examples: &[],
    },
    Row {
        command: Command::Doctor,
        name: "doctor",
        usage: "[options]",
        words: Words::None,
        help: "check this host: QEMU, accelerator, image, folders, limits",
        doc: "Looks at everything that a run needs and changes nothing that lasts: a line for each \
              thing, and what to do about a fault. It tries the accelerator, since /dev/kvm alone \
              does not mean that it works.\n\nExit status: 0 if tests can run, 2 if not.",
        examples: &[("orca doctor", "first thing on a new host")],
    },
    Row {
        command: Command::Config,
        name: "config",
        usage: "[options]",
        words: Words::None,
        help: "show the settings, and where each comes from",
        doc: "Prints the value of every option of `orca test`, and where it comes from: the \
              command line, an ORCA_* variable, a line of the project's .orcarc, or the default. \
              `orca config --format json` prints it for programs.",
        examples: &[("orca config -j4", "what -j4 would change")],
    },
    Row {
        command: Command::Completions,
        name: "completions",
        usage: "bash|zsh|fish",
        words: Words::OneOf(&SHELLS),
        help: "print completions for a shell",
        doc: "Prints a script for the named shell. For bash: `orca completions bash \
              >~/.local/share/bash-completion/completions/orca`; for zsh a file `_orca` in a \
              folder of $fpath; for fish `~/.config/fish/completions/orca.fish`.",
        examples: &[("eval \"$(orca completions bash)\"", "in this shell, now")],
    },
    Row {
        command: Command::Man,
        name: "man",
        usage: "",
        words: Words::None,
        help: "print the manual page",
        doc: "Prints the manual page in the language of `man`: every command and every option.",
        examples: &[("orca man | man -l -", "read it")],
    },
    Row {
        command: Command::Image,
        name: "image",
        usage: "initramfs|vmlinux [KERNEL] --out FILE [options]",
        words: Words::OneOf(&["initramfs", "vmlinux"]),
        help: "build parts of a guest image",
        doc: "`orca image initramfs` packs the agent as /init, with the kernel modules that a boot \
              needs: those of --modules, a kernel's /lib/modules/RELEASE after depmod. Without \
              --modules the kernel has to have everything built in.\n\n`orca image vmlinux KERNEL` \
              unpacks a bzImage into the vmlinux that QEMU enters without a BIOS, or a packed \
              aarch64 kernel into its plain Image.\n\nscripts/build-image.sh makes the rest of an \
              image. Settings of runs, in .orcarc or ORCA_* variables, are not read.",
        examples: &[
            ("orca image vmlinux bzImage --out vmlinux", "for a faster boot"),
            ("orca image initramfs --agent agent --out initrd", "no modules"),
        ],
    },
];

impl Command {
    /// Its row of the table.
    pub fn row(self) -> &'static Row {
        // A test shows that every command is in the table.
        COMMANDS.iter().find(|row| row.command == self).unwrap_or(&COMMANDS[0])
    }

    /// The command whose options this one takes.
    pub fn grammar(self) -> Self {
        match self {
            Self::Watch | Self::Config => Self::Test,
            own => own,
        }
    }

    /// Whether `--` begins a command for the guest.
    pub fn takes_command(self) -> bool {
        matches!(self, Self::Run | Self::Shell)
    }

    /// The command called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        COMMANDS.iter().find(|row| row.name == name).map(|row| row.command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_by_its_name_and_has_help() {
        for row in &COMMANDS {
            assert_eq!(Command::from_name(row.name), Some(row.command));
            assert_eq!(row.command.row().name, row.name);
            assert!(row.help.len() < 60 && !row.help.ends_with('.'), "{}", row.name);
            assert!(row.doc.ends_with('.'), "{}", row.name);
        }
    }

    #[test]
    fn a_usage_line_has_the_words_that_the_command_takes() {
        for row in &COMMANDS {
            let own = row.usage.split("[--").next().unwrap().replace("[options]", "");
            assert_eq!(own.trim().is_empty(), row.words == Words::None, "{}", row.name);
            if let Words::OneOf(words) = row.words {
                assert!(words.iter().all(|word| own.contains(word)), "{}", row.name);
            }
        }
    }
}
