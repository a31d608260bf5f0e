//! The agent under the image's own init: an image that was not built with it gets it as a service
//! just before its init starts.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// Where an image has it that was built with it, as a service already.
const BAKED: &str = "/sbin/agent";
/// Where it is put otherwise: the init keeps what is mounted at `/run`.
const BROUGHT: &str = "/run/orca/agent";
/// systemd's units that live only as long as the machine.
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
/// Why it will not, for the console.
pub(super) fn install(init: &str) -> Result<(), String> {
    if Path::new(BAKED).exists() {
        return Ok(());
    }
    let real = fs::canonicalize(init).map_err(|e| format!("cannot run `{init}`: {e}"))?;
    let installed = if real.ends_with("systemd") {
        bring().and_then(|()| unit())
    } else if Path::new(INITTAB).exists() {
        bring().and_then(|()| inittab())
    } else {
        return Err(format!(
            "there is no `{BAKED}`, and `{init}` is neither systemd nor one with an inittab"
        ));
    };
    installed.map_err(|e| format!("cannot make the agent a service: {e}"))
}

/// Copies this very program.
fn bring() -> io::Result<()> {
    fs::create_dir_all("/run/orca")?;
    fs::copy("/proc/self/exe", BROUGHT)?;
    fs::set_permissions(BROUGHT, fs::Permissions::from_mode(0o755))
}

fn unit() -> io::Result<()> {
    let wants = format!("{UNITS}/sysinit.target.wants");
    fs::create_dir_all(&wants)?;
    fs::write(format!("{UNITS}/orca-agent.service"), UNIT)?;
    symlink("../orca-agent.service", format!("{wants}/orca-agent.service"))
}

fn inittab() -> io::Result<()> {
    let mut file = File::options().append(true).open(INITTAB)?;
    file.write_all(format!("\n::respawn:{BROUGHT}\n").as_bytes())
}
