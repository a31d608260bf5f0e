//! The guest agent.

#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
mod lean;

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(agent::run(std::env::args_os().skip(1)))
}
