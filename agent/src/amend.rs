//! Adds to the root what root lacks there: git's trust in the project and, where QEMU may not read
//! all of the host's own root, a home and files for the passwords.

use crate::wire::SHARE_DIR;
use nix::mount::{MsFlags, mount};
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Where git is, and what it reads there for all users.
const GIT: [(&str, &str); 2] =
    [("usr/bin/git", "etc/gitconfig"), ("usr/local/bin/git", "usr/local/etc/gitconfig")];
/// The home of root.
const HOME: &str = "root";
/// Passwords of users and groups: the file, the one with their names, and what stands for the
/// passwords, since none fits.
const PASSWORDS: [(&str, &str, &str); 2] =
    [("etc/shadow", "etc/passwd", ":*:::::::"), ("etc/gshadow", "etc/group", ":*::")];
/// Files that only root may read, and that the programs which change the former need.
const LOCKS: [&str; 3] = ["etc/.pwd.lock", "etc/shadow-", "etc/gshadow-"];

/// Lets git trust the project: it refuses to work in a folder of another user, and a test is root's
/// while the folder may be anybody's on the host. `from` has the root as it was, and `to` takes
/// what is written to it.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn trust_project(from: &str, to: &str) -> io::Result<()> {
    for (_, file) in GIT.iter().filter(|(git, _)| Path::new(from).join(git).exists()) {
        let own = fs::read_to_string(format!("{from}/{file}")).unwrap_or_default();
        if !own.contains(SHARE_DIR) {
            let file = Path::new(to).join(file);
            file.parent().map_or(Ok(()), fs::create_dir_all)?;
            // The second line is for the repositories in it; git before 2.46 looks for its `*`.
            let trusted = format!("\tdirectory = {SHARE_DIR}\n\tdirectory = {SHARE_DIR}/*\n");
            fs::write(file, format!("{own}\n[safe]\n{trusted}"))?;
        }
    }
    Ok(())
}

/// Writes to `to` the files for passwords that cannot be read in the host's root at `from`.
///
/// # Errors
/// One of them cannot be written.
pub(crate) fn add_passwords(from: &str, to: &str) -> io::Result<()> {
    let is_denied = |name: &str| {
        let opened = File::open(format!("{from}/{name}"));
        opened.is_err_and(|e| e.kind() == ErrorKind::PermissionDenied)
    };
    if !is_denied(PASSWORDS[0].0) {
        return Ok(());
    }
    fs::create_dir_all(format!("{to}/etc"))?;
    let write = |name: &str, text: String| {
        let path = format!("{to}/{name}");
        fs::write(&path, text)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))
    };
    for (file, names, rest) in PASSWORDS {
        let names = fs::read_to_string(format!("{from}/{names}"))?;
        let names = names.lines().filter_map(|line| line.split(':').next());
        write(file, names.map(|name| format!("{name}{rest}\n")).collect())?;
    }
    LOCKS.iter().filter(|name| is_denied(name)).try_for_each(|name| write(name, String::new()))
}

/// Gives root an empty home in the root at `root`, if it cannot read the host's.
///
/// # Errors
/// It cannot be mounted.
pub(crate) fn add_home(root: &str) -> io::Result<()> {
    let home = format!("{root}/{HOME}");
    match fs::read_dir(&home) {
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            let flags = MsFlags::empty();
            Ok(mount(Some("home"), home.as_str(), Some("tmpfs"), flags, Some("mode=0700"))?)
        }
        _ => Ok(()),
    }
}
