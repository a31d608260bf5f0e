//! The `#!` line of a script: whether it says what runs the script, and whether that is there.

use crate::wire;
use nix::unistd::{AccessFlags, access};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The interpreter that runs `script`, if `script` is executable and names one in its first line.
/// Otherwise a shell is to run it.
pub(crate) fn interpreter(script: &Path) -> Option<OsString> {
    let executable = fs::metadata(script).is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0);
    if !executable {
        return None;
    }
    let mut start = [0; wire::SHEBANG_MAX];
    let count = File::open(script).and_then(|mut file| file.read(&mut start)).unwrap_or(0);
    wire::interpreter(&start[..count]).map(|path| OsStr::from_bytes(path).to_owned())
}

/// Whether `interpreter` is there and can be executed.
pub(crate) fn can_run(interpreter: &OsStr) -> bool {
    access(interpreter, AccessFlags::X_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a script with this text and mode: `expected` is the interpreter that it names, and
    /// whether that can run.
    fn check(text: &str, mode: u32, expected: Option<(&str, bool)>) {
        let name = format!("agent-shebang-{}-{mode:o}-{}", std::process::id(), text.len());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let named = interpreter(&path);
        fs::remove_file(path).unwrap();
        let expected = expected.map(|(path, there)| (OsString::from(path), there));
        assert_eq!(named.map(|path| (path.clone(), can_run(&path))), expected, "{text:?}");
    }

    #[test]
    fn an_interpreter_is_looked_for() {
        for (line, named, there) in [
            ("#!/bin/sh", "/bin/sh", true),
            ("#! /usr/bin/env sh\n", "/usr/bin/env", true),
            ("#!/bin/sh -e\r\n", "/bin/sh", true),
            ("#!/no/such/program\n", "/no/such/program", false),
            ("#!/etc/passwd\n", "/etc/passwd", false),
            ("#!\n", "", false),
        ] {
            check(line, 0o755, Some((named, there)));
        }
        check("", 0o755, None);
        check("echo ok", 0o755, None);
    }

    #[test]
    fn a_script_that_is_not_executable_is_a_shells() {
        check("#!/bin/cat\n", 0o644, None);
    }

    #[test]
    fn no_script_has_no_interpreter() {
        assert_eq!(interpreter(Path::new("/no/such/script")), None);
    }
}
