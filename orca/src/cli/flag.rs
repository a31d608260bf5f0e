//! What a flag is: its names, the value it takes, its default and its texts. The flags themselves
//! are in the table of `cli/flags.rs`.

use super::command::Command;
use super::raw::Raw;
use crate::text::value::{self, Parsed};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// The section of `--help` that a flag is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Which tests run.
    Choosing,
    /// How they run.
    Running,
    /// What they run in.
    Machine,
    /// Looking into machines.
    Debugging,
    /// What is printed and written.
    Output,
    /// The parts of a guest image.
    Image,
}

impl Group {
    /// Every group, in the order of `--help`.
    pub const ALL: [Self; 6] =
        [Self::Choosing, Self::Running, Self::Machine, Self::Debugging, Self::Output, Self::Image];

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Choosing => "Choosing",
            Self::Running => "Running",
            Self::Machine => "Machines",
            Self::Debugging => "Debugging",
            Self::Output => "Output",
            Self::Image => "Building images",
        }
    }
}

/// Stores a value in [`Raw`]; the error names the form that the value should have.
type Store = fn(&mut Raw, &OsStr) -> Parsed<()>;

/// A word that a flag takes, and what it does to [`Raw`].
type Word = (&'static str, fn(&mut Raw));

/// The value that a flag takes, by its name in help, and what it does to [`Raw`].
#[derive(Clone, Copy)]
pub enum Takes {
    /// No value: the flag is a switch.
    Nothing(fn(&mut Raw)),
    /// A value.
    Value(&'static str, Store),
    /// A value that may be left out (`--flag[=N]`), which stores an empty one.
    Optional(&'static str, Store),
    /// A value, of which several may be given.
    List(&'static str, Later, Store),
    /// One of these words.
    Choice(&'static str, &'static [Word]),
    /// `NAME` or `NAME=VALUE`. It may be given several times, and its value may be a secret.
    Variable(Store),
}

/// What the values of a later source do to those of an earlier one, such as `.orcarc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Later {
    /// The later values are added to the earlier ones.
    Add,
    /// The later values replace the earlier ones.
    Replace,
}

/// The value of a flag that nobody has given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// None: without it nothing is chosen, limited or written.
    Unset,
    /// A value that the flag itself takes.
    Fixed(&'static str),
    /// It follows from the host, the project and other flags.
    Computed(Computed),
    /// Only a run finds it out.
    PerRun,
}

/// Which default is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Computed {
    /// The project's root.
    ProjectRoot,
    /// The file with the project's history.
    History,
    /// How many machines run at once.
    Jobs,
    /// The kernel of the image.
    Kernel,
    /// The initramfs of the image.
    Initrd,
    /// The root disk of the image.
    Rootfs,
    /// The host's architecture.
    Arch,
    /// The emulator of the architecture.
    Qemu,
}

/// One flag.
pub struct Flag {
    /// Its name, without the `--`.
    pub long: &'static str,
    /// Its letter, without the `-`.
    pub short: Option<char>,
    /// Its value.
    pub takes: Takes,
    /// Its section of the help.
    pub group: Group,
    /// The commands that take it.
    pub on: &'static [Command],
    /// Its value if nobody gives one.
    pub default: DefaultValue,
    /// Whether the command that runs one test again repeats it: it changes what happens to a test.
    /// Flags that choose tests, say how many run at once or shape the reports are left out.
    pub again: bool,
    /// The line of `-h`, without the choices and the default.
    pub help: &'static str,
    /// The rest of its paragraph in `--help`.
    pub doc: &'static str,
}

impl Flag {
    /// The name of its value; `None` for a switch.
    pub fn value(&self) -> Option<&'static str> {
        match self.takes {
            Takes::Nothing(_) => None,
            Takes::Value(name, _)
            | Takes::Optional(name, _)
            | Takes::List(name, ..)
            | Takes::Choice(name, _) => Some(name),
            Takes::Variable(_) => Some("NAME[=VALUE]"),
        }
    }

    /// Whether its value may be left out.
    pub fn is_optional(&self) -> bool {
        matches!(self.takes, Takes::Optional(..))
    }

    /// What help shows behind its name: ` N`, `[=N]` or nothing.
    pub fn form(&self) -> String {
        match self.value() {
            None => String::new(),
            Some(name) if self.is_optional() => format!("[={name}]"),
            Some(name) => format!(" {name}"),
        }
    }

    /// The words that it takes; none if it takes other values.
    pub fn choices(&self) -> Vec<&'static str> {
        match self.takes {
            Takes::Choice(_, words) => words.iter().map(|(word, _)| *word).collect(),
            _ => Vec::new(),
        }
    }

    /// One line of help, with the choices and the default.
    pub fn summary(&self) -> String {
        let show = |word| match self.default == DefaultValue::Fixed(word) {
            true => format!("{word} (default)"),
            false => word.to_owned(),
        };
        let choices: Vec<String> = self.choices().into_iter().map(show).collect();
        match self.default {
            _ if !choices.is_empty() => format!("{}: {}", self.help, choices.join(", ")),
            DefaultValue::Fixed(value) => format!("{} (default {value})", self.help),
            _ => self.help.to_owned(),
        }
    }

    /// Whether `command` takes it.
    pub fn is_on(&self, command: Command) -> bool {
        self.on.contains(&command.grammar())
    }

    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("ORCA_{}", self.long.replace('-', "_").to_uppercase())
    }

    /// Stores `value`, which is empty for a switch and for a value that was left out.
    ///
    /// # Errors
    /// The form that the value should have.
    pub fn store(&self, raw: &mut Raw, value: &OsStr) -> Parsed<()> {
        match self.takes {
            Takes::Nothing(set) => set(raw),
            Takes::Value(_, store)
            | Takes::Optional(_, store)
            | Takes::List(_, _, store)
            | Takes::Variable(store) => {
                return store(raw, value);
            }
            Takes::Choice(_, words) => value::choice(value, words)?(raw),
        }
        Ok(())
    }

    /// A value of it as reports may show it: of a variable the name alone.
    pub fn shown(&self, value: &OsStr) -> OsString {
        match self.takes {
            Takes::Variable(_) => {
                let name = value.as_bytes().split(|&b| b == b'=').next();
                OsStr::from_bytes(name.unwrap_or_default()).to_owned()
            }
            _ => value.to_owned(),
        }
    }
}
