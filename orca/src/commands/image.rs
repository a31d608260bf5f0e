//! `orca image`: the parts of a guest image that a shell script cannot make well.
//! `scripts/build-image.sh` makes the rest.

use crate::cli::raw::Raw;
use crate::error::{Error, Result};
use crate::host::atomic;
use crate::image::initramfs::{self, Recipe};
use crate::image::requirements::Needs;
use crate::image::{custom_kernel, kernel};
use std::fs;
use std::path::Path;

const USAGE: &str = "see `orca image --help`";

/// Builds the part that the first word of `raw` names.
///
/// # Errors
/// Usage; a file that cannot be read, used or written.
pub fn run(raw: &Raw) -> Result<()> {
    let (part, rest) = match &raw.words[..] {
        [part, rest @ ..] => (part.to_string_lossy(), rest),
        [] => return Err(usage("nothing to build is named: `initramfs` or `vmlinux`")),
    };
    match (&*part, rest) {
        ("initramfs", []) => initramfs(raw),
        ("vmlinux", [kernel]) => vmlinux(raw, kernel.as_ref()),
        ("vmlinux", []) => Err(usage("a KERNEL is missing")),
        ("initramfs" | "vmlinux", [.., word]) => {
            let word = word.to_string_lossy();
            Err(usage(&format!("unexpected argument `{}`", word.escape_debug())))
        }
        (other, _) => Err(usage(&format!("unknown part `{}`", other.escape_debug()))),
    }
}

fn initramfs(raw: &Raw) -> Result<()> {
    let out = out(raw)?;
    let agent = raw.agent.as_deref().ok_or_else(|| usage("--agent FILE is missing"))?;
    let modules = raw.modules.as_deref();
    if raw.kernels.len() > 1 {
        return Err(usage("--kernel names one kernel here"));
    }
    if let (Some(kernel), Some(modules)) = (raw.kernels.first(), modules) {
        let release = kernel::release(&read(kernel)?);
        custom_kernel::check_release(kernel, release.as_deref(), modules)?;
    }
    let recipe = Recipe { agent, modules, with: &raw.with, needs: Needs::ALL };
    write(out, &initramfs::build(&recipe)?)
}

fn vmlinux(raw: &Raw, path: &Path) -> Result<()> {
    let others = raw.given.iter().find(|given| given.flag != "out");
    if let Some(other) = others {
        return Err(usage(&format!("`orca image vmlinux` takes no --{}", other.flag)));
    }
    let out = out(raw)?;
    let unpacked = kernel::vmlinux(&read(path)?)
        .map_err(|e| e.context(&format!("cannot use `{}`", path.display())))?;
    write(out, &unpacked)
}

fn out(raw: &Raw) -> Result<&Path> {
    raw.out.as_deref().ok_or_else(|| usage("--out FILE is missing"))
}

fn usage(what: &str) -> Error {
    Error::new(what).hint(USAGE)
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
    use crate::cli::command::Command;
    use crate::cli::parse::{Parsed, parse};

    fn check_usage(args: &[&str], expected: &str) {
        let args = ["image"].iter().chain(args).map(Into::into);
        let Parsed::Do(Command::Image, raw) = parse(args, &[], |_| unreachable!()).unwrap() else {
            panic!("{expected}")
        };
        assert_eq!(run(&raw).unwrap_err().to_string(), expected);
    }

    #[test]
    fn usage_errors() {
        check_usage(&[], "nothing to build is named: `initramfs` or `vmlinux`");
        check_usage(&["cpio"], "unknown part `cpio`");
        check_usage(&["initramfs"], "--out FILE is missing");
        check_usage(&["initramfs", "x", "--out", "x"], "unexpected argument `x`");
        check_usage(&["initramfs", "--out", "x"], "--agent FILE is missing");
        let twice = ["initramfs", "--out=x", "--agent=a", "--kernel=a", "--kernel=b"];
        check_usage(&twice, "--kernel names one kernel here");
        check_usage(&["vmlinux", "--out", "x"], "a KERNEL is missing");
        check_usage(&["vmlinux", "a", "b", "--out", "x"], "unexpected argument `b`");
        let foreign = ["vmlinux", "k", "--agent", "x", "--out", "y"];
        check_usage(&foreign, "`orca image vmlinux` takes no --agent");
    }

    #[test]
    fn the_settings_of_runs_are_not_read() {
        let args = ["image", "vmlinux", "k", "--out", "x"].iter().map(Into::into);
        let variables = [("ORCA_KERNEL".into(), "other".into())];
        let parsed = parse(args, &variables, |_| unreachable!()).unwrap();
        assert!(matches!(parsed, Parsed::Do(_, raw) if raw.kernels.is_empty()));
    }
}
