//! `orca image`: the parts of a guest image that a shell script cannot make well.
//! `scripts/build-image.sh` makes the rest.

use crate::cli::parse;
use crate::error::{Error, Result};
use crate::host::atomic;
use crate::image::initramfs::{self, Recipe};
use crate::image::requirements::Needs;
use crate::image::{custom_kernel, kernel};
use crate::report::plain;
use lexopt::prelude::*;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

const HELP: &str = "\
orca image: build parts of a guest image

usage:
  orca image initramfs --agent FILE --out FILE [--modules DIR [--kernel FILE]] [--with NAME]…
      pack the agent as /init, with the kernel modules that a boot needs
  orca image vmlinux KERNEL --out FILE
      unpack a bzImage into the vmlinux that QEMU enters without firmware,
      or a packed aarch64 kernel into its plain Image

options:
  --agent FILE    the static agent, build/toolbox-linux
  --modules DIR   the kernel's /lib/modules/<release>, after depmod
  --kernel FILE   the bzImage that the modules have to fit
  --with NAME     another module to load at boot
  --out FILE      what to write; it is replaced only when it is complete
";

const USAGE: &str = "see `orca image --help`";

/// Runs `orca image` with the arguments behind `image`.
///
/// # Errors
/// Usage; a file that cannot be read, used or written.
pub fn run(args: Vec<OsString>) -> Result<()> {
    let mut parser = lexopt::Parser::from_args(args);
    let Some(asked) = parse(&mut parser).map_err(|e| parse::mistake(&e).hint(USAGE))? else {
        plain::out(HELP.as_bytes());
        return Ok(());
    };
    let out = asked.out.as_deref().ok_or_else(|| needs("--out FILE"))?;
    match asked.what.as_str() {
        "initramfs" => {
            let agent = asked.agent.as_deref().ok_or_else(|| needs("--agent FILE"))?;
            let modules = asked.modules.as_deref();
            if let (Some(kernel), Some(modules)) = (&asked.kernel, modules) {
                custom_kernel::check_release(
                    kernel,
                    kernel::release(&read(kernel)?).as_deref(),
                    modules,
                )?;
            }
            let recipe = Recipe { agent, modules, with: &asked.with, needs: Needs::ALL };
            write(out, &initramfs::build(&recipe)?)
        }
        _ => {
            let path = asked.kernel.as_deref().ok_or_else(|| needs("a KERNEL"))?;
            let elf = kernel::vmlinux(&read(path)?)
                .map_err(|e| e.context(&format!("cannot use `{}`", path.display())))?;
            write(out, &elf)
        }
    }
}

#[derive(Default)]
struct Asked {
    what: String,
    agent: Option<PathBuf>,
    modules: Option<PathBuf>,
    with: Vec<String>,
    kernel: Option<PathBuf>,
    out: Option<PathBuf>,
}

/// `None` when help is asked for.
fn parse(parser: &mut lexopt::Parser) -> std::result::Result<Option<Asked>, lexopt::Error> {
    let mut asked = Asked::default();
    while let Some(arg) = parser.next()? {
        match (arg, asked.what.as_str()) {
            (Short('h') | Long("help"), _) => return Ok(None),
            (Long("out"), _) => asked.out = Some(parser.value()?.into()),
            (Long("agent"), "initramfs") => asked.agent = Some(parser.value()?.into()),
            (Long("kernel"), "initramfs") => asked.kernel = Some(parser.value()?.into()),
            (Long("modules"), "initramfs") => asked.modules = Some(parser.value()?.into()),
            (Long("with"), "initramfs") => asked.with.push(parser.value()?.string()?),
            (Value(what), "") if what == "initramfs" || what == "vmlinux" => {
                asked.what = what.string()?
            }
            (Value(kernel), "vmlinux") if asked.kernel.is_none() => {
                asked.kernel = Some(kernel.into())
            }
            (other, _) => return Err(other.unexpected()),
        }
    }
    if asked.what.is_empty() {
        return Err("nothing to build is named: `initramfs` or `vmlinux`".into());
    }
    Ok(Some(asked))
}

fn needs(what: &str) -> Error {
    Error::new(format!("{what} is missing")).hint(USAGE)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| Error::io("read", path, &e))
}

fn write(path: &Path, data: &[u8]) -> Result<()> {
    atomic::replace(path, data).map_err(|e| Error::io("write", path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_usage(args: &[&str], expected: &str) {
        let error = run(args.iter().map(OsString::from).collect()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{args:?}");
    }

    #[test]
    fn usage_errors() {
        check_usage(&[], "nothing to build is named: `initramfs` or `vmlinux`");
        check_usage(&["cpio"], "unexpected argument `cpio`");
        check_usage(&["initramfs"], "--out FILE is missing");
        check_usage(&["initramfs", "--out", "x"], "--agent FILE is missing");
        check_usage(&["vmlinux", "--out", "x"], "a KERNEL is missing");
        check_usage(&["vmlinux", "--agent", "x"], "unknown option `--agent`");
        check_usage(&["vmlinux", "--out"], "--out needs a value");
    }
}
