//! The project as a disk of its machines (`--share disk`): all that a file system can do, and what
//! comes along. Built with `--features vm`; needs the Debian image in `build/`.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[path = "kit/image.rs"]
mod image;
#[expect(dead_code, reason = "not every file uses all of the kit")]
mod kit;
#[path = "kit/lab.rs"]
#[expect(dead_code, reason = "not every file uses all of the kit")]
mod lab;

use kit::Ran;
use lab::{CHECKS, Lab};
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, UNIX_EPOCH};

/// Names that a shell, a tool or a report may stumble over.
const ODD: [&[u8]; 12] = [
    b"with space",
    b"it's",
    b"double\"quote",
    b"new\nline",
    b"bytes\xff\xfe",
    b"back\\slash",
    b"-rf",
    b"*",
    "Größe".as_bytes(),
    b"tab\t",
    b"$(touch t)",
    b"a, b",
];

fn run(program: &str, args: &[&str], dir: &Path) -> bool {
    Command::new(program).args(args).current_dir(dir).status().unwrap().success()
}

/// Every path in the folder, with what a write would change.
fn snapshot(root: &Path) -> Vec<(Vec<u8>, u64, u64, i64, i64)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, meta) = (entry.path(), entry.metadata().unwrap());
            let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
            found.push((name, meta.ino(), meta.len(), meta.ctime(), meta.ctime_nsec()));
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

const OFFERS: &str = r#"
attr() { perl -e '($f, $n, $v) = @ARGV; exit !!syscall(188, $f, $n, $v, length $v, 0)' "$@"; }
got() { perl -e '($f, $n) = @ARGV; $b = " " x 9; $l = syscall(191, $f, $n, $b, 9);
    print $l < 0 ? "none" : substr $b, 0, $l' "$@"; }
find . -mindepth 1 ! -name lost+found -print0 >"$ORCA_ARTIFACTS/names"
is "$(stat -c '%h %a %u:%g' x) $(stat -c '%a' private) $(stat -c %u:%g private/sub/f)" \
    '2 4755 0:0 750 1234:2345' 'links, modes and owners'
echo two >>y; is "$(cat x)" "$(printf 'one\ntwo')" 'a hard link'
yes 'rename a folder' mv private moved; is "$(cat moved/sub/f)" inside 'and it is whole'
is "$(readlink link) $(cat link/f 2>&1) $(stat -c %F fifo)" \
    'private/sub cat: link/f: No such file or directory fifo' 'links and pipes'
is "$(stat -c %Y old)" 981173106 'dates'
is "$(got x user.colour)" "$(cat t/colour)" 'an attribute of the host'
for at in x "$TMPDIR"; do attr $at user.new blue; is "$(got $at user.new)" blue "one of $at"; done
yes 'direct writes' dd if=/dev/zero of=direct bs=4096 count=4 oflag=direct
is "$(stat -c %s sparse) $(tail -c 3 sparse) $(($(stat -c %b sparse) < 99))" \
    '104857603 end 1' 'holes'
mkdir low up work on; echo low >low/file
yes 'an overlay with its upper here' mount -t overlay o -o lowerdir=low,upperdir=up,workdir=work on
echo up >>on/file; is "$(cat low/file up/file)" "$(printf 'low\nlow\nup')" 'and it works'
yes 'a socket' perl -MIO::Socket::UNIX \
    -e 'IO::Socket::UNIX->new(Local => "s", Listen => 1) or die $!'
yes 'nodes' sh -ec 'mkfifo pipe; mknod null c 1 3; echo x >null; [ "$(stat -c %t:%T null)" = 1:3 ]'
yes '300 MB' dd if=/dev/zero of=big bs=1M count=300 conv=fsync
is "$(ls -d lost+found 2>/dev/null)" '' 'no folder that a file system has'
rm -rf moved y
end
"#;

#[test]
fn a_disk_offers_what_a_file_system_does_and_the_host_sees_nothing_of_it() {
    let lab = Lab::named("a, project's \"name\"");
    let root = lab.root();
    lab.test("offers", &format!("{CHECKS}{OFFERS}"));
    lab.file("private/sub/f", "inside\n").file("x", "one\n").file("old", "");
    fs::hard_link(root.join("x"), root.join("y")).unwrap();
    let mode =
        |name: &str, mode| fs::set_permissions(root.join(name), Permissions::from_mode(mode));
    mode("private", 0o750).unwrap();
    mode("x", 0o4755).unwrap();
    std::os::unix::fs::chown(root.join("private/sub/f"), Some(1234), Some(2345)).unwrap();
    symlink("private/sub", root.join("link")).unwrap();
    assert!(run("mkfifo", &["fifo"], root));
    let date = FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_secs(981_173_106));
    File::options().write(true).open(root.join("old")).unwrap().set_times(date).unwrap();
    File::create(root.join("sparse")).unwrap().write_all_at(b"end", 100 << 20).unwrap();
    let set = "exit !!syscall(188, $ARGV[0], $ARGV[1], $ARGV[2], 3, 0)";
    // A file system of the host without attributes has none to pass on.
    let has_attributes = run("perl", &["-e", set, "x", "user.colour", "red"], root);
    let colour = if has_attributes { "red" } else { "none" };
    lab.file("t/colour", colour);
    for name in ODD {
        fs::write(root.join(OsStr::from_bytes(name)), "").unwrap();
    }
    let before = snapshot(root);
    let args = ["--share", "disk", "--artifacts", "all"];
    let (ran, report) = lab.orca(&args);
    ran.says("; project: a disk with 1 MiB in 24 files, made in ");
    report.one("t/offers_test.sh", "pass");
    assert_eq!(snapshot(root), before, "the host's files");
    let names = lab.log("t/offers_test.sh", "artifacts/names");
    let names = names.split(|&b| b == 0).filter_map(|name| name.strip_prefix(b"./"));
    let mut names: Vec<_> = names.map(<[u8]>::to_vec).collect();
    names.sort();
    assert_eq!(names, before.into_iter().map(|file| file.0).collect::<Vec<_>>());
}

/// Gives a file space without writing it.
fn allocate(path: &Path, bytes: i64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    nix::fcntl::posix_fallocate(File::create(path).unwrap(), 0, bytes).unwrap();
}

#[test]
fn what_is_ignored_comes_along_if_it_fits_and_images_never_do() {
    let mut lab = Lab::with_cache();
    assert!(run("git", &["init", "-q"], lab.root()));
    lab.file(".gitignore", "build\ntarget\nmade\n").file("made/by/host", "1\n");
    lab.bring_image("build");
    allocate(&lab.root().join("target/debug/big"), 513 << 20);
    lab.test("x", "echo 1..1; ls -A . build made/by; cat made/by/host; echo ok 1");
    let listed = |lab: &Lab| String::from_utf8(lab.log("t/x_test.sh", "stdout.tap")).unwrap();
    let (ran, _) = lab.orca(&[]);
    ran.exits(0).says(" MiB in ").says(" files, made in ").says(" s, without target)");
    let first = "1..1\n.:\n.git\n.gitignore\nbuild\nmade\nt\n\nbuild:\n\nmade/by:\nhost\n1\nok 1\n";
    assert_eq!(listed(&lab), first);
    let (ran, _) = lab.orca(&[]);
    ran.exits(0).says(" files, kept, without target)").never_says("template");
    // A file of the same length, with the date that it had before.
    let host = lab.root().join("made/by/host");
    let date = fs::metadata(&host).unwrap().modified().unwrap();
    lab.file("made/by/host", "2\n").file("build/notes", "");
    let file = File::options().write(true).open(&host).unwrap();
    file.set_times(FileTimes::new().set_modified(date)).unwrap();
    let (ran, _) = lab.orca(&[]);
    ran.exits(0).says("made in ").says(", without target)");
    assert_eq!(
        listed(&lab),
        first.replace("build:\n", "build:\nnotes\n").replace("1\nok", "2\nok")
    );
}

#[test]
fn a_project_that_is_too_large_or_cannot_be_read_is_a_folder_of_the_host() {
    let lab = Lab::new();
    lab.test("x", "echo 1..1; grep -q ' /mnt/glacic overlay ' /proc/mounts && echo ok 1");
    let big = lab.root().join("big");
    allocate(&big, 513 << 20);
    let why = "the project holds more than the 512 MiB or 50000 files of a disk";
    lab.orca(&[]).0.exits(0).says(&format!("; project: overlay, since {why})"));
    let ran = lab.orca(&["--share", "disk"]).0;
    ran.exits(2).complains(&format!("orca: {why}\nhint: say --share overlay"));
    fs::remove_file(big).unwrap();
}

#[test]
fn a_project_that_changes_meanwhile_becomes_a_right_disk_or_none() {
    let lab = Lab::new();
    // The writer writes `a` first and `b` then, so that in any one moment `a` is `b` or one ahead.
    lab.test(
        "x",
        "echo 1..1; a=$(cat a) b=$(cat b); echo \"# $a $b\"; [ $((a - b)) -le 1 ] && echo ok 1",
    );
    let write = |count: u32| {
        for name in ["a", "b"] {
            fs::write(lab.beside("new"), count.to_string()).unwrap();
            fs::rename(lab.beside("new"), lab.root().join(name)).unwrap();
        }
    };
    write(0);
    let ended = AtomicBool::new(false);
    let (busy, ran) = std::thread::scope(|scope| {
        scope.spawn(|| (1..).take_while(|_| !ended.load(Relaxed)).for_each(write));
        let runs = (lab.orca(&["--share", "disk"]).0, lab.orca(&[]).0);
        ended.store(true, Relaxed);
        runs
    });
    let why = "the project changes while a disk is made of it";
    if busy.status == Some(2) {
        busy.complains(&format!("orca: {why}\nhint: let it rest, or say --share overlay"));
    } else {
        busy.exits(0).says("1 passed");
    }
    // Files of the host that change while a guest reads them are not the guest's to judge.
    let is_disk = ran.out.contains("; project: a disk with ");
    assert!(is_disk || ran.out.contains(&format!("; project: overlay, since {why})")), "{ran:?}");
    if is_disk {
        ran.exits(0);
    }
    lab.orca(&["--share", "disk"]).0.exits(0).says("made in ");
}

#[test]
fn a_user_who_is_not_root_owns_the_project_as_root_in_the_guest() {
    let mut lab = Lab::with_cache();
    lab.bring_image("../image");
    let binary = lab.beside("toolbox");
    fs::copy(env!("CARGO_BIN_EXE_toolbox"), &binary).unwrap();
    lab.test("x", "echo 1..1; stat -c '%u:%g %a' t own; echo ok 1").file("own", "");
    fs::set_permissions(lab.root().join("own"), Permissions::from_mode(0o600)).unwrap();
    let top = lab.beside("");
    let command = lab.command(&["--share", "disk"]);
    assert!(run("chown", &["12345:12345", ".", "tmp"], &top));
    assert!(run("chown", &["-R", "12345:12345", "."], lab.root()));
    let mut user = Command::new("setpriv");
    user.args(["--reuid=12345", "--regid=12345", "--clear-groups"]);
    user.arg(binary).args(command.get_args()).current_dir(lab.root());
    user.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran = Ran::from(user.output().unwrap());
    ran.exits(0).says("made in ");
    let mut unshare = Command::new("setpriv");
    unshare.args(["--reuid=12345", "--clear-groups", "unshare", "--map-root-user", "true"]);
    // Without user namespaces the files belong to the user, as on the host.
    let owner = if unshare.status().unwrap().success() { "0:0" } else { "12345:12345" };
    let log = String::from_utf8(lab.log("t/x_test.sh", "stdout.tap")).unwrap();
    assert_eq!(log, format!("1..1\n{owner} 755\n{owner} 600\nok 1\n"));
    // What the user may not read cannot come along, and is named.
    lab.file("secret", "");
    fs::set_permissions(lab.root().join("secret"), Permissions::from_mode(0o600)).unwrap();
    let ran = Ran::from(user.output().unwrap());
    ran.exits(2).complains("Permission denied while opening \"secret\"").complains("hint: ");
}
