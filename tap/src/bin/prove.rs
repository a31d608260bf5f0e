//! `prove` by itself, for those who want nothing else of the toolbox.

fn main() -> std::process::ExitCode {
    tap::prove::run(std::env::args_os().skip(1)).into()
}
