//! The accelerator: hardware virtualisation where it is proven to work, emulation everywhere else.
//!
//! `auto` tries it out: it runs the guest of [`super::probe`] under a deadline. The answer is kept
//! in the cache folder for as long as the host stays up and QEMU stays the same, so a host with a
//! useless `/dev/kvm` pays the second only once per boot.

use super::{arch, probe};
use crate::arch::{Accel, Arch};
use crate::host::{atomic, sys};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long the probe may take. Where hardware virtualisation works it takes 0.1 s; the rest is for
/// a busy host.
const PROBE_LIMIT: Duration = Duration::from_millis(1500);
/// What the names of remembered answers begin with.
const MEMO: &str = "accel-";
/// How many times slower emulation is assumed to be than hardware: test timeouts are multiplied by
/// it.
const TCG_TIMEOUT_FACTOR: f64 = 3.0;

/// The factor under `accel` for timeouts that were chosen for hardware virtualisation.
pub fn timeout_factor(accel: Accel) -> f64 {
    if accel.is_hardware() { 1.0 } else { TCG_TIMEOUT_FACTOR }
}

/// The outcome of `--accel auto`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The accelerator to use.
    pub accel: Accel,
    /// Why it is emulation, where hardware might have been expected.
    pub fallback: Option<String>,
}

impl Choice {
    /// The warning for the user before a run, if it is a fallback.
    pub fn warning(&self) -> Option<String> {
        let why = self.fallback.as_ref()?;
        Some(format!("no hardware virtualisation: {why}; emulating, which is slower"))
    }
}

/// Finds the best accelerator that works for guests of `arch` under the emulator `program`. The
/// answer is remembered in the folder `cache`; without one, it is found again each time.
pub fn choose(arch: Arch, program: &Path, cache: Option<&Path>) -> Choice {
    let tcg = |why: Option<&str>| Choice { accel: Accel::Tcg, fallback: why.map(str::to_owned) };
    if arch != Arch::HOST {
        return tcg(None);
    }
    let hardware = sys::hypervisor();
    if hardware == Accel::Kvm
        && let Err(error) = fs::File::options().read(true).write(true).open("/dev/kvm")
    {
        return match error.kind() {
            std::io::ErrorKind::NotFound => tcg(Some("there is no /dev/kvm")),
            std::io::ErrorKind::PermissionDenied => {
                tcg(Some("/dev/kvm may not be opened (add yourself to the `kvm` group)"))
            }
            _ => tcg(Some("/dev/kvm cannot be opened")),
        };
    }
    if works(hardware, arch, program, cache) {
        return Choice { accel: hardware, fallback: None };
    }
    tcg(Some(match hardware {
        Accel::Kvm => "/dev/kvm opens but cannot run a guest",
        _ => "hvf cannot run a guest",
    }))
}

/// Whether the probe for `arch` ran to its end, now or when it was last tried.
fn works(accel: Accel, arch: Arch, program: &Path, cache: Option<&Path>) -> bool {
    let memo = cache.and_then(|cache| memo_path(program, cache));
    let yes = format!("{}\n", accel.name());
    if let Some(known) = memo.as_deref().and_then(|path| fs::read_to_string(path).ok()) {
        return known == yes;
    }
    let works = try_probe(accel, arch, program);
    if let Some(path) = memo {
        // If the answer is not remembered, the next run takes a second longer.
        let _ = path.parent().map(fs::create_dir_all);
        let answer = if works { yes.as_str() } else { "tcg\n" };
        let _ = atomic::replace(&path, answer.as_bytes());
    }
    works
}

/// The file of the remembered answer. It is named after the host's boot and the emulator's
/// identity, so that an answer never outlives either. The number changes with the probe: 1 had an
/// image that QEMU refused.
fn memo_path(program: &Path, cache: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let boot = sys::boot_id()?;
    let meta = fs::metadata(program).ok()?;
    let boot: String = boot.chars().filter(char::is_ascii_hexdigit).collect();
    Some(cache.join(format!("{MEMO}2-{boot}-{:x}-{:x}", meta.ino(), meta.mtime())))
}

/// Forgets every remembered answer. One that stays is out of date after the next boot.
pub fn forget(cache: &Path) {
    atomic::remove_all(cache, MEMO);
}

/// Runs the probe with a deadline. A QEMU that neither ends nor can be waited for is killed.
fn try_probe(accel: Accel, arch: Arch, program: &Path) -> bool {
    let Ok(dir) = nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-probe-XXXXXX")) else {
        return false;
    };
    let kernel = dir.join("probe");
    let works = fs::write(&kernel, probe::image(arch)).is_ok()
        && run_probe(accel, arch, program, &kernel) == Some(probe::success(arch));
    // If this fails, a stray file of 300 bytes is left.
    let _ = fs::remove_dir_all(&dir);
    works
}

/// QEMU's exit status, if it ended by itself and in time.
fn run_probe(accel: Accel, arch: Arch, program: &Path, kernel: &Path) -> Option<i32> {
    let (machine, cpu) = arch::machine(accel, arch);
    let mut command = Command::new(program);
    command
        .args(["-machine", &format!("{machine},accel={}", accel.name()), "-cpu", cpu])
        .args(["-m", "64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .args(probe::device(arch))
        .arg("-kernel")
        .arg(kernel)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    sys::die_with_parent(&mut command);
    let mut child = command.spawn().ok()?;
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    let (done, ended) = mpsc::channel();
    let waiter = std::thread::Builder::new().name("probe".into()).spawn(move || {
        // The receiver may have given up; then the status is of no use.
        let _ = done.send(child.wait());
    });
    let status = ended.recv_timeout(PROBE_LIMIT);
    if status.is_err() {
        // The process is still our child: the waiter reaps it only after this.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
    }
    if let Ok(waiter) = waiter {
        let _ = waiter.join();
    }
    status.ok()?.ok()?.code()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_architecture_is_emulated_without_a_complaint() {
        let other = [Arch::X86_64, Arch::Aarch64].into_iter().find(|arch| *arch != Arch::HOST);
        let foreign = other.unwrap();
        let choice = choose(foreign, Path::new("qemu"), None);
        assert_eq!(choice, Choice { accel: Accel::Tcg, fallback: None });
    }

    #[cfg(feature = "vm")]
    #[test]
    fn the_probes_for_x86_64_and_aarch64_run_and_an_empty_one_does_not() {
        for arch in [Arch::X86_64, Arch::Aarch64] {
            let program = Path::new(arch::target(arch).program);
            assert!(try_probe(Accel::Tcg, arch, program), "{arch}");
            let empty = std::env::temp_dir().join(format!("orca-no-probe-{}", std::process::id()));
            fs::write(&empty, [0; 512]).unwrap();
            let status = run_probe(Accel::Tcg, arch, program, &empty);
            fs::remove_file(&empty).unwrap();
            assert_ne!(status, Some(probe::success(arch)), "{arch}");
        }
    }
}
