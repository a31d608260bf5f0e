//! The guest agent. Called as `on`, it is the program by which a test drives its other nodes;
//! called as `orca-fork`, the one by which it goes on in copies of its machine.

#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
mod libc_stubs;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let name = args.next().unwrap_or_default();
    #[cfg(target_os = "linux")]
    match std::path::Path::new(&name).file_name().and_then(|name| name.to_str()) {
        Some("on") => return ExitCode::from(agent::on(args)),
        Some("orca-fork") => return ExitCode::from(agent::fork(args)),
        _ => {}
    }
    ExitCode::from(agent::run(args))
}
