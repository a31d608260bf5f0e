//! Adds to the root what root lacks there: git's trust in the project and, where QEMU may not read
//! all of the host's own root, a home and files for the passwords.

use crate::cmdline::CommandLine;
use crate::wire::SHARE_DIR;
use nix::mount::{MsFlags, mount};
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Where git is, and what it reads there for all users.
const GIT: [(&str, &str); 2] =
    [("usr/bin/git", "etc/gitconfig"), ("usr/local/bin/git", "usr/local/etc/gitconfig")];
/// Makes git tell by size and date whether a file has changed.
const BY_SIZE_AND_DATE: &str = "[core]\n\tcheckStat = minimal\n\ttrustctime = false\n";
/// The home of root.
const HOME: &str = "root";
/// Passwords of users and groups: the file, the one with their names, and what stands for the
/// passwords, since none fits.
const PASSWORDS: [(&str, &str, &str); 2] =
    [("etc/shadow", "etc/passwd", ":*:::::::"), ("etc/gshadow", "etc/group", ":*::")];
/// Files that only root may read, and that the programs which change the former need.
const LOCKS: [&str; 3] = ["etc/.pwd.lock", "etc/shadow-", "etc/gshadow-"];

/// Lets git trust the project: it refuses to work in a folder of another user, and a test is root's
/// while the folder may be anybody's on the host. `root` takes the file; where it lies over another
/// root, that is at `lower` when git runs.
///
/// In a copy of the project, files have other numbers and dates of change than git has noted. Git
/// would read all of them to see that they are the same, and is told to go by size and date.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn trust_project(root: &str, lower: Option<&str>) -> io::Result<()> {
    let is_copy = CommandLine::of_this_boot().value("orca.project").is_some();
    for (git, file) in GIT {
        let path = Path::new(root).join(file);
        let own = match lower {
            // This may be before the other root is there. An include of nothing is fine.
            Some(lower) => format!("[include]\n\tpath = {lower}/{file}\n"),
            None if !Path::new(root).join(git).exists() => continue,
            None => fs::read_to_string(&path).unwrap_or_default(),
        };
        if !own.contains(SHARE_DIR) {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            // The second line is for the repositories in it; git before 2.46 looks for its `*`.
            let trusted = format!("\tdirectory = {SHARE_DIR}\n\tdirectory = {SHARE_DIR}/*\n");
            let core = if is_copy { BY_SIZE_AND_DATE } else { "" };
            fs::write(path, format!("{own}\n[safe]\n{trusted}{core}"))?;
        }
    }
    Ok(())
}

/// Writes to `to` the files for passwords, if they cannot be read in the host's root at `from`.
/// Returns whether that is so.
///
/// # Errors
/// One of them cannot be written.
pub(crate) fn add_passwords(from: &str, to: &str) -> io::Result<bool> {
    let is_denied = |name: &str| {
        let opened = File::open(format!("{from}/{name}"));
        opened.is_err_and(|e| e.kind() == ErrorKind::PermissionDenied)
    };
    if !is_denied(PASSWORDS[0].0) {
        return Ok(false);
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
    LOCKS.iter().filter(|name| is_denied(name)).try_for_each(|name| write(name, String::new()))?;
    Ok(true)
}

/// Gives root an empty home in the root at `root`.
///
/// # Errors
/// It cannot be mounted.
pub(crate) fn add_home(root: &str) -> io::Result<()> {
    let home = format!("{root}/{HOME}");
    Ok(mount(Some("home"), home.as_str(), Some("tmpfs"), MsFlags::empty(), Some("mode=0700"))?)
}
