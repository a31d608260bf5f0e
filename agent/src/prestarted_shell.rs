//! A shell that waits for the next test: started before its machine is frozen, it is there in every copy, in a tree of its own, with its
//! pipes and folders, and only has to be told what to run.
//!
//! A copy under emulation finds no code translated, and forking, executing and linking a shell is twice as much code as a small test
//! is. So a test that a shell runs is read by this one, as if it had been its operand: `$0` is made the test's path in the shell's
//! memory, where an operand as long has been kept for it. A shell that has copied its operand (bash does) notices, and executes
//! another for the test, as this one does whatever runs by itself.
//!
//! What no shell could start as it is (its interpreter is missing) is started as where there is no spare, for the better message.
//! What can be told from `sh TEST`: the shell's own `/proc/PID/cmdline` and `environ`, one more of its own descriptors above 9, `c` in
//! `$-` of a busybox, and that dash names the script twice in what it complains of (`T: 2: T: foo: not found`).

use crate::launch::{Launcher, SHELL};
use crate::process_tree::ProcessTree;
use crate::pump::Running;
use crate::scratch::Scratch;
use crate::shebang;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::process::Command;

/// Reads what to do from standard input, which ends there.
const WAIT: &str = ". /proc/self/fd/0";
/// The longest path that `$0` has room for, in bytes.
const PATH_ROOM: usize = 1023;
/// What fills that room until then.
const FILLER: &str = "x";
/// Which field of `/proc/PID/stat`, counted from the one behind the name, is the address of the arguments.
const ARG_START: usize = 45;
/// The variables that a waiting shell can be given later, beside those that begin with `ORCA`. Others may mean something to it.
const NAMES: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];

/// See the module.
pub(crate) struct PrestartedShell {
    scratch: Scratch,
    running: Running,
    operand: Operand,
}

/// What a waiting shell takes for its `$0`.
struct Operand {
    /// The shell's memory.
    memory: File,
    at: u64,
}

impl PrestartedShell {
    /// Starts one, with folders of its own.
    ///
    /// # Errors
    /// It cannot be started, or could not be told later which test it is.
    pub(crate) fn start(launcher: &Launcher) -> io::Result<Self> {
        let scratch = Scratch::make()?;
        let mut command = waiting_shell();
        command.env_clear().current_dir("/");
        let running = launcher.start_claiming(&mut command, true, true)?;
        // A walk finds processes by a variable that only they have; this one's were its test's too.
        let operand = match (&running.tree, &running.tree.pids()[..]) {
            (ProcessTree::Cgroup { .. }, &[pid]) => Operand::of(pid),
            _ => Err(io::Error::other("no cgroup with a shell in it")),
        };
        match operand {
            Ok(operand) => Ok(Self { scratch, running, operand }),
            Err(e) => {
                running.end();
                Err(e)
            }
        }
    }

    /// The folders that `command` should be told of.
    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Has it become `command`, or ends it.
    ///
    /// # Errors
    /// It cannot, or is gone.
    pub(crate) fn become_test(
        mut self,
        command: &Command,
        interpreter: Option<&OsStr>,
    ) -> io::Result<(Scratch, Running)> {
        match self.tell(command, interpreter) {
            Ok(()) => Ok((self.scratch, self.running)),
            Err(e) => {
                self.running.end();
                Err(e)
            }
        }
    }

    fn tell(&mut self, command: &Command, interpreter: Option<&OsStr>) -> io::Result<()> {
        if interpreter.is_some_and(|path| !shebang::can_run(path)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let order = order(command).ok_or(io::ErrorKind::Unsupported)?;
        let input = self.running.input.take().ok_or(io::ErrorKind::BrokenPipe)?;
        // The shell names itself so in what it complains of, too.
        let name = script_of(command).unwrap_or(command.get_program());
        if name.len() <= PATH_ROOM {
            self.operand.set(name)?;
        }
        File::from(input).write_all(&order)
    }
}

fn waiting_shell() -> Command {
    let mut command = Command::new(SHELL);
    command.args(["-c", WAIT, &FILLER.repeat(PATH_ROOM)]);
    command
}

impl Operand {
    /// That of the waiting shell with this id.
    fn of(pid: i32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let field = stat.rsplit(") ").next().and_then(|fields| fields.split(' ').nth(ARG_START));
        let start: Option<u64> = field.and_then(|text| text.parse().ok());
        let before: usize = [SHELL, "-c", WAIT].iter().map(|text| text.len() + 1).sum();
        let memory = File::options().read(true).write(true).open(format!("/proc/{pid}/mem"))?;
        let at = start.ok_or_else(|| io::Error::other("no arguments"))? + before as u64;
        let mut found = vec![0; PATH_ROOM];
        memory.read_exact_at(&mut found, at)?;
        if found != FILLER.repeat(PATH_ROOM).as_bytes() {
            return Err(io::Error::other("other arguments"));
        }
        Ok(Self { memory, at })
    }

    /// Makes it `path`, which is no longer than [`PATH_ROOM`].
    fn set(&self, path: &OsStr) -> io::Result<()> {
        let mut name = path.as_bytes().to_vec();
        name.resize(PATH_ROOM, 0);
        self.memory.write_all_at(&name, self.at)
    }
}

/// The script that `command` gives to a shell, if it is no more than that.
fn script_of(command: &Command) -> Option<&OsStr> {
    let mut args = command.get_args();
    args.next().filter(|_| command.get_program() == SHELL && args.len() == 0)
}

/// What the shell is to read to become `command`; `None` where it cannot.
fn order(command: &Command) -> Option<Vec<u8>> {
    let mut order = b"cd -P ".to_vec();
    quote(&mut order, command.get_current_dir().map_or(OsStr::new("/"), AsRef::as_ref));
    order.extend_from_slice(b" && unset OLDPWD && exec </dev/null || exit 126\nexport");
    for (name, value) in command.get_envs() {
        let name = name.to_str().filter(|name| is_ours(name))?;
        order.extend_from_slice(format!(" {name}=").as_bytes());
        quote(&mut order, value.unwrap_or_default());
    }
    order.push(b'\n');
    if let Some(script) = script_of(command) {
        order.extend_from_slice(b"[ \"$0\" = ");
        quote(&mut order, script);
        order.extend_from_slice(b" ] || ");
    } else {
        // What a shell exports by itself is not in the environment of what runs by itself.
        order.extend_from_slice(b"unset PWD SHLVL; ");
    }
    order.extend_from_slice(b"exec");
    for word in [command.get_program()].into_iter().chain(command.get_args()) {
        order.push(b' ');
        quote(&mut order, word);
    }
    // The last command, so that its status is the shell's.
    order.extend_from_slice(b"\n. \"$0\"\n");
    Some(order)
}

fn is_ours(name: &str) -> bool {
    let rest = name.strip_prefix("ORCA");
    let plain = |text: &str| text.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
    NAMES.contains(&name) || rest.is_some_and(plain)
}

/// Adds `text` as one word of a shell's.
fn quote(order: &mut Vec<u8>, text: &OsStr) {
    order.push(b'\'');
    for &byte in text.as_bytes() {
        match byte {
            b'\'' => order.extend_from_slice(b"'\\''"),
            _ => order.push(byte),
        }
    }
    order.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::PATH;
    use crate::reaper::output_for_tests;
    use crate::wire::Ended;

    /// What comes of a waiting shell that is told to become `command`: its end, and both outputs. `told` is whether its `$0` is set, as
    /// some shells' cannot be.
    fn become_in_a_shell(command: &Command, told: bool) -> (Ended, String, String) {
        output_for_tests(waiting_shell().env_clear(), |child| {
            if let Some(script) = script_of(command).filter(|_| told) {
                Operand::of(child.id() as i32).unwrap().set(script).unwrap();
            }
            let input = child.stdin.as_mut().unwrap();
            input.write_all(&order(command).unwrap()).unwrap();
        })
    }

    /// A script with this text, and the folder that it is in.
    fn script(name: &str, text: &str) -> (std::path::PathBuf, std::path::PathBuf) {
        let folder =
            std::env::temp_dir().join(format!("agent-spare-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("it's a_test.sh");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn a_script_sees_what_an_operand_of_the_shell_sees() {
        let text =
            "echo \"$0|$#|$PWD|${OLDPWD-unset}|$ORCA_TEST|$(cat)|$-\"; env | grep -c ORCA_; false";
        let (folder, path) = script("operand", text);
        let mut command = Command::new(SHELL);
        command.arg(&path).env_clear().current_dir(&folder);
        command.env("ORCA_TEST", "a 'b'\n$c\\").env("PATH", PATH);
        let expected = output_for_tests(&mut command, |_| ());
        assert!(expected.0.exit == 1 && !expected.1.is_empty());
        for told in [true, false] {
            assert_eq!(become_in_a_shell(&command, told), expected, "{told}");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn exits_returns_and_errors_are_the_scripts() {
        for (text, exit) in
            [("exit 7", 7), ("return 6", 6), ("trap 'exit 5' EXIT", 5), ("kill -TERM $$", 143)]
        {
            let (folder, path) = script(&exit.to_string(), text);
            let mut command = Command::new(SHELL);
            command.arg(&path).env_clear().env("ORCA", "1");
            assert_eq!(become_in_a_shell(&command, true).0.exit, exit, "{text}");
            fs::remove_dir_all(folder).unwrap();
        }
    }

    #[test]
    fn what_runs_by_itself_is_executed_and_foreign_variables_are_not_touched() {
        let mut command = Command::new("/usr/bin/env");
        command.env_clear().env("ORCA", "1").current_dir("/");
        assert_eq!(become_in_a_shell(&command, true).1, "ORCA=1\n");
        for name in ["IFS", "PS4", "ORCA-X", "a.b", "OPTIND"] {
            command.env_clear().env(name, "1");
            assert!(order(&command).is_none(), "{name}");
        }
    }
}
