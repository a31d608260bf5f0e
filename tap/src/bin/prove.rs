//! The `prove` program by itself, without the rest of orca.

fn main() -> std::process::ExitCode {
    tap::prove::run(std::env::args_os().skip(1)).into()
}
