//! A shell that waits for the next test. It is started before its machine is frozen. So every copy
//! has it, in a process tree of its own, with its pipes and folders, and only has to tell it what
//! to run.
//!
//! A copy under emulation has no translated code, and to fork, execute and link a shell is twice as
//! much code as a small test. So this shell reads a test that a shell runs, as if the test were its
//! operand. `$0` becomes the test's path in the shell's memory, where the shell was given an
//! operand that is long enough. A shell that has copied its operand (bash does) notices, and
//! executes another shell for the test, just as this shell executes a test that names its
//! interpreter.
//!
//! A test whose interpreter is missing is started without this shell, for the better message. It is
//! not used in a machine that was not copied, after the first test of a reused one, and in text
//! mode.
//!
//! A test can tell this shell from `sh TEST` by the shell's own `/proc/PID/cmdline` and `environ`,
//! by one more of its own descriptors above 9, by `c` in `$-` of a busybox, and by dash's
//! complaints, which name the script twice (`T: 2: T: foo: not found`).

use crate::launch::{Launcher, SHELL};
use crate::process_tree::ProcessTree;
use crate::pump::Running;
use crate::quote::quote;
use crate::scratch::Scratch;
use crate::shebang;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::process::Command;

/// The command of the waiting shell: it reads what to do from standard input, up to its end.
const WAIT: &str = ". /proc/self/fd/0";
/// The longest path that `$0` has room for, in bytes.
const PATH_ROOM: usize = 1023;
/// Fills that room until the path is known.
const FILLER: &str = "x";
/// The index of the arguments' address among the fields of `/proc/PID/stat` after the name.
const ARG_START: usize = 45;
/// The variables that a waiting shell can be given, besides those that begin with `ORCA`. Others
/// may mean something to the shell itself.
const VARIABLES: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];

/// A waiting shell, with the folders of its test.
pub(crate) struct PrestartedShell {
    scratch: Scratch,
    running: Running,
    operand: Operand,
}

/// The place of a waiting shell's `$0`.
struct Operand {
    /// The shell's memory.
    memory: File,
    address: u64,
}

impl PrestartedShell {
    /// Starts one, with folders of its own.
    ///
    /// # Errors
    /// It cannot be started, or `$0` is not where it should be.
    pub(crate) fn start(launcher: &Launcher) -> io::Result<Self> {
        let scratch = Scratch::make()?;
        let mut command = waiting_shell();
        command.env_clear().current_dir("/");
        let running = launcher.start_claiming(&mut command, true, true)?;
        // Only in a cgroup: a walk finds processes by a variable that nobody else has, and this
        // shell's would be its test's, too.
        let operand = match (&running.processes, &running.processes.pids()[..]) {
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

    /// Ends it: no test will need it.
    pub(crate) fn end(self) {
        self.running.end();
    }

    /// The folders of its test.
    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Makes it become `command`, whose script names `interpreter`.
    ///
    /// # Errors
    /// It cannot become that, or is gone. It has been ended.
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
        let text = commands_for(command).ok_or(io::ErrorKind::Unsupported)?;
        let input = self.running.input.take().ok_or(io::ErrorKind::BrokenPipe)?;
        // The shell also uses this name in its complaints.
        let name = script_of(command).unwrap_or(command.get_program());
        if name.len() <= PATH_ROOM {
            self.operand.set(name)?;
        }
        File::from(input).write_all(&text)
    }
}

fn waiting_shell() -> Command {
    let mut command = Command::new(SHELL);
    command.args(["-c", WAIT, &FILLER.repeat(PATH_ROOM)]);
    command
}

impl Operand {
    /// The operand of the waiting shell with this process id.
    fn of(pid: i32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let field = stat.rsplit(") ").next().and_then(|fields| fields.split(' ').nth(ARG_START));
        let start: Option<u64> = field.and_then(|text| text.parse().ok());
        let before: usize = [SHELL, "-c", WAIT].iter().map(|text| text.len() + 1).sum();
        let memory = File::options().read(true).write(true).open(format!("/proc/{pid}/mem"))?;
        let address = start.ok_or_else(|| io::Error::other("no arguments"))? + before as u64;
        let mut found = vec![0; PATH_ROOM];
        memory.read_exact_at(&mut found, address)?;
        if found != FILLER.repeat(PATH_ROOM).as_bytes() {
            return Err(io::Error::other("other arguments"));
        }
        Ok(Self { memory, address })
    }

    /// Sets it to `path`, of at most [`PATH_ROOM`] bytes.
    fn set(&self, path: &OsStr) -> io::Result<()> {
        let mut name = path.as_bytes().to_vec();
        name.resize(PATH_ROOM, 0);
        self.memory.write_all_at(&name, self.address)
    }
}

/// The script, if `command` is a shell with nothing but a script.
fn script_of(command: &Command) -> Option<&OsStr> {
    let mut args = command.get_args();
    args.next().filter(|_| command.get_program() == SHELL && args.len() == 0)
}

/// The shell commands that make it become `command`; `None` if it cannot become that.
fn commands_for(command: &Command) -> Option<Vec<u8>> {
    let mut text = b"cd -P ".to_vec();
    let folder = command.get_current_dir().map_or(OsStr::new("/"), AsRef::as_ref);
    quote(&mut text, folder.as_bytes());
    text.extend_from_slice(b" && unset OLDPWD && exec </dev/null || exit 126\nexport");
    for (name, value) in command.get_envs() {
        let name = name.to_str().filter(|name| is_ours(name))?;
        text.extend_from_slice(format!(" {name}=").as_bytes());
        quote(&mut text, value.unwrap_or_default().as_bytes());
    }
    text.push(b'\n');
    if let Some(script) = script_of(command) {
        text.extend_from_slice(b"[ \"$0\" = ");
        quote(&mut text, script.as_bytes());
        text.extend_from_slice(b" ] || ");
    } else {
        // The shell exports these by itself. A program that is not run by a shell has neither.
        text.extend_from_slice(b"unset PWD SHLVL; ");
    }
    text.extend_from_slice(b"exec");
    for word in [command.get_program()].into_iter().chain(command.get_args()) {
        text.push(b' ');
        quote(&mut text, word.as_bytes());
    }
    // The last command: its status is the shell's.
    text.extend_from_slice(b"\n. \"$0\"\n");
    Some(text)
}

fn is_ours(name: &str) -> bool {
    let rest = name.strip_prefix("ORCA");
    let plain = |text: &str| text.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
    VARIABLES.contains(&name) || rest.is_some_and(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::PATH;
    use crate::reaper::output_for_tests;
    use crate::wire::Ended;

    /// Lets a waiting shell become `command`: its end, and both outputs. `is_set` is
    /// whether its `$0` is set, which some shells' cannot be.
    fn become_in_a_shell(command: &Command, is_set: bool) -> (Ended, String, String) {
        output_for_tests(waiting_shell().env_clear(), |child| {
            if let Some(script) = script_of(command).filter(|_| is_set) {
                Operand::of(child.id() as i32).unwrap().set(script).unwrap();
            }
            let input = child.stdin.as_mut().unwrap();
            input.write_all(&commands_for(command).unwrap()).unwrap();
        })
    }

    /// The folder of a new script with this text, and the script's path.
    fn script(name: &str, text: &str) -> (std::path::PathBuf, std::path::PathBuf) {
        let folder =
            std::env::temp_dir().join(format!("agent-prestarted-{}-{name}", std::process::id()));
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
        for is_set in [true, false] {
            assert_eq!(become_in_a_shell(&command, is_set), expected, "{is_set}");
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
    fn a_program_is_executed_and_unknown_variables_are_refused() {
        let mut command = Command::new("/usr/bin/env");
        command.env_clear().env("ORCA", "1").current_dir("/");
        assert_eq!(become_in_a_shell(&command, true).1, "ORCA=1\n");
        for name in ["IFS", "PS4", "ORCA-X", "a.b", "OPTIND"] {
            command.env_clear().env(name, "1");
            assert!(commands_for(&command).is_none(), "{name}");
        }
    }
}
