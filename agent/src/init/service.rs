//! Makes the agent a service of the image's own init, just before that init starts, in an image
//! that was not built with the agent.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// The agent in an image that was built with it, as a service already.
const BUILT_IN: &str = "/sbin/agent";
/// The agent in other images. An init keeps the file system that is mounted at `/run`.
const COPY: &str = "/run/orca/agent";
/// systemd's folder for units that last until the machine is off.
const UNITS: &str = "/run/systemd/system";
const UNIT: &str = "\
[Unit]
Description=The guest's side of orca
DefaultDependencies=no
After=local-fs.target
[Service]
ExecStart=/run/orca/agent
Restart=always
RestartSec=0
";
const INITTAB: &str = "/etc/inittab";

/// Makes sure that `init` will start the agent.
///
/// # Errors
/// Why `init` will not, for the console.
pub(super) fn install(init: &str) -> Result<(), String> {
    if Path::new(BUILT_IN).exists() {
        return Ok(());
    }
    let real = fs::canonicalize(init).map_err(|e| format!("cannot run `{init}`: {e}"))?;
    let installed = if real.ends_with("systemd") {
        copy_agent().and_then(|()| unit())
    } else if Path::new(INITTAB).exists() {
        copy_agent().and_then(|()| inittab())
    } else {
        return Err(format!(
            "there is no `{BUILT_IN}`, and `{init}` is neither systemd nor one with an inittab"
        ));
    };
    installed.map_err(|e| format!("cannot make the agent a service: {e}"))
}

/// Copies this program to [`COPY`].
fn copy_agent() -> io::Result<()> {
    fs::create_dir_all("/run/orca")?;
    fs::copy("/proc/self/exe", COPY)?;
    fs::set_permissions(COPY, fs::Permissions::from_mode(0o755))
}

fn unit() -> io::Result<()> {
    let wants = format!("{UNITS}/sysinit.target.wants");
    fs::create_dir_all(&wants)?;
    fs::write(format!("{UNITS}/orca-agent.service"), UNIT)?;
    symlink("../orca-agent.service", format!("{wants}/orca-agent.service"))
}

fn inittab() -> io::Result<()> {
    let mut file = File::options().append(true).open(INITTAB)?;
    file.write_all(format!("\n::respawn:{COPY}\n").as_bytes())
}
