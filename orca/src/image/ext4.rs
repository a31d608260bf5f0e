//! File systems for guests: an ext4 image with the content of a folder or of a tar archive, made by
//! `mke2fs`.
//!
//! If root runs orca, the image keeps the owners of the files. If another user does, the tools work
//! in a user namespace in which that user is root: the user's own files belong to root in the
//! guest, and an archive's owners are kept if the user has subordinate ids.

use super::fingerprint::Fingerprint;
use crate::error::{Error, Result, plain};
use crate::host::sys;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Room for what a guest writes to its root, in bytes.
const ROOT_ROOM_BYTES: u64 = 640 << 20;
/// The same, in files.
const ROOT_ROOM_FILES: u64 = 32_768;
/// Room for what a guest writes to its project, in bytes.
const PROJECT_ROOM_BYTES: u64 = 2 << 30;
/// Room for the file system's own tables, in bytes, besides a tenth of the content.
const OVERHEAD: u64 = 16 << 20;
/// The size of an inode, in bytes.
const INODE_BYTES: u64 = 256;

/// How a guest uses the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It reads the files: they are kernel modules.
    Modules,
    /// It is the root, with room for more files.
    Root,
    /// It is the project, with room for more files.
    Project,
}

/// The user ids that a tool sees when orca is not run by root.
#[derive(Clone, Copy)]
enum Users {
    /// Only root, who is the user.
    One,
    /// Root, and the user's subordinate ids.
    All,
    /// All, as they are on this host.
    Own,
}

/// Writes an ext4 image with the content of `dir` to `out`. `fingerprint` is that of `dir`.
///
/// # Errors
/// `mke2fs` is missing or fails.
pub fn from_folder(
    dir: &Path,
    fingerprint: &Fingerprint,
    purpose: Purpose,
    out: &Path,
) -> Result<()> {
    ext4(dir, fingerprint, purpose, Users::One, out)
}

/// Writes an ext4 image with the content of `dir`, a project, to `out`, without what lies at the
/// paths `left_out`, relative to `dir`. `fingerprint` is that of the rest.
///
/// # Errors
/// `mke2fs` is missing or fails; `left_out` cannot be hidden from it, which takes a mount
/// namespace.
pub fn from_project(
    dir: &Path,
    left_out: &[PathBuf],
    fingerprint: &Fingerprint,
    out: &Path,
) -> Result<()> {
    if left_out.is_empty() {
        let mkfs = mkfs_words(dir, fingerprint, Purpose::Project, out);
        let made = run("mke2fs", "e2fsprogs", mkfs.clone(), Users::One);
        // Without a namespace the files belong to the user, as on the host.
        made.or_else(|_| run("mke2fs", "e2fsprogs", mkfs, Users::Own))?;
    } else {
        let name = Path::new(".").join(out.file_name().unwrap_or_default());
        hidden(dir, left_out, mkfs_words(dir, fingerprint, Purpose::Project, &name), out)?;
    }
    tidy_up(dir, left_out, out);
    Ok(())
}

/// Whether images of projects can be made here.
///
/// # Errors
/// `mke2fs` does not run.
pub fn check() -> Result<()> {
    run("mke2fs", "e2fsprogs", words("-V"), Users::Own)
}

/// Runs `mke2fs` with empty files and folders in the place of `left_out`: it cannot leave anything
/// out by itself.
fn hidden(dir: &Path, left_out: &[PathBuf], mkfs: Vec<OsString>, out: &Path) -> Result<()> {
    // Beside the image: anywhere else they might lie in the project, and change it.
    let stand_ins = out.with_extension("empty");
    let (folder, file) = (stand_ins.join("folder"), stand_ins.join("file"));
    let made = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, ""));
    made.map_err(|e| Error::io("create", &stand_ins, &e))?;
    let place = out.parent().unwrap_or(Path::new("."));
    let mut words = words("--mount sh -c");
    words.extend([HIDE.into(), "sh".into(), place.into(), folder.into(), file.into()]);
    let mut paths: Vec<PathBuf> = left_out.iter().map(|path| dir.join(path)).collect();
    // What holds the image, and with it the stand-ins, is hidden last.
    paths.sort_by_key(|path| out.starts_with(path));
    words.extend(paths.into_iter().map(OsString::from));
    words.extend(["--".into(), "mke2fs".into()]);
    words.extend(mkfs);
    let ran = run("unshare", "util-linux", words, Users::One);
    let removed = fs::remove_dir_all(&stand_ins);
    ran?;
    removed.map_err(|e| Error::io("remove", &stand_ins, &e))
}

/// Mounts an empty folder ($2) or file ($3) over each path up to `--`, and runs the rest in the
/// folder $1, which may be hidden itself.
const HIDE: &str = r#"cd "$1" || exit
folder=$2 file=$3; shift 3
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mount --bind "$folder" "$1"; else mount --bind "$file" "$1"; fi || exit
    shift
done
shift; exec "$@""#;

/// Removes from an image what is no part of the project: the folder that `mke2fs` makes, and what
/// stood in for what was left out. It stays where there is no `debugfs`, and does little harm.
fn tidy_up(dir: &Path, left_out: &[PathBuf], image: &Path) {
    let mut script = "rmdir lost+found\n".to_owned();
    for path in left_out {
        let verb = if dir.join(path).is_dir() { "rmdir" } else { "rm" };
        if let Some(name) = path.to_str().filter(|name| !name.contains(['"', '\n'])) {
            script.push_str(&format!("{verb} \"{name}\"\n"));
        }
    }
    let commands = image.with_extension("debugfs");
    if fs::write(&commands, script).is_ok() {
        let mut args = words("-w -f");
        args.extend([commands.clone().into(), image.into()]);
        let _ = run("debugfs", "e2fsprogs", args, Users::Own);
        let _ = fs::remove_file(&commands);
    }
}

/// Writes an ext4 image with the content of the tar archive at `path` to `out`. The archive is
/// unpacked beside `out` for that.
///
/// # Errors
/// The archive holds no root, or `tar`, a decompressor or `mke2fs` is missing or fails.
pub fn from_tar(path: &Path, out: &Path) -> Result<()> {
    // A name of its own: `tar` may outlive an orca that was killed, and go on in its tree.
    let tree = out.with_extension(format!("{}.tree", std::process::id()));
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
    fingerprint: &Fingerprint,
    purpose: Purpose,
    users: Users,
    out: &Path,
) -> Result<()> {
    run("mke2fs", "e2fsprogs", mkfs_words(dir, fingerprint, purpose, out), users)
}

fn mkfs_words(
    dir: &Path,
    fingerprint: &Fingerprint,
    purpose: Purpose,
    out: &Path,
) -> Vec<OsString> {
    let (bytes, files) = match purpose {
        Purpose::Modules => (fingerprint.bytes, fingerprint.files + 64),
        Purpose::Root => (fingerprint.bytes + ROOT_ROOM_BYTES, fingerprint.files + ROOT_ROOM_FILES),
        Purpose::Project => {
            (fingerprint.bytes + PROJECT_ROOM_BYTES, fingerprint.files + ROOT_ROOM_FILES)
        }
    };
    let kib = (bytes * 11 / 10 + files * INODE_BYTES + OVERHEAD).div_ceil(1024);
    // No journal and no checksums: the disk is thrown away, and both cost the guest time. The inode
    // tables are written here, so that the guest does not write them.
    let mut args = words("-q -t ext4 -m 0 -b 4096 -O ^has_journal,^metadata_csum,^resize_inode");
    args.extend(words("-E lazy_itable_init=0 -N"));
    args.extend([files.to_string().into(), "-d".into(), dir.into(), out.into()]);
    args.push(format!("{kib}k").into());
    args
}

fn unpack(path: &Path, tree: &Path) -> Result<()> {
    // The guest's kernel makes its own devices; making them here would need the host's root.
    let mut args =
        words("--numeric-owner --xattrs --xattrs-include=* --exclude=dev/* --exclude=./dev/*");
    args.extend(["-C".into(), tree.into(), "-xpf".into(), path.into()]);
    run("tar", "tar", args, Users::All)
        .map_err(|e| e.context(&format!("cannot unpack `{}`", path.display())))
}

/// Checks that `tree`, the content of `path`, can be a root.
///
/// # Errors
/// It cannot. An archive by `docker save` holds archives of layers, not a root.
pub fn check_root(path: &Path, tree: &Path) -> Result<()> {
    let has = |name: &str| fs::symlink_metadata(tree.join(name)).is_ok();
    if ["bin", "usr", "sbin", "etc"].into_iter().any(has) {
        return Ok(());
    }
    let error = Error::new(format!("`{}` holds no root file system", path.display()));
    Err(if has("manifest.json") || has("index.json") {
        error.hint("it is a saved image of layers: `docker export` a container of it instead")
    } else {
        error.hint("its top level must be the root, with `bin` and `etc`")
    })
}

/// Removes a folder. Its files may belong to users that only the namespace has.
fn remove(tree: &Path) -> Result<()> {
    run("rm", "coreutils", vec!["-rf".into(), tree.into()], Users::All)
}

fn words(text: &str) -> Vec<OsString> {
    text.split(' ').map(OsString::from).collect()
}

fn run(program: &str, package: &str, args: Vec<OsString>, users: Users) -> Result<()> {
    let mut words: Vec<OsString> = Vec::new();
    if !nix::unistd::geteuid().is_root() && !matches!(users, Users::Own) {
        words.extend(["unshare", "--map-root-user"].map(OsString::from));
        if matches!(users, Users::All) {
            words.push("--map-auto".into());
        }
        words.push("--".into());
    }
    words.push(program.into());
    words.extend(args);
    // `mke2fs` is in these folders, which not every user's PATH has.
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env("PATH", format!("{path}:/usr/sbin:/sbin")).stdin(Stdio::null());
    // `unshare` loses this when it becomes root of its namespace.
    sys::die_with_parent(&mut command);
    let output = command.output();
    let install = || format!("install it (Debian, Ubuntu: apt install {package})");
    let output = output.map_err(|e| {
        Error::new(format!("cannot run `{program}`: {}", plain(&e))).hint(install())
    })?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let why = stderr.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it failed");
    let error = Error::new(format!("`{program}` failed: {why}"));
    Err(if why.starts_with("unshare: ") {
        error.hint(
            "allow user namespaces, with subordinate ids in /etc/subuid and /etc/subgid, \
             or run orca as root",
        )
    } else {
        error
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::check::{self, Origin};
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
        check::disk(path, Origin::Image).is_ok_and(|format| format.name() == "raw")
    }

    #[test]
    fn a_folder_and_an_archive_become_file_systems() {
        let temp = Temp::new("both");
        let root = temp.0.join("root");
        let (one, two) = (temp.0.join("one"), temp.0.join("two"));
        from_folder(&root, &Fingerprint::of(&root).unwrap(), Purpose::Modules, &one).unwrap();
        from_tar(&temp.tar("root"), &two).unwrap();
        assert!(is_ext4(&one) && is_ext4(&two));
        assert_eq!(fs::read_dir(&temp.0).unwrap().count(), 4, "the root, its archive, two images");
        let size = |path: &Path| fs::metadata(path).unwrap().len();
        assert!(size(&one) < 32 << 20 && size(&two) > ROOT_ROOM_BYTES);
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
