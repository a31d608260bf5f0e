//! Kernels, root file systems and inits that users bring, in real machines. Built with
//! `--features vm`; needs the image in `build/`.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[expect(dead_code, reason = "not every file uses all of the kit")]
mod kit;

use kit::{Project, Ran};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A project whose runs use the image that was built.
struct Lab(Project);

impl Lab {
    fn new() -> Self {
        let project = Project::new();
        // The default place of the image.
        std::os::unix::fs::symlink(build(), project.root().join("build")).unwrap();
        Self(project)
    }

    fn orca(&self, args: &[&str]) -> Ran {
        Ran::from(self.0.command(args).stdin(Stdio::null()).output().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.root().join(name).to_str().unwrap().to_owned()
    }
}

fn build() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../build")).unwrap()
}

/// Copies a file with every `old` in it replaced by `new`, which is as long.
fn copy_replacing(from: &Path, to: &Path, old: &str, new: &str) {
    assert_eq!(old.len(), new.len());
    let mut bytes = fs::read(from).unwrap();
    let places: Vec<usize> = memchr::memmem::find_iter(&bytes, old).collect();
    for at in places {
        bytes[at..at + new.len()].copy_from_slice(new.as_bytes());
    }
    unsign(&mut bytes);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::write(to, bytes).unwrap();
}

/// Removes the signature of a module, which no longer fits, with its length and its magic.
fn unsign(bytes: &mut Vec<u8>) {
    let Some(signed) = bytes.strip_suffix(b"~Module signature appended~\n") else { return };
    let (_, length) = signed.split_last_chunk::<4>().unwrap();
    let left = signed.len() - 12 - u32::from_be_bytes(*length) as usize;
    bytes.truncate(left);
}

fn copy_tree_replacing(from: &Path, to: &Path, old: &str, new: &str) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree_replacing(&entry.path(), &target, old, new);
        } else {
            copy_replacing(&entry.path(), &target, old, new);
        }
    }
}

#[test]
fn every_test_runs_on_every_kernel() {
    let lab = Lab::new();
    // A kernel of another release: the image's and its modules, with the release replaced.
    let own = fs::read_dir(build().join("modules")).unwrap().next().unwrap().unwrap();
    let own = own.file_name().into_string().unwrap();
    let twin = format!("9.9.9{}", &own[5..]);
    let root = lab.0.root();
    copy_replacing(&build().join("vmlinux"), &root.join("boot/vmlinux"), &own, &twin);
    let modules = root.join("lib/modules").join(&twin);
    copy_tree_replacing(&build().join("modules").join(&own), &modules, &own, &twin);
    lab.0.test(
        "kernel",
        "echo 1..2; modprobe dummy && grep -q ^dummy /proc/modules || printf 'not '; echo ok 1\n\
         case $(uname -r) in 9.9.9*) printf 'not ' ;; esac; echo ok 2 - fails on one of them",
    );
    let kernels = ["--kernel", "build/vmlinux", "--kernel", "boot/vmlinux"];
    let ran =
        lab.orca(&[&["test", "-j2", "--json", "json", "--junit", "junit"], &kernels[..]].concat());
    ran.exits(1).says(&format!("t/kernel_test.sh [{own}]")).says(&format!("{own}: 1 passed\n"));
    ran.says(&format!("{twin}: 0 passed, 1 failed\n")).says("1 passed, 1 failed");
    ran.says(" --kernel boot/vmlinux t/kernel_test.sh\n").never_says("--kernel=build/vmlinux");
    let json = fs::read_to_string(root.join("json")).unwrap();
    assert!(json.contains(&format!("\"kernel\":\"{twin}\"")), "{json}");
    let junit = fs::read_to_string(root.join("junit")).unwrap();
    assert!(junit.contains(&format!("t/kernel_test.sh [{twin}]")), "{junit}");
}

/// Prints the archive of a root file system that has only the image's busybox.
const SMALL_ROOT: &str = "set -e; mkdir -p /tmp/r/bin /tmp/r/sbin /tmp/r/etc /tmp/r/lib64
cp /bin/busybox /tmp/r/bin/
for lib in $(ldd /bin/busybox | grep -o '/[^ ]*'); do
  mkdir -p /tmp/r${lib%/*}; cp $lib /tmp/r$lib
done
for tool in sh cat ps grep touch mkdir hostname mount true ls syslogd; do
  ln -s busybox /tmp/r/bin/$tool
done
ln -s ../bin/busybox /tmp/r/sbin/init; echo '::respawn:/bin/syslogd -n' >/tmp/r/etc/inittab
tar -C /tmp/r -cf - .";

#[test]
fn a_root_from_an_archive_or_a_folder_runs_tests_under_its_own_init() {
    let lab = Lab::new();
    let made = lab.0.command(&["run", "--", "sh", "-c", SMALL_ROOT]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::write(lab.path("root.tar"), made.stdout).unwrap();
    for name in ["a", "b"] {
        lab.0.test(
            name,
            "echo 1..3; [ ! -e /mark ] || printf 'not '; echo ok 1 - nobody was here; touch /mark\n\
             grep -q ^init$ /proc/1/comm || printf 'not '; echo ok 2 - process 1 is its init\n\
             ps | grep -q '[s]yslogd' || printf 'not '; echo ok 3 - its service runs",
        );
    }
    let own = ["test", "-j1", "--init", "own", "--rootfs"];
    lab.orca(&[&own[..], &["root.tar"]].concat())
        .exits(0)
        .says("2 passed")
        .never_says("warning: no t");
    fs::create_dir(lab.path("root")).unwrap();
    let mut tar = std::process::Command::new("tar");
    tar.args(["-xf", &lab.path("root.tar"), "-C", &lab.path("root")]);
    assert!(tar.status().unwrap().success());
    let cat = ["run", "--rootfs", "root", "--cold", "--", "cat", "/etc/word", "/proc/1/comm"];
    for word in ["one\n", "three\n"] {
        fs::write(lab.path("root/etc/word"), word).unwrap();
        let ran = lab.orca(&cat);
        ran.exits(0);
        assert_eq!(ran.out, format!("{word}init\n"), "the guest has the folder as it is now");
    }
}

#[test]
fn the_host_itself_is_a_root_that_tests_cannot_write_to() {
    let lab = Lab::new();
    // Not below /tmp, which in the guest is a file system of its own.
    let dir = nix::unistd::mkdtemp(Path::new("/var/tmp/orca-host-XXXXXX")).unwrap();
    let secret = dir.join("only-on-this-host").display().to_string();
    fs::write(&secret, "here").unwrap();
    for name in ["a", "b"] {
        lab.0.test(
            name,
            &format!(
                "echo 1..2; [ \"$(cat {secret})\" = here ] || printf 'not '; echo ok 1; \
                 [ ! -e {secret}.mark ] && touch {secret}.mark || printf 'not '; echo ok 2"
            ),
        );
    }
    let ran = lab.orca(&["test", "-j1", "--rootfs", "host"]);
    let left = fs::read_dir(&dir).unwrap().count();
    fs::remove_dir_all(&dir).unwrap();
    ran.exits(0).says("2 passed").never_says("warning: no template");
    assert_eq!(left, 1, "something was written on the host");
}
