//! The project and the temporary files in real machines: what docs/share.md says of them. Built
//! with `--features vm`; needs the image in `build/`, which scripts/check.sh makes.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[path = "kit/image.rs"]
#[expect(dead_code, reason = "not every file asks what runs have left")]
mod image;
#[expect(dead_code, reason = "not every file uses all of the kit")]
mod kit;

use kit::{Project, Ran};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

/// Functions for the tests: `t NAME CMD…` is a check, and `fills FOLDER` leaves no room in it.
const LIB: &str = r#"
n=0
t() { n=$((n + 1)); d=$1; shift; "$@" || printf 'not '; echo "ok $n - $d"; }
fills() {
    fallocate -l "$(df -Pk "$1" | awk 'NR == 2 { print $4 }')K" "$1/most"
    ! cat /dev/zero >"$1/rest"
}
"#;

fn orca(project: &Project, args: &[&str]) -> Ran {
    Ran::from(image::command(&image::build(), project, args).output().unwrap())
}

/// A project with a folder, a file of two names, and these tests.
fn project(tests: &[(&str, &str)]) -> Project {
    let project = Project::new();
    project.file("lib.sh", LIB).file("folder/file", "a\n").file("one", "a\n");
    fs::hard_link(project.root().join("one"), project.root().join("two")).unwrap();
    for (name, body) in tests {
        project.test(name, &format!(". ./lib.sh\n{body}\necho 1..$n"));
    }
    project
}

#[test]
fn an_overlay_has_the_room_of_the_roots_disk_and_says_when_that_is_full() {
    let project = project(&[
        (
            "room",
            "t 'a folder of the project is renamed' mv folder renamed
             t 'with its files' grep -q a renamed/file
             t '300 MB fit into the project' fallocate -l 300M large
             rm -f large
             t '300 MB fit into /tmp' fallocate -l 300M /tmp/large
             rm -f /tmp/large
             t '/tmp is open to all' test \"$(stat -c %a /tmp)\" = 1777
             t 'no one comes across what is written' test -z \"$(find / -xdev -name renamed)\"",
        ),
        ("full_project", "t 'it is full' fills .; exit 1"),
        ("full_tmp", "t 'it is full' fills \"$TMPDIR\"; exit 1"),
        ("cleared", "t 'it was full' fills .; rm -f most rest; exit 1"),
    ]);
    symlink(project.root().parent().unwrap(), project.root().join("out")).unwrap();
    let ran = orca(&project, &["test", "-j2", "--share", "overlay"]);
    ran.exits(1).says("1 passed, 3 failed").never_says("not ok");
    ran.says("warning: not there in the guest, because it leads out of the project: `out` -> ");
    assert_eq!(ran.out.matches("the root's disk is full: more room").count(), 2, "{}", ran.out);
    assert_eq!(ran.out.matches("it had no space left: ").count(), 1, "{}", ran.out);
    assert!(project.root().join("folder/file").exists());
    assert!(!project.root().join("renamed").exists());
}

#[test]
fn what_is_written_through_to_the_host_is_as_the_table_says() {
    let unlinked = "perl -e 'open F, \"+>\", \"gone\"; unlink \"gone\"; syswrite F, \"text\"; \
                    sysseek F, 0, 0; sysread F, $a, 4; exit($a ne \"text\")'";
    let project = project(&[(
        "through",
        &format!(
            "t 'a folder is renamed' mv folder renamed
             echo b >>one
             t 'two names are one file' grep -q b two
             t 'a link is made' ln one three
             t 'O_DIRECT writes' dd if=lib.sh of=direct bs=4096 oflag=direct conv=fsync status=none
             t 'an overlay lies on it' sh -c 'mkdir u w m && mount -t overlay o \
                 -o lowerdir=t,upperdir=u,workdir=w m && umount m'
             t 'locks exclude' sh -c '! flock lock flock -n lock true'
             t 'a file without a name is written and read' {unlinked}"
        ),
    )]);
    orca(&project, &["test", "-j1", "--share", "rw"]).exits(0).says("1 passed");
    let root = project.root();
    assert_eq!(fs::read_to_string(root.join("three")).unwrap(), "a\nb\n");
    assert_eq!(fs::metadata(root.join("one")).unwrap().nlink(), 3);
    assert!(root.join("renamed/file").exists());
}
