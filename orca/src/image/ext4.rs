//! File systems for guests: an ext4 image with the content of a folder or of a tar archive, made by `mke2fs`.
//!
//! Owners: root keeps those of the files. Anybody else becomes root of a user namespace for it, so that his own files are root's in
//! the guest, as he means them to be, and an archive's owners are kept where he has subordinate ids.

use super::fingerprint::Fingerprint;
use crate::error::{Error, Result, plain};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Room for what a guest writes to its root, in bytes and in files.
const SPARE_BYTES: u64 = 640 << 20;
const SPARE_FILES: u64 = 32_768;
/// Room for the file system's own tables, in bytes, beside a share of the content.
const OVERHEAD: u64 = 16 << 20;
/// What an inode takes there, in bytes.
const INODE_BYTES: u64 = 256;

/// What becomes of the files in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// They are read.
    Modules,
    /// They are its root, with room for more.
    Root,
}

/// Whose users a program sees that is not run by root.
#[derive(Clone, Copy)]
enum Users {
    /// One, who is root there.
    One,
    /// All that the user may be.
    All,
}

/// Writes an ext4 image with the content of `dir`, which `census` is of, to `out`.
///
/// # Errors
/// `mke2fs` is missing or fails.
pub fn from_folder(dir: &Path, census: &Fingerprint, purpose: Purpose, out: &Path) -> Result<()> {
    ext4(dir, census, purpose, Users::One, out)
}

/// Writes an ext4 image with the content of the tar archive at `path` to `out`; in between it is unpacked beside that.
///
/// # Errors
/// It is no archive of a root; `tar`, a decompressor or `mke2fs` is missing or fails.
pub fn from_tar(path: &Path, out: &Path) -> Result<()> {
    let tree = out.with_extension("tree");
    remove(&tree)?;
    fs::create_dir_all(&tree).map_err(|e| Error::io("create", &tree, &e))?;
    let made = unpack(path, &tree).and_then(|()| {
        check_root(path, &tree)?;
        ext4(&tree, &Fingerprint::of(&tree)?, Purpose::Root, Users::All, out)
    });
    remove(&tree)?;
    made
}

fn ext4(
    dir: &Path,
    census: &Fingerprint,
    purpose: Purpose,
    users: Users,
    out: &Path,
) -> Result<()> {
    let (bytes, files) = match purpose {
        Purpose::Modules => (census.bytes, census.files + 64),
        Purpose::Root => (census.bytes + SPARE_BYTES, census.files + SPARE_FILES),
    };
    let kib = (bytes * 11 / 10 + files * INODE_BYTES + OVERHEAD).div_ceil(1024);
    // No journal and no checksums: the disk is thrown away, and both cost the guest. Inode tables are written here, not by it.
    let mut args = words("-q -t ext4 -m 0 -b 4096 -O ^has_journal,^metadata_csum,^resize_inode");
    args.extend(words("-E lazy_itable_init=0 -N"));
    args.extend([files.to_string().into(), "-d".into(), dir.into(), out.into()]);
    args.push(format!("{kib}k").into());
    run("mke2fs", "e2fsprogs", args, users)
}

fn unpack(path: &Path, tree: &Path) -> Result<()> {
    // Devices are the guest's kernel's to make, and need the host's root.
    let mut args =
        words("--numeric-owner --xattrs --xattrs-include=* --exclude=dev/* --exclude=./dev/*");
    args.extend(["-C".into(), tree.into(), "-xpf".into(), path.into()]);
    run("tar", "tar", args, Users::All).map_err(|e| {
        let named = Error::new(format!("cannot unpack `{}`: {e}", path.display()));
        e.next_step().map_or(named.clone(), |hint| named.hint(hint))
    })
}

/// Checks that `tree`, which is the content of `path`, can be a root at all.
///
/// # Errors
/// It cannot: what `docker save` writes is an archive of archives.
pub fn check_root(path: &Path, tree: &Path) -> Result<()> {
    let has = |name: &str| fs::symlink_metadata(tree.join(name)).is_ok();
    if ["bin", "usr", "sbin", "etc"].into_iter().any(has) {
        return Ok(());
    }
    let error = Error::new(format!("`{}` holds no root file system", path.display()));
    Err(if has("manifest.json") || has("index.json") {
        error.hint("it is a saved image of layers: `docker export` a container of it instead")
    } else {
        error.hint("its top has to be the root, with `bin` and `etc`")
    })
}

/// Files may belong to users that only the namespace has.
fn remove(tree: &Path) -> Result<()> {
    run("rm", "coreutils", vec!["-rf".into(), tree.into()], Users::All)
}

fn words(text: &str) -> Vec<OsString> {
    text.split(' ').map(OsString::from).collect()
}

fn run(program: &str, package: &str, args: Vec<OsString>, users: Users) -> Result<()> {
    let mut words: Vec<OsString> = Vec::new();
    if !nix::unistd::geteuid().is_root() {
        words.extend(["unshare", "--map-root-user"].map(OsString::from));
        if matches!(users, Users::All) {
            words.push("--map-auto".into());
        }
        words.push("--".into());
    }
    words.push(program.into());
    words.extend(args);
    // Where `mke2fs` is; not every user's PATH has it.
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(&words[0])
        .args(&words[1..])
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .stdin(Stdio::null())
        .output();
    let install = || format!("install it (Debian, Ubuntu: apt install {package})");
    let output = output.map_err(|e| {
        Error::new(format!("cannot run `{program}`: {}", plain(&e))).hint(install())
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let why = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it failed");
    let error = Error::new(format!("`{program}` failed: {why}"));
    Err(if why.starts_with("unshare: ") {
        error.hint("allow user namespaces, with subordinate ids in /etc/subuid and /etc/subgid, or run orca as root")
    } else {
        error
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    struct Temp(PathBuf);

    impl Temp {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("orca-ext4-{name}-{}", std::process::id()));
            fs::create_dir_all(dir.join("root/bin")).unwrap();
            fs::write(dir.join("root/bin/sh"), "#!").unwrap();
            Self(dir)
        }

        fn tar(&self, top: &str) -> PathBuf {
            let tar = self.0.join("root.tar");
            let mut command = Command::new("tar");
            command.arg("-C").arg(self.0.join(top)).arg("-cf").arg(&tar).arg(".");
            assert!(command.status().unwrap().success());
            tar
        }
    }

    impl Drop for Temp {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn is_ext4(path: &Path) -> bool {
        crate::image::check::disk(path).is_ok_and(|format| format.name() == "raw")
    }

    #[test]
    fn a_folder_and_an_archive_become_file_systems() {
        let temp = Temp::new("both");
        let root = temp.0.join("root");
        let (one, two) = (temp.0.join("one"), temp.0.join("two"));
        from_folder(&root, &Fingerprint::of(&root).unwrap(), Purpose::Modules, &one).unwrap();
        from_tar(&temp.tar("root"), &two).unwrap();
        assert!(is_ext4(&one) && is_ext4(&two));
        assert!(!temp.0.join("two.tree").exists());
        let size = |path: &Path| fs::metadata(path).unwrap().len();
        assert!(size(&one) < 32 << 20 && size(&two) > SPARE_BYTES);
    }

    #[test]
    fn what_holds_no_root_is_told() {
        let temp = Temp::new("none");
        let out = temp.0.join("out");
        let error = from_tar(&temp.tar("root/bin"), &out).unwrap_err();
        assert!(error.to_string().ends_with("root.tar` holds no root file system"), "{error}");
        fs::write(temp.0.join("root/bin/manifest.json"), "").unwrap();
        let error = from_tar(&temp.tar("root/bin"), &out).unwrap_err();
        assert!(error.next_step().unwrap().contains("docker export"));
        fs::write(temp.0.join("root.tar"), "no archive").unwrap();
        let error = from_tar(&temp.0.join("root.tar"), &out).unwrap_err();
        assert!(error.to_string().contains("root.tar`: `tar` failed: "), "{error}");
    }
}
