//! The guest agent. Called as `on`, it is the program by which a test drives its other nodes.

#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
mod libc_stubs;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let name = args.next().unwrap_or_default();
    #[cfg(target_os = "linux")]
    if std::path::Path::new(&name).file_name().is_some_and(|name| name == "on") {
        return ExitCode::from(agent::on(args));
    }
    ExitCode::from(agent::run(args))
}
