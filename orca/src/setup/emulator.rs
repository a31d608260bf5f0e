//! The emulator of a run: which program, which version, which accelerator.

use crate::arch::{Accel, Arch};
use crate::cli::config::Config;
use crate::error::{Error, Result};
use crate::qemu::accel::{self, Choice};
use crate::qemu::{arch, version};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A QEMU that is new enough.
#[derive(Clone, Debug)]
pub struct Emulator {
    /// Its absolute path.
    pub program: PathBuf,
    /// The architecture of its guests.
    pub arch: Arch,
    /// Its version, major and minor.
    pub version: (u32, u32),
}

impl Emulator {
    /// The emulator that the configuration names, or the one in PATH for the guest's architecture.
    ///
    /// # Errors
    /// None is there, or it does not work or is too old.
    pub fn find(config: &Config) -> Result<Self> {
        let arch = config.raw.arch.unwrap_or(Arch::HOST);
        let program = find_program(config.raw.qemu.as_deref(), arch)?;
        let version = version::check(&program, &config.cache)?;
        Ok(Self { program, arch, version })
    }

    /// The accelerator that the configuration names, or the best one that works. The result of
    /// trying it is remembered in `cache`, if there is one.
    ///
    /// # Errors
    /// The named accelerator cannot run guests of this architecture on this host.
    pub fn accelerator(&self, wanted: Option<Accel>, cache: Option<&Path>) -> Result<Choice> {
        let arch = self.arch;
        match wanted {
            None => Ok(accel::choose(arch, &self.program, cache)),
            Some(accel) if accel.is_hardware() && !arch.is_host() => {
                let error = format!("{} cannot run {arch} guests on this host", accel.name());
                Err(Error::new(error).hint("leave --accel out, or say --accel tcg"))
            }
            Some(accel) => Ok(Choice { accel, fallback: None }),
        }
    }

    /// Whether machines can be put on wires of their own, as tests with `nodes=` need.
    pub fn has_wires(&self) -> bool {
        self.version >= version::WIRES
    }
}

/// The emulator, as an absolute path.
fn find_program(given: Option<&Path>, arch: Arch) -> Result<PathBuf> {
    let row = arch::target(arch);
    let name = given.unwrap_or(Path::new(row.program));
    let candidates: Vec<PathBuf> = if name.components().count() > 1 {
        vec![name.to_owned()]
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|dir| dir.join(name)).collect()
    };
    let found = candidates.iter().find(|path| path.is_file());
    let Some(found) = found else {
        let error = Error::new(format!("there is no `{}`", name.display()));
        return Err(error.hint(format!(
            "install it (Debian, Ubuntu: apt install {}), or name one with --qemu",
            row.package
        )));
    };
    let mode = fs::metadata(found).map_err(|e| Error::io("read", found, &e))?.permissions().mode();
    if mode & 0o111 == 0 {
        let error = Error::new(format!("`{}` is not executable", found.display()));
        return Err(error.hint("name another emulator with --qemu"));
    }
    fs::canonicalize(found).map_err(|e| Error::io("find", found, &e))
}
