//! The guest agent.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(agent::run(std::env::args_os().skip(1)))
}
