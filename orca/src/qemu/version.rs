//! The version of QEMU, asked once before anything depends on it. A program that is too old, broken
//! or no QEMU is reported as such, instead of as three machines that do not boot.

use crate::error::{Error, Result, plain};
use crate::host::{atomic, sys};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The oldest QEMU that was tried and has what templates need (`x-ignore-shared` with a descriptor
/// under the sandbox).
const OLDEST: (u32, u32) = (7, 0);
/// The oldest QEMU that can put machines on a wire of their own (`-netdev stream`).
pub const WIRES: (u32, u32) = (7, 2);
/// How long QEMU may take to print its version. It takes 20 ms; the rest is for a busy host.
const LIMIT: Duration = Duration::from_secs(10);
/// What the names of remembered answers begin with.
const MEMO: &str = "qemu-";
/// How much of its answer is read at most, in bytes.
const ANSWER_MAX: u64 = 4096;

/// Checks that `program` is a QEMU that is new enough, and returns its version as (major, minor). A
/// good answer is remembered in `cache`, under the program's identity.
///
/// # Errors
/// The program does not run, does not answer, is not QEMU, or is too old.
pub fn check(program: &Path, cache: &Path) -> Result<(u32, u32)> {
    let memo = memo(program, cache);
    let remembered = memo.as_deref().and_then(|memo| fs::read_to_string(memo).ok());
    if let Some(version) = remembered.and_then(|answer| parse(&answer)) {
        return Ok(version);
    }
    let shown = program.display();
    let broken = |why: String| {
        Error::new(format!("`{shown}` does not work: {why}"))
            .hint(format!("try `{shown} --version`, or name another emulator with --qemu"))
    };
    let answer = ask(program).map_err(broken)?;
    let Some(version) = parse(&answer) else {
        let first = answer.lines().next().unwrap_or_default().to_owned();
        return Err(broken(format!("its --version says `{}`", first.escape_debug())));
    };
    if version < OLDEST {
        let ((major, minor), (oldest, _)) = (version, OLDEST);
        let error = format!("`{shown}` is QEMU {major}.{minor}, and {oldest} or later is needed");
        return Err(Error::new(error).hint("install a newer one, or name another with --qemu"));
    }
    if let Some(memo) = memo {
        // If the answer is not remembered, the next run takes 20 ms longer.
        let _ = fs::create_dir_all(cache).and_then(|()| atomic::replace(&memo, answer.as_bytes()));
    }
    Ok(version)
}

/// Whether the emulator `program` has the devices that folders of the host are shared with.
///
/// # Errors
/// It cannot be run.
pub fn has_shares(program: &Path) -> io::Result<bool> {
    let output = Command::new(program).args(["-device", "help"]).stdin(Stdio::null()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).contains("\"virtio-9p-pci\""))
}

/// Forgets every remembered answer. One that stays belongs to a program that has changed.
pub fn forget(cache: &Path) {
    atomic::remove_all(cache, MEMO);
}

fn memo(program: &Path, cache: &Path) -> Option<PathBuf> {
    let meta = fs::metadata(program).ok()?;
    let (dev, ino, len) = (meta.dev(), meta.ino(), meta.len());
    Some(cache.join(format!("{MEMO}{dev:x}-{ino:x}-{len:x}-{:x}", meta.mtime())))
}

/// The output of `program --version`.
fn ask(program: &Path) -> Result<String, String> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    sys::die_with_parent(&mut command);
    let child = command.spawn().map_err(|e| plain(&e))?;
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    let (sender, answer) = mpsc::channel();
    let read = move || {
        // The receiver may have given up.
        let _ = sender.send(collect(child));
    };
    std::thread::Builder::new().name("version".into()).spawn(read).map_err(|e| plain(&e))?;
    answer.recv_timeout(LIMIT).unwrap_or_else(|_| {
        // The process is still our child: the thread reaps it only after this.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        Err(format!("it did not print its version in {} s", LIMIT.as_secs()))
    })
}

fn collect(mut child: Child) -> Result<String, String> {
    let text = |stream: Option<&mut dyn Read>| {
        let mut bytes = Vec::new();
        if let Some(stream) = stream {
            // If reading fails, what was read so far is judged.
            let _ = stream.take(ANSWER_MAX).read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).trim().to_owned()
    };
    let out = text(child.stdout.as_mut().map(|out| out as &mut dyn Read));
    let err = text(child.stderr.as_mut().map(|err| err as &mut dyn Read));
    let status = child.wait().map_err(|e| plain(&e))?;
    if status.success() {
        return Ok(out);
    }
    let said = err.lines().next().map(|line| format!(": {}", line.escape_debug()));
    Err(format!("it ended with {status}{}", said.unwrap_or_default()))
}

fn parse(answer: &str) -> Option<(u32, u32)> {
    let rest = answer.split_once("QEMU emulator version ")?.1;
    let mut parts = rest.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_distributions_print() {
        let check = |text: &str, expected| assert_eq!(parse(text), expected, "{text}");
        check("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)", Some((7, 2)));
        check("QEMU emulator version 10.0\nCopyright", Some((10, 0)));
        check("QEMU emulator version v8", None);
        check("GNU bash, version 5.2", None);
        check("", None);
    }
}
