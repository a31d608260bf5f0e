//! The accelerator: hardware virtualisation where it is proven to work, emulation everywhere else.
//!
//! `auto` tries: it runs the guest of [`super::probe`] under a deadline. The answer is kept in the cache folder for as long as the
//! host stays up and QEMU stays the same, so a host with a useless `/dev/kvm` pays the second once per boot.

use super::arch::Arch;
use super::probe;
use crate::sys;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long the probe may take. Where hardware virtualisation works it needs 0.1 s, so this leaves room for a busy host.
const PROBE_LIMIT: Duration = Duration::from_millis(1500);
/// How much slower than hardware emulation is assumed to be: test timeouts are multiplied by it.
const TCG_TIMEOUT_FACTOR: f64 = 3.0;

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// Linux's hypervisor.
    Kvm,
    /// macOS's hypervisor.
    Hvf,
    /// QEMU's own emulation.
    Tcg,
}

impl Accel {
    /// The name that `-machine accel=` and `--accel` take.
    pub fn name(self) -> &'static str {
        match self {
            Accel::Kvm => "kvm",
            Accel::Hvf => "hvf",
            Accel::Tcg => "tcg",
        }
    }

    /// Whether the guest's instructions run on the host's own CPU.
    pub fn is_hardware(self) -> bool {
        self != Accel::Tcg
    }

    /// What timeouts that were chosen for hardware virtualisation are multiplied by.
    pub fn timeout_factor(self) -> f64 {
        if self.is_hardware() { 1.0 } else { TCG_TIMEOUT_FACTOR }
    }
}

/// The outcome of `--accel auto`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What to use.
    pub accel: Accel,
    /// Why it is emulation, where hardware might have been expected.
    pub fallback: Option<String>,
}

/// Finds the best accelerator that works for guests of `arch` under the emulator `program`, remembering the answer in `cache`.
pub fn choose(arch: Arch, program: &Path, cache: &Path) -> Choice {
    let tcg = |why: Option<&str>| Choice { accel: Accel::Tcg, fallback: why.map(str::to_owned) };
    if arch != Arch::HOST {
        return tcg(None);
    }
    if cfg!(target_os = "macos") {
        return Choice { accel: Accel::Hvf, fallback: None };
    }
    if let Err(error) = fs::File::options().read(true).write(true).open("/dev/kvm") {
        return match error.kind() {
            std::io::ErrorKind::NotFound => tcg(Some("there is no /dev/kvm")),
            std::io::ErrorKind::PermissionDenied => {
                tcg(Some("/dev/kvm may not be opened (add yourself to the `kvm` group)"))
            }
            _ => tcg(Some("/dev/kvm cannot be opened")),
        };
    }
    if arch != Arch::X86_64 || kvm_works(program, cache) {
        return Choice { accel: Accel::Kvm, fallback: None };
    }
    tcg(Some("/dev/kvm opens but cannot run a guest"))
}

fn kvm_works(program: &Path, cache: &Path) -> bool {
    let memo = memo_path(program, cache);
    if let Some(known) = memo.as_deref().and_then(|path| fs::read_to_string(path).ok()) {
        return known == "kvm\n";
    }
    let works = try_kvm(program);
    if let Some(path) = memo {
        // Forgetting the answer costs a second at the next run, nothing else.
        let _ = fs::create_dir_all(cache);
        let _ = fs::write(path, if works { "kvm\n" } else { "tcg\n" });
    }
    works
}

/// Named after the host's boot and the emulator's identity, so that an answer never outlives either.
fn memo_path(program: &Path, cache: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let meta = fs::metadata(program).ok()?;
    let boot: String = boot.chars().filter(char::is_ascii_hexdigit).collect();
    Some(cache.join(format!("accel-{boot}-{:x}-{:x}", meta.ino(), meta.mtime())))
}

/// Forgets every remembered answer.
pub fn forget(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("accel-") {
            // One that stays is out of date after the next boot.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Runs the probe under KVM with a deadline. A QEMU that neither ends nor can be waited for is killed.
fn try_kvm(program: &Path) -> bool {
    let Ok(dir) = nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-probe-XXXXXX")) else {
        return false;
    };
    let kernel = dir.join("probe.elf");
    let works = fs::write(&kernel, probe::image()).is_ok() && run_probe(program, &kernel);
    // A stray 300-byte file is all that is left if this fails.
    let _ = fs::remove_dir_all(&dir);
    works
}

fn run_probe(program: &Path, kernel: &Path) -> bool {
    let mut command = Command::new(program);
    command
        .args(["-machine", "q35,accel=kvm", "-cpu", "host", "-m", "64", "-nodefaults"])
        .args(["-no-user-config", "-display", "none", "-no-reboot"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-kernel"])
        .arg(kernel)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    sys::die_with_parent(&mut command);
    let Ok(mut child) = command.spawn() else { return false };
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    let (done, ended) = mpsc::channel();
    let waiter = std::thread::Builder::new().name("kvm-probe".into()).spawn(move || {
        // The receiver may have given up; then the status is of no use.
        let _ = done.send(child.wait());
    });
    let status = ended.recv_timeout(PROBE_LIMIT);
    if status.is_err() {
        // Still our child: the waiter reaps it only after this.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
    }
    if let Ok(waiter) = waiter {
        let _ = waiter.join();
    }
    matches!(status, Ok(Ok(status)) if status.code() == Some(probe::SUCCESS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_architecture_is_emulated_without_a_complaint() {
        let other = [Arch::X86_64, Arch::Aarch64].into_iter().find(|arch| *arch != Arch::HOST);
        let foreign = other.unwrap();
        let choice = choose(foreign, Path::new("qemu"), Path::new("/nonexistent"));
        assert_eq!(choice, Choice { accel: Accel::Tcg, fallback: None });
    }
}
