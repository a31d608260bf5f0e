//! Which QEMU it is: asked once, before anything depends on it. One that is too old, broken or something else is said so, instead of
//! three machines that do not boot.

use crate::error::{Error, Result, plain};
use crate::host::{atomic, sys};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The oldest QEMU that has what templates need (`x-ignore-shared` with a descriptor under the sandbox) and was tried.
const OLDEST: (u32, u32) = (7, 0);
/// The first QEMU that can put machines on a wire of their own (`-netdev stream`).
pub const WIRES: (u32, u32) = (7, 2);
/// How long it may take to tell its version: 20 ms, and the rest is for a busy host.
const LIMIT: Duration = Duration::from_secs(10);
/// What the names of remembered answers begin with.
const MEMO: &str = "qemu-";
/// The most that is read of its answer, in bytes.
const ANSWER_MAX: u64 = 4096;

/// Checks that `program` is a QEMU that is new enough, and returns its version as (major, minor). A good answer is remembered in
/// `cache`, by the program's identity.
///
/// # Errors
/// It does not run, does not answer, is no QEMU, or is too old.
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
        // Forgetting it costs 20 ms at the next run.
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

/// What `program --version` prints.
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
        // Still our child: the thread reaps it only after this.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        Err(format!("it did not tell its version in {} s", LIMIT.as_secs()))
    })
}

fn collect(mut child: Child) -> Result<String, String> {
    let text = |stream: Option<&mut dyn Read>| {
        let mut bytes = Vec::new();
        if let Some(stream) = stream {
            // What cannot be read is judged as what could.
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
