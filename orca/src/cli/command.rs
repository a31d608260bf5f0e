//! The table of `orca`'s commands.

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
    /// Remove what is kept between runs.
    Clean,
    /// Build parts of a guest image.
    Image,
}

/// What is said about a command.
#[derive(Debug)]
pub struct Row {
    /// The command.
    pub command: Command,
    /// As it is typed.
    pub name: &'static str,
    /// Behind `orca NAME`.
    pub usage: &'static str,
    /// One line.
    pub help: &'static str,
    /// The paragraphs of its `--help`.
    pub doc: &'static str,
    /// Commands to try.
    pub examples: &'static [(&'static str, &'static str)],
}

/// Every command, in the order of `--help`.
pub const COMMANDS: [Row; 7] = [
    Row {
        command: Command::Test,
        name: "test",
        usage: "[options] [PATH…]",
        help: "run the tests of a project, in VMs, in parallel",
        doc: "Finds every t/**/*_test.sh of the project (or those below the given files and folders), runs each as a shell \
script in a virtual machine, reads the TAP it prints, and says what passed. The project is mounted in the machine at \
/mnt/glacic; what a test writes there never reaches the host.\n\nExit status: 0 all passed, 1 a test failed, 2 usage, \
configuration or host error, 3 a test has no verdict because its machine was in trouble, 4 nothing to run.",
        examples: &[
            ("orca test", "everything"),
            ("orca test -j2 t/30-firewall", "one folder, two machines"),
            ("orca test --project-root ../other", "another project's tests"),
        ],
    },
    Row {
        command: Command::Run,
        name: "run",
        usage: "[options] [-- CMD [ARG…]]",
        help: "a shell, or one command, in a fresh VM",
        doc: "Boots one virtual machine with the project mounted at /mnt/glacic. Without a command it gives you a shell in it; \
with one it runs that, passes its input and output through, and exits with its status. The machine is gone afterwards. \
On the serial console (--console) Ctrl-] ends the machine.",
        examples: &[
            ("orca run", "look around"),
            ("orca run -- uname -a", "one command"),
            ("orca run --console", "watch it boot, shell on the serial console"),
        ],
    },
    Row {
        command: Command::List,
        name: "list",
        usage: "[options] [PATH…]",
        help: "show which tests would run",
        doc: "Prints the path of every test that `orca test` with the same arguments would run, one a line, and runs nothing.",
        examples: &[("orca list t/30-firewall", "the tests of one folder")],
    },
    Row {
        command: Command::Merge,
        name: "merge",
        usage: "[options] FILE…",
        help: "join the JSON reports of several runs into one",
        doc: "Reads reports that `orca test --json FILE` wrote, usually those of shards, and reports them as if one run had made \
them; the exit status is the one that run would have had. A test that a report has no result of, because its run was cut off, \
counts as not run. Where a test stands in several reports a verdict outranks none, and the worse verdict counts.",
        examples: &[
            ("orca merge shard-*.json", "one report of all shards"),
            ("orca merge --junit all.xml --quiet shard-*.json", "for continuous integration"),
        ],
    },
    Row {
        command: Command::Template,
        name: "template",
        usage: "[options] [list | build | remove NAME…]",
        help: "show, build or remove frozen machines",
        doc: "A template is a machine that was booted once and frozen; every test gets a copy of one. They are made when they are \
needed and kept in the user's cache folder, the least recently used removed beyond 4 GiB. `build` makes the one that the given \
options ask for, so that the next run finds it.",
        examples: &[("orca template build", "be ready for the next run")],
    },
    Row {
        command: Command::Clean,
        name: "clean",
        usage: "",
        help: "remove all templates and the logs of runs",
        doc: "Removes everything that orca keeps between runs: templates, the logs of runs, and which accelerator works.",
        examples: &[],
    },
    Row {
        command: Command::Image,
        name: "image",
        usage: "initramfs|vmlinux …",
        help: "build parts of a guest image",
        doc: "`orca image initramfs` packs the agent and the kernel modules that a boot needs; `orca image vmlinux` unpacks a \
bzImage so that QEMU can enter it without a BIOS. `orca image initramfs --help` says more.",
        examples: &[],
    },
];

impl Command {
    /// Its row of the table.
    pub fn row(self) -> &'static Row {
        // The table has every command: a test says so.
        COMMANDS.iter().find(|row| row.command == self).unwrap_or(&COMMANDS[0])
    }

    /// The command called `name`.
    pub fn from_name(name: &str) -> Option<Command> {
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
}
